//! Experiments in a real cluster, with a real Prometheus. In: manifests. Out: pods, Services and runs, the verdict, and what
//! becomes of a Rollout whose step makes one.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_e2e::visitors::Visitors;
use tests_fleet::{Result, eventually};

/// So many seconds may a canary's p95 be above the baseline's.
const LONGEST: f64 = 0.25;

fn template(shop: &Shop, name: &str, condition: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": name, "namespace": shop.namespace()},
        "spec": {
            "args": [{"name": "hash"}],
            "metrics": [{
                "name": name, "count": 3, "interval": "1s", "successCondition": condition, "failureLimit": 0,
                "provider": {"prometheus": {"query": "count(up{rollouts_pod_template_hash=\"{{args.hash}}\"}) or vector(0)"}},
            }],
        },
    })
}

fn pods(shop: &Shop, version: &str) -> Value {
    let manifest = shop.manifest(version, &json!([]));
    let template = manifest.pointer("/spec/template").cloned();
    template.unwrap_or_default()
}

async fn experiment_ends(shop: &Shop, name: &str, phase: &str) -> Result<Value> {
    let what = format!("{}: experiment {name} is {phase}", shop.namespace());
    eventually(&what, SOON, async || {
        let found = shop.named(Kind::Experiment, name).await;
        let found = found.map_err(|error| error.to_string())?;
        if text(&found, "/status/phase") == phase {
            Ok(found)
        } else {
            Err(found.get("status").cloned().unwrap_or_default().to_string())
        }
    })
    .await
}

#[tokio::test]
async fn an_experiment_by_hand_makes_pods_measures_them_and_takes_them_away() {
    let (shared, shop) = Shared::with("experiment-alone").await.expect("a namespace");
    let good = template(&shop, "there", "result[0] >= 0");
    shop.apply(&good).await.expect("a template");
    let selector = json!({"matchLabels": {"app": NAME}});
    shop.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "compare", "namespace": shop.namespace()},
        "spec": {
            "duration": "3s", "scaleDownDelaySeconds": 0,
            "templates": [
                {"name": "baseline", "selector": selector, "template": pods(&shop, "v1"), "service": {}},
                {"name": "canary", "replicas": 2, "selector": selector, "template": pods(&shop, "v2")},
            ],
            "analyses": [{
                "name": "there", "templateName": "there", "requiredForCompletion": true,
                "args": [{"name": "hash", "value": "{{templates.canary.podTemplateHash}}"}],
            }],
        },
    }))
    .await
    .expect("applied");
    shop.serves(&[("v1", 1), ("v2", 2)]).await.expect("pods");
    let service = shop.named(Kind::Service, "compare-baseline").await;
    let service = service.expect("a Service");
    let hash = text(&service, "/spec/selector/rollouts-pod-template-hash");
    assert!(!hash.is_empty());
    let done = experiment_ends(&shop, "compare", "Successful").await;
    let done = done.expect("good");
    assert_eq!(
        text(&done, "/status/templateStatuses/0/podTemplateHash"),
        hash
    );
    assert_eq!(text(&done, "/status/analysisRuns/0/phase"), "Successful");
    shop.serves(&[]).await.expect("no pods");
    let run = shop.named(Kind::AnalysisRun, "compare-there").await;
    let run = run.expect("its run");
    let of_canary = text(&done, "/status/templateStatuses/1/podTemplateHash");
    assert_eq!(text(&run, "/spec/args/0/value"), of_canary);
    eventually("its Service is gone", SOON, async || {
        match shop.named(Kind::Service, "compare-baseline").await {
            Ok(_) => Err(String::from("still there")),
            Err(_) => Ok(()),
        }
    })
    .await
    .expect("gone");
    shared.check().await.expect("no fault");
}

/// A version whose answers take longer.
fn slow(mut manifest: Value) -> Value {
    let delay = json!([{"name": "DELAY_MS", "value": "400"}]);
    manifest["spec"]["template"]["spec"]["containers"][0]["env"] = delay;
    manifest
}

