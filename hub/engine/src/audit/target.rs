//! Targets (G18, G25). In: an action on a target. Out: whether the facts allow it. It must not trust a phase as proof.

use super::Findings;
use crate::action::Action;
use crate::member::UNREACHABLE;
use crate::name::{ClusterName, Digest, Fence};
use crate::observed::{Observed, OutcomeResult};
use crate::reconcile::{NOT_FINISHED, carries, missed_at};
use crate::release::{Content, Direction, Release, ReleasePhase, Target, TargetState};
use crate::verb::Verb;

#[allow(clippy::too_many_lines, reason = "one arm a variant")]
pub(super) fn check(findings: &mut Findings, state: &Observed, action: &Action) {
    match action {
        Action::JoinTarget {
            release,
            cluster,
            wave,
        } => {
            let Some(own) = state.release(*release) else {
                return;
            };
            let selected = state
                .cluster(cluster)
                .is_some_and(|cluster| cluster.selected);
            findings.need(selected, "G9", || format!("{cluster} is not selected"));
            findings.need(own.target(cluster).is_none(), "S2", || {
                format!("{cluster} takes part already")
            });
            findings.need(*wave == own.plan.len(), "G25", || {
                format!("{cluster} joins late, but not in the last wave")
            });
        }
        Action::BindContent {
            release,
            cluster,
            content,
        } => {
            let Some(own) = state.release(*release) else {
                return;
            };
            let unbound = own
                .target(cluster)
                .is_some_and(|target| target.content.is_none());
            findings.need(unbound, "G25", || {
                format!("the content of {cluster} is bound already")
            });
            findings.need(carries(own, content), "G25", || {
                format!("{} in {cluster} is not this release's", content.digest)
            });
            let rollout = state
                .cluster(cluster)
                .and_then(|cluster| cluster.rollout.as_ref());
            let held = rollout.and_then(|rollout| rollout.held.as_ref()) == Some(&content.digest);
            findings.need(held, "G25", || {
                format!("{cluster} does not hold {}", content.digest)
            });
        }
        Action::BindDelivery {
            release,
            cluster,
            content,
        } => delivery(findings, state, *release, cluster, content),
        Action::SetTargetState {
            release,
            cluster,
            state: wanted,
            message,
        } => {
            let Some(own) = state.release(*release) else {
                return;
            };
            let Some(target) = own.target(cluster) else {
                findings.need(false, "S2", || {
                    format!("{cluster} takes no part in release #{release}")
                });
                return;
            };
            set(findings, state, target, *wanted, own.phase);
            listened(findings, state, own, cluster, message);
        }
        Action::Govern { .. }
        | Action::SetWaiting { .. }
        | Action::OpenRelease { .. }
        | Action::SettleChange { .. }
        | Action::RefuseRequest { .. }
        | Action::Obey { .. }
        | Action::StartRelease { .. }
        | Action::RequestApproval { .. }
        | Action::StartWave { .. }
        | Action::VoidApprovals { .. }
        | Action::GrantPermit { .. }
        | Action::RevokePermit { .. }
        | Action::StartBake { .. }
        | Action::PassWave { .. }
        | Action::FailWave { .. }
        | Action::HaltRelease { .. }
        | Action::StartRollback { .. }
        | Action::EndRelease { .. }
        | Action::Bar { .. }
        | Action::Unbar { .. }
        | Action::Member { .. } => {}
    }
}

/// G2: only how it is delivered changes, only before a permit took effect, and only to what its agent reports.
fn delivery(
    findings: &mut Findings,
    state: &Observed,
    release: u64,
    cluster: &ClusterName,
    content: &Content,
) {
    let target = state
        .release(release)
        .and_then(|release| release.target(cluster));
    let bound = target.and_then(|target| target.content.as_ref());
    findings.need(
        bound.is_some_and(|bound| bound.digest == content.digest && bound.images == content.images),
        "G25",
        || format!("{} is not what is bound in {cluster}", content.digest),
    );
    findings.need(
        target.is_some_and(|target| target.state.before_permit()),
        "G2",
        || format!("the steps of {cluster} change under its permit"),
    );
    let reported = state
        .cluster(cluster)
        .and_then(|cluster| cluster.rollout.as_ref()?.delivery_of(&content.digest));
    findings.need(reported == Some(&content.delivery), "G2", || {
        format!("{cluster} does not deliver by {}", content.delivery)
    });
}

