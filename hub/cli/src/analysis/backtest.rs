//! `groundswell analysis backtest`. In: templates, a Prometheus with a history. Out: when runs would have failed. It must not
//! judge: `replay` has the engine do it.

use std::collections::BTreeMap;

use agent_api::analysis::is_strict;
use agent_api::{AnalysisRunSpec, Metric};
use agent_engine::args::{resolved, secrets_of};
use agent_providers::{
    Body, Environment, MetricValue, Request, Transport, condition, prometheus, transport,
};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};

use super::history::{Grid, History, MAX_POINTS};
use super::replay::{Replay, judged};
use super::report::{MetricReport, Report};
use super::subject::{Loaded, load};
use super::{NAMESPACE, asker};
use crate::args::Look;
use crate::args::analysis::Backtest;
use crate::failure::{Answer, Failure, UNKNOWN};

/// Time between two starts when no metric has an interval.
const DEFAULT_STEP: SignedDuration = SignedDuration::from_secs(60);
/// Most moments of a history without --step: a day at a second, two months at a minute.
const MAX_MOMENTS: i64 = 90_000;
/// An answer that is too large is asked for in halves, down to so few points.
const FEWEST_POINTS: usize = 10;

/// Reads the history and replays runs over it.
pub async fn run(look: Look, args: &Backtest) -> Result<Answer, Failure> {
    let Loaded { run, secrets } = load(&args.subject)?;
    let mut spec = run.spec;
    let (mut left_out, mut metrics) = (Vec::new(), Vec::new());
    let strict = is_strict(&run.metadata).then_some(true);
    for metric in &spec.metrics {
        if let Some(why) = why_not(metric) {
            left_out.push((metric.name.clone(), why));
            continue;
        }
        let mut metric =
            resolved(metric, &spec.args).map_err(|error| Failure::Problems(error.to_string()))?;
        metric.strict = metric.strict.or(strict);
        metrics.push(metric);
    }
    if metrics.is_empty() {
        let lines: Vec<String> = left_out
            .iter()
            .map(|(name, why)| format!("metric {name:?}: {why}"))
            .collect();
        return Err(Failure::Nothing(format!(
            "there is nothing to replay: {}",
            lines.join("; ")
        )));
    }
    // Of a metric that has no history no secret is needed.
    spec.metrics.retain(|metric| why_not(metric).is_none());
    secrets.check(&spec)?;
    override_conditions(&mut metrics, args)?;
    let grid = grid(&metrics, args, Timestamp::now())?;
    let asker = asker(&args.subject, &secrets);
    let transport = Transport::default();
    let (mut reports, mut all) = (Vec::new(), BTreeMap::new());
    for metric in &metrics {
        let of_secrets = secrets_of(metric, &spec.args);
        let filled = asker.fill(metric.clone(), &of_secrets, NAMESPACE).await;
        let filled = filled.map_err(Failure::Problems)?;
        let hide = |text: &str| filled.redactions().redact(text);
        let history = history(&transport, asker.environment(), filled.metric(), grid).await;
        let history = history
            .map_err(|why| Failure::Nothing(hide(&format!("metric {:?}: {why}", metric.name))))?;
        let mut judgements = judged(filled.metric(), &history);
        for one in &mut judgements {
            one.because = hide(&one.because);
        }
        reports.push(MetricReport::new(metric, &history, &judgements));
        all.insert(metric.name.clone(), judgements);
    }
    spec = AnalysisRunSpec {
        metrics,
        ttl_strategy: None,
        ..spec
    };
    let replay = Replay {
        spec: &spec,
        judged: &all,
        grid,
        run_for: args.run_for,
    };
    let endings = replay.all();
    let name = run.metadata.name.unwrap_or_default();
    let report = Report::new(name, grid, &endings, reports, left_out);
    Ok(Answer {
        text: report.print(look),
        code: if report.is_empty() { UNKNOWN } else { 0 },
    })
}

/// Why a metric has no history to replay.
fn why_not(metric: &Metric) -> Option<String> {
    match &metric.provider.prometheus {
        Some(prometheus) if prometheus.range_query.is_none() => None,
        Some(_) => Some("has a rangeQuery, which is not replayed".to_owned()),
        None => Some(format!(
            "asks {}: only Prometheus' history can be replayed",
            metric.provider.given().join(", ")
        )),
    }
}

