//! `groundswell analysis run`. In: a run, the clock, providers' answers. Out: each measurement as it is made, and the verdict.
//! It must not decide what to measure or how it ends: the agent's engine does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use agent_api::analysis::{Argument, DryRun, SecretKeyRef};
use agent_api::validate_analysis::{Ending, validate_metrics};
use agent_api::{AnalysisPhase, AnalysisRun, IntOrString, Measurement, Metric};
use agent_engine::analysis::{Action, Finished, Observed, Plan, conditions, reconcile};
use agent_engine::args::{resolved, secrets_of};
use agent_providers::{Asker, Leg, Outcome, condition};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::show::{Show, verdict, warn};
use super::subject::{Loaded, load};
use super::{NAMESPACE, asker};
use crate::args::Look;
use crate::args::analysis::Run;
use crate::failure::{Answer, Failure};
use crate::lint::analysis::cannot_fail;

/// Finished measurements that wait to be looked at: one for each metric is under way at most.
const WAITING: usize = 64;
/// Longest wait between two looks, in case the clock was set.
const LONGEST: Duration = Duration::from_secs(60);

/// Measures until there is a verdict.
pub async fn run(look: Look, args: &Run) -> Result<Answer, Failure> {
    let Loaded { mut run, secrets } = load(&args.subject)?;
    change(&mut run, args);
    let doubts = check(&run)?;
    secrets.check(&run.spec)?;
    let (sender, finished) = mpsc::channel(WAITING);
    let measuring = Measuring {
        asker: asker(&args.subject, &secrets),
        args: run.spec.args.clone(),
        sender,
        tasks: HashMap::new(),
    };
    for doubt in doubts {
        warn(&doubt);
    }
    let mut show = Show::new(look, &run);
    let open = lead(&mut run, measuring, finished, &mut show).await;
    let unfinished = open.is_some_and(|open| reopen(&mut run, &open));
    Ok(verdict(look, &run, unfinished))
}

/// The engine takes a metric that was ended from outside for successful, as in a cluster, where the step that asked is over
/// too. Here a person asked, and there is no verdict: the phase of such a metric, and of the run, stays Running. Whether
/// that is so.
fn reopen(run: &mut AnalysisRun, open: &BTreeSet<String>) -> bool {
    // The object that is printed can be measured again.
    run.spec.terminate = None;
    let Some(status) = &mut run.status else {
        return true;
    };
    if status.phase != Some(AnalysisPhase::Successful) {
        return false;
    }
    let mut unfinished = false;
    for result in &mut status.metric_results {
        if open.contains(&result.name) && result.phase == Some(AnalysisPhase::Successful) {
            result.phase = Some(AnalysisPhase::Running);
            result.message = Some("interrupted".to_owned());
            unfinished = true;
        }
    }
    let measured = |name: &String| status.metric_results.iter().any(|one| one.name == *name);
    unfinished |= !open.iter().all(measured);
    if unfinished {
        status.phase = Some(AnalysisPhase::Running);
        status.message = Some("interrupted before the verdict".to_owned());
        status.run_summary = None;
    }
    unfinished
}

/// The metrics that have no verdict of their own yet.
fn open(run: &AnalysisRun) -> BTreeSet<String> {
    let status = run.status.iter().flat_map(|status| &status.metric_results);
    let done: BTreeSet<&String> = status
        .filter(|result| result.phase.is_some_and(AnalysisPhase::is_completed))
        .map(|result| &result.name)
        .collect();
    let names = run.spec.metrics.iter().map(|metric| &metric.name);
    names.filter(|name| !done.contains(name)).cloned().collect()
}

/// What the command line says otherwise.
fn change(run: &mut AnalysisRun, args: &Run) {
    for metric in &mut run.spec.metrics {
        if let Some(count) = args.count {
            metric.count = Some(IntOrString::Int(count));
        }
        if let Some(interval) = &args.interval {
            metric.interval = Some(interval.clone());
        }
        if let Some(delay) = &args.initial_delay {
            metric.initial_delay = Some(delay.clone());
        }
    }
    run.spec.ttl_strategy = None;
    let names = args.dry_run_metric.iter();
    run.spec.dry_run.extend(names.map(|name| DryRun {
        metric_name: name.clone(),
        ..DryRun::default()
    }));
}

