//! Clusters that missed a release (membership.lateJoin: CatchUp). In: the newest release, once it has succeeded. Out: the
//! same content for clusters that hold it and never had a turn. It must not open a release, nor touch an ended verdict.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::join::{bind_one, follow_delivery, held_content};
use super::matching::carries;
use super::membership::begin_again;
use super::planner::Planner;
use super::waves::{grant, passed_over};
use crate::action::Action;
use crate::document::LateJoin;
use crate::member::{left_out, replaced_sentence, replaced_since};
use crate::observed::{Cluster, Observed};
use crate::planted::Planted;
use crate::release::{Release, ReleasePhase, Target, TargetState};

/// Lets the stragglers of the newest release through, a few at once, as in its last wave.
pub(super) fn newest(planner: &mut Planner) {
    let newest = planner
        .state
        .releases
        .iter()
        .max_by_key(|release| release.id.number)
        .filter(|release| may_follow(&planner.state, release))
        .cloned();
    let Some(release) = newest else {
        return;
    };
    let number = release.id.number;
    let holding: Vec<Arc<Cluster>> = planner
        .state
        .clusters
        .iter()
        .filter(|cluster| holds_its_spec(cluster))
        .cloned()
        .collect();
    for cluster in holding {
        take_in(planner, &release, &cluster);
    }
    for target in planner
        .release(number)
        .map(|release| release.targets)
        .unwrap_or_default()
    {
        if let (TargetState::Held, Some(cluster)) = (target.state, planner.shared(&target.cluster))
        {
            follow_delivery(planner, number, &target, &cluster);
        }
    }
    let waves: BTreeSet<u32> = planner
        .release(number)
        .map(|release| held(&release).collect())
        .unwrap_or_default();
    for wave in waves {
        grant(planner, number, wave);
    }
}

/// Whether clusters that missed a release may follow it: it is the newest, it has succeeded, and none is on its way.
pub(super) fn may_follow(state: &Observed, release: &Release) -> bool {
    release.phase == ReleasePhase::Succeeded
        && release.id.number == state.newest_number()
        && state.active().is_none()
        && state.waiting().is_none()
}

pub(super) fn holds_its_spec(cluster: &Cluster) -> bool {
    let rollout = cluster.rollout.as_ref();
    rollout.is_some_and(|own| {
        let spec = own.spec.as_ref().map(|spec| &spec.digest);
        spec.is_some() && own.held.as_ref() == spec
    })
}

/// The waves of targets that may start.
fn held(release: &Release) -> impl Iterator<Item = u32> {
    let held = release
        .targets
        .iter()
        .filter(|target| target.state == TargetState::Held);
    held.map(|target| target.wave)
}

/// Binds the release's content in a cluster that holds it and never had a turn.
fn take_in(planner: &mut Planner, release: &Release, cluster: &Cluster) {
    let number = release.id.number;
    let Some(rollout) = &cluster.rollout else {
        return;
    };
    let Some(spec) = &rollout.spec else { return };
    let holds = rollout.held.as_ref() == Some(&spec.digest);
    let kept_out = planner.state.barred.contains_key(&spec.digest)
        || planner.state.conflicts.contains_key(&cluster.name);
    if !cluster.selected || !holds || !carries(release, spec) || kept_out {
        return;
    }
    let joins = release.plan.membership.late_join == LateJoin::CatchUp;
    let former = release
        .target(&cluster.name)
        .and_then(|target| Some((target, replaced_since(target, cluster)?)));
    if let Some((target, at)) = former.filter(|_| joins) {
        let (why, evidence) = (replaced_sentence(at), json!({"replaced": at}));
        begin_again(planner, release, target, false, why, evidence);
    }
    if release.target(&cluster.name).is_none() {
        if !joins {
            return;
        }
        let wave = release.plan.len();
        let action = Action::JoinTarget {
            release: number,
            cluster: cluster.name.clone(),
            wave,
        };
        planner.act(action, json!({"held": spec.digest, "lateJoin": "CatchUp"}));
    }
    let target = planner.target(number, &cluster.name);
    let may = |target: &Arc<Target>| !passed_over(target) || planner.bug.is(Planted::SkipForgotten);
    let Some(target) = target.filter(may) else {
        return;
    };
    // It was out of reach in its turn, and holds what it held then.
    let bound = target.content.as_ref().map(|content| &content.digest);
    if left_out(&target) && bound == Some(&spec.digest) && target.permit.is_none() {
        let evidence = json!({"held": spec.digest, "was": target.message});
        planner.set_target(number, &cluster.name, TargetState::Held, "", evidence);
        return;
    }
    if bound.is_some() {
        return;
    }
    if let Some(content) = held_content(release, &target, cluster) {
        bind_one(planner, number, &target, content);
    }
}
