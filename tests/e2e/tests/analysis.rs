//! Analyses before a real API server, a real Prometheus and real Jobs. In: runs of their own and steps of a Rollout. Out:
//! verdicts, and what follows from them.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::eventually;

/// A Job of one command.
fn job(script: &str, more: Value) -> Value {
    let mut spec = json!({
        "backoffLimit": 0,
        "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "smoke", "image": "sh:1", "args": ["-c", script]}],
        }},
    });
    merge(&mut spec, &more);
    json!({"job": {"metadata": {"labels": {"team": "shop"}}, "spec": spec}})
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// A run that somebody applies by hand.
async fn applied(shop: &Shop, name: &str, spec: Value) {
    shop.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name, "namespace": shop.namespace()},
        "spec": spec,
    }))
    .await
    .expect("applied");
}

/// Waits until a run is as wanted.
async fn run_is(shop: &Shop, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let what = format!("{}: run {name}", shop.namespace());
    let seen = eventually(&what, SOON, async || {
        let run = shop.named(Kind::AnalysisRun, name).await;
        let run = run.map_err(|error| error.to_string())?;
        if wanted(&run) {
            Ok(run)
        } else {
            Err(run.get("status").cloned().unwrap_or_default().to_string())
        }
    });
    seen.await.expect("the run")
}

async fn phase_is(shop: &Shop, name: &str, phase: &str) -> Value {
    run_is(shop, name, |run| text(run, "/status/phase") == phase).await
}

fn first_measurement<'a>(run: &'a Value, field: &str) -> &'a str {
    text(
        run,
        &format!("/status/metricResults/0/measurements/0/{field}"),
    )
}

async fn jobs(shop: &Shop) -> Vec<Value> {
    shop.all(Kind::Job).await.expect("Jobs")
}

#[tokio::test]
async fn a_job_as_a_step_lets_a_good_version_through_and_takes_a_bad_one_back() {
    let (shared, shop) = Shared::with("smoke").await.expect("a namespace");
    shop.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "smoke", "namespace": shop.namespace()},
        "spec": {
            "args": [{"name": "exit"}],
            "metrics": [{"name": "smoke", "provider": job("exit {{args.exit}}", json!({}))}],
        },
    }))
    .await
    .expect("a template");
    let steps = |exit: &str| {
        json!([
            {"setWeight": 20},
            {"analysis": {"templates": [{"templateName": "smoke"}], "args": [{"name": "exit", "value": exit}]}},
        ])
    };
    shop.first("v1", &steps("0")).await.expect("healthy");
    shop.deploy("v2", &steps("0")).await.expect("applied");
    shop.healthy("v2").await.expect("promoted by exit 0");
    let made = jobs(&shop).await;
    assert_eq!(made.len(), 1, "{made:?}");
    let labels = "/metadata/labels/analysisrun.argoproj.io~1uid";
    let owner = text(&made[0], "/metadata/ownerReferences/0/uid");
    assert_eq!(text(&made[0], labels), owner);
    assert_eq!(text(&made[0], "/metadata/labels/team"), "shop");
    let name = text(&made[0], "/metadata/name");
    assert_eq!(name, format!("{owner}.smoke.1"));

    shop.deploy("v3", &steps("1")).await.expect("applied");
    let rollout = shop.phase("Degraded").await.expect("taken back by exit 1");
    let message = text(&rollout, "/status/message");
    assert!(message.starts_with("RolloutAborted"), "{message}");
    shop.serves(&[("v2", 5)]).await.expect("the old one");
    shared.check().await.expect("no fault");
}