fn set(
    findings: &mut Findings,
    state: &Observed,
    target: &Target,
    wanted: TargetState,
    phase: ReleasePhase,
) {
    let cluster = &target.cluster;
    let direction = target.permit.as_ref().map(|permit| permit.direction);
    match wanted {
        TargetState::Succeeded => {
            let served = outcome(state, target) == Some(OutcomeResult::Served)
                && direction == Some(Direction::Forward);
            findings.need(served, "G18", || {
                format!("{cluster} succeeds without Served for this release, digest and permit")
            });
        }
        TargetState::RolledBack => {
            let back = matches!(
                outcome(state, target),
                Some(OutcomeResult::Served | OutcomeResult::Withdrawn)
            );
            let good = back && direction == Some(Direction::Rollback);
            findings.need(good, "G22", || {
                format!("{cluster} is back without its agent's word")
            });
        }
        TargetState::RollingBack => {
            findings.need(direction == Some(Direction::Rollback), "G22", || {
                format!("{cluster} goes back without a permit")
            });
        }
        TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::Unknown => {
            findings.need(direction == Some(Direction::Forward), "G17", || {
                format!("{cluster} is in flight without a permit")
            });
            let lost = target.state == TargetState::Succeeded;
            findings.need(!lost, "S9", || {
                format!("{cluster} has succeeded and is in flight")
            });
        }
        TargetState::Held => held(findings, state, target),
        TargetState::Pending | TargetState::WaitingForContent | TargetState::Behind => {
            let before = target.state.before_permit();
            findings.need(before, "S9", || {
                format!(
                    "{cluster} goes from {} back to {}",
                    target.state.as_str(),
                    wanted.as_str()
                )
            });
        }
        TargetState::Skipped | TargetState::Removed => {
            // A Rollout that was deleted since needs no rollback.
            let gone = wanted == TargetState::Removed && phase == ReleasePhase::RollingBack;
            // One that serves something else by now has nothing to give back.
            let own = target.content.as_ref().map(|content| &content.digest);
            let serves = state
                .cluster(cluster)
                .and_then(|cluster| cluster.rollout.as_ref()?.served.as_ref());
            let elsewhere = phase == ReleasePhase::RollingBack && serves.is_some() && serves != own;
            let served = target.state == TargetState::Succeeded
                && !gone
                && !elsewhere
                && !began_again(state, target);
            findings.need(!served, "S9", || {
                format!("{cluster} has succeeded and is {}", wanted.as_str())
            });
        }
        TargetState::Failed => {
            let late = target.state == TargetState::Succeeded
                && phase == ReleasePhase::Progressing
                && !began_again(state, target);
            findings.need(!late, "S9", || format!("{cluster} has succeeded and fails"));
        }
    }
}

/// S7: nobody is silent or late because no hub listened.
fn listened(
    findings: &mut Findings,
    state: &Observed,
    release: &Release,
    cluster: &ClusterName,
    message: &str,
) {
    let plan = &release.plan;
    let least = if message.starts_with(UNREACHABLE) {
        plan.membership.unreachable_after
    } else if message.starts_with(NOT_FINISHED) {
        plan.progress_deadline
    } else {
        return;
    };
    let long = state
        .listening_since
        .is_none_or(|since| state.now >= least.after(since));
    findings.need(long, "S7", || {
        format!("no hub has listened to {cluster} for as long as it may take: {message}")
    });
}

/// Whether its cluster is another one since, or came out of a backup.
fn began_again(state: &Observed, target: &Target) -> bool {
    let cluster = state.cluster(&target.cluster);
    cluster.is_some_and(|cluster| {
        let anew = cluster.replaced.max(cluster.restored);
        anew.is_some_and(|at| target.since.is_none_or(|since| since < at))
    })
}

fn missed(state: &Observed, target: &Target) -> bool {
    let (Some(permit), Some(cluster)) = (&target.permit, state.cluster(&target.cluster)) else {
        return false;
    };
    let heard = permit.start_by.is_some() && cluster.last_seen >= permit.start_by;
    let over = missed_at(permit, cluster).is_some_and(|missed| state.now >= missed);
    cluster.connected && heard && over
}

fn held(findings: &mut Findings, state: &Observed, target: &Target) {
    let cluster = &target.cluster;
    findings.need(target.content.is_some(), "G25", || {
        format!("{cluster} is held without content")
    });
    let refused = outcome(state, target) == Some(OutcomeResult::Refused);
    // A straggler that never had a permit may catch up, unless a person passed over it.
    let over = target.state == TargetState::Skipped
        && target.message.starts_with(crate::advance::obey::SKIPPED_BY);
    findings.need(!over, "G17", || {
        format!("{cluster} is held again although a person passed over it")
    });
    let never = target.permit.is_none();
    let retried = target.state == TargetState::Failed && asked(state, cluster);
    // Its agent is in contact and had not started when its permit's time was over.
    let missed = missed(state, target);
    // Its cluster came out of a backup, and the permit that it was to carry out again had been taken out of its set.
    let spent = state.cluster(cluster).is_some_and(|own| {
        let set = own.gate.as_ref().and_then(|gate| gate.permit.as_ref());
        let permit = target.permit.as_ref();
        own.restored.is_some() && set.map(|set| set.fence) != permit.map(|permit| permit.fence)
    });
    findings.need(
        target.state.before_permit() || never || refused || retried || missed || spent,
        "S9",
        || format!("{cluster} is held again and did not refuse its permit"),
    );
}

/// Whether a person asked for this target again.
fn asked(state: &Observed, cluster: &ClusterName) -> bool {
    state
        .requests
        .iter()
        .any(|request| matches!(&request.verb, Verb::Retry { cluster: own } if own == cluster))
}

/// What its agent said about exactly this permit.
fn outcome(state: &Observed, target: &Target) -> Option<OutcomeResult> {
    let permit = target.permit.as_ref()?;
    let outcome = outcome_row(state, &target.cluster)?;
    let (fence, digest, release, result) = outcome;
    (fence == permit.fence && digest == &permit.digest && release == permit.release.to_string())
        .then_some(result)
}

fn outcome_row<'a>(
    state: &'a Observed,
    cluster: &ClusterName,
) -> Option<(Fence, &'a Digest, &'a str, OutcomeResult)> {
    let outcome = state.cluster(cluster)?.rollout.as_ref()?.outcome.as_ref()?;
    Some((
        outcome.fence,
        &outcome.digest,
        &outcome.release,
        outcome.result,
    ))
}