fn override_conditions(metrics: &mut [Metric], args: &Backtest) -> Result<(), Failure> {
    for (given, is_success) in [
        (&args.success_condition, true),
        (&args.failure_condition, false),
    ] {
        for text in given {
            let option = if is_success {
                "--success-condition"
            } else {
                "--failure-condition"
            };
            let named = text.split_once('=').and_then(|(name, rest)| {
                let at = metrics.iter().position(|metric| metric.name == name)?;
                Some((at, rest))
            });
            let (at, written) = match named {
                Some(found) => found,
                None if metrics.len() == 1 => (0, text.as_str()),
                None => {
                    let names: Vec<&str> =
                        metrics.iter().map(|metric| metric.name.as_str()).collect();
                    return Err(Failure::Usage(format!(
                        "{option} {text:?}: say of which metric, METRIC=CONDITION; there are {}",
                        names.join(", ")
                    )));
                }
            };
            if !written.trim().is_empty() {
                condition::check(written)
                    .map_err(|error| Failure::Usage(format!("{option}: {error}")))?;
            }
            if let Some(metric) = metrics.get_mut(at) {
                let slot = if is_success {
                    &mut metric.success_condition
                } else {
                    &mut metric.failure_condition
                };
                *slot = Some(written.to_owned());
            }
        }
    }
    Ok(())
}

fn grid(metrics: &[Metric], args: &Backtest, now: Timestamp) -> Result<Grid, Failure> {
    let to = args.until.unwrap_or(now);
    let since = args.since.as_secs();
    let step = match args.step {
        Some(step) => step.as_secs(),
        None => {
            let intervals = metrics
                .iter()
                .filter_map(|metric| agent_api::duration::parse(metric.interval.as_deref()?).ok());
            let shortest = intervals.min().unwrap_or(DEFAULT_STEP).as_secs();
            shortest.max(since.saturating_add(MAX_MOMENTS) / MAX_MOMENTS)
        }
    };
    if step > since {
        let [step, since] = [step, since].map(SignedDuration::from_secs);
        return Err(Failure::Usage(match args.step {
            Some(_) => {
                format!("--step {step:#} is longer than --since {since:#}: take a shorter step")
            }
            None => format!(
                "--since {since:#} is shorter than the {step:#} between two measurements: look back further, or add a shorter --step"
            ),
        }));
    }
    let from = to.as_second().saturating_sub(since);
    Ok(Grid::new(from, to.as_second(), step))
}

/// The values of a metric at all moments.
async fn history(
    transport: &Transport,
    environment: &Environment,
    metric: &Metric,
    grid: Grid,
) -> Result<History, String> {
    let prometheus = metric
        .provider
        .prometheus
        .as_ref()
        .ok_or("asks no Prometheus")?;
    let now = Timestamp::from_second(grid.to()).map_err(|error| error.to_string())?;
    let request =
        prometheus::request(prometheus, environment, now).map_err(|error| error.to_string())?;
    // Only the answer to an instant query says whether the values are scalars.
    let first = transport
        .send(&request)
        .await
        .map_err(|error| error.to_string())?;
    let (kind, _) =
        prometheus::parse(first.status, &first.body).map_err(|error| error.to_string())?;
    let scalar = matches!(kind, MetricValue::Scalar(_));
    let mut history = History::new(grid, scalar);
    let mut open: Vec<Grid> = grid.parts(MAX_POINTS);
    open.reverse();
    while let Some(part) = open.pop() {
        match transport.send(&over(&request, part)).await {
            Ok(answer) => history
                .add(answer.status, &answer.body)
                .map_err(|error| error.to_string())?,
            Err(transport::Error::TooLarge { .. }) if part.count > FEWEST_POINTS => {
                let halves = part.parts(part.count.div_ceil(2));
                open.extend(halves.into_iter().rev());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(history)
}

/// The same question over a range.
fn over(request: &Request, grid: Grid) -> Request {
    let mut request = request.clone();
    if let Ok(mut path) = request.url.path_segments_mut() {
        path.pop().push("query_range");
    }
    if let Body::Form(form) = &request.body {
        let range = format!("&start={}&end={}&step={}", grid.from, grid.to(), grid.step);
        request.body = Body::Form(SecretString::from(format!(
            "{}{range}",
            form.expose_secret()
        )));
    }
    request
}
