//! One pass over one AnalysisRun.
//!
//! In: the run as cached, what was measured since. Out: measurements started, the run's status written. It must not
//! judge: conditions are the providers', limits the engine's. What is measured next does not wait for a write of measurements:
//! a status that is held back, or that the cache does not show yet, is planned anew from the measurements in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_api::{AnalysisPhase, AnalysisRun, AnalysisRunStatus, Metric, StatusTime, Uid};
use agent_engine::EventKind;
use agent_engine::analysis::holding::{Writing, writing};
use agent_engine::analysis::{Action, Finished, Observed, Plan, conditions, reconcile};
use agent_engine::args::secrets_of;
use agent_engine::clock::of_run;
use agent_providers::condition;
use jiff::{SignedDuration, Timestamp};

use crate::analysis_pace::Pace;
use crate::apply::Error;
use crate::cache::Caches;
use crate::event::{About, Events, News};
use crate::job::{Jobs, job_of};
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::measure::{Measurer, Question};
use crate::moments::SharedMoments;
use crate::observe::uid_of;
use crate::run_owner;
use crate::status_patch::status_patch;
use crate::writer::{self, Writer};
use crate::written::{Kind, Written};

/// The controller of AnalysisRuns.
pub struct AnalysisController {
    /// What the watches show.
    pub caches: Arc<Caches>,
    /// Measurements.
    pub measurer: Arc<Measurer>,
    /// Jobs.
    pub jobs: Arc<Jobs>,
    /// Writes.
    pub writer: Writer,
    /// What was written.
    pub written: Arc<Written>,
    /// Events.
    pub events: Events,
    /// Runs that are being measured.
    pub pace: Pace,
    /// Stored times while the clock is set.
    pub moments: SharedMoments,
}

/// With too many writes of measurements under way a status is looked at again after this.
const SPARE_WAIT: SignedDuration = SignedDuration::from_secs(1);

/// One pass' decision.
struct Decided {
    observed: Observed,
    plan: Plan,
    /// Measurements that the measurer has, the first of `observed.finished`.
    measured: usize,
    /// The status as cached.
    stored: Option<AnalysisRunStatus>,
    /// The cache is older than our last write.
    behind: bool,
}

impl AnalysisController {
    /// One pass. Returns when to look again.
    pub async fn reconcile(&self, key: &ObjectKey) -> Result<Option<Timestamp>, Error> {
        let Some(found) = self.caches.runs.get(key) else {
            self.gone(key);
            return Ok(None);
        };
        let uid = uid_of(found.metadata());
        let run = match found.object {
            Ok(run) => run,
            Err(error) => {
                tracing::warn!(run = %key, %error, "AnalysisRun cannot be decoded and is left alone");
                return Ok(None);
            }
        };
        if run.metadata.deletion_timestamp.is_some() {
            let status = run.status.as_ref();
            self.measurer.ends.holds(key, open_jobs(status));
            self.gone(key);
            return Ok(None);
        }
        match self.decide(key, &uid, run) {
            Some(decided) if !self.jobs_ended(key, &decided) => {
                // Nothing of it is carried out before; the run is named again then, and decided anew from where it was.
                if let Some(status) = &decided.observed.run.status {
                    self.pace.plan(key, status);
                }
                Ok(None)
            }
            Some(decided) => self.carry_out(key, &uid, decided).await,
            None => Ok(None),
        }
    }

    /// Whether the Jobs that the plan ends have ended: before the status says so, so that an agent that dies in between, or
    /// a pass that is cut off, leaves none behind. Nobody waits here: they are ended by the measurer's tasks.
    fn jobs_ended(&self, key: &ObjectKey, decided: &Decided) -> bool {
        let mut all = true;
        for action in &decided.plan.actions {
            if let Action::Terminate {
                resolved,
                measurement,
                ..
            } = action
                && resolved.provider.job.is_some()
                && let Some(job) = job_of(&measurement.metadata)
            {
                all &= self.measurer.ends.ended(key, &job);
            }
        }
        all
    }

    fn gone(&self, key: &ObjectKey) {
        self.measurer.ends.gone(key);
        self.forget(key);
    }

    fn forget(&self, key: &ObjectKey) {
        self.measurer.forget(key);
        self.pace.forget(key);
        self.moments.forget(key);
    }

