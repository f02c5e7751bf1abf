//! A plan as text.
//!
//! In: a plan. Out: one line a write, a reason, a wait; the status at the end. Goldens are this text. It must not decide.

use std::collections::BTreeMap;
use std::fmt;

use agent_api::analysis::is_strict;
use agent_api::names::{ANNOTATION_EPHEMERAL_METADATA, LABEL_POD_HASH};
use agent_api::{AnalysisRun, ReplicaSet, Weights};
use jiff::Timestamp;

use crate::plan::{Action, GateChange, Plan};
use crate::reason::{Reason, short};
use crate::sets::{ANNOTATION_ATTEMPT, ANNOTATION_BACKGROUND_ATTEMPT};

/// How a run judges what is no number: told apart, for it changes verdicts.
pub(crate) fn strictly(run: &AnalysisRun) -> &'static str {
    if is_strict(&run.metadata) {
        " strictly"
    } else {
        ""
    }
}

/// What every plan begins with: what is done, why, and when it is looked at again.
pub(crate) fn head(
    f: &mut fmt::Formatter<'_>,
    actions: &[impl fmt::Display],
    reasons: &[impl fmt::Display],
    wake: Option<Timestamp>,
) -> fmt::Result {
    for action in actions {
        writeln!(f, "{action}")?;
    }
    for reason in reasons {
        writeln!(f, "reason  {reason}")?;
    }
    match wake {
        Some(wake) => writeln!(f, "wait    until {wake}"),
        None => Ok(()),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, &self.actions, &self.reasons, self.wake)?;
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
        if let Some(at) = status.restarted_at {
            write!(f, "  restarted {at}")?;
        }
        let selector = status.selector.as_deref().unwrap_or_default();
        if status.hpa_replicas != status.replicas || selector.contains(LABEL_POD_HASH) {
            let counted = status.hpa_replicas.unwrap_or(0);
            write!(f, "  autoscalers see {counted} by {selector}")?;
        }
        let weights = status
            .canary
            .as_ref()
            .and_then(|canary| canary.weights.as_ref());
        if let Some(weights) = weights {
            let weight = weights.canary.as_ref().map_or(0, |canary| canary.weight);
            write!(f, "  weight {weight}")?;
            match weights.verified {
                Some(true) => f.write_str(" confirmed")?,
                Some(false) => f.write_str(" unconfirmed")?,
                None => {}
            }
        }
        for pause in &status.pause_conditions {
            write!(f, "  pause {} since {}", pause.reason, pause.start_time)?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Action {
    #[expect(clippy::too_many_lines, reason = "one line an action")]
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
                write!(f, "create  {name} with {}", replica_set.desired())?;
                beyond(f, replica_set)
            }
            Self::ClaimReplicaSet { name, .. } => write!(f, "claim   {name}"),
            Self::ReleaseReplicaSet { name, .. } => write!(f, "let go  {name}"),
            Self::AdoptReplicaSet { name, annotations } => {
                write!(f, "adopt   {name}")?;
                [ANNOTATION_ATTEMPT, ANNOTATION_BACKGROUND_ATTEMPT]
                    .into_iter()
                    .filter_map(|key| Some((key, annotations.get(key)?)))
                    .try_for_each(|(key, attempt)| write!(f, " {key}={attempt}"))
            }
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
            Self::ChangeTemplateMetadata {
                name,
                labels,
                annotations,
                notes,
            } => {
                write!(f, "relabel {name}")?;
                [labels, annotations, notes]
                    .into_iter()
                    .try_for_each(|changes| pairs(f, changes))
            }
            Self::ChangePods { set, pods } => {
                write!(f, "relabel pods of {set}:")?;
                pods.iter().try_for_each(|pod| {
                    write!(f, " {}", pod.name)?;
                    pairs(f, &pod.labels)?;
                    pairs(f, &pod.annotations)
                })
            }
            Self::EvictPod { name, set, .. } => write!(f, "evict   {name} of {set}"),
            Self::ScaleReplicaSet {
                name,
                from,
                to,
                because,
                ..
            } => scaled(f, name, (*from, *to), because),
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
                    "analyse {} ({}){}",
                    run.metadata.name.as_deref().unwrap_or_default(),
                    metrics.join(", "),
                    strictly(run)
                )
            }
            Self::CreateExperiment { experiment } => {
                let name = experiment.metadata.name.as_deref().unwrap_or_default();
                write!(f, "try     {name}")?;
                experiment.spec.templates.iter().try_for_each(|one| {
                    let images = one.template.images().join("+");
                    write!(f, " {}={images}x{}", one.name, one.wanted())
                })
            }
            Self::TerminateAnalysisRun { name } | Self::TerminateExperiment { name } => {
                write!(f, "end     {name}")
            }
            Self::DeleteAnalysisRun { name } | Self::DeleteExperiment { name } => {
                write!(f, "delete  {name}")
            }
            Self::ScaleWorkload {
                name,
                from,
                to,
                because,
            } => scaled(f, &format!("Deployment {name}"), (*from, *to), because),
            Self::SwitchService { name, from, to } => {
                let from = from.as_ref().map_or("all pods", |hash| hash.as_str());
                write!(f, "switch  {name}  {from} -> {to}")
            }
            Self::ReleaseService { name } => write!(f, "release {name}"),
            Self::SetTraffic { traffic, because } => {
                f.write_str("traffic ")?;
                split(f, &traffic.weights)?;
                for route in &traffic.routes {
                    write!(f, "  route {}", route.name())?;
                }
                write!(f, "  because {because}")
            }
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

