//! What is there now, object by object.
//!
//! In: the caches. Out: metric families, made anew at each scrape; those of AnalysisRuns are text (see `runs`). It must not
//! keep anything.

use agent_api::names::condition;
use agent_api::{AnalysisPhase, AnalysisTemplateSpec, MetricProvider, Rollout};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Error, GaugeVec, Opts};

use super::NAMED;
use crate::cache::Caches;
use crate::key::ObjectKey;

/// Every phase of a run, in the order of the API.
pub(super) const PHASES: [AnalysisPhase; 6] = [
    AnalysisPhase::Pending,
    AnalysisPhase::Running,
    AnalysisPhase::Successful,
    AnalysisPhase::Failed,
    AnalysisPhase::Error,
    AnalysisPhase::Inconclusive,
];

/// What a Rollout is without any other word.
const PROGRESSING: &str = "Progressing";
/// The phases that have a series each; one whose spec is invalid is in none of them.
const ROLLOUT_PHASES: [&str; 6] = [
    "Completed",
    PROGRESSING,
    "Paused",
    "Timeout",
    "Error",
    "Abort",
];
/// Fields of routers and the words that dashboards know them by; those of later routers have none.
const ROUTER_WORDS: [(&str, &str); 6] = [
    ("alb", "ALB"),
    ("ambassador", "Ambassador"),
    ("istio", "Istio"),
    ("nginx", "Nginx"),
    ("smi", "SMI"),
    ("appMesh", "AppMesh"),
];

fn gauge(name: &str, help: &str, more: &[&str]) -> Result<GaugeVec, Error> {
    let labels: Vec<&str> = NAMED.iter().chain(more).copied().collect();
    GaugeVec::new(Opts::new(name, help), &labels)
}

/// All of them; a family without objects is left out.
pub(super) fn families(caches: &Caches) -> Result<Vec<MetricFamily>, Error> {
    let mut families = rollouts(caches)?;
    families.extend(experiments(caches)?);
    families.extend(templates(caches)?);
    families.retain(|family| !family.get_metric().is_empty());
    Ok(families)
}

fn rollouts(caches: &Caches) -> Result<Vec<MetricFamily>, Error> {
    let info = gauge(
        "rollout_info",
        "A Rollout",
        &["strategy", "traffic_router", "phase"],
    )?;
    let phases = gauge(
        "rollout_phase",
        "Whether a Rollout is in a phase",
        &["strategy", "phase"],
    )?;
    let replicas = [
        gauge("rollout_info_replicas_available", "Available pods", &[])?,
        gauge(
            "rollout_info_replicas_unavailable",
            "Pods that are not available",
            &[],
        )?,
        gauge("rollout_info_replicas_desired", "Pods wanted", &[])?,
        gauge(
            "rollout_info_replicas_updated",
            "Pods of the newest version",
            &[],
        )?,
    ];
    for found in caches.rollouts.all() {
        let Ok(rollout) = &found.object else { continue };
        let key = ObjectKey::of(&rollout.metadata);
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        let (strategy, now) = (strategy(rollout), phase(rollout));
        info.with_label_values(&[namespace, name, strategy, router(rollout), now])
            .set(1.0);
        for phase in ROLLOUT_PHASES {
            phases
                .with_label_values(&[namespace, name, strategy, phase])
                .set(f64::from(u8::from(phase == now)));
        }
        for (gauge, count) in replicas.iter().zip(counts(rollout)) {
            gauge
                .with_label_values(&[namespace, name])
                .set(f64::from(count));
        }
    }
    let mut families = info.collect();
    families.extend(phases.collect());
    families.extend(replicas.iter().flat_map(Collector::collect));
    Ok(families)
}

