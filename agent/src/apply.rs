//! Apply: what the engine planned, written.
//!
//! In: a plan and what it was made from. Out: writes, in the plan's order; the first that fails ends the pass, and so does
//! a ReplicaSet, or an owner of one, that is refused. It must not choose: it does not look at the cluster, and it does not leave out or add a
//! write.

mod analysis;
mod experiment;
mod gate;
mod pod;
mod replica_set;
mod service;
mod status;
mod template;
mod undecodable;
mod workload;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_api::{GateStatus, Uid};
use agent_engine::{Action, Event, EventKind, Observed, Plan, Reason};
use jiff::Timestamp;

use crate::claims::Claims;
use crate::event::{About, Events, News};
use crate::key::ObjectKey;
use crate::link::report::Reports;
use crate::link::state;
use crate::metrics::Metrics;
use crate::refusals::Refusals;
use crate::spent::Spent;
use crate::status_times::StatusTimes;
use crate::workloads::Workloads;
use crate::writer::{self, Writer};
use crate::written::Written;
use crate::{observe, status_patch};

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A write failed.
    #[error(transparent)]
    Write(#[from] writer::Error),
    /// The status could not be compared.
    #[error(transparent)]
    Status(#[from] status_patch::Error),
    /// A run that a status names could not be asked for.
    #[error("cannot look for AnalysisRun {run}: {source}")]
    Run {
        /// Which one.
        run: ObjectKey,
        /// Why.
        source: Box<kube::Error>,
    },
    /// An analysis template that the cache does not show could not be asked for.
    #[error("cannot look for {template}: {source}")]
    Template {
        /// Which one.
        template: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The plan names something that was not observed.
    #[error("the plan names {what}, which was not observed; report this as a bug")]
    Unobserved {
        /// What.
        what: String,
    },
}

impl Error {
    /// How long the server asks to be left alone, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Write(error) => error.retry_after(),
            Self::Status(_)
            | Self::Run { .. }
            | Self::Template { .. }
            | Self::Unobserved { .. } => None,
        }
    }

    /// Whether looking again at once helps.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Write(error) => error.is_stale(),
            Self::Status(_)
            | Self::Run { .. }
            | Self::Template { .. }
            | Self::Unobserved { .. } => false,
        }
    }
}

/// The means of applying.
pub struct Applier {
    /// Writes.
    pub writer: Writer,
    /// What was written.
    pub written: Arc<Written>,
    /// The workloads that Rollouts name.
    pub workloads: Arc<Workloads>,
    /// Events.
    pub events: Events,
    /// How long updates took.
    pub metrics: Metrics,
    /// What the hub is told.
    pub reports: Arc<Reports>,
    /// The agent's own namespace.
    pub namespace: String,
    /// What was refused.
    pub refusals: Arc<Refusals>,
    /// When statuses were written.
    pub status_times: Arc<StatusTimes>,
    /// Names that others have.
    pub claims: Arc<Claims>,
    /// What ended permits leave behind.
    pub spent: Arc<Spent>,
    /// What was said of Rollouts that cannot be decoded.
    pub undecodable: Undecodable,
}

/// The generation of each Rollout that could not be decoded and was told so.
#[derive(Debug, Default)]
pub struct Undecodable(Mutex<HashMap<Uid, i64>>);

impl Undecodable {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Rollout is gone, or can be decoded.
    pub fn forget(&self, uid: &Uid) {
        self.lock().remove(uid);
    }
}

/// One pass over one Rollout.
struct Pass<'a> {
    applier: &'a Applier,
    observed: &'a Observed,
    key: ObjectKey,
    uid: Uid,
    /// Of the Rollout, as last seen or written in this pass.
    resource_version: String,
    /// Of the Gate record, as planned.
    record: Option<GateStatus>,
    /// Versions of objects written in this pass, by name.
    versions: BTreeMap<String, String>,
    /// The server refused something, which the next pass has to know.
    refused: bool,
    /// What follows counts on what was refused: the ReplicaSet of the wanted version, or who owns one.
    ends: bool,
}

/// How far a plan was carried out.
pub enum Applied {
    /// To its end, which the hub was told; look again then.
    Whole(Option<Timestamp>),
    /// As far as a refusal that the rest counts on; the next pass, at once, knows of it.
    Cut,
}

impl Applier {
    /// Carries out a plan.
    pub async fn apply(&self, observed: &Observed, plan: Plan) -> Result<Applied, Error> {
        let Plan {
            actions,
            status,
            reasons,
            wake,
        } = plan;
        let metadata = &observed.rollout.metadata;
        let mut pass = Pass {
            applier: self,
            observed,
            key: ObjectKey::of(metadata),
            uid: observe::uid_of(metadata),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            record: observed.gate.gate().and_then(|gate| gate.status.clone()),
            versions: BTreeMap::new(),
            refused: false,
            ends: false,
        };
        for action in actions {
            pass.act(action).await?;
            if pass.ends {
                return Ok(Applied::Cut);
            }
        }
        pass.write_status(&status).await?;
        self.metrics.update_ended(
            observed
                .rollout
                .status
                .as_ref()
                .and_then(|before| before.duration.as_ref()),
            status.duration.as_ref(),
            observed.now,
        );
        pass.report(&status, &reasons);
        Ok(Applied::Whole(if pass.refused {
            Some(observed.now)
        } else {
            wake
        }))
    }
}