/// F51.
#[tokio::test]
async fn f51_jobs_that_never_run_have_verdicts() {
    let (shared, shop) = Shared::with("never").await.expect("a namespace");
    let nowhere = json!({"template": {"spec": {"nodeSelector": {"no": "where"}}}});
    let mut deadline = nowhere.clone();
    merge(&mut deadline, &json!({"activeDeadlineSeconds": 3}));
    let no_image = json!({"template": {"spec": {"containers": [{"name": "smoke", "image": "nobody/has:it"}]}}});
    for (name, more, errors) in [
        ("deadline", deadline, 0),
        ("deleted", nowhere.clone(), 0),
        ("ended", nowhere, 0),
        ("image", no_image, 0),
    ] {
        let metric = json!({
            "name": "smoke", "consecutiveErrorLimit": errors, "provider": job("exit 0", more),
        });
        applied(&shop, name, json!({"metrics": [metric]})).await;
    }
    let run = phase_is(&shop, "deadline", "Failed").await;
    let message = first_measurement(&run, "message");
    assert!(message.contains("DeadlineExceeded"), "{message}");

    let run = phase_is(&shop, "image", "Inconclusive").await;
    let message = first_measurement(&run, "message");
    assert!(message.contains("ImagePull"), "{message}");

    let named = |run: &Value| !first_measurement(run, "metadata/job-name").is_empty();
    let run = run_is(&shop, "deleted", named).await;
    let name = first_measurement(&run, "metadata/job-name").to_owned();
    shop.delete(Kind::Job, &name).await.expect("deleted");
    let run = phase_is(&shop, "deleted", "Error").await;
    let message = first_measurement(&run, "message");
    assert!(message.contains("deleted"), "{message}");

    let run = run_is(&shop, "ended", named).await;
    let name = first_measurement(&run, "metadata/job-name").to_owned();
    let end = json!({"spec": {"terminate": true}});
    shop.patch_named(Kind::AnalysisRun, "ended", &end)
        .await
        .expect("ended");
    phase_is(&shop, "ended", "Successful").await;
    eventually("its Job is gone", SOON, async || {
        match shop.named(Kind::Job, &name).await {
            Err(_) => Ok(()),
            Ok(job) => Err(job.to_string()),
        }
    })
    .await
    .expect("gone");
    shared.check().await.expect("no fault");
}

/// Success rate and p95 from a template of the whole cluster, against a real Prometheus.
async fn cluster_template(shop: &Shop, address: &str) {
    let of = "namespace=\"{{args.namespace}}\"";
    let rate = format!(
        "sum(rate(http_requests_total{{{of},code=\"200\"}}[10s])) / sum(rate(http_requests_total{{{of}}}[10s]))"
    );
    let p95 = format!(
        "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{{{of}}}[10s])))"
    );
    let metric = |name: &str, query: String, good: &str| {
        json!({
            "name": name, "interval": "1s", "count": 3, "failureLimit": 0, "successCondition": good,
            "provider": {"prometheus": {"address": address, "query": query}},
        })
    };
    shop.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ClusterAnalysisTemplate",
        "metadata": {"name": "web-health"},
        "spec": {
            "args": [{"name": "namespace"}],
            "metrics": [
                metric("success-rate", rate, "result[0] >= 0.95"),
                metric("p95", p95, "result[0] < 0.5"),
            ],
        },
    }))
    .await
    .expect("a template of the cluster");
}

/// One value for each step of a range, of each series; a range that cannot be is the server's error.
async fn ranges(shop: &Shop, address: &str) {
    let metric = |query: &str, step: &str, good: &str| {
        json!({
            "name": "range", "count": 1, "consecutiveErrorLimit": 0, "successCondition": good,
            "provider": {"prometheus": {
                "address": address, "query": query,
                "rangeQuery": {"start": "now() - duration('20s')", "end": "now()", "step": step},
            }},
        })
    };
    let five = "len(result) == 5 and all(result, # == 7)";
    let good = json!({"metrics": [metric("vector(7)", "5s", five)]});
    applied(shop, "range", good).await;
    let run = phase_is(shop, "range", "Successful").await;
    assert_eq!(first_measurement(&run, "value"), "[7,7,7,7,7]", "{run}");
    // Prometheus gives 11,000 points at most.
    let fine = json!({"metrics": [metric("vector(7)", "1ms", five)]});
    applied(shop, "fine", fine).await;
    let run = phase_is(shop, "fine", "Error").await;
    let message = first_measurement(&run, "message");
    assert!(message.contains("exceeded maximum resolution"), "{message}");
}