fn experiments(caches: &Caches) -> Result<Vec<MetricFamily>, Error> {
    let info = gauge("experiment_info", "An Experiment", &["phase"])?;
    let phases = gauge(
        "experiment_phase",
        "Whether an Experiment is in a phase",
        &["phase"],
    )?;
    for found in caches.experiments.all() {
        let Ok(experiment) = &found.object else {
            continue;
        };
        let key = ObjectKey::of(&experiment.metadata);
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        let now = agent_engine::experiment::phase(experiment);
        info.with_label_values(&[namespace, name, now.as_str()])
            .set(1.0);
        for phase in PHASES {
            phases
                .with_label_values(&[namespace, name, phase.as_str()])
                .set(f64::from(u8::from(phase == now)));
        }
    }
    let all = [info, phases];
    Ok(all.iter().flat_map(Collector::collect).collect())
}

fn templates(caches: &Caches) -> Result<Vec<MetricFamily>, Error> {
    let info = gauge("analysis_template_info", "An analysis template", &[])?;
    let metrics = gauge(
        "analysis_template_metric_info",
        "A metric of an analysis template",
        &["type", "metric"],
    )?;
    let put = |key: ObjectKey, spec: &AnalysisTemplateSpec| {
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        info.with_label_values(&[namespace, name]).set(1.0);
        for metric in &spec.metrics {
            let kind = provider(&metric.provider);
            metrics
                .with_label_values(&[namespace, name, kind.as_str(), metric.name.as_str()])
                .set(1.0);
        }
    };
    for found in caches.templates.all() {
        if let Ok(template) = &found.object {
            put(ObjectKey::of(&template.metadata), &template.spec);
        }
    }
    for found in caches.cluster_templates.all() {
        if let Ok(template) = &found.object {
            put(ObjectKey::of(&template.metadata), &template.spec);
        }
    }
    Ok([info, metrics]
        .iter()
        .flat_map(Collector::collect)
        .collect())
}

/// The word for a provider: the field's name with a capital.
pub(super) fn provider(provider: &MetricProvider) -> String {
    let given = provider.given();
    let mut letters = given.first().copied().unwrap_or_default().chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn strategy(rollout: &Rollout) -> &'static str {
    let strategy = &rollout.spec.strategy;
    if strategy.blue_green.is_some() {
        "blueGreen"
    } else if strategy.canary.is_some() {
        "canary"
    } else {
        "none"
    }
}

/// The router's word, if there is a router that has one; of several the last in the list.
fn router(rollout: &Rollout) -> &'static str {
    let canary = rollout.spec.strategy.canary.as_ref();
    let Some(routing) = canary.and_then(|canary| canary.traffic_routing.as_ref()) else {
        return "";
    };
    let mut given = ROUTER_WORDS.iter().rev();
    let found = given.find(|(field, _)| routing.routes_by(field));
    found.map_or("", |(_, word)| word)
}

/// The phase as alerts know it, which is not the status' own: it follows from the conditions.
fn phase(rollout: &Rollout) -> &'static str {
    let Some(status) = &rollout.status else {
        return PROGRESSING;
    };
    if status.condition(condition::INVALID_SPEC).is_some() {
        return "InvalidSpec";
    }
    let reason = status
        .condition(condition::PROGRESSING)
        .and_then(|known| known.reason.as_deref());
    match reason.unwrap_or_default() {
        "NewReplicaSetAvailable" => "Completed",
        "RolloutPaused" => "Paused",
        "ReplicaSetCreateError" => "Error",
        "ProgressDeadlineExceeded" => "Timeout",
        "RolloutAborted" => "Abort",
        _ => PROGRESSING,
    }
}

fn counts(rollout: &Rollout) -> [i32; 4] {
    let status = rollout.status.clone().unwrap_or_default();
    let (all, available) = (
        status.replicas.unwrap_or(0),
        status.available_replicas.unwrap_or(0),
    );
    let wanted = rollout.spec.replicas.unwrap_or(1);
    [
        available,
        all.saturating_sub(available).max(0),
        wanted,
        status.updated_replicas.unwrap_or(0),
    ]
}
