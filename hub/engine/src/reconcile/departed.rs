//! Releases of which no cluster is left to decide about (gate.md G9). In: who took the clusters out. Out: the release's end,
//! with that person's word. It must not end one as good: what nobody may look at any more has not passed.

use serde_json::json;

use super::flight::{end, standing};
use super::planner::Planner;
use crate::member::Gone;
use crate::observed::Observed;
use crate::planted::Planted;
use crate::release::{Release, ReleasePhase, TargetState};

/// Ends a release whose every cluster left or was let go, while no other is there to take part; whatever `left` says of each:
/// nothing can be taken back where nothing is governed. False: it goes on.
pub(super) fn ended(planner: &mut Planner, number: u64) -> bool {
    let Some(release) = planner.release(number) else {
        return false;
    };
    let Some(gone) = last_gone(&planner.state, &release) else {
        return false;
    };
    if planner.bug.is(Planted::DepartedStaysOpen) {
        return false;
    }
    let good = release.targets.iter();
    let good = good.filter(|target| target.state == TargetState::Succeeded);
    let good = good.count();
    let verdict = format!(
        "no cluster of it is governed any more: {}; served in {good} of {} clusters",
        gone.sentence(),
        release.targets.len()
    );
    let evidence = json!({"gone": gone, "targets": standing(&release)});
    end(planner, number, ReleasePhase::Aborted, verdict, evidence);
    true
}

/// The last word that took a cluster out, if none is left; none: some cluster is governed or could still join.
fn last_gone(state: &Observed, release: &Release) -> Option<Gone> {
    let gone = |cluster| state.cluster(cluster).and_then(|own| own.gone.as_ref());
    let mut targets = release.targets.iter();
    let none_left = targets.all(|target| gone(&target.cluster).is_some());
    let mut others = state.clusters.iter();
    if !none_left || others.any(|own| own.selected && own.gone.is_none()) {
        return None;
    }
    let words = release.targets.iter().map(|target| gone(&target.cluster));
    words.flatten().max_by_key(|gone| gone.by.at).cloned()
}
