//! Answers for people. In: releases, reasons and clusters as the store holds them. Out: messages of the Fleet service. It
//! must not filter: who may read is decided before.

use hub_engine::Reason;
use hub_engine::clock;
use hub_engine::release::{Release, Stage, Target, Wave};
use hub_store::cluster::ClusterRow;
use hub_store::fleet_rollout::{Applied, Change, FleetRolloutRow};
use hub_store::history::Entry;
use hub_store::release::ReleaseRow;
use proto::v1;

use crate::wire::wire_fence;

/// A release with its waves, its reasons sorted to where they belong.
#[must_use]
pub fn release(row: &ReleaseRow) -> v1::Release {
    let release = &row.release;
    let of_release = row
        .reasons
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
        waves: release.waves.iter().map(|one| wave(row, one)).collect(),
        reasons: of_release.map(reason).collect(),
    }
}

/// One wave of a release.
#[must_use]
pub fn wave(row: &ReleaseRow, wave: &Wave) -> v1::Wave {
    let release = &row.release;
    // Once nobody has to agree that it starts any more, what is shown is that it passes.
    let shown = release.shown(wave);
    let spec = release
        .approval_of(wave.number, shown.stage)
        .or_else(|| release.approval_of(wave.number, Stage::Before));
    let of_wave = row
        .reasons
        .iter()
        .filter(|reason| reason.wave == Some(wave.number) && reason.cluster.is_none());
    v1::Wave {
        name: wave.name.clone(),
        number: wave.number,
        phase: wave.phase.as_str().to_owned(),
        targets: release
            .targets_of(wave.number)
            .map(|one| target(row, one))
            .collect(),
        reasons: of_wave.map(reason).collect(),
        bake_until: wave.bake_until.map(proto::time::to_wire),
        approvals: approvals(release, wave.number),
        approvals_required: spec.map_or(0, |spec| spec.required),
        approval_groups: spec.map(|spec| spec.groups.clone()).unwrap_or_default(),
        images: shown.images,
        stage: shown.stage.as_str().to_owned(),
    }
}

fn approvals(release: &Release, wave: u32) -> Vec<v1::Approval> {
    let counting: Vec<u64> = [Stage::Before, Stage::After]
        .into_iter()
        .flat_map(|stage| release.approvals_that_count(wave, stage))
        .map(|approval| approval.id)
        .collect();
    let of_wave = release
        .approvals
        .iter()
        .filter(|approval| approval.wave == wave);
    of_wave
        .map(|approval| v1::Approval {
            person: approval.person.0.clone(),
            groups: approval.groups.clone(),
            comment: approval.comment.clone(),
            at: Some(proto::time::to_wire(approval.at)),
            counts: counting.contains(&approval.id),
            stage: approval.stage.as_str().to_owned(),
        })
        .collect()
}

fn target(row: &ReleaseRow, target: &Target) -> v1::Target {
    let own = row
        .reasons
        .iter()
        .filter(|reason| reason.cluster.as_ref() == Some(&target.cluster));
    let step = row.steps.iter().find(|step| step.cluster == target.cluster);
    v1::Target {
        cluster: target.cluster.0.clone(),
        state: target.state.as_str().to_owned(),
        digest: target
            .content
            .as_ref()
            .map(|content| content.digest.0.clone())
            .unwrap_or_default(),
        message: target.message.clone(),
        reasons: own.map(reason).collect(),
        step: step.map_or(0, |step| step.step),
        steps: step.map_or(0, |step| step.steps),
        connected: row.connected.contains(&target.cluster),
        without_hub: hub_engine::loss::without_hub(row.on_hub_loss, target),
    }
}

/// One cluster.
#[must_use]
pub fn cluster(row: ClusterRow) -> v1::Cluster {
    // Of one that is out of contact nobody knows what its clock says now.
    let clock = clock::note(row.clock_ahead).filter(|_| row.connected);
    let notes = [Some(row.note), clock].into_iter().flatten();
    let notes: Vec<String> = notes.filter(|note| !note.is_empty()).collect();
    let note = notes.join("; ");
    v1::Cluster {
        name: row.name.0,
        labels: row.labels,
        connected: row.connected,
        last_seen_at: row.last_seen.map(proto::time::to_wire),
        agent_version: row.agent_version,
        desired: Some(wire_fence(row.desired)),
        stored: Some(wire_fence(row.stored)),
        rollouts: row.rollouts,
        note,
    }
}

