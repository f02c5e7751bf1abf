//! Clusters that missed a release (membership.lateJoin: CatchUp). In: the newest release, once it has succeeded. Out: the
//! same content for clusters that hold it and never had a turn. It must not open a release, nor touch an ended verdict.

use serde_json::json;

use super::join::{bind_one, held_content};
use super::matching::carries;
use super::planner::Planner;
use super::waves::grant;
use crate::action::Action;
use crate::release::{ReleasePhase, TargetState};

/// Lets the stragglers of the newest release through, a few at once, as in its last wave.
pub(super) fn newest(planner: &mut Planner) {
    if planner.state.active().is_some() || planner.state.waiting().is_some() {
        return;
    }
    let newest = planner.state.releases.iter().max_by_key(|release| release.id.number).cloned();
    let Some(release) = newest.filter(|release| release.phase == ReleasePhase::Succeeded) else { return };
    let number = release.id.number;
    if number != planner.state.newest_number() {
        return;
    }
    let Some(last) = release.plan.waves.len().checked_sub(1).and_then(|_| release.waves.last()) else { return };
    for cluster in planner.state.clusters.clone() {
        let Some(spec) = cluster.rollout.as_ref().and_then(|rollout| rollout.spec.clone()) else { continue };
        let holds = cluster.rollout.as_ref().is_some_and(|rollout| rollout.held.as_ref() == Some(&spec.digest));
        let barred = planner.state.barred.contains_key(&spec.digest) || planner.state.conflicts.contains_key(&cluster.name);
        if !cluster.selected || !holds || !carries(&release, &spec) || barred {
            continue;
        }
        if release.target(&cluster.name).is_none() {
            let action = Action::JoinTarget { release: number, cluster: cluster.name.clone(), wave: last.number };
            planner.act(action, json!({"held": spec.digest, "lateJoin": "CatchUp"}));
        }
        let target = planner.state.release(number).and_then(|release| release.target(&cluster.name)).cloned();
        let Some(target) = target.filter(|target| target.content.is_none()) else { continue };
        if let Some(content) = held_content(&release, &target, &cluster) {
            bind_one(planner, number, &target, content);
        }
    }
    let waiting = planner.state.release(number).map(|release| {
        let held = release.targets.iter().filter(|target| target.state == TargetState::Held);
        held.map(|target| target.wave).collect::<std::collections::BTreeSet<u32>>()
    });
    for wave in waiting.unwrap_or_default() {
        grant(planner, number, wave);
    }
}
