//! What is there now, object by object.
//!
//! In: the caches. Out: metric families, made anew at each scrape. It must not keep anything.

use agent_api::{AnalysisPhase, AnalysisRun, AnalysisTemplateSpec, MetricProvider, Phase, Rollout};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Error, GaugeVec, Opts};

use super::NAMED;
use crate::cache::Caches;
use crate::key::ObjectKey;

/// Every phase of a run, in the order of the API.
const PHASES: [AnalysisPhase; 6] = [
    AnalysisPhase::Pending,
    AnalysisPhase::Running,
    AnalysisPhase::Successful,
    AnalysisPhase::Failed,
    AnalysisPhase::Error,
    AnalysisPhase::Inconclusive,
];

fn gauge(name: &str, help: &str, more: &[&str]) -> Result<GaugeVec, Error> {
    let labels: Vec<&str> = NAMED.iter().chain(more).copied().collect();
    GaugeVec::new(Opts::new(name, help), &labels)
}

/// All of them; a family without objects is left out.
pub(super) fn families(caches: &Caches) -> Result<Vec<MetricFamily>, Error> {
    let mut families = rollouts(caches)?;
    families.extend(runs(caches)?);
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
        "The phase of a Rollout",
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
        let (strategy, phase) = (strategy(rollout), phase(rollout));
        let router = router(rollout);
        info.with_label_values(&[namespace, name, strategy, &router, phase])
            .set(1.0);
        phases
            .with_label_values(&[namespace, name, strategy, phase])
            .set(1.0);
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

fn runs(caches: &Caches) -> Result<Vec<MetricFamily>, Error> {
    let info = gauge("analysis_run_info", "An AnalysisRun", &["phase"])?;
    let phases = gauge(
        "analysis_run_phase",
        "Whether an AnalysisRun is in a phase",
        &["phase"],
    )?;
    let types = gauge(
        "analysis_run_metric_type",
        "Whom a metric of an AnalysisRun asks",
        &["metric", "type"],
    )?;
    let of_metrics = gauge(
        "analysis_run_metric_phase",
        "Whether a metric of an AnalysisRun is in a phase",
        &["metric", "type", "dry_run", "phase"],
    )?;
    for found in caches.runs.all() {
        let Ok(run) = &found.object else { continue };
        let key = ObjectKey::of(&run.metadata);
        let (namespace, name) = (key.namespace.as_str(), key.name.as_str());
        let now = run_phase(run);
        info.with_label_values(&[namespace, name, now.as_str()])
            .set(1.0);
        for phase in PHASES {
            phases
                .with_label_values(&[namespace, name, phase.as_str()])
                .set(f64::from(u8::from(phase == now)));
        }
        for metric in &run.spec.metrics {
            let kind = provider(&metric.provider);
            types
                .with_label_values(&[namespace, name, metric.name.as_str(), kind.as_str()])
                .set(1.0);
        }
        let status = run.status.clone().unwrap_or_default();
        for result in &status.metric_results {
            let metric = run.spec.metrics.iter().find(|one| one.name == result.name);
            let kind = metric
                .map(|one| provider(&one.provider))
                .unwrap_or_default();
            let dry = result.dry_run.unwrap_or(false).to_string();
            let now = result.phase.unwrap_or(AnalysisPhase::Pending);
            for phase in PHASES {
                let labels = [namespace, name, &result.name, &kind, &dry, phase.as_str()];
                of_metrics
                    .with_label_values(&labels)
                    .set(f64::from(u8::from(phase == now)));
            }
        }
    }
    let all = [info, phases, types, of_metrics];
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

/// The word for a provider: `Prometheus`, else the field's name with a capital.
fn provider(provider: &MetricProvider) -> String {
    if provider.prometheus.is_some() {
        return "Prometheus".to_owned();
    }
    let name = provider
        .rest
        .keys()
        .next()
        .map(String::as_str)
        .unwrap_or_default();
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn strategy(rollout: &Rollout) -> &'static str {
    if rollout.spec.strategy.blue_green.is_some() {
        "blueGreen"
    } else {
        "canary"
    }
}

/// The router's field, if there is one.
fn router(rollout: &Rollout) -> String {
    let canary = rollout.spec.strategy.canary.as_ref();
    let routing = canary.and_then(|canary| serde_json::to_value(&canary.traffic_routing).ok());
    let routers = routing.as_ref().and_then(|routing| routing.as_object());
    let named = routers.into_iter().flatten().find(|(key, router)| {
        !router.is_null() && !matches!(key.as_str(), "managedRoutes" | "maxTrafficWeight")
    });
    named.map(|(key, _)| key.clone()).unwrap_or_default()
}

fn phase(rollout: &Rollout) -> &'static str {
    rollout
        .status
        .as_ref()
        .and_then(|status| status.phase)
        .map_or("Unknown", Phase::as_str)
}

fn run_phase(run: &AnalysisRun) -> AnalysisPhase {
    run.status
        .as_ref()
        .and_then(|status| status.phase)
        .unwrap_or(AnalysisPhase::Pending)
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
