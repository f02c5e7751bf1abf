//! Leases on clocks that the test sets. In: seconds and jumps. Out: whether a lease runs.

use agent_api::StatusTime;

use super::*;

const LENGTH: Duration = Duration::from_secs(30);

struct Clocks {
    wall: Timestamp,
    mono: Instant,
}

impl Clocks {
    fn start() -> Self {
        Self {
            wall: Timestamp::from_second(1_000_000).unwrap(),
            mono: Instant::now(),
        }
    }

    /// The moment this many seconds later, with the wall clock set forward by `jump`.
    fn after(&self, seconds: u64, jump: i64) -> Moment {
        let wall = self
            .wall
            .checked_add(SignedDuration::from_secs(seconds as i64 + jump))
            .unwrap();
        Moment {
            now: wall,
            mono: self.mono + Duration::from_secs(seconds),
        }
    }
}

fn rollout() -> ObjectKey {
    ObjectKey::new("shop", "checkout")
}

fn fence(version: u64) -> Fence {
    Fence {
        incarnation: 1,
        version,
    }
}

fn record(clocks: &Clocks, seconds: i64) -> LeaseRecord {
    let deadline = StatusTime::from(
        clocks
            .wall
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap(),
    );
    LeaseRecord {
        granted_seconds: 30,
        deadline,
        ..LeaseRecord::default()
    }
}

#[test]
fn a_lease_ends_by_the_monotonic_clock() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    clock.grant(&rollout(), fence(7), LENGTH, clocks.after(0, 0));
    assert!(clock.is_live(&rollout(), fence(7), clocks.after(29, 0)));
    assert!(
        clock.is_live(&rollout(), fence(7), clocks.after(29, -50)),
        "small corrections do not matter"
    );
    assert!(!clock.is_live(&rollout(), fence(7), clocks.after(30, -50)));
    assert!(
        !clock.is_live(&rollout(), fence(8), clocks.after(1, 0)),
        "another permit has no lease"
    );
}

#[test]
fn a_renewal_starts_it_again_up_to_its_fence() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    clock.grant(&rollout(), fence(7), LENGTH, clocks.after(0, 0));
    assert!(clock.renew(fence(6), clocks.after(20, 0)).is_empty());
    assert!(
        !clock.is_live(&rollout(), fence(7), clocks.after(31, 0)),
        "fence 6 does not renew fence 7"
    );
    assert_eq!(clock.renew(fence(7), clocks.after(40, 0)), vec![rollout()]);
    assert!(clock.is_live(&rollout(), fence(7), clocks.after(69, 0)));
    assert!(
        clock.renew(fence(7), clocks.after(69, 0)).is_empty(),
        "it had not ended"
    );
}

#[test]
fn a_jump_of_the_wall_clock_ends_it() {
    for jump in [61, -61, 86_400] {
        let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
        clock.grant(&rollout(), fence(7), LENGTH, clocks.after(0, 0));
        assert!(!clock.is_live(&rollout(), fence(7), clocks.after(1, jump)));
        assert!(
            !clock.is_live(&rollout(), fence(7), clocks.after(2, 0)),
            "and setting it back does not help"
        );
        clock.renew(fence(7), clocks.after(3, jump));
        assert!(clock.is_live(&rollout(), fence(7), clocks.after(4, jump)));
    }
}

#[test]
fn after_a_restart_the_earlier_of_deadline_and_length_counts() {
    for (deadline, live_at, dead_at) in [(10, 9, 10), (30, 29, 30), (80, 29, 30)] {
        let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
        clock.restore(
            &rollout(),
            fence(7),
            Some(&record(&clocks, deadline)),
            clocks.after(0, 0),
        );
        assert!(
            clock.is_live(&rollout(), fence(7), clocks.after(live_at, 0)),
            "{deadline}"
        );
        assert!(
            !clock.is_live(&rollout(), fence(7), clocks.after(dead_at, 0)),
            "{deadline}"
        );
    }
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    clock.restore(
        &rollout(),
        fence(7),
        Some(&record(&clocks, -1)),
        clocks.after(0, 0),
    );
    assert!(!clock.is_live(&rollout(), fence(7), clocks.after(0, 0)));
}