/// Somebody begins the Experiment of a version anew that was taken back, as `kubectl argo rollouts retry experiment` does:
/// its Rollout does not wait for it, and none of its pods comes up.
async fn begin_anew(shop: &Shop) {
    let all = shop.all(Kind::Experiment).await.expect("a list");
    let name = text(all.first().expect("an experiment"), "/metadata/name").to_owned();
    let cleared = json!({"status": null});
    shop.patch_named(Kind::Experiment, &name, &cleared)
        .await
        .expect("cleared");
    let ended = experiment_ends(shop, &name, "Inconclusive").await;
    let ended = ended.expect("ended by its Rollout");
    assert_eq!(ended.pointer("/status/templateStatuses"), None, "{ended}");
    shop.serves(&[("v1", 5)]).await.expect("v1 alone");
}

#[tokio::test]
async fn a_slow_canary_is_found_out_beside_the_stable_version_before_it_has_users() {
    let (shared, shop) = Shared::with("experiment-step").await.expect("a namespace");
    let p95 = |side: &str| {
        let of = format!("rollouts_pod_template_hash=\"{{{{args.{side}}}}}\"");
        let rate = format!("rate(http_request_duration_seconds_bucket{{{of}}}[6s])");
        format!("histogram_quantile(0.95, sum by (le) ({rate}))")
    };
    let metric = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "p95", "namespace": shop.namespace()},
        "spec": {
            "args": [{"name": "canary"}, {"name": "baseline"}],
            "metrics": [{
                "name": "p95", "count": 2, "interval": "1s", "initialDelay": "8s",
                "successCondition": format!("result[0] < {LONGEST}"),
                "provider": {"prometheus": {"query": format!("{} - {}", p95("canary"), p95("baseline"))}},
            }],
        },
    });
    shop.apply(&metric).await.expect("a template");
    // Away from the Service that users come to, with probes of their own.
    let side = |name: &str, of: &str| {
        json!({
            "name": name, "specRef": of, "service": {"name": format!("probe-{name}")},
            "selector": {"matchLabels": {"app": "probe"}}, "metadata": {"labels": {"app": "probe"}},
        })
    };
    let steps = json!([
        {"experiment": {
            "scaleDownDelaySeconds": 0,
            "templates": [
                side("baseline", "stable"), side("canary", "canary"),
            ],
            "analyses": [{
                "name": "p95", "templateName": "p95", "requiredForCompletion": true,
                "args": [
                    {"name": "canary", "value": "{{templates.canary.podTemplateHash}}"},
                    {"name": "baseline", "value": "{{templates.baseline.podTemplateHash}}"},
                ],
            }],
        }},
        {"setWeight": 20}, {"pause": {}},
    ]);
    shop.first("v1", &steps).await.expect("healthy");
    let cluster = shared.cluster().expect("the cluster");
    let mut users = Visitors::start(shared.run(), cluster, &shop).expect("users");
    users.only("v1").await.expect("v1");
    let mut probes = Vec::new();
    for name in ["probe-baseline", "probe-canary"] {
        let host = format!("{name}.{}", shop.namespace());
        probes.push(Visitors::at(shared.run(), cluster, name, &host).expect("a probe"));
    }
    let manifest = slow(shop.manifest("v2", &steps));
    shop.apply(&manifest).await.expect("applied");
    let rollout = shop.phase("Degraded").await.expect("taken back");
    let message = text(&rollout, "/status/message");
    assert!(message.contains("experiment"), "{message}");
    // No pod of the version itself was ever made.
    let hash = text(&rollout, "/status/currentPodHash");
    let set = shop
        .named(Kind::ReplicaSet, &format!("{NAME}-{hash}"))
        .await
        .expect("its set");
    assert_eq!(number(&set, "/spec/replicas"), 0);
    shop.serves(&[("v1", 5)]).await.expect("v1 alone");
    begin_anew(&shop).await;
    let answers = users.answers().expect("answers");
    assert!(answers.iter().all(|answer| answer.version != "v2"));
    shared.check().await.expect("no fault");
}
