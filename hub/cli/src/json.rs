//! Answers as JSON. In: messages of the hub. Out: values with the field names of the `.proto` file in camelCase and times
//! as RFC 3339. It must not leave out empty fields: programs rely on them.

use proto::v1::{
    Applied, Approval, Cluster, Fence, FleetRollout, HistoryRow, Problem, Reason, Release, Target,
    Wave, applied,
};
use serde_json::{Value, json};

/// Pretty, with a line feed at the end.
pub fn print(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A time, or null.
pub fn time(time: Option<&prost_types::Timestamp>) -> Value {
    time.and_then(proto::time::from_wire)
        .map_or(Value::Null, |time| json!(time.to_string()))
}

fn fence(fence: Option<&Fence>) -> Value {
    fence.map_or(
        Value::Null,
        |fence| json!({"incarnation": fence.incarnation, "version": fence.version}),
    )
}

/// One cluster.
pub fn cluster(cluster: &Cluster) -> Value {
    json!({
        "name": cluster.name,
        "labels": cluster.labels,
        "connected": cluster.connected,
        "lastSeenAt": time(cluster.last_seen_at.as_ref()),
        "agentVersion": cluster.agent_version,
        "desired": fence(cluster.desired.as_ref()),
        "stored": fence(cluster.stored.as_ref()),
        "rollouts": cluster.rollouts,
        "note": cluster.note,
    })
}

/// One FleetRollout.
pub fn fleet_rollout(fleet_rollout: &FleetRollout) -> Value {
    json!({
        "name": fleet_rollout.name,
        "rollout": fleet_rollout.rollout,
        "enforcement": fleet_rollout.enforcement,
        "waves": fleet_rollout.waves,
        "clusters": fleet_rollout.clusters,
        "release": fleet_rollout.release,
        "phase": fleet_rollout.phase,
        "stopped": fleet_rollout.stopped,
        "reasons": fleet_rollout.reasons.iter().map(|one| {
            let reason = one.reason.clone().unwrap_or_default();
            json!({"cluster": one.cluster, "code": reason.code, "message": reason.message, "next": reason.next})
        }).collect::<Vec<_>>(),
        "barred": fleet_rollout.barred.iter().map(|one| json!({"digest": one.digest, "release": one.release})).collect::<Vec<_>>(),
        "document": fleet_rollout.document,
    })
}

/// One release with its waves.
pub fn release(release: &Release) -> Value {
    json!({
        "name": release.name,
        "fleetRollout": release.fleet_rollout,
        "number": release.number,
        "revision": release.revision,
        "images": release.images,
        "phase": release.phase,
        "planDigest": release.plan_digest,
        "verdict": release.verdict,
        "openedAt": time(release.opened_at.as_ref()),
        "endedAt": time(release.ended_at.as_ref()),
        "waves": release.waves.iter().map(wave).collect::<Vec<_>>(),
        "reasons": reasons(&release.reasons),
    })
}

/// One wave with its targets.
pub fn wave(wave: &Wave) -> Value {
    json!({
        "name": wave.name,
        "number": wave.number,
        "phase": wave.phase,
        "targets": wave.targets.iter().map(target).collect::<Vec<_>>(),
        "reasons": reasons(&wave.reasons),
        "bakeUntil": time(wave.bake_until.as_ref()),
        "approvals": wave.approvals.iter().map(approval).collect::<Vec<_>>(),
        "approvalsRequired": wave.approvals_required,
        "approvalGroups": wave.approval_groups,
        "images": wave.images,
        "stage": wave.stage,
    })
}

/// One target.
pub fn target(target: &Target) -> Value {
    json!({
        "cluster": target.cluster,
        "state": target.state,
        "digest": target.digest,
        "message": target.message,
        "reasons": reasons(&target.reasons),
        "step": target.step,
        "steps": target.steps,
        "connected": target.connected,
        "withoutHub": target.without_hub,
    })
}

fn reasons(reasons: &[Reason]) -> Value {
    let reason = |reason: &Reason| json!({"code": reason.code, "message": reason.message, "next": reason.next});
    reasons.iter().map(reason).collect()
}

fn approval(approval: &Approval) -> Value {
    json!({
        "person": approval.person,
        "groups": approval.groups,
        "comment": approval.comment,
        "at": time(approval.at.as_ref()),
        "counts": approval.counts,
        "stage": approval.stage,
    })
}

/// One row of the history. Evidence is parsed, so that programs need not.
pub fn history_row(row: &HistoryRow) -> Value {
    let evidence = serde_json::from_str(&row.evidence_json).unwrap_or(Value::Null);
    json!({
        "sequence": row.sequence,
        "at": time(row.at.as_ref()),
        "release": row.release,
        "cluster": row.cluster,
        "kind": row.kind,
        "actor": row.actor,
        "message": row.message,
        "evidence": evidence,
        "epoch": row.epoch,
    })
}

/// One stored document.
pub fn applied(applied: &Applied) -> Value {
    json!({"name": applied.name, "change": change(applied.change()), "notes": applied.notes})
}

/// One problem of a document.
pub fn problem(file: &str, problem: &Problem) -> Value {
    json!({"file": file, "line": problem.line, "path": problem.path, "message": problem.message})
}

/// The word for what became of a document.
pub fn change(change: applied::Change) -> &'static str {
    match change {
        applied::Change::Created => "created",
        applied::Change::Configured => "configured",
        applied::Change::Unchanged => "unchanged",
        applied::Change::Unspecified => "stored",
    }
}