#[test]
fn without_a_record_only_the_hub_starts_it() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    clock.restore(&rollout(), fence(7), None, clocks.after(0, 0));
    clock.know_length(&rollout(), LENGTH);
    assert!(!clock.is_live(&rollout(), fence(7), clocks.after(0, 0)));
    assert_eq!(clock.renew(fence(9), clocks.after(1, 0)), vec![rollout()]);
    assert!(clock.is_live(&rollout(), fence(7), clocks.after(2, 0)));
    assert!(clock.ends(&rollout(), clocks.after(2, 0)).is_some());
}

#[test]
fn restoring_does_not_shorten_or_lengthen_a_known_lease() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    clock.grant(&rollout(), fence(7), LENGTH, clocks.after(0, 0));
    clock.restore(
        &rollout(),
        fence(7),
        Some(&record(&clocks, 500)),
        clocks.after(20, 0),
    );
    assert!(!clock.is_live(&rollout(), fence(7), clocks.after(31, 0)));
    clock.forget(&rollout());
    assert!(!clock.is_live(&rollout(), fence(7), clocks.after(1, 0)));
}

#[test]
fn a_step_and_a_restart_lengthen_nothing() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    let end = |seconds: u64| Some(clocks.after(seconds, 0).now);
    clock.grant(&rollout(), fence(7), LENGTH, clocks.after(0, 0));
    assert_eq!(
        clock.until(&rollout(), fence(7), clocks.after(20, 0)),
        end(30)
    );
    assert_eq!(clock.until(&rollout(), fence(8), clocks.after(20, 0)), None);
    clock.renew(fence(7), clocks.after(25, 0));
    assert_eq!(
        clock.until(&rollout(), fence(7), clocks.after(29, 0)),
        end(55)
    );
    // What a step writes down at 29 s is where the renewal ends, and a restart ends there, too.
    for restart in [30, 40, 50] {
        let mut again = LeaseClock::default();
        let written = record(&clocks, 55);
        again.restore(
            &rollout(),
            fence(7),
            Some(&written),
            clocks.after(restart, 0),
        );
        assert_eq!(
            again.until(&rollout(), fence(7), clocks.after(restart, 0)),
            end(55)
        );
        assert_eq!(again.until(&rollout(), fence(7), clocks.after(55, 0)), None);
    }
}

#[test]
fn what_is_recorded_as_ended_runs_again_by_the_hub_alone() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    let mut written = record(&clocks, 30);
    written.ended_at = Some(StatusTime::from(clocks.after(31, 0).now));
    // The wall clock has been set back by less than what counts as a jump.
    clock.restore(&rollout(), fence(7), Some(&written), clocks.after(0, 0));
    assert!(!clock.is_live(&rollout(), fence(7), clocks.after(0, 0)));
    assert_eq!(clock.renew(fence(7), clocks.after(1, 0)), vec![rollout()]);
    assert!(clock.is_live(&rollout(), fence(7), clocks.after(2, 0)));
}

#[test]
fn a_clock_that_was_set_back_before_a_restart_ends_it() {
    let (mut clock, clocks) = (LeaseClock::default(), Clocks::start());
    let written = record(&clocks, 30);
    clock.restore(
        &rollout(),
        fence(7),
        Some(&written),
        clocks.after(10, -3_600),
    );
    assert_eq!(
        clock.until(&rollout(), fence(7), clocks.after(10, -3_600)),
        None
    );
    clock.renew(fence(7), clocks.after(11, -3_600));
    assert!(clock.is_live(&rollout(), fence(7), clocks.after(12, -3_600)));
}
