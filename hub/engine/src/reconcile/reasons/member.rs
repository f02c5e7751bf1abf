//! What a cluster waits for that is not what it was. In: the state that the plan leads to. Out: reasons. It must not act.

use crate::member::{Departure, Gone, replaced_sentence, restored_sentence};
use crate::observed::{Cluster, Observed};
use crate::reason::Why;
use crate::release::{Release, Target};

/// Why nothing starts there any more, and how to take it in again.
pub(super) fn gone(state: &Observed, cluster: &Cluster, gone: &Gone) -> (Why, String) {
    let (by, reason) = (gone.by.person.clone(), gone.by.reason.clone());
    let (name, fleet_rollout) = (&cluster.name, &state.fleet_rollout.name);
    match gone.how {
        Departure::Left => (
            Why::LeftTheFleet { by, reason },
            format!("groundswell cluster token {name}"),
        ),
        Departure::LetGo(mode) => (
            Why::LetGo { by, reason, mode },
            format!("groundswell govern {fleet_rollout} --cluster {name} --reason WHY"),
        ),
    }
}

/// It began again while the release was on its way, and has not come to the release's content again.
pub(super) fn began_again(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: &Cluster,
) -> Option<Why> {
    let anew = [
        cluster.replaced.map(|at| (at, replaced_sentence(at))),
        cluster.restored.map(|at| (at, restored_sentence(at))),
    ];
    let (at, what) = anew.into_iter().flatten().max()?;
    let until = release.plan.progress_deadline.after(at);
    let rollout = cluster.rollout.as_ref();
    let held = rollout.and_then(|rollout| rollout.held.as_ref());
    let bound = target.content.as_ref().map(|content| &content.digest);
    let there = bound.is_some() && held == bound;
    (at > release.opened_at && state.now < until && !there && !cluster.regressed)
        .then_some(Why::BeganAgain { what, until })
}
