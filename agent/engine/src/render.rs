//! A plan as text.
//!
//! In: a plan. Out: one line a write, a reason, a wait; the status at the end. Goldens are this text. It must not decide.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::{Action, GateChange, Plan};
use crate::reason::short;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for action in &self.actions {
            writeln!(f, "{action}")?;
        }
        for reason in &self.reasons {
            writeln!(f, "reason  {reason}")?;
        }
        if let Some(wake) = self.wake {
            writeln!(f, "wait    until {wake}")?;
        }
        let status = &self.status;
        let phase = status
            .phase
            .map_or_else(|| "without phase".to_owned(), |phase| phase.to_string());
        write!(f, "status  {phase}")?;
        if let Some(message) = &status.message {
            write!(f, " {message}")?;
        }
        if let Some(index) = status.current_step_index {
            write!(f, "  step {index}")?;
        }
        if let Some(hash) = &status.current_pod_hash {
            write!(f, "  current {hash}")?;
        }
        if let Some(hash) = &status.stable_rs {
            write!(f, "  stable {hash}")?;
        }
        if status.abort == Some(true) {
            f.write_str("  aborted")?;
        }
        for pause in &status.pause_conditions {
            write!(f, "  pause {} since {}", pause.reason, pause.start_time)?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepTemplate(kept) => {
                write!(f, "keep    {} as {}", short(&kept.digest), kept.name)
            }
            Self::ForgetTemplate { digest, name } => {
                write!(f, "forget  {} as {name}", short(digest))
            }
            Self::RecordGate { changes, .. } => {
                let changes: Vec<String> = changes.iter().map(GateChange::to_string).collect();
                write!(f, "record  {}", changes.join(", "))
            }
            Self::CreateReplicaSet { replica_set } => {
                let name = replica_set.metadata.name.as_deref().unwrap_or_default();
                write!(f, "create  {name} with {}", replica_set.desired())
            }
            Self::AdoptReplicaSet { name, .. } => write!(f, "adopt   {name}"),
            Self::AnnotateReplicaSet {
                name,
                annotations,
                min_ready_seconds,
            } => {
                write!(f, "note    {name}")?;
                if let Some(seconds) = min_ready_seconds {
                    write!(f, " minReadySeconds {seconds}")?;
                }
                pairs(f, annotations)
            }
            Self::ScaleReplicaSet {
                name,
                from,
                to,
                because,
                ..
            } => {
                write!(f, "scale   {name}  {from} -> {to}  because {because}")
            }
            Self::DeleteReplicaSet { name } => write!(f, "delete  {name}"),
            Self::CreateAnalysisRun { run } => {
                let metrics: Vec<&str> = run
                    .spec
                    .metrics
                    .iter()
                    .map(|metric| metric.name.as_str())
                    .collect();
                write!(
                    f,
                    "analyse {} ({})",
                    run.metadata.name.as_deref().unwrap_or_default(),
                    metrics.join(", ")
                )
            }
            Self::TerminateAnalysisRun { name } => write!(f, "end     {name}"),
            Self::DeleteAnalysisRun { name } => write!(f, "delete  {name}"),
            Self::PatchRollout { annotations } => {
                f.write_str("patch   rollout")?;
                pairs(f, annotations)
            }
            Self::Event(event) => write!(
                f,
                "event   {} {}: {} [{}]",
                event.kind, event.reason, event.message, event.key
            ),
        }
    }
}

fn pairs(f: &mut fmt::Formatter<'_>, pairs: &BTreeMap<String, Option<String>>) -> fmt::Result {
    pairs.iter().try_for_each(|(key, value)| match value {
        Some(value) => write!(f, " {key}={value}"),
        None => write!(f, " without {key}"),
    })
}

impl fmt::Display for GateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(digest) => write!(f, "held {}", short(digest)),
            Self::HoldCleared => f.write_str("hold cleared"),
            Self::Effective(digest) => write!(f, "permit for {} takes effect", short(digest)),
            Self::Step(step) => write!(f, "step {step}"),
            Self::Lease => f.write_str("lease deadline"),
            Self::Served(digest) => write!(f, "served {}", short(digest)),
            Self::Outcome(result) => write!(f, "outcome {result}"),
            Self::Kept => f.write_str("kept templates"),
            Self::LocalPermit => f.write_str("local permit"),
            Self::Observed => f.write_str("spec as seen"),
        }
    }
}
