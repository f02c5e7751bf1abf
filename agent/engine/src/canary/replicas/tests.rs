//! The split and the moves, as tables.
#![allow(clippy::unwrap_used)]

use agent_api::CanaryStrategy;

use super::*;

fn limits(replicas: i32) -> Limits {
    Limits::of(Strategy::Canary(&CanaryStrategy::default()), replicas)
}

#[test]
fn splits() {
    // replicas, weight -> stable, new
    let table = [
        (5, 0, 5, 0),
        (5, 20, 4, 1),
        (5, 40, 3, 2),
        (5, 100, 0, 5),
        (5, 1, 5, 1),
        (5, 99, 1, 5),
        (10, 25, 8, 3),
        (3, 50, 2, 2),
        (1, 50, 1, 1),
        (1, 10, 1, 1),
        (4, 55, 2, 2),
        (1, 100, 0, 1),
        (2, 1, 2, 1),
        (0, 50, 0, 0),
        (100, 33, 67, 33),
    ];
    for (replicas, weight, stable, new) in table {
        assert_eq!(
            split(limits(replicas), weight),
            Want { stable, new },
            "{weight} % of {replicas}"
        );
    }
}

#[test]
fn limits_round_surge_up_and_unavailable_down() {
    assert_eq!(
        limits(5),
        Limits {
            replicas: 5,
            surge: 2,
            unavailable: 1
        }
    );
    assert_eq!(
        limits(1),
        Limits {
            replicas: 1,
            surge: 1,
            unavailable: 0
        }
    );
    let strategy = CanaryStrategy {
        max_surge: Some(IntOrString::Int(0)),
        max_unavailable: Some(IntOrString::String("10%".to_owned())),
        ..CanaryStrategy::default()
    };
    assert_eq!(
        Limits::of(Strategy::Canary(&strategy), 5),
        Limits {
            replicas: 5,
            surge: 0,
            unavailable: 1
        }
    );
}

/// From a start where everything is available, moves and lets new pods become available until nothing moves.
fn settle(
    limits: Limits,
    want: Want,
    mut stable: Counts,
    mut new: Counts,
    mut older: Vec<Counts>,
) -> (i32, i32, Vec<i32>) {
    for _ in 0..200 {
        let next = next(limits, want, stable, new, &older, Blind::default());
        let before = stable.sure() + new.sure() + older.iter().map(|set| set.sure()).sum::<i32>();
        let lower = |set: Counts, to: i32| Counts {
            desired: to,
            available: set.available.min(to),
        };
        let after: Vec<Counts> = older
            .iter()
            .zip(&next.older)
            .map(|(set, to)| lower(*set, *to))
            .collect();
        let (s, n) = (lower(stable, next.stable), lower(new, next.new));
        let available = s.sure() + n.sure() + after.iter().map(|set| set.sure()).sum::<i32>();
        assert!(
            available >= before.min(limits.minimum()),
            "available {before} -> {available} of {limits:?}"
        );
        let total = next.stable + next.new + next.older.iter().sum::<i32>();
        let total_before =
            stable.desired + new.desired + older.iter().map(|set| set.desired).sum::<i32>();
        assert!(
            total <= limits.maximum().max(total_before),
            "total {total} of {limits:?}"
        );
        let still = next.stable == stable.desired && next.new == new.desired;
        if still
            && next
                .older
                .iter()
                .zip(&older)
                .all(|(to, set)| *to == set.desired)
        {
            return (next.stable, next.new, next.older);
        }
        stable = Counts {
            desired: next.stable,
            available: next.stable,
        };
        new = Counts {
            desired: next.new,
            available: next.new,
        };
        older = next
            .older
            .iter()
            .map(|count| Counts {
                desired: *count,
                available: *count,
            })
            .collect();
    }
    panic!("does not settle: {limits:?} {want:?}");
}

#[test]
fn every_move_keeps_the_limits_and_arrives() {
    for replicas in 0..12 {
        for (surge, unavailable) in [(0, 1), (1, 0), (2, 1), (3, 3)] {
            let limits = Limits {
                replicas,
                surge,
                unavailable: unavailable.min(replicas),
            };
            if limits.surge == 0 && limits.unavailable == 0 {
                continue;
            }
            for weight in [0, 1, 10, 20, 33, 50, 75, 99, 100] {
                let want = split(limits, weight);
                for middle in 0..=replicas {
                    let counts = |count: i32| Counts {
                        desired: count,
                        available: count,
                    };
                    let (stable, new, older) = settle(
                        limits,
                        want,
                        counts(replicas - middle),
                        counts(0),
                        vec![counts(middle)],
                    );
                    assert_eq!(
                        (stable, new, older),
                        (want.stable, want.new, vec![0]),
                        "{limits:?} {weight} {middle}"
                    );
                }
            }
        }
    }
}

#[test]
fn pods_that_never_come_up_do_not_pull_the_others_down() {
    let limits = limits(5);
    let stable = Counts {
        desired: 4,
        available: 4,
    };
    let new = Counts {
        desired: 3,
        available: 0,
    };
    let next = next(
        limits,
        split(limits, 100),
        stable,
        new,
        &[],
        Blind::default(),
    );
    assert_eq!((next.stable, next.new), (4, 3));
    assert!(next.guarded && next.full);
}

#[test]
fn a_crash_looping_stable_gives_way() {
    let limits = limits(5);
    let stable = Counts {
        desired: 5,
        available: 0,
    };
    let next = next(
        limits,
        split(limits, 100),
        stable,
        Counts::default(),
        &[],
        Blind::default(),
    );
    assert_eq!((next.stable, next.new), (0, 5));
}

#[test]
fn thresholds_round_up_and_never_ask_for_more_than_there_is() {
    let check = |kind: &str, value: i32, wanted: i32, enough: i32| {
        let written = agent_api::ReplicaProgressThreshold {
            r#type: Some(kind.to_owned()),
            value: Some(value),
            ..agent_api::ReplicaProgressThreshold::default()
        };
        assert_eq!(
            super::threshold(Some(&written), wanted),
            enough,
            "{kind} {value} of {wanted}"
        );
    };
    check("Percent", 90, 10, 9);
    check("Percent", 90, 5, 5);
    check("Percent", 1, 5, 1);
    check("Percent", 100, 7, 7);
    check("Percent", 50, 0, 0);
    check("Pods", 3, 5, 3);
    check("Pods", 9, 5, 5);
    assert_eq!(super::threshold(None, 5), 5);
}