/// Refuses what the engine would, and what needs a cluster; says what is probably not meant.
fn check(run: &AnalysisRun) -> Result<Vec<String>, Failure> {
    let (mut filled, mut doubts) = (Vec::new(), Vec::new());
    for metric in &run.spec.metrics {
        if metric.provider.job.is_some() {
            return Err(Failure::Usage(format!(
                "metric {:?} is a Kubernetes Job, which needs a cluster: apply an AnalysisRun there, or choose others with --metric",
                metric.name
            )));
        }
        let metric = resolved(metric, &run.spec.args)
            .map_err(|error| Failure::Problems(error.to_string()))?;
        let doubt = cannot_fail(&metric);
        doubts.extend(doubt.map(|why| format!("metric {:?} {why}", metric.name)));
        filled.push(metric);
    }
    let problems = validate_metrics(&filled, Ending::MayRunOn);
    if problems.is_empty() {
        return Ok(doubts);
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(Failure::Problems(lines.join("\n")))
}

/// Measurements under way.
struct Measuring {
    asker: Asker,
    /// Some of them come from Secrets.
    args: Vec<Argument>,
    sender: mpsc::Sender<Finished>,
    /// Each with the time at which it was asked.
    tasks: HashMap<String, (AbortHandle, Timestamp)>,
}

/// Goes on until the run is over; the metrics without a verdict when it was ended from the keyboard.
async fn lead(
    run: &mut AnalysisRun,
    mut measuring: Measuring,
    mut finished: mpsc::Receiver<Finished>,
    show: &mut Show,
) -> Option<BTreeSet<String>> {
    let mut fresh = Vec::new();
    let mut interrupted = None;
    loop {
        let now = Timestamp::now();
        let observed = Observed {
            now,
            clock_set: <_>::default(),
            run: run.clone(),
            finished: std::mem::take(&mut fresh),
            in_flight: measuring.in_flight(),
            bad_conditions: condition::refused(conditions::of_run(run)),
            told: agent_engine::analysis::Told::NoOwner,
        };
        let Plan {
            actions,
            status,
            reasons: _,
            wake,
        } = reconcile(&observed);
        run.status = Some(status);
        for action in actions {
            measuring.act(action);
        }
        let phase = run.status.as_ref().and_then(|status| status.phase);
        if phase.is_some_and(AnalysisPhase::is_completed) {
            break;
        }
        let wait = wake.map_or(LONGEST, |wake| {
            let left = wake.duration_since(now);
            Duration::try_from(left).unwrap_or_default().min(LONGEST)
        });
        tokio::select! {
            one = finished.recv() => {
                if let Some(one) = one {
                    measuring.tasks.remove(&one.metric);
                    show.measured(&one);
                    fresh.push(one);
                }
            }
            () = tokio::time::sleep(wait) => {}
            _ = tokio::signal::ctrl_c(), if interrupted.is_none() => {
                interrupted = Some(open(run));
                run.spec.terminate = Some(true);
            }
        }
    }
    interrupted
}

impl Measuring {
    fn in_flight(&self) -> BTreeMap<String, Option<Timestamp>> {
        let tasks = self.tasks.iter();
        tasks
            .map(|(metric, (_, asked))| (metric.clone(), Some(*asked)))
            .collect()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Measure { resolved, .. } => self.start(*resolved, None),
            Action::Resume {
                resolved,
                measurement,
                ..
            } => self.start(*resolved, Some(*measurement)),
            Action::Cancel { metric } => {
                if let Some((task, _)) = self.tasks.remove(&metric) {
                    task.abort();
                }
            }
            // Nothing that is asked from here lives on, and the run is no object.
            Action::Terminate { .. } | Action::DeleteRun => {}
        }
    }

    fn start(&mut self, metric: Metric, before: Option<Measurement>) {
        let name = metric.name.clone();
        let (asker, sender) = (self.asker.clone(), self.sender.clone());
        let arguments = secrets_of(&metric, &self.args);
        let task = tokio::spawn(async move {
            let finished = measure(&asker, &arguments, metric, before).await;
            // Nobody listens any more when the run is over.
            let _ = sender.send(finished).await;
        });
        let begun = (task.abort_handle(), Timestamp::now());
        self.tasks.insert(name, begun);
    }
}

async fn measure(
    asker: &Asker,
    arguments: &[(String, SecretKeyRef)],
    metric: Metric,
    before: Option<Measurement>,
) -> Finished {
    let now = Timestamp::now();
    let begun = before.as_ref().and_then(|before| before.started_at);
    let memory = before.map(|before| before.metadata).unwrap_or_default();
    let name = metric.name.clone();
    let outcome = match asker.fill(metric, arguments, NAMESPACE).await {
        Ok(filled) => asker.ask(&filled, NAMESPACE, now, &memory).await,
        Err(message) => Outcome::error(message),
    };
    let Leg {
        phase,
        message,
        value,
        metadata,
        resume_at,
    } = outcome.into();
    Finished {
        metric: name,
        started_at: begun.map_or(now, |begun| begun.timestamp()),
        finished_at: Timestamp::now(),
        resume_at,
        phase,
        value,
        message,
        metadata,
    }
}
