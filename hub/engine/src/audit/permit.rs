//! Permits (S1, S20, G17, G22). In: a grant or revocation. Out: whether the facts allow it. It must not take the target's
//! state for the facts about its cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::tally::{Tallies, Tally};
use super::{Findings, wave, window};
use crate::action::Action;
use crate::amount::Amount;
use crate::clock::is_over_there;
use crate::document::{OnFailure, RollbackSteps};
use crate::name::Digest;
use crate::observed::{Cluster, Observed};
use crate::reconcile::standing;
use crate::release::{Direction, Release, ReleasePhase, Stage, Target, TargetState, WavePhase};
use crate::verb::Scope;
use crate::window::Standing;

pub(super) fn check(
    findings: &mut Findings,
    state: &Observed,
    tallies: &mut Tallies,
    action: &Action,
) {
    let Some(release) = action.release().and_then(|number| state.release(number)) else {
        return;
    };
    let Some((target, cluster)) = action
        .cluster()
        .and_then(|name| Some((release.target(name)?, state.cluster(name)?)))
    else {
        findings.need(false, "S2", || format!("no such target: {action}"));
        return;
    };
    let Action::GrantPermit {
        direction,
        digest,
        delivery,
        start_by,
        steps_backwards,
        ..
    } = action
    else {
        findings.need(target.touched(), "G17", || {
            format!("{} has no permit to lose", target.cluster)
        });
        return;
    };
    findings.need(!state.conflicts.contains_key(&cluster.name), "G12", || {
        format!("{} is in conflict", cluster.name)
    });
    findings.need(cluster.gate.is_some(), "G5", || {
        format!("{} is permitted before it is governed", cluster.name)
    });
    as_policy(findings, release, (target, *direction), *steps_backwards);
    match direction {
        Direction::Forward => {
            let tallies = tallies.of(state, release);
            let place = (state, release, tallies);
            forward(findings, place, target, cluster, digest);
            in_window(findings, (state, release, target), *start_by);
            let bound = target
                .content
                .as_ref()
                .is_some_and(|content| content.delivery == *delivery);
            findings.need(bound, "G2", || {
                format!("{delivery} is not how {} delivers", cluster.name)
            });
        }
        Direction::Rollback => {
            let tallies = tallies.of(state, release);
            let place = (state, release, tallies);
            rollback(findings, place, target, cluster, digest);
            if state.fleet_rollout.calendar.rollback_waits {
                let standing = standing(state, &cluster.name);
                let open = matches!(standing, Standing::Open { .. });
                findings.need(open, "S12", || {
                    format!("{} goes back while no window is open", cluster.name)
                });
            }
        }
    }
}

/// Steps backwards are of a rollback whose release's policy asks for them, and of nothing else.
fn as_policy(
    findings: &mut Findings,
    release: &Release,
    (target, direction): (&Target, Direction),
    steps_backwards: bool,
) {
    let asked = match release.plan.on_failure {
        OnFailure::Rollback { steps, .. } => steps == RollbackSteps::Backwards,
        OnFailure::Halt => false,
    };
    let wanted = asked && direction == Direction::Rollback;
    findings.need(steps_backwards == wanted, "G22", || {
        let name = &target.cluster;
        let way = if steps_backwards {
            "backwards"
        } else {
            "skipped"
        };
        format!(
            "{name} has its steps {way}, which release {} does not say",
            release.id
        )
    });
}

/// S12: nothing starts outside a window, nor may it start later than the window's end; G30: by a person's word and the plan's
/// policy a wave after the first passes what the FleetRollout itself closes.
fn in_window(
    findings: &mut Findings,
    (state, release, target): (&Observed, &Release, &Target),
    start_by: Option<Timestamp>,
) {
    let name = &target.cluster;
    let ahead = state.cluster(name).map_or(0, |own| own.clock_ahead);
    let over = start_by.is_some_and(|moment| is_over_there(moment, state.now, ahead));
    findings.need(!over, "S12", || {
        format!("{name} is permitted, and by its clock the time to start in is over")
    });
    match window::standing_of(state, release, target) {
        Standing::Open { until: None } => {}
        Standing::Open { until: Some(until) } => {
            findings.need(
                start_by.is_some_and(|moment| moment <= until),
                "S12",
                || format!("{name} may start after its window closes at {until}"),
            );
        }
        Standing::Closed { until, why } => findings.need(false, "S12", || {
            format!("{name} starts while it is closed until {until}: {why}")
        }),
    }
}

/// What a permit is given in: the state, its release, and that one's waves, counted.
type Place<'a> = (&'a Observed, &'a Release, &'a BTreeMap<u32, Tally>);

