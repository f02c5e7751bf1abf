//! One pass over one AnalysisRun.
//!
//! In: the run as cached, what was measured since. Out: measurements started, the run's status written. It must not
//! judge: conditions are the providers', limits the engine's.

use std::sync::Arc;

use agent_api::{AnalysisPhase, AnalysisRun, AnalysisRunStatus};
use agent_engine::EventKind;
use agent_engine::analysis::{Action, Observed, Plan, conditions, reconcile};
use agent_providers::condition;
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
        let uid = uid_of(found.metadata());
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
            bad_conditions: condition::refused(conditions::of_run(run)),
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
            } => self.measurer.start(key, &uid, *resolved, None),
            Action::Resume {
                metric: _,
                resolved,
                measurement,
            } => self
                .measurer
                .start(key, &uid, *resolved, Some(*measurement)),
            // Nothing that needs time is asked yet that lives on when it is not asked again.
            Action::Terminate { .. } => {}
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

    fn tell(&self, key: &ObjectKey, run: &AnalysisRun, planned: &AnalysisRunStatus) {
        let about = About {
            kind: "AnalysisRun",
            key: key.clone(),
            uid: uid_of(&run.metadata),
        };
        for news in ends(&about, run.status.as_ref(), planned) {
            self.events.tell(news);
        }
    }
}

/// An event for every metric that ends, and one when the run does.
fn ends(
    about: &About,
    before: Option<&AnalysisRunStatus>,
    planned: &AnalysisRunStatus,
) -> Vec<News> {
    let results = before.map_or(&[][..], |before| &before.metric_results);
    let mut news = Vec::new();
    for result in &planned.metric_results {
        let known = results.iter().find(|known| known.name == result.name);
        let Some(phase) = ended(known.and_then(|known| known.phase), result.phase) else {
            continue;
        };
        news.push(News {
            about: about.clone(),
            kind: weight(phase),
            reason: format!("Metric{phase}"),
            message: format!(
                "Metric '{}' completed: {phase}{}",
                result.name,
                why(result.message.as_deref())
            ),
            key: result.name.clone(),
        });
    }
    if let Some(phase) = ended(before.and_then(|before| before.phase), planned.phase) {
        news.push(News {
            about: about.clone(),
            kind: weight(phase),
            reason: format!("AnalysisRun{phase}"),
            message: format!(
                "Analysis completed: {phase}{}",
                why(planned.message.as_deref())
            ),
            key: phase.to_string(),
        });
    }
    news
}

fn ended(before: Option<AnalysisPhase>, planned: Option<AnalysisPhase>) -> Option<AnalysisPhase> {
    planned.filter(|phase| phase.is_completed() && Some(*phase) != before)
}

/// What says neither good nor bad is no warning: a person looks at it.
fn weight(phase: AnalysisPhase) -> EventKind {
    match phase {
        AnalysisPhase::Successful
        | AnalysisPhase::Running
        | AnalysisPhase::Pending
        | AnalysisPhase::Inconclusive => EventKind::Normal,
        AnalysisPhase::Failed | AnalysisPhase::Error => EventKind::Warning,
    }
}

fn why(message: Option<&str>) -> String {
    message.map(|why| format!(": {why}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_metric_and_the_run_are_told_of_once() {
        let about = About {
            kind: "AnalysisRun",
            key: ObjectKey::new("shop", "web-1"),
            uid: "u".into(),
        };
        let status = |phase: &str, errors: &str, latency: &str| -> AnalysisRunStatus {
            let results = json!([
                {"name": "errors", "phase": errors, "message": "12 % > 5 %"},
                {"name": "latency", "phase": latency},
            ]);
            serde_json::from_value(json!({"phase": phase, "metricResults": results})).unwrap()
        };
        let told = |before: &AnalysisRunStatus, after: &AnalysisRunStatus| -> Vec<String> {
            let news = ends(&about, Some(before), after);
            let line = |one: News| format!("{} {}: {}", one.kind, one.reason, one.message);
            news.into_iter().map(line).collect()
        };
        let running = status("Running", "Running", "Running");
        let one = status("Running", "Running", "Successful");
        let failed = status("Failed", "Failed", "Successful");
        assert_eq!(ends(&about, None, &running), []);
        assert_eq!(
            told(&running, &one),
            ["Normal MetricSuccessful: Metric 'latency' completed: Successful"]
        );
        assert_eq!(
            told(&one, &failed),
            [
                "Warning MetricFailed: Metric 'errors' completed: Failed: 12 % > 5 %",
                "Warning AnalysisRunFailed: Analysis completed: Failed",
            ]
        );
        assert_eq!(told(&failed, &failed), [""; 0]);
        let unclear = status("Inconclusive", "Inconclusive", "Running");
        assert_eq!(told(&running, &unclear).len(), 2);
        assert!(
            told(&running, &unclear)
                .iter()
                .all(|line| line.starts_with("Normal"))
        );
    }
}