    /// Nothing when the cache shows less than what was decided before, and no measurement makes up for it.
    fn decide(&self, key: &ObjectKey, uid: &Uid, mut run: AnalysisRun) -> Option<Decided> {
        let behind = self
            .written
            .is_behind(uid, run.metadata.resource_version.as_deref());
        let ahead = self.pace.ahead(key, uid, run.status.as_ref());
        if behind && ahead.is_none() {
            return None;
        }
        let stored = run.status.clone();
        if ahead.is_some() {
            run.status = ahead;
        }
        let (in_flight, mut finished) = self.measurer.under_way(uid, Moment::read());
        let measured = finished.len();
        finished.extend(self.jobs_over(&run, &in_flight, &finished));
        // That a Job was deleted is no news of it when it is we who do that.
        finished.retain(|one| {
            !job_of(&one.metadata).is_some_and(|job| self.measurer.ends.ends(key, &job))
        });
        // After all of what was measured.
        let at = Moment::read();
        let observed = Observed {
            now: at.now,
            clock_set: self.moments.look(key, of_run(&run), at),
            bad_conditions: condition::refused(conditions::of_run(&run)),
            told: run_owner::told(&self.caches, &run),
            run,
            finished,
            in_flight,
        };
        let plan = reconcile(&observed);
        tracing::debug!(run = %key, reasons = ?plan.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), "reconciled");
        Some(Decided {
            observed,
            plan,
            measured,
            stored,
            behind,
        })
    }

    /// What cannot wait is written before anything is begun; measurements alone are written after.
    async fn carry_out(
        &self,
        key: &ObjectKey,
        uid: &Uid,
        mut decided: Decided,
    ) -> Result<Option<Timestamp>, Error> {
        let actions = std::mem::take(&mut decided.plan.actions);
        let (observed, plan) = (&decided.observed, &decided.plan);
        let over = plan.status.phase.is_some_and(AnalysisPhase::is_completed);
        // From here on the measurements are in the plan.
        let runs = self.pace.measured(key, uid, &observed.finished);
        self.pace.plan(key, &plan.status);
        self.measurer.settle(uid, decided.measured);
        let ends = &self.measurer.ends;
        ends.holds(key, open_jobs(Some(&plan.status)));
        let writing = writing(decided.stored.as_ref(), observed, plan, runs);
        if writing == Writing::Now && !decided.behind {
            self.write(key, &decided).await?;
            if over {
                ends.forget(key);
                self.forget(key);
            }
        }
        for action in actions {
            // A run whose end is not written yet is not deleted.
            if action != Action::DeleteRun || !decided.behind {
                self.act(key, &observed.run, &plan.status, action).await?;
            }
        }
        let wake = self.pace.wake(key, &plan.reasons).or(plan.wake);
        let again = match writing {
            Writing::Later(at) => Some(at),
            Writing::Soon if !decided.behind => match self.pace.spare_write() {
                Some(_permit) => {
                    self.write(key, &decided).await?;
                    None
                }
                None => observed.now.checked_add(SPARE_WAIT).ok(),
            },
            Writing::Now | Writing::Soon => None,
        };
        Ok([wake, again].into_iter().flatten().min())
    }

    /// Measurements whose Jobs are over, as the watch tells; those that are being looked at are left to that.
    fn jobs_over(
        &self,
        run: &AnalysisRun,
        in_flight: &BTreeMap<String, Option<Timestamp>>,
        finished: &[Finished],
    ) -> Vec<Finished> {
        let results = run.status.iter().flat_map(|status| &status.metric_results);
        let over = results.filter_map(|result| {
            let busy = in_flight.contains_key(&result.name)
                || finished.iter().any(|one| one.metric == result.name);
            let open = result.measurements.last().filter(|_| !busy)?;
            if open.phase != Some(AnalysisPhase::Running) {
                return None;
            }
            let judgement = self.jobs.told(&open.metadata)?;
            let now = Timestamp::now();
            Some(Finished {
                metric: result.name.clone(),
                started_at: open.started_at.map_or(now, StatusTime::timestamp),
                finished_at: now,
                resume_at: None,
                phase: judgement.phase,
                value: None,
                message: judgement.message,
                metadata: open.metadata.clone(),
            })
        });
        over.collect()
    }

    async fn act(
        &self,
        key: &ObjectKey,
        run: &AnalysisRun,
        status: &AnalysisRunStatus,
        action: Action,
    ) -> Result<(), Error> {
        let uid = uid_of(&run.metadata);
        let ask = |metric: Box<Metric>, before| {
            let question = Question {
                secrets: secrets_of(&metric, &run.spec.args),
                number: number(status, &metric.name),
                metric,
                before,
            };
            self.measurer.start(key, &uid, question);
        };
        match action {
            Action::Measure { resolved, .. } => ask(resolved, None),
            Action::Resume {
                resolved,
                measurement,
                ..
            } => ask(resolved, Some(*measurement)),
            // Before anything else was done: see [`Self::jobs_ended`].
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

    async fn write(&self, key: &ObjectKey, decided: &Decided) -> Result<(), Error> {
        let (run, planned) = (&decided.observed.run, &decided.plan.status);
        let stored = decided.stored.as_ref();
        let version = run.metadata.resource_version.clone().unwrap_or_default();
        let Some(patch) = status_patch(&version, stored, planned)? else {
            return Ok(());
        };
        let written = self.writer.merge::<AnalysisRun>(key, &patch).await?;
        let uid = uid_of(&written);
        let version = written.resource_version.as_deref();
        self.written
            .wrote(Kind::AnalysisRun, &uid, &uid, version.unwrap_or_default());
        let about = About {
            kind: "AnalysisRun",
            key: key.clone(),
            uid,
        };
        for news in ends(&about, stored, planned) {
            self.events.tell(news);
        }
        Ok(())
    }
}

/// Jobs that a run waits for.
fn open_jobs(status: Option<&AnalysisRunStatus>) -> impl Iterator<Item = ObjectKey> {
    let results = status.into_iter().flat_map(|status| &status.metric_results);
    let last = results.filter_map(|result| result.measurements.last());
    last.filter(|last| last.finished_at.is_none())
        .filter_map(|last| job_of(&last.metadata))
}

/// Which measurement of a metric comes next, from 1.
fn number(status: &AnalysisRunStatus, metric: &str) -> i64 {
    let mut results = status.metric_results.iter();
    let known = results.find(|result| result.name == metric);
    let count = |count: Option<i32>| i64::from(count.unwrap_or(0));
    known.map_or(1, |known| {
        count(known.count)
            .saturating_add(count(known.error))
            .saturating_add(1)
    })
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