fn forward(
    findings: &mut Findings,
    (state, release, tallies): Place<'_>,
    target: &Target,
    cluster: &Cluster,
    digest: &Digest,
) {
    let name = &cluster.name;
    let nothing = Tally::default();
    let counted = tallies.get(&target.wave).unwrap_or(&nothing);
    super::verb::may_start(findings, state, release);
    // A straggler of a release whose every wave has passed follows it; everything else is bound to its wave's turn.
    let straggler =
        release.phase == ReleasePhase::Succeeded && state.newest_number() == release.id.number;
    if straggler {
        wave::agreed(findings, state, release, target);
    } else {
        wave::in_turn(findings, release, target.wave);
        let stage = (target.wave, Stage::Before);
        wave::approved_for(findings, state, release, stage, || {
            let own = release.images.iter();
            own.chain(counted.images()).cloned().collect()
        });
        let running = release
            .wave(target.wave)
            .is_some_and(|wave| wave.phase == WavePhase::Running);
        findings.need(running, "S1", || {
            format!("{name} starts while its wave is not running")
        });
        let (failed, most) = (
            counted.failed,
            wave::may_fail(release, target.wave, counted.all),
        );
        findings.need(failed <= most, "S1", || {
            format!("{name} starts in a wave with {failed} failures, {most} may")
        });
    }
    let in_flight = counted.in_flight;
    let planned = release.plan.wave(target.wave);
    let most = planned.map_or(1, |planned| {
        planned.max_concurrent.at_least_one_of(counted.all)
    });
    findings.need(in_flight < most, "S1", || {
        format!("{name} starts beside {in_flight} others, {most} may at once")
    });
    findings.need(target.state == TargetState::Held, "S1", || {
        format!("{name} starts from {}", target.state.as_str())
    });
    let bound = target
        .content
        .as_ref()
        .is_some_and(|content| content.digest == *digest);
    findings.need(bound, "G25", || {
        format!("{digest} is not what is bound in {name}")
    });
    findings.need(!state.barred.contains_key(digest), "G17", || {
        format!("{digest} is barred")
    });
    findings.need(cluster.gone.is_none(), "G9", || {
        format!("{name} starts although it is not governed any more")
    });
    findings.need(cluster.connected, "S7", || {
        format!("{name} is out of contact")
    });
    findings.need(!cluster.regressed, "L4", || format!("{name} has regressed"));
    let rollout = cluster.rollout.as_ref();
    let there = rollout.is_some_and(|rollout| {
        rollout.kept.contains(digest)
            || rollout
                .spec
                .as_ref()
                .is_some_and(|spec| spec.digest == *digest)
    });
    findings.need(there, "G4", || {
        format!("{digest} is neither kept nor wanted in {name}")
    });
}

fn rollback(
    findings: &mut Findings,
    (_, release, tallies): Place<'_>,
    target: &Target,
    cluster: &Cluster,
    digest: &Digest,
) {
    let name = &cluster.name;
    let going = release.phase == ReleasePhase::RollingBack;
    findings.need(going, "S20", || {
        format!(
            "{name} goes back in release {}, which is {}",
            release.id,
            release.phase.as_str()
        )
    });
    findings.need(target.touched(), "S20", || {
        format!("{name} was not touched by release {}", release.id)
    });
    let rollout = cluster.rollout.as_ref();
    let healthy = rollout
        .is_some_and(|rollout| rollout.healthy.contains(digest) && rollout.kept.contains(digest));
    findings.need(healthy, "S20", || {
        format!("{digest} was not healthy in {name} or is not kept")
    });
    let before = target
        .previous
        .as_ref()
        .is_some_and(|previous| previous.digest == *digest);
    findings.need(before, "S20", || {
        format!("{digest} is not what {name} served before")
    });
    findings.need(
        !stays(release) || target.state != TargetState::Succeeded,
        "S20",
        || format!("{name} goes back although a person said that what had finished stays"),
    );
    let later = tallies.range(target.wave.saturating_add(1)..);
    let later = later.map(|(_, wave)| wave.to_go_back).sum::<usize>() > 0;
    findings.need(!later, "G22", || {
        format!("{name} goes back before a later wave has")
    });
    if let Some(max_concurrent) = at_once(release) {
        let touched = tallies.values().map(|wave| wave.touched).sum();
        let most = max_concurrent.at_least_one_of(touched);
        let in_flight: usize = tallies.values().map(|wave| wave.moving).sum();
        let room = in_flight < most || !cluster.connected;
        findings.need(room, "G22", || {
            format!("{name} goes back beside {in_flight} others, {most} may at once")
        });
    } else {
        findings.need(false, "G22", || {
            format!("the plan of release {} takes nothing back", release.id)
        });
    }
}

/// On its way back, heard of, and not late.
pub(super) fn moving(state: &Observed, release: &Release, target: &Target) -> bool {
    let late = || {
        let deadline = release.plan.progress_deadline;
        let permit = target.permit.as_ref();
        permit.is_some_and(|permit| state.now >= deadline.after(permit.granted_at))
    };
    let connected = || {
        let cluster = state.cluster(&target.cluster);
        cluster.is_some_and(|cluster| cluster.connected)
    };
    target.state == TargetState::RollingBack && !late() && connected()
}

/// Whether it has the content that is taken back and is not on its way.
pub(super) fn untouched_yet(release: &Release, target: &Target) -> bool {
    (target.state == TargetState::Succeeded && !stays(release)) || target.state.in_flight()
}

/// Whether a person said that what had finished stays.
fn stays(release: &Release) -> bool {
    let by_word = release.word.back.as_ref();
    by_word.is_some_and(|back| back.scope == Scope::Unfinished)
}

/// How many may go back at once; none: neither the plan nor a person takes anything back.
fn at_once(release: &Release) -> Option<Amount> {
    match release.plan.on_failure {
        OnFailure::Rollback { max_concurrent, .. } => Some(max_concurrent),
        OnFailure::Halt => release.word.back.as_ref().map(|_| Amount::Percent(100)),
    }
}