/// What the template of a new ReplicaSet has beyond its content.
fn beyond(f: &mut fmt::Formatter<'_>, set: &ReplicaSet) -> fmt::Result {
    let annotations = set.metadata.annotations.as_ref();
    if let Some(given) = annotations.and_then(|all| all.get(ANNOTATION_EPHEMERAL_METADATA)) {
        write!(f, " as {given}")?;
    }
    let template = set.spec.template.value();
    let affinity = template.pointer("/spec/affinity");
    affinity.map_or(Ok(()), |affinity| write!(f, " placed by {affinity}"))
}

fn scaled(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    (from, to): (i32, i32),
    because: &Reason,
) -> fmt::Result {
    write!(f, "scale   {what}  {from} -> {to}  because {because}")
}

/// `web-v2 20 web-v1 80`, without the names where a router is not told any.
fn split(f: &mut fmt::Formatter<'_>, weights: &Weights) -> fmt::Result {
    let sides = [("canary", &weights.canary), ("stable", &weights.stable)];
    let mut between = "";
    for (side, to) in sides {
        let Some(to) = to else { continue };
        let hash = to
            .pod_template_hash
            .as_ref()
            .map_or("nobody", |hash| hash.as_str());
        write!(f, "{between}{side} {hash} {}", to.weight)?;
        between = ", ";
    }
    for to in &weights.additional {
        let service = to.service_name.as_deref().unwrap_or_default();
        write!(f, "{between}{service} {}", to.weight)?;
    }
    Ok(())
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
            Self::Paused(true) => f.write_str("paused"),
            Self::Paused(false) => f.write_str("resumed"),
            Self::Lease => f.write_str("lease deadline"),
            Self::LeaseEnd => f.write_str("lease ended"),
            Self::Served(digest) => write!(f, "served {}", short(digest)),
            Self::Outcome(result) => write!(f, "outcome {result}"),
            Self::Kept => f.write_str("kept templates"),
            Self::LocalPermit => f.write_str("local permit"),
            Self::Observed => f.write_str("spec as seen"),
            Self::BreakGlass => f.write_str("break-glass"),
            Self::WithoutHub(says) => write!(f, "without hub: {says}"),
        }
    }
}
