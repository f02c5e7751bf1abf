//! Runs replayed over a history. In: a run's spec, the history of its metrics. Out: how a run started at each moment would have
//! ended, and why. It must not decide: the agent's engine does, told the time of the history.

use std::collections::{BTreeMap, HashMap};

use agent_api::{AnalysisPhase, AnalysisRun, AnalysisRunSpec, Metric};
use agent_engine::analysis::{Action, Finished, Observed, reconcile};
use agent_providers::judge::Rules;
use jiff::{SignedDuration, Timestamp};

use super::history::{Grid, History};

/// Most runs that are replayed: more starts do not say more.
pub const MAX_RUNS: usize = 2_000;
/// Most looks at one run: so many that only a run without an end comes there.
const MAX_LOOKS: usize = 100_000;

/// The judgement of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What the conditions say.
    pub phase: AnalysisPhase,
    /// The value as text.
    pub value: String,
    /// Which condition decided, or why there is no judgement.
    pub because: String,
}

/// How a replayed run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// When the run began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// As what.
    pub phase: AnalysisPhase,
    /// The metric that decided, when it was not all of them.
    pub metric: String,
    /// When that was measured last.
    pub at: Timestamp,
    /// What was measured then, and why it is bad.
    pub judged: Option<Judged>,
}

/// Judges every moment of a history; each value once, unless a condition asks for the time.
pub fn judged(metric: &Metric, history: &History) -> Vec<Judged> {
    let rules = Rules::of(metric);
    let conditions = [&metric.success_condition, &metric.failure_condition];
    let timeless = !conditions
        .into_iter()
        .flatten()
        .any(|text| text.contains("now"));
    let mut known: HashMap<String, Judged> = HashMap::new();
    let one = |index: usize| {
        let now = Timestamp::from_second(history.grid.time(index)).unwrap_or_default();
        let value = history.value(index)?;
        let text = value.text();
        if let Some(judged) = known.get(&text).filter(|_| timeless) {
            return Some(judged.clone());
        }
        let of = |success: &Option<String>, failure: &Option<String>| {
            rules.judge(success.as_deref(), failure.as_deref(), &value, now)
        };
        let judgement = of(&metric.success_condition, &metric.failure_condition);
        let because = match (judgement.phase, judgement.message) {
            (_, Some(message)) => message,
            (AnalysisPhase::Failed, None) => failed_by(metric, of),
            (AnalysisPhase::Inconclusive, None) => "neither condition is met".to_owned(),
            (_, None) => String::new(),
        };
        let judged = Judged {
            phase: judgement.phase,
            value: text.clone(),
            because,
        };
        known.insert(text, judged.clone());
        Some(judged)
    };
    (0..history.grid.count).filter_map(one).collect()
}

fn failed_by(
    metric: &Metric,
    of: impl Fn(&Option<String>, &Option<String>) -> agent_providers::Judgement,
) -> String {
    let failure = &metric.failure_condition;
    if failure.is_some() && of(&None, failure).phase == AnalysisPhase::Failed {
        return format!(
            "failureCondition is true: {}",
            failure.clone().unwrap_or_default()
        );
    }
    let success = metric.success_condition.clone().unwrap_or_default();
    format!("successCondition is false: {success}")
}

/// A run is started at every so many moments.
pub fn every(grid: Grid) -> usize {
    grid.count.div_ceil(MAX_RUNS).max(1)
}

/// What is replayed.
#[derive(Debug)]
pub struct Replay<'a> {
    /// The run, its arguments filled in and only metrics with a history.
    pub spec: &'a AnalysisRunSpec,
    /// The judgements of each metric.
    pub judged: &'a BTreeMap<String, Vec<Judged>>,
    /// Their moments.
    pub grid: Grid,
    /// After this time a run that has no end is ended, as a promotion ends one in the background.
    pub run_for: SignedDuration,
}

