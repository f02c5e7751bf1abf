//! Membership (G9, L4, S14). In: an action on governance or on a target that begins again. Out: whether a person said so, or
//! the cluster is not what it was. It must not use the planner's policy.

use super::Findings;
use crate::action::{Action, MemberChange};
use crate::observed::Observed;
use crate::release::TargetState;
use crate::verb::{By, Verb};

pub(super) fn check(findings: &mut Findings, state: &Observed, action: &Action) {
    let Action::Member { change } = action else {
        return;
    };
    match change {
        MemberChange::Ungovern {
            request,
            cluster,
            mode,
            by,
        } => {
            let wanted = |verb: &Verb| {
                matches!(verb, Verb::Ungovern { cluster: one, mode: own }
                    if own == mode && one.as_ref().is_none_or(|one| one == cluster))
            };
            findings.need(said(state, *request, by, wanted), "G9", || {
                format!("nobody ended governance in {cluster} with a reason")
            });
            let gate = state.cluster(cluster).and_then(|own| own.gate.as_ref());
            findings.need(gate.is_some(), "G9", || {
                format!("{cluster} has no gate to let go")
            });
        }
        MemberChange::Govern {
            request,
            cluster,
            by,
        } => {
            let wanted = |verb: &Verb| {
                matches!(verb, Verb::Govern { cluster: one }
                    if one.as_ref().is_none_or(|one| one == cluster))
            };
            findings.need(said(state, *request, by, wanted), "G9", || {
                format!("nobody took {cluster} in again with a reason")
            });
        }
        MemberChange::Answer { request, verb, by } => {
            findings.need(said(state, *request, by, |own| own == verb), "S19", || {
                format!("nobody said with a reason: {action}")
            });
        }
        MemberChange::Forget { cluster, .. } => {
            let own = state.cluster(cluster);
            let permit = own.and_then(|own| own.gate.as_ref()?.permit.as_ref());
            let former = own
                .and_then(|own| own.replaced)
                .zip(permit)
                .is_some_and(|(at, permit)| permit.granted_at < at);
            findings.need(former, "L4", || {
                format!("the permit of {cluster} is addressed to it, and forgotten")
            });
        }
        MemberChange::Restart {
            release,
            cluster,
            keep,
            ..
        } => restart(findings, state, *release, cluster, *keep),
    }
}

fn restart(
    findings: &mut Findings,
    state: &Observed,
    release: u64,
    cluster: &crate::name::ClusterName,
    keep: bool,
) {
    let target = state.release(release).and_then(|one| one.target(cluster));
    let own = state.cluster(cluster);
    let (Some(target), Some(own)) = (target, own) else {
        findings.need(false, "S2", || format!("there is no target {cluster}"));
        return;
    };
    let moment = if keep { own.restored } else { own.replaced };
    let later = moment.is_some_and(|at| target.since.is_none_or(|since| since < at));
    findings.need(later, "S9", || {
        format!("{cluster} begins again and is what it was")
    });
    let good = !keep || (target.state == TargetState::Succeeded && target.permit.is_some());
    findings.need(good, "S9", || {
        format!("{cluster} is to say again what it never said")
    });
}

/// Whether a person asked for it, with a reason.
fn said(state: &Observed, request: u64, by: &By, wanted: impl Fn(&Verb) -> bool) -> bool {
    state.requests.iter().any(|known| {
        known.id == request
            && known.person == by.person
            && known.reason == by.reason
            && !known.reason.is_empty()
            && wanted(&known.verb)
    })
}