/// A real server as any web server: a value out of its JSON, by GET and by a POSTed form; what it refuses is an error.
async fn web(shop: &Shop, address: &str) {
    let metric = |name: &str, web: Value| {
        json!({
            "name": name, "count": 1, "consecutiveErrorLimit": 0, "successCondition": "asInt(result) == 7",
            "provider": {"web": web},
        })
    };
    let (url, value) = (
        format!("{address}/api/v1/query"),
        "{$.data.result[0].value[1]}",
    );
    let form = [json!({"key": "Content-Type", "value": "application/x-www-form-urlencoded"})];
    let get = json!({"url": format!("{url}?query=vector(7)"), "jsonPath": value});
    let post = json!({"url": url, "jsonPath": value, "method": "POST", "headers": form, "body": "query=vector(7)"});
    let good = json!({"metrics": [metric("get", get), metric("post", post)]});
    applied(shop, "web", good).await;
    let run = phase_is(shop, "web", "Successful").await;
    assert_eq!(first_measurement(&run, "value"), "\"7\"", "{run}");
    let refused = json!({"url": format!("{url}?query=vector("), "jsonPath": value});
    let refused = json!({"metrics": [metric("refused", refused)]});
    applied(shop, "refused", refused).await;
    let run = phase_is(shop, "refused", "Error").await;
    let message = first_measurement(&run, "message");
    assert!(message.contains("400"), "{message}");
}

#[tokio::test]
async fn templates_of_the_cluster_ask_a_real_prometheus() {
    let (shared, shop) = Shared::with("health").await.expect("a namespace");
    let address = shared.prometheus.url();
    cluster_template(&shop, &address).await;
    let analysis = json!({
        "templates": [{"templateName": "web-health", "clusterScope": true}],
        "args": [{"name": "namespace", "value": shop.namespace()}],
    });
    let steps = json!([{"setWeight": 20}, {"analysis": analysis}]);
    shop.first("v1", &steps).await.expect("healthy");
    let folder = tests_fleet::RunDir::temporary("health").expect("a folder");
    let cluster = shared.cluster().expect("it");
    let load = tests_fleet::traffic::Load::start(&folder, cluster, &shop.host(), 40);
    let _load = load.expect("load");
    let seen = format!(
        "sum(rate(http_requests_total{{namespace=\"{}\"}}[10s])) > 0",
        shop.namespace()
    );
    eventually("requests are counted", SOON, async || {
        let rate = shared
            .prometheus
            .query(&seen)
            .map_err(|error| error.to_string())?;
        if rate.is_empty() {
            Err("none yet".to_owned())
        } else {
            Ok(())
        }
    })
    .await
    .expect("traffic");
    shop.deploy("v2", &steps).await.expect("applied");
    shop.healthy("v2").await.expect("promoted");
    let runs = shop.all(Kind::AnalysisRun).await.expect("runs");
    assert_eq!(runs.len(), 1);
    for index in [0, 1] {
        let result = |field: &str| format!("/status/metricResults/{index}/{field}");
        assert_eq!(number(&runs[0], &result("successful")), 3, "{:?}", runs[0]);
    }

    ranges(&shop, &address).await;
    web(&shop, &address).await;

    // The same by hand, as a trial: what would fail does not count.
    let trial = json!({
        "metrics": [{
            "name": "trial", "count": 1, "successCondition": "result[0] > 2",
            "provider": {"prometheus": {"address": address, "query": "vector(1)"}},
        }],
        "dryRun": [{"metricName": ".*"}],
    });
    applied(&shop, "trial", trial).await;
    let run = phase_is(&shop, "trial", "Successful").await;
    assert_eq!(number(&run, "/status/dryRunSummary/failed"), 1, "{run}");
    assert_eq!(number(&run, "/status/runSummary/count"), 0, "{run}");
    assert_eq!(text(&run, "/status/metricResults/0/phase"), "Failed");
    let rollout = shop.named(Kind::Rollout, NAME).await.expect("the Rollout");
    assert_eq!(text(&rollout, "/status/phase"), "Healthy");
    shared.check().await.expect("no fault");
}
