//! Clusters that come back to a wave which they had left empty. In: waves for which nothing speaks, and who of them is there
//! again. Out: targets that have their turn after all. It must not take back what a person passed over, nor what had started:
//! that has ended, and is taken in hand anew by a person.

use serde_json::json;

use super::catch_up::holds_its_spec;
use super::join::{bind_one, held_content};
use super::matching::carries;
use super::planner::Planner;
use crate::member::{emptied, may_return};
use crate::observed::Cluster;
use crate::planted::Planted;
use crate::release::{Release, ReleasePhase, Target, TargetState};

/// Takes them back before the wave is over.
pub(super) fn take_back(planner: &mut Planner, number: u64) {
    let Some(release) = planner.release(number) else {
        return;
    };
    if release.phase != ReleasePhase::Progressing || planner.bug.is(Planted::ReturnedForgotten) {
        return;
    }
    let ahead = release.waves.iter().filter(|wave| !wave.phase.behind());
    for wave in ahead.filter(|wave| emptied(&release, wave.number)) {
        for target in release.targets_of(wave.number) {
            one(planner, &release, target);
        }
    }
}

fn one(planner: &mut Planner, release: &Release, target: &Target) {
    let number = release.id.number;
    let Some(cluster) = planner.shared(&target.cluster) else {
        return;
    };
    let conflict = planner.state.conflicts.contains_key(&target.cluster);
    let never_started = target.permit.is_none();
    if !may_return(target) || !never_started || conflict || !is_back(release, &cluster) {
        return;
    }
    if let Some(content) = held_content(release, target, &cluster) {
        bind_one(planner, number, target, content);
        return;
    }
    let bound = target.content.as_ref().map(|content| &content.digest);
    let held = cluster.rollout.as_ref().and_then(|own| own.held.as_ref());
    if bound.is_some() && bound == held {
        let evidence = json!({"held": held, "was": target.message});
        planner.set_target(number, &target.cluster, TargetState::Held, "", evidence);
    }
}

/// In contact, governed, and with the release's content in its hands.
fn is_back(release: &Release, cluster: &Cluster) -> bool {
    let spec = cluster.rollout.as_ref().and_then(|own| own.spec.as_ref());
    cluster.connected
        && cluster.gone.is_none()
        && cluster.selected
        && holds_its_spec(cluster)
        && spec.is_some_and(|spec| carries(release, spec))
}