impl Replay<'_> {
    /// A run started at every moment, or at [`MAX_RUNS`] of them; those that the history is too short for are left out.
    pub fn all(&self) -> Vec<Ending> {
        (0..self.grid.count)
            .step_by(every(self.grid))
            .filter_map(|index| self.one(index))
            .collect()
    }

    fn one(&self, index: usize) -> Option<Ending> {
        let started = Timestamp::from_second(self.grid.time(index)).ok()?;
        let last = Timestamp::from_second(self.grid.to()).ok()?;
        let end = started.checked_add(self.run_for).ok()?;
        let mut run = AnalysisRun {
            spec: self.spec.clone(),
            ..AnalysisRun::default()
        };
        let (mut now, mut finished) = (started, Vec::new());
        for _ in 0..MAX_LOOKS {
            run.spec.terminate = (now >= end).then_some(true);
            let plan = reconcile(&Observed {
                now,
                clock_set: <_>::default(),
                run: run.clone(),
                finished: std::mem::take(&mut finished),
                in_flight: BTreeMap::new(),
                bad_conditions: BTreeMap::new(),
                told: agent_engine::analysis::Told::NoOwner,
            });
            run.status = Some(plan.status);
            if let Some(ending) = self.ending(&run, started, now) {
                return Some(ending);
            }
            for action in plan.actions {
                if let Action::Measure { resolved, .. } = action {
                    finished.push(self.measured(&resolved.name, now)?);
                }
            }
            if finished.is_empty() {
                now = plan.wake?.min(end.max(now));
                if now > last {
                    return None;
                }
            }
        }
        None
    }

    fn measured(&self, metric: &str, now: Timestamp) -> Option<Finished> {
        let judged = self.judged.get(metric)?.get(self.grid.index(now)?)?;
        let error = judged.phase == AnalysisPhase::Error;
        Some(Finished {
            metric: metric.to_owned(),
            started_at: now,
            finished_at: now,
            resume_at: None,
            phase: judged.phase,
            value: Some(judged.value.clone()),
            message: error.then(|| judged.because.clone()),
            metadata: BTreeMap::new(),
        })
    }

    fn ending(&self, run: &AnalysisRun, started: Timestamp, ended: Timestamp) -> Option<Ending> {
        let status = run.status.as_ref()?;
        let phase = status.phase.filter(|phase| phase.is_completed())?;
        let worst = status
            .metric_results
            .iter()
            .filter(|result| {
                phase != AnalysisPhase::Successful
                    && result.phase == Some(phase)
                    && result.dry_run != Some(true)
            })
            .find_map(|result| Some((result, result.measurements.last()?)));
        let (metric, at) = match worst {
            Some((result, last)) => {
                let at = last.finished_at.map_or(ended, |at| at.timestamp());
                (result.name.clone(), at)
            }
            None => (String::new(), ended),
        };
        let decisive = self.judged.get(&metric);
        let judged = self.grid.index(at).and_then(|at| decisive?.get(at));
        // A run that cannot be carried out has no metric to blame.
        let judged = judged.cloned().or_else(|| {
            let because = status.message.clone()?;
            let value = String::new();
            Some(Judged {
                phase,
                value,
                because,
            })
        });
        Some(Ending {
            started,
            ended,
            phase,
            judged,
            metric,
            at,
        })
    }
}

/// Runs started one after the other that ended alike, by the same metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// The first of them.
    pub first: Ending,
    /// When the last of them began.
    pub last_started: Timestamp,
    /// How many.
    pub runs: usize,
}

/// Endings that are no success, put together.
pub fn episodes(endings: &[Ending]) -> Vec<Episode> {
    let mut found: Vec<Episode> = Vec::new();
    let mut before: Option<&Ending> = None;
    for ending in endings {
        let alike = before
            .is_some_and(|before| before.phase == ending.phase && before.metric == ending.metric);
        before = Some(ending);
        if ending.phase == AnalysisPhase::Successful {
            continue;
        }
        match found.last_mut().filter(|_| alike) {
            Some(episode) => {
                episode.last_started = ending.started;
                episode.runs = episode.runs.saturating_add(1);
            }
            None => found.push(Episode {
                first: ending.clone(),
                last_started: ending.started,
                runs: 1,
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests;
