//! Runs as the agent measures them (S17): by its own engine, its provider's reading of answers and its own judgement. In: runs,
//! answers that come, or do not. Out: questions, statuses. What is being measured is gone with the process. It must not draw
//! answers.

use std::collections::BTreeMap;

use agent::key::ObjectKey;
use agent_api::names::LABEL_POD_HASH;
use agent_api::{AnalysisPhase, AnalysisRun, Metric};
use agent_engine::analysis::{Action, Finished, Observed, Told, audit, conditions, reconcile};
use agent_engine::clock::of_run;
use agent_providers::{Judgement, Rules, condition, prometheus};
use jiff::Timestamp;

use super::Agent;
use crate::event::Ms;
use crate::planted::{Bugs, Planted};

/// What a server makes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// How things are.
    Value,
    /// A value that is no number.
    NotANumber,
    /// There is none.
    Nothing,
    /// What is no answer.
    Garbage,
    /// That it has too much to do.
    Refused,
    /// None, until the question is given up.
    Silence,
}

/// A question.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Of which run.
    pub run: String,
    /// About which pods, by their hash.
    pub hash: String,
    metric: Metric,
    at: Timestamp,
}

/// What is under way for a run.
#[derive(Debug, Clone, Default)]
pub struct Measuring {
    in_flight: BTreeMap<String, Option<Timestamp>>,
    finished: Vec<Finished>,
}

/// A run that has come to its end.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its name.
    pub run: String,
    /// About which pods.
    pub hash: String,
    /// As what.
    pub phase: AnalysisPhase,
    /// Somebody ended it.
    pub stopped: bool,
}

/// What one look at the runs of a Rollout comes to.
#[derive(Debug, Default)]
pub struct Measured {
    /// To be answered.
    pub asked: Vec<Asked>,
    /// Runs that are over.
    pub ended: Vec<Ended>,
    /// Look again after this.
    pub wake: Option<Ms>,
    /// What the plans break.
    pub wrong: Vec<String>,
}

fn name_of(run: &AnalysisRun) -> String {
    run.metadata.name.clone().unwrap_or_default()
}

fn hash_of(run: &AnalysisRun) -> String {
    let labels = run.metadata.labels.as_ref();
    let hash = labels.and_then(|all| all.get(LABEL_POD_HASH));
    hash.cloned().unwrap_or_default()
}

/// Whether a run goes on.
#[must_use]
pub fn goes_on(run: &AnalysisRun) -> bool {
    let phase = run.status.as_ref().and_then(|status| status.phase);
    !phase.is_some_and(AnalysisPhase::is_completed)
}

impl Agent {
    /// Looks at every run of a Rollout that goes on.
    pub fn measures(&mut self, part: usize, now: Ms) -> Measured {
        let at = self.moment(now, false);
        let mut done = Measured::default();
        let Some(process) = &mut self.process else {
            return done;
        };
        let runs = &mut self.parts[part].cluster.observed.analysis_runs;
        for run in runs.iter_mut().filter(|run| goes_on(run)) {
            let (name, hash) = (name_of(run), hash_of(run));
            let own = process.measuring.entry((part, name.clone())).or_default();
            let key = ObjectKey::of(&run.metadata);
            let seen = Observed {
                now: at.now,
                clock_set: process.moments.look(&key, of_run(run), at),
                bad_conditions: condition::refused(conditions::of_run(run)),
                finished: std::mem::take(&mut own.finished),
                in_flight: own.in_flight.clone(),
                told: Told::NoOwner,
                run: run.clone(),
            };
            let plan = reconcile(&seen);
            let wrong = audit(&seen, &plan).into_iter();
            done.wrong
                .extend(wrong.map(|one| format!("{}: {}", one.rule, one.detail)));
            for action in plan.actions {
                match action {
                    Action::Measure { resolved, .. } => {
                        own.in_flight.insert(resolved.name.clone(), Some(at.now));
                        done.asked.push(Asked {
                            run: name.clone(),
                            hash: hash.clone(),
                            metric: *resolved,
                            at: at.now,
                        });
                    }
                    Action::Cancel { metric } => {
                        own.in_flight.remove(&metric);
                    }
                    Action::Resume { .. } | Action::Terminate { .. } | Action::DeleteRun => {}
                }
            }
            let left = plan
                .wake
                .map(|wake| at.now.duration_until(wake).as_millis());
            let left = left.map(|left| Ms::try_from(left).unwrap_or(Ms::MAX / 4));
            done.wake = [done.wake, left].into_iter().flatten().min();
            let stopped = run.spec.terminate == Some(true);
            run.status = Some(plan.status);
            let phase = run.status.as_ref().and_then(|status| status.phase);
            if let Some(phase) = phase.filter(|phase| phase.is_completed()) {
                process.measuring.remove(&(part, name.clone()));
                done.ended.push(Ended {
                    run: name,
                    hash,
                    phase,
                    stopped,
                });
            }
        }
        done
    }

    /// An answer has come, or is waited for no longer; whoever has asked may be gone.
    pub fn hears(
        &mut self,
        part: usize,
        asked: &Asked,
        (answer, bad): (Answer, bool),
        now: Ms,
        bugs: Bugs,
    ) -> bool {
        let at = self.moment(now, false).now;
        let process = self.process.as_mut();
        let own = process.and_then(|own| own.measuring.get_mut(&(part, asked.run.clone())));
        let Some(own) = own else { return false };
        if own.in_flight.remove(&asked.metric.name).is_none() {
            return false;
        }
        let mut judged = judged(&asked.metric, answer, bad, at);
        if bugs.has(Planted::NothingIsGood) && answer != Answer::Value {
            judged.phase = AnalysisPhase::Successful;
        }
        own.finished.push(Finished {
            metric: asked.metric.name.clone(),
            started_at: asked.at,
            finished_at: at,
            resume_at: None,
            phase: judged.phase,
            value: None,
            message: judged.message,
            metadata: BTreeMap::new(),
        });
        true
    }
}

/// What the agent makes of an answer.
fn judged(metric: &Metric, answer: Answer, bad: bool, now: Timestamp) -> Judgement {
    let vector = |result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
    };
    let one = |value: &str| vector(&format!(r#"{{"metric":{{}},"value":[0,"{value}"]}}"#));
    let (status, body) = match answer {
        Answer::Value if bad => (200, one("0.5")),
        Answer::Value => (200, one("0.99")),
        Answer::NotANumber => (200, one("NaN")),
        Answer::Nothing => (200, vector("")),
        Answer::Garbage => (200, "<html>".to_owned()),
        Answer::Refused => (503, "busy".to_owned()),
        Answer::Silence => return Judgement::error("it did not answer".to_owned()),
    };
    match prometheus::parse(status, body.as_bytes()) {
        Ok((value, _)) => Rules::of(metric).judge(
            metric.success_condition.as_deref(),
            metric.failure_condition.as_deref(),
            &value,
            now,
        ),
        Err(error) => Judgement::error(error.to_string()),
    }
}