/// One FleetRollout.
#[must_use]
pub fn fleet_rollout(row: FleetRolloutRow) -> v1::FleetRollout {
    let declared = row.fleet_rollout;
    v1::FleetRollout {
        name: declared.name.0,
        rollout: declared.rollout.to_string(),
        enforcement: format!("{:?}", declared.enforcement),
        waves: u32::try_from(declared.waves.len()).unwrap_or(u32::MAX),
        clusters: row.status.clusters,
        release: row
            .status
            .release
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        phase: row
            .status
            .phase
            .map(|phase| phase.as_str().to_owned())
            .unwrap_or_default(),
        document: row.text,
        stopped: String::new(),
        barred: Vec::new(),
        reasons: row
            .reasons
            .iter()
            .filter(|one| one.release.is_none())
            .map(|one| v1::FleetRolloutReason {
                cluster: one
                    .cluster
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                reason: Some(reason(one)),
            })
            .collect(),
    }
}

/// What became of one document.
#[must_use]
pub fn applied(applied: Applied) -> v1::Applied {
    let change = match applied.change {
        Change::Created => v1::applied::Change::Created,
        Change::Configured => v1::applied::Change::Configured,
        Change::Unchanged => v1::applied::Change::Unchanged,
    };
    v1::Applied {
        kind: applied.kind.to_owned(),
        name: applied.name,
        change: change.into(),
        notes: applied.notes,
    }
}

/// One problem of a document.
#[must_use]
pub fn problem(problem: hub_engine::Problem) -> v1::Problem {
    v1::Problem {
        path: problem.path,
        line: problem.line,
        message: problem.message,
    }
}

/// One row of the history.
#[must_use]
pub fn history(entry: Entry) -> v1::HistoryRow {
    v1::HistoryRow {
        sequence: entry.sequence,
        at: Some(proto::time::to_wire(entry.at)),
        release: entry.release,
        cluster: entry.cluster,
        kind: entry.kind,
        actor: entry.actor,
        message: entry.message,
        evidence_json: entry.evidence.to_string(),
        epoch: entry.epoch,
        stream: entry.stream,
        position: entry.position,
        previous_hash: entry.previous_hash,
        hash: entry.hash,
        action_json: entry.action.map(|one| one.to_string()).unwrap_or_default(),
    }
}

/// One reason.
#[must_use]
pub fn reason(reason: &Reason) -> v1::Reason {
    v1::Reason {
        code: reason.code().to_owned(),
        message: reason.message(),
        next: reason.next.clone(),
    }
}

/// A release before it starts.
#[must_use]
pub fn preview(preview: hub_engine::preview::Preview) -> v1::PlannedRelease {
    let wave = |(number, wave): (u32, hub_engine::preview::PreviewWave)| v1::PlannedWave {
        name: wave.name,
        number,
        clusters: wave
            .clusters
            .into_iter()
            .map(|cluster| v1::PlannedCluster {
                name: cluster.name.0,
                starts_at: Some(proto::time::to_wire(cluster.starts_at)),
                serves_at: Some(proto::time::to_wire(cluster.serves_at)),
                window: cluster.window,
            })
            .collect(),
        policy: wave.policy,
        starts_at: Some(proto::time::to_wire(wave.starts_at)),
        passes_at: Some(proto::time::to_wire(wave.passes_at)),
        exposed: wave.exposed,
    };
    v1::PlannedRelease {
        fleet_rollout: preview.fleet_rollout,
        plan_digest: preview.digest,
        at: Some(proto::time::to_wire(preview.now)),
        governed: preview.governed,
        waves: (1..).zip(preview.waves).map(wave).collect(),
        notes: preview.notes,
    }
}