impl Pass<'_> {
    async fn act(&mut self, action: Action) -> Result<(), Error> {
        match action {
            Action::KeepTemplate(keep) => self.keep_template(&keep).await,
            Action::ForgetTemplate { digest: _, name } => self.forget_template(&name).await,
            Action::RecordGate { status, changes } => self.record_gate(*status, &changes).await,
            Action::CreateReplicaSet { replica_set } => self.create_replica_set(&replica_set).await,
            Action::ClaimReplicaSet { name, owners }
            | Action::ReleaseReplicaSet { name, owners } => {
                self.own_replica_set(&name, &owners).await
            }
            Action::AdoptReplicaSet { name, annotations } => {
                let annotations = annotations
                    .into_iter()
                    .map(|(key, value)| (key, Some(value)));
                self.annotate_replica_set(&name, &annotations.collect(), None)
                    .await
            }
            Action::AnnotateReplicaSet {
                name,
                annotations,
                min_ready_seconds,
            } => {
                self.annotate_replica_set(&name, &annotations, min_ready_seconds)
                    .await
            }
            Action::ScaleReplicaSet {
                name,
                from: _,
                to,
                desired,
                because: _,
            } => self.scale_replica_set(&name, to, desired).await,
            Action::ChangeTemplateMetadata {
                name,
                labels,
                annotations,
                notes,
            } => {
                self.change_template_metadata(&name, &labels, &annotations, &notes)
                    .await
            }
            Action::ChangePods { set: _, pods } => self.change_pods(pods).await,
            Action::EvictPod { name, uid, set } => self.evict_pod(&name, &uid, &set).await,
            Action::DeleteReplicaSet { name } => self.delete_replica_set(&name).await,
            Action::CreateAnalysisRun { run } => self.create_run(&run).await,
            Action::TerminateAnalysisRun { name } => self.terminate_run(&name).await,
            Action::DeleteAnalysisRun { name } => self.delete_run(&name).await,
            Action::CreateExperiment { experiment } => self.create_experiment(&experiment).await,
            Action::TerminateExperiment { name } => self.terminate_experiment(&name).await,
            Action::DeleteExperiment { name } => self.delete_experiment(&name).await,
            Action::ScaleWorkload { name, to, .. } => self.scale_workload(&name, to).await,
            Action::SwitchService { name, from: _, to } => self.switch_service(&name, &to).await,
            Action::ReleaseService { name } => self.release_service(&name).await,
            // Nothing was observed of routers, so nothing is asked of them.
            Action::SetTraffic { .. } => Err(self.unobserved("routers of Rollout", &self.key.name)),
            Action::PatchRollout { annotations } => self.annotate_rollout(&annotations).await,
            Action::Event(event) => {
                self.tell(event);
                Ok(())
            }
        }
    }

    fn tell(&self, event: Event) {
        let Event {
            kind,
            reason,
            message,
            key,
        } = event;
        match kind {
            EventKind::Normal => tracing::info!(rollout = %self.key, reason, "{message}"),
            EventKind::Warning => tracing::warn!(rollout = %self.key, reason, "{message}"),
        }
        let about = About {
            kind: "Rollout",
            key: self.key.clone(),
            uid: self.uid.clone(),
        };
        self.applier.events.tell(News {
            about,
            kind,
            reason: reason.to_owned(),
            message,
            key,
        });
    }

    /// Tells the hub how things are now.
    fn report(&self, status: &agent_api::RolloutStatus, reasons: &[Reason]) {
        tracing::debug!(rollout = %self.key, reasons = ?reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), "reconciled");
        let reports = &self.applier.reports;
        if !reports.is_wanted() {
            return;
        }
        let named = self.observed.rollout.spec.workload_ref.is_some();
        if named && self.observed.workload.is_none() {
            self.report_without_content(status, reasons);
            return;
        }
        for verb in reasons
            .iter()
            .filter_map(|reason| state::verb(self.observed, reason))
        {
            reports.verb(verb);
        }
        for glass in state::broken_glass(self.observed, self.record.as_ref()) {
            reports.broken_glass(&self.key, glass);
        }
        let told = state::rollout_state(self.observed, status, self.record.as_ref(), reasons);
        self.report_change(told.spec.as_ref());
        reports.state(&self.key, told);
    }

    /// What a workload wants that is not there nobody can say: the last that was said stands. After a start there is none,
    /// and the hub takes a Rollout that it is not told of for removed: it is told of what is served, and of no spec.
    fn report_without_content(&self, status: &agent_api::RolloutStatus, reasons: &[Reason]) {
        let reports = &self.applier.reports;
        if reports.knows(&self.key) {
            return;
        }
        let told = state::rollout_state(self.observed, status, self.record.as_ref(), reasons);
        let told = proto::v1::RolloutState { spec: None, ..told };
        reports.state(&self.key, told);
    }

    fn unobserved(&self, kind: &str, name: &str) -> Error {
        Error::Unobserved {
            what: format!("{kind} {}/{name}", self.key.namespace),
        }
    }
}
