//! Answers for people. In: releases, reasons and clusters as the store holds them. Out: messages of the Fleet service. It
//! must not filter: who may read is decided before.

use std::collections::BTreeMap;

use hub_engine::name::ClusterName;
use hub_engine::observed::Rollout;
use hub_engine::reason::Reason;
use hub_engine::release::{Release, Target, Wave};
use proto::v1;

/// What the hub knows of a target's cluster right now; the release itself does not hold it.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Whether its agent has a session.
    pub connected: bool,
    /// What its agent last said of the Rollout.
    pub rollout: Option<Rollout>,
}

/// A release with its waves, its reasons sorted to where they belong.
#[must_use]
pub fn release(
    release: &Release,
    reasons: &[Reason],
    live: &BTreeMap<ClusterName, Live>,
) -> v1::Release {
    let own: Vec<&Reason> = reasons
        .iter()
        .filter(|reason| reason.release.as_ref() == Some(&release.id))
        .collect();
    let of_release = own
        .iter()
        .filter(|reason| reason.wave.is_none() && reason.cluster.is_none());
    v1::Release {
        name: release.id.to_string(),
        fleet_rollout: release.id.fleet_rollout.0.clone(),
        number: release.id.number,
        revision: release
            .revision
            .as_ref()
            .map(|revision| revision.0.clone())
            .unwrap_or_default(),
        images: release.images.clone(),
        phase: release.phase.as_str().to_owned(),
        plan_digest: release.plan_digest.clone(),
        verdict: release.verdict.clone(),
        opened_at: Some(proto::time::to_wire(release.opened_at)),
        ended_at: release.ended_at.map(proto::time::to_wire),
        waves: release
            .waves
            .iter()
            .map(|one| wave(release, one, &own, live))
            .collect(),
        reasons: of_release.map(|reason| wire_reason(reason)).collect(),
    }
}

/// One wave of a release.
#[must_use]
pub fn wave(
    release: &Release,
    wave: &Wave,
    reasons: &[&Reason],
    live: &BTreeMap<ClusterName, Live>,
) -> v1::Wave {
    let counting: Vec<u64> = release
        .approvals_that_count(wave.number)
        .iter()
        .map(|approval| approval.id)
        .collect();
    let spec = release
        .plan
        .wave(wave.number)
        .and_then(|planned| planned.approval.as_ref());
    let of_wave = reasons
        .iter()
        .filter(|reason| reason.wave == Some(wave.number) && reason.cluster.is_none());
    v1::Wave {
        name: wave.name.clone(),
        number: wave.number,
        phase: wave.phase.as_str().to_owned(),
        targets: release
            .targets_of(wave.number)
            .map(|one| target(one, reasons, live))
            .collect(),
        reasons: of_wave.map(|reason| wire_reason(reason)).collect(),
        bake_until: wave.bake_until.map(proto::time::to_wire),
        approvals: release
            .approvals
            .iter()
            .filter(|approval| approval.wave == wave.number)
            .map(|approval| v1::Approval {
                person: approval.person.0.clone(),
                groups: approval.groups.clone(),
                comment: approval.comment.clone(),
                at: Some(proto::time::to_wire(approval.at)),
                counts: counting.contains(&approval.id),
            })
            .collect(),
        approvals_required: spec.map_or(0, |spec| spec.required),
        approval_groups: spec.map(|spec| spec.groups.clone()).unwrap_or_default(),
    }
}

fn target(target: &Target, reasons: &[&Reason], live: &BTreeMap<ClusterName, Live>) -> v1::Target {
    let live = live.get(&target.cluster).cloned().unwrap_or_default();
    let own = reasons
        .iter()
        .filter(|reason| reason.cluster.as_ref() == Some(&target.cluster));
    v1::Target {
        cluster: target.cluster.0.clone(),
        state: target.state.as_str().to_owned(),
        digest: target
            .content
            .as_ref()
            .map(|content| content.digest.0.clone())
            .unwrap_or_default(),
        message: target.message.clone(),
        reasons: own.map(|reason| wire_reason(reason)).collect(),
        step: live.rollout.as_ref().map_or(0, |rollout| rollout.step),
        steps: live.rollout.as_ref().map_or(0, |rollout| rollout.steps),
        connected: live.connected,
    }
}

/// One reason.
#[must_use]
pub fn wire_reason(reason: &Reason) -> v1::Reason {
    v1::Reason {
        code: reason.code().to_owned(),
        message: reason.message(),
        next: reason.next.clone(),
    }
}
