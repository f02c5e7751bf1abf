//! The conditions of analyses, for the shell to have them read before anything is measured or scaled.
//!
//! In: metrics, or a Rollout and its templates. Out: conditions with their arguments filled in; problems of those that the
//! shell found to be unusable. It must not read the language itself: providers do.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::validate::Problem;
use agent_api::validate_analysis::Ending;
use agent_api::{AnalysisRun, Metric, Rollout, RolloutStrategy, StepAnalysis, StepKind};

use super::template::metrics;
use crate::args;
use crate::canary::experiment;
use crate::observed::{Observed, Templates};

/// Conditions that cannot be used, by their text, and why.
pub type BadConditions = BTreeMap<String, String>;

/// An analysis of a strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct Used<'a> {
    /// Where it stands, such as `spec.strategy.canary.steps[1].analysis`.
    pub path: String,
    /// What it names.
    pub analysis: &'a StepAnalysis,
    /// Whether somebody waits for its end.
    pub ending: Ending,
}

/// The analyses of a strategy: of its steps, in the background, before and after the switch.
pub fn analyses(strategy: &RolloutStrategy) -> Vec<Used<'_>> {
    let mut all = Vec::new();
    let mut add = |path: String, analysis, ending| {
        all.push(Used {
            path,
            analysis,
            ending,
        });
    };
    if let Some(canary) = &strategy.canary {
        for (index, step) in canary.steps.iter().enumerate() {
            if let StepKind::Analysis(analysis) = step.kind() {
                let path = format!("spec.strategy.canary.steps[{index}].analysis");
                add(path, analysis, Ending::MustEnd);
            }
        }
        if let Some(analysis) = canary.background() {
            let path = "spec.strategy.canary.analysis".to_owned();
            add(path, analysis, Ending::MayRunOn);
        }
    }
    if let Some(blue_green) = &strategy.blue_green {
        for (field, analysis) in [
            ("prePromotionAnalysis", &blue_green.pre_promotion_analysis),
            ("postPromotionAnalysis", &blue_green.post_promotion_analysis),
        ] {
            if let Some(analysis) = analysis {
                let path = format!("spec.strategy.blueGreen.{field}");
                add(path, analysis, Ending::MustEnd);
            }
        }
    }
    all
}

/// The conditions that the analyses of the spec will be judged by, as far as their arguments are known.
pub fn of_rollout(observed: &Observed) -> BTreeSet<String> {
    let strategy = &observed.rollout.spec.strategy;
    let of_experiments = experiment::analyses(strategy);
    let own = analyses(strategy).into_iter().map(|used| used.analysis);
    let all = own.chain(&of_experiments);
    of_analyses(all, &observed.templates, &observed.rollout)
}

/// The conditions of analyses, as far as their arguments are known.
pub(crate) fn of_analyses<'a>(
    analyses: impl IntoIterator<Item = &'a StepAnalysis>,
    templates: &Templates,
    rollout: &Rollout,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for analysis in analyses {
        let all = metrics(analysis, templates, rollout);
        for metric in all.unwrap_or_default() {
            found.extend(of_metric(&metric).map(|(_, condition)| condition.to_owned()));
        }
    }
    found
}

/// The conditions of a run that has not measured yet; one that has was looked at before.
pub fn of_run(run: &AnalysisRun) -> BTreeSet<String> {
    let begun = run.status.as_ref();
    if begun.is_some_and(|status| !status.metric_results.is_empty()) {
        return BTreeSet::new();
    }
    let mut found = BTreeSet::new();
    for metric in &run.spec.metrics {
        if let Ok(metric) = args::resolved(metric, &run.spec.args) {
            found.extend(of_metric(&metric).map(|(_, condition)| condition.to_owned()));
        }
    }
    found
}

/// Beginnings of places that are filled in later: from a Secret, or by an Experiment that has pods.
const LATER: [&str; 3] = ["{{args.", "{{templates.", "{{experiment."];

/// Conditions that are given and known.
fn of_metric(metric: &Metric) -> impl Iterator<Item = (&'static str, &str)> {
    let fields = [
        ("successCondition", metric.success_condition.as_deref()),
        ("failureCondition", metric.failure_condition.as_deref()),
    ];
    let given = fields
        .into_iter()
        .filter_map(|(field, text)| Some((field, text?)));
    let known = |text: &str| !LATER.iter().any(|place| text.contains(place));
    given.filter(move |(_, text)| !text.trim().is_empty() && known(text))
}

/// What is wrong with the conditions of metrics whose arguments are filled in; paths begin at the metrics.
pub(super) fn problems(metrics: &[Metric], bad: &BadConditions) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, metric) in metrics.iter().enumerate() {
        for (field, condition) in of_metric(metric) {
            if let Some(why) = bad.get(condition) {
                found.push(Problem {
                    path: format!("spec.metrics[{index}].{field}"),
                    message: why.clone(),
                });
            }
        }
    }
    found
}

/// What is wrong with the conditions of an analysis.
pub fn problem(
    analysis: &StepAnalysis,
    templates: &Templates,
    rollout: &Rollout,
    bad: &BadConditions,
) -> Option<String> {
    if bad.is_empty() {
        return None;
    }
    let metrics = metrics(analysis, templates, rollout).ok()?;
    let mut found = metrics.iter().flat_map(|metric| {
        of_metric(metric).filter_map(|(field, condition)| {
            let why = bad.get(condition)?;
            Some(format!("metric {:?} {field}: {why}", metric.name))
        })
    });
    found.next()
}
