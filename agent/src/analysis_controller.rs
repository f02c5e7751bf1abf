//! One pass over one AnalysisRun.
//!
//! In: the run as cached, what was measured since. Out: measurements started, the run's status written. It must not
//! judge: conditions are the providers', limits the engine's.

use std::sync::Arc;

use agent_api::{AnalysisPhase, AnalysisRun, AnalysisRunStatus};
use agent_engine::EventKind;
use agent_engine::analysis::{Action, Observed, Plan, reconcile};
use jiff::Timestamp;

use crate::apply::Error;
use crate::cache::Caches;
use crate::event::{About, Events, News};
use crate::key::ObjectKey;
use crate::measure::Measurer;
use crate::observe::uid_of;
use crate::status_patch::status_patch;
use crate::writer::{self, Writer};
use crate::written::{Kind, Written};

/// The controller of AnalysisRuns.
pub struct AnalysisController {
    /// What the watches show.
    pub caches: Arc<Caches>,
    /// Measurements.
    pub measurer: Arc<Measurer>,
    /// Writes.
    pub writer: Writer,
    /// What was written.
    pub written: Arc<Written>,
    /// Events.
    pub events: Events,
}

impl AnalysisController {
    /// One pass. Returns when to look again.
    pub async fn reconcile(&self, key: &ObjectKey) -> Result<Option<Timestamp>, Error> {
        let Some(found) = self.caches.runs.get(key) else {
            self.measurer.forget(key);
            return Ok(None);
        };
        let uid = uid_of(&found.metadata);
        let run = match &found.object {
            Ok(run) => run,
            Err(error) => {
                tracing::warn!(run = %key, %error, "AnalysisRun cannot be decoded and is left alone");
                return Ok(None);
            }
        };
        if run.metadata.deletion_timestamp.is_some() {
            self.measurer.forget(key);
            return Ok(None);
        }
        if self.written.is_behind(&uid) {
            return Ok(None);
        }
        let finished = self.measurer.finished(&uid);
        let count = finished.len();
        let in_flight = self.measurer.in_flight(&uid);
        let observed = Observed {
            now: Timestamp::now(),
            run: run.clone(),
            finished,
            in_flight,
        };
        let Plan {
            actions,
            status,
            reasons,
            wake,
        } = reconcile(&observed);
        tracing::debug!(run = %key, reasons = ?reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), "reconciled");
        self.write(key, run, &status).await?;
        self.measurer.settle(&uid, count);
        for action in actions {
            self.act(key, run, action).await?;
        }
        Ok(wake)
    }

    async fn act(&self, key: &ObjectKey, run: &AnalysisRun, action: Action) -> Result<(), Error> {
        let uid = uid_of(&run.metadata);
        match action {
            Action::Measure {
                metric: _,
                resolved,
            } => self.measurer.start(key, &uid, *resolved),
            Action::Cancel { metric } => self.measurer.cancel(&uid, &metric),
            Action::DeleteRun => match self
                .writer
                .delete::<AnalysisRun>(key, Some(uid.as_str()))
                .await
            {
                Ok(()) | Err(writer::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            },
        }
        Ok(())
    }

    async fn write(
        &self,
        key: &ObjectKey,
        run: &AnalysisRun,
        planned: &AnalysisRunStatus,
    ) -> Result<(), Error> {
        let version = run.metadata.resource_version.clone().unwrap_or_default();
        let Some(patch) = status_patch(&version, run.status.as_ref(), planned)? else {
            return Ok(());
        };
        let stored = self.writer.merge::<AnalysisRun>(key, &patch).await?;
        let uid = uid_of(&stored);
        self.written.wrote(
            Kind::AnalysisRun,
            &uid,
            &uid,
            stored.resource_version.as_deref().unwrap_or_default(),
        );
        self.tell(key, run, planned);
        Ok(())
    }

    /// An event when the run ends.
    fn tell(&self, key: &ObjectKey, run: &AnalysisRun, planned: &AnalysisRunStatus) {
        let before = run.status.as_ref().and_then(|status| status.phase);
        let Some(phase) = planned
            .phase
            .filter(|phase| phase.is_completed() && Some(*phase) != before)
        else {
            return;
        };
        let kind = match phase {
            AnalysisPhase::Successful | AnalysisPhase::Running | AnalysisPhase::Pending => {
                EventKind::Normal
            }
            AnalysisPhase::Failed | AnalysisPhase::Error | AnalysisPhase::Inconclusive => {
                EventKind::Warning
            }
        };
        let why = planned
            .message
            .as_ref()
            .map(|why| format!(": {why}"))
            .unwrap_or_default();
        self.events.tell(News {
            about: About {
                kind: "AnalysisRun",
                key: key.clone(),
                uid: uid_of(&run.metadata),
            },
            kind,
            reason: format!("AnalysisRun{phase}"),
            message: format!("Analysis completed: {phase}{why}"),
            key: phase.to_string(),
        });
    }
}
