//! What is to be done about an Experiment, and why not more.
//!
//! In: nothing. Out: the plan's types and their words; goldens are this text. It must not decide.

use std::fmt;

use agent_api::{AnalysisPhase, AnalysisRun, ExperimentStatus, ReplicaSet, Service, TemplatePhase};
use jiff::Timestamp;

use crate::claims::Taken;
use crate::plan::Event;
use crate::render::{head, strictly};

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Plan {
    /// Writes, in order; the first that fails ends the pass.
    pub actions: Vec<Action>,
    /// The whole status; the shell writes the difference from the observed one, after the actions.
    pub status: ExperimentStatus,
    /// Why this plan and not more.
    pub reasons: Vec<Reason>,
    /// When to look again although nothing changed.
    pub wake: Option<Timestamp>,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create the ReplicaSet of a template; the object is complete.
    CreateReplicaSet {
        /// The template.
        template: String,
        /// The object.
        replica_set: Box<ReplicaSet>,
    },
    /// Change `spec.replicas`.
    ScaleReplicaSet {
        /// The object.
        name: String,
        /// What it is.
        from: i32,
        /// What it shall be.
        to: i32,
    },
    /// Create the Service of a template; the object is complete.
    CreateService {
        /// The object.
        service: Box<Service>,
    },
    /// Delete the Service of a template whose pods go.
    DeleteService {
        /// The object.
        name: String,
    },
    /// Create an AnalysisRun.
    CreateAnalysisRun {
        /// The object.
        run: Box<AnalysisRun>,
    },
    /// Set `spec.terminate` of an AnalysisRun.
    TerminateAnalysisRun {
        /// The object.
        name: String,
    },
    /// Tell people.
    Event(Event),
}

/// Why a plan is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It cannot be carried out.
    InvalidSpec {
        /// Path and fault.
        message: String,
    },
    /// Its Rollout does not let it begin.
    WaitsForLeave {
        /// The Rollout's reason.
        why: String,
    },
    /// Pods of a template are not all available.
    TemplatePending {
        /// The template.
        template: String,
        /// Available now.
        available: i32,
        /// Wanted.
        wanted: i32,
        /// Its deadline.
        deadline: Timestamp,
    },
    /// The API server refuses to make a ReplicaSet.
    SetRefused {
        /// The template.
        template: String,
        /// Its words.
        message: String,
    },
    /// A name is another's.
    NameTaken {
        /// The name, and whose it is.
        taken: Taken,
        /// What is made in its place.
        instead: String,
    },
    /// The duration runs.
    RunsUntil {
        /// Its end.
        until: Timestamp,
    },
    /// A run has to end first.
    WaitsForRun {
        /// The run.
        run: String,
    },
    /// Nothing but a person ends it.
    RunsUntilTerminated,
    /// Somebody ended it.
    Terminated,
    /// It is over.
    Over {
        /// As what.
        phase: AnalysisPhase,
    },
    /// Pods stay for a while after the end.
    StaysUntil {
        /// The ReplicaSet.
        name: String,
        /// How long.
        until: Timestamp,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSpec { message } => write!(f, "cannot be carried out: {message}"),
            Self::WaitsForLeave { why } => write!(f, "waits for its Rollout: {why}"),
            Self::TemplatePending {
                template,
                available,
                wanted,
                deadline,
            } => write!(
                f,
                "template {template} has {available} of {wanted} pods available, and time until {deadline}"
            ),
            Self::SetRefused { template, message } => {
                write!(f, "pods of template {template} cannot be made: {message}")
            }
            Self::NameTaken { taken, instead } => f.write_str(&taken.sentence(instead)),
            Self::RunsUntil { until } => write!(f, "runs until {until}"),
            Self::WaitsForRun { run } => write!(f, "waits for analysis {run}"),
            Self::RunsUntilTerminated => f.write_str("runs until somebody ends it"),
            Self::Terminated => f.write_str("was ended by request"),
            Self::Over { phase } => write!(f, "is over: {phase}"),
            Self::StaysUntil { name, until } => write!(f, "{name} keeps its pods until {until}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |metadata: &agent_api::ObjectMeta| metadata.name.clone().unwrap_or_default();
        match self {
            Self::CreateReplicaSet {
                template,
                replica_set,
            } => write!(
                f,
                "create  {} of {template} with {}",
                name(&replica_set.metadata),
                replica_set.desired()
            ),
            Self::ScaleReplicaSet { name, from, to } => write!(f, "scale   {name}  {from} -> {to}"),
            Self::CreateService { service } => {
                write!(f, "expose  {}", name(&service.metadata))?;
                let selector = &service.spec.selector;
                selector
                    .iter()
                    .try_for_each(|(key, value)| write!(f, " {key}={value}"))
            }
            Self::DeleteService { name } => write!(f, "delete  service {name}"),
            Self::CreateAnalysisRun { run } => {
                write!(f, "analyse {}{}", name(&run.metadata), strictly(run))?;
                run.spec.args.iter().try_for_each(|one| {
                    let value = one.value.as_deref().unwrap_or("from elsewhere");
                    write!(f, " {}={value}", one.name)
                })
            }
            Self::TerminateAnalysisRun { name } => write!(f, "end     {name}"),
            Self::Event(event) => write!(
                f,
                "event   {} {}: {} [{}]",
                event.kind, event.reason, event.message, event.key
            ),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, &self.actions, &self.reasons, self.wake)?;
        let status = &self.status;
        write!(f, "status  {}", status.phase.unwrap_or_default())?;
        if let Some(message) = &status.message {
            write!(f, " {message}")?;
        }
        if let Some(at) = status.available_at {
            write!(f, "  available since {at}")?;
        }
        writeln!(f)?;
        for one in &status.template_statuses {
            let phase = one.status.unwrap_or(TemplatePhase::Progressing);
            write!(f, "        {} {phase}", one.name)?;
            write!(f, " {} of {}", one.available_replicas, one.replicas)?;
            if let Some(service) = &one.service_name {
                write!(f, " behind {service}")?;
            }
            if let Some(message) = &one.message {
                write!(f, ": {message}")?;
            }
            writeln!(f)?;
        }
        for run in &status.analysis_runs {
            let phase = run.phase.unwrap_or(AnalysisPhase::Pending);
            writeln!(f, "        {} {phase} by {}", run.name, run.analysis_run)?;
        }
        for one in &status.conditions {
            let reason = one.reason.as_deref().unwrap_or_default();
            writeln!(f, "        {} {} {reason}", one.r#type, one.status)?;
        }
        Ok(())
    }
}
