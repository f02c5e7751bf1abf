//! The agent alone in a cluster, without a hub and without our own kinds: a canary as its users know it, driven by the
//! status patches that existing clients send. In: manifests and verbs. Out: pods by version and the Rollout's status.

use std::time::Duration;

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::deed;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, Shop};
use tests_fleet::eventually;

/// One pod of five until somebody promotes it.
fn held_at_20() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}])
}

fn revision(object: &Value) -> &str {
    text(
        object,
        "/metadata/annotations/rollout.argoproj.io~1revision",
    )
}

#[tokio::test]
async fn a_first_deploy_waits_for_no_step() {
    let (shared, shop) = Shared::with("first").await.expect("a namespace");
    let rollout = shop.first("v1", &held_at_20()).await.expect("healthy");
    assert_eq!(number(&rollout, "/status/currentStepIndex"), 2);
    let hash = text(&rollout, "/status/stableRS");
    assert!(!hash.is_empty());
    assert_eq!(text(&rollout, "/status/currentPodHash"), hash);
    assert_eq!(revision(&rollout), "1");
    let set = shop
        .named(Kind::ReplicaSet, &format!("{NAME}-{hash}"))
        .await
        .expect("its set");
    assert_eq!(revision(&set), "1");
    assert_eq!(
        text(&set, "/metadata/labels/rollouts-pod-template-hash"),
        hash
    );
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn a_canary_takes_exactly_its_share_and_waits_as_told() {
    let (shared, shop) = Shared::with("share").await.expect("a namespace");
    let steps = json!([
        {"setWeight": 20}, {"pause": {}},
        {"setWeight": 60}, {"pause": {"duration": "2s"}},
        {"setWeight": 80}, {"pause": {}},
    ]);
    shop.first("v1", &steps).await.expect("healthy");
    shop.deploy("v2", &steps).await.expect("applied");
    let rollout = shop.paused_at(1).await.expect("held at the first pause");
    assert_eq!(text(&rollout, "/status/message"), "CanaryPauseStep");
    assert_eq!(
        text(&rollout, "/status/pauseConditions/0/reason"),
        "CanaryPauseStep"
    );
    assert_eq!(
        rollout.pointer("/status/controllerPause"),
        Some(&json!(true))
    );
    shop.serves(&[("v1", 4), ("v2", 1)]).await.expect("a fifth");

    shop.verb(&deed::promote()).await.expect("promoted");
    let rollout = shop.paused_at(3).await.expect("at the timed pause");
    let began = time(&rollout, "/status/pauseConditions/0/startTime");
    shop.serves(&[("v1", 2), ("v2", 3)])
        .await
        .expect("three fifths");
    let rollout = shop.paused_at(5).await.expect("on by itself");
    let next = time(&rollout, "/status/pauseConditions/0/startTime");
    assert!(
        next.duration_since(began).as_secs() >= 2,
        "{began} to {next}"
    );
    shop.serves(&[("v1", 1), ("v2", 4)])
        .await
        .expect("four fifths");

    shop.verb(&deed::promote()).await.expect("promoted");
    let rollout = shop.healthy("v2").await.expect("done");
    assert_eq!(number(&rollout, "/status/currentStepIndex"), 6);
    assert_eq!(
        text(&rollout, "/status/stableRS"),
        text(&rollout, "/status/currentPodHash")
    );
    assert_eq!(revision(&rollout), "2");
    shared.check().await.expect("no fault");
}

fn time(object: &Value, pointer: &str) -> jiff::Timestamp {
    text(object, pointer).parse().expect("a time")
}

/// The API server has filled the ReplicaSet's template with defaults, and the plugin writes all of it into the spec.
#[tokio::test]
async fn undo_in_mid_canary_is_back_at_once_in_the_same_replica_set() {
    let (shared, shop) = Shared::with("undo").await.expect("a namespace");
    let before = shop.first("v1", &held_at_20()).await.expect("healthy");
    shop.deploy("v2", &held_at_20()).await.expect("applied");
    shop.paused_at(1).await.expect("held");
    shop.undo_to("1").await.expect("undone");
    let after = shop
        .healthy("v1")
        .await
        .expect("back at once, without steps");
    let written = after.pointer("/spec/template/spec/restartPolicy");
    assert_eq!(written, Some(&json!("Always")), "defaults are in the spec");
    assert_eq!(
        text(&after, "/status/stableRS"),
        text(&before, "/status/stableRS")
    );
    let sets = shop.all(Kind::ReplicaSet).await.expect("sets");
    assert_eq!(sets.len(), 2, "no new ReplicaSet: {sets:?}");
    let events = shop.all(Kind::Event).await.expect("events");
    assert!(
        events
            .iter()
            .any(|event| text(event, "/reason") == "SkipSteps"),
        "{events:?}"
    );

    // From a version that is out it goes back through the steps, in the ReplicaSet that is there.
    shop.deploy("v2", &held_at_20()).await.expect("applied");
    shop.paused_at(1).await.expect("held");
    shop.verb(&deed::promote()).await.expect("promoted");
    let out = shop.healthy("v2").await.expect("out");
    let first = sets
        .iter()
        .find(|set| text(set, "/metadata/name").ends_with(text(&before, "/status/stableRS")));
    let now = shop
        .named(
            Kind::ReplicaSet,
            text(first.expect("the first set"), "/metadata/name"),
        )
        .await
        .expect("the first set");
    shop.undo_to(revision(&now)).await.expect("undone");
    let canary = shop.paused_at(1).await.expect("through the steps");
    assert_eq!(
        text(&canary, "/status/currentPodHash"),
        text(&before, "/status/stableRS")
    );
    assert_ne!(
        text(&out, "/status/stableRS"),
        text(&before, "/status/stableRS")
    );
    let sets = shop.all(Kind::ReplicaSet).await.expect("sets");
    assert_eq!(sets.len(), 2, "no new ReplicaSet: {sets:?}");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn abort_goes_back_retry_goes_on_and_full_skips_the_rest() {
    let (shared, shop) = Shared::with("abort").await.expect("a namespace");
    shop.first("v1", &held_at_20()).await.expect("healthy");
    shop.deploy("v2", &held_at_20()).await.expect("applied");
    shop.paused_at(1).await.expect("held");
    shop.verb(&deed::abort()).await.expect("aborted");
    let rollout = shop.phase("Degraded").await.expect("degraded");
    let message = text(&rollout, "/status/message");
    assert!(message.starts_with("RolloutAborted: "), "{message}");
    assert!(!text(&rollout, "/status/abortedAt").is_empty());
    shop.serves(&[("v1", 5)]).await.expect("back on v1");

    shop.verb(&deed::retry()).await.expect("retried");
    shop.paused_at(1).await.expect("held again");
    shop.serves(&[("v1", 4), ("v2", 1)]).await.expect("a fifth");
    shop.verb(&deed::promote_full()).await.expect("promoted");
    let rollout = shop.healthy("v2").await.expect("done");
    assert_ne!(rollout.pointer("/status/promoteFull"), Some(&json!(true)));
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn a_revert_in_mid_canary_goes_back_at_once() {
    let (shared, shop) = Shared::with("revert").await.expect("a namespace");
    let first = shop.first("v1", &held_at_20()).await.expect("healthy");
    shop.deploy("v2", &held_at_20()).await.expect("applied");
    shop.paused_at(1).await.expect("held");
    let stable = text(&first, "/status/stableRS").to_owned();
    shop.deploy("v1", &held_at_20()).await.expect("as before");
    let rollout = shop.healthy("v1").await.expect("back");
    assert_eq!(
        text(&rollout, "/status/currentPodHash"),
        stable,
        "no new set for the same pods"
    );
    assert_eq!(
        number(&rollout, "/status/currentStepIndex"),
        2,
        "no step is walked"
    );
    assert_eq!(revision(&rollout), "3");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn a_field_that_nobody_knows_survives() {
    let (shared, shop) = Shared::with("unknown").await.expect("a namespace");
    let manifest = |version: &str, deep: u32| {
        let mut manifest = shop.manifest(version, &json!([]));
        let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
        container["ofTheFuture"] = json!({"deep": [{"value": deep, "nothing": "lost"}]});
        // One that the API server knows and few clients do.
        container["resizePolicy"] =
            json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
        manifest
    };
    let unknown = "/spec/template/spec/containers/0/ofTheFuture";
    let known = "/spec/template/spec/containers/0/resizePolicy";
    shop.apply(&manifest("v1", 1)).await.expect("applied");
    let first = shop.healthy("v1").await.expect("healthy");
    assert_eq!(first.pointer(unknown), manifest("v1", 1).pointer(unknown));
    let hash = text(&first, "/status/stableRS").to_owned();
    let set = shop
        .named(Kind::ReplicaSet, &format!("{NAME}-{hash}"))
        .await
        .expect("its set");
    assert_eq!(set.pointer(known), manifest("v1", 1).pointer(known));

    // It is content: a change of it alone is a new version, and the way back leads to the old set.
    shop.apply(&manifest("v1", 2)).await.expect("applied");
    shop.until("a second set", |rollout| {
        text(rollout, "/status/stableRS") != hash
    })
    .await
    .expect("moved");
    shop.healthy("v1").await.expect("healthy");
    shop.apply(&manifest("v1", 1)).await.expect("applied");
    shop.until("the first set", |rollout| {
        text(rollout, "/status/stableRS") == hash
    })
    .await
    .expect("back");
    let last = shop.healthy("v1").await.expect("healthy");
    assert_eq!(last.pointer(unknown), manifest("v1", 1).pointer(unknown));
    assert_eq!(shop.all(Kind::ReplicaSet).await.expect("sets").len(), 2);
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn a_bad_spec_is_named_and_harms_nobody() {
    let (shared, good) = Shared::with("good").await.expect("a namespace");
    let (_, bad) = Shared::with("bad").await.expect("a namespace");
    good.first("v1", &held_at_20()).await.expect("healthy");
    bad.first("v1", &held_at_20()).await.expect("healthy");
    let both = json!([{"setWeight": 20}, {"setWeight": 30, "pause": {}}]);
    bad.deploy("v2", &both)
        .await
        .expect("the API server takes it");
    let rollout = bad.phase("Degraded").await.expect("refused");
    let message = text(&rollout, "/status/message");
    assert!(message.starts_with("InvalidSpec: "), "{message}");
    assert!(
        message.contains("spec.strategy.canary.steps[1]"),
        "{message}"
    );
    let conditions = rollout["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let named = conditions.iter().any(|condition| {
        text(condition, "/type") == "InvalidSpec" && text(condition, "/status") == "True"
    });
    assert!(named, "{conditions:?}");
    bad.serves(&[("v1", 5)]).await.expect("still served");

    good.deploy("v2", &held_at_20()).await.expect("applied");
    good.paused_at(1).await.expect("goes on beside it");
    bad.deploy("v2", &held_at_20()).await.expect("mended");
    bad.paused_at(1).await.expect("goes on");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn scaling_and_a_label_change_start_no_version() {
    let (shared, shop) = Shared::with("scale").await.expect("a namespace");
    let first = shop.first("v1", &held_at_20()).await.expect("healthy");
    let patch = json!({"metadata": {"labels": {"team": "shop"}}, "spec": {"replicas": 3}});
    shop.patch(&patch).await.expect("patched");
    shop.serves(&[("v1", 3)]).await.expect("scaled");
    let rollout = shop.phase("Healthy").await.expect("healthy");
    assert_eq!(
        rollout["status"]["currentPodHash"],
        first["status"]["currentPodHash"]
    );
    assert_eq!(revision(&rollout), "1");
    assert_eq!(shop.all(Kind::ReplicaSet).await.expect("sets").len(), 1);
    shared.check().await.expect("no fault");
}

/// Asks the real Prometheus for the share of answers that were good.
fn success_rate(shop: &Shop) -> Value {
    let requests = format!(
        r#"http_requests_total{{namespace="{}",version="{{{{args.version}}}}""#,
        shop.namespace()
    );
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "success-rate", "namespace": shop.namespace()},
        "spec": {
            "args": [{"name": "version"}],
            "metrics": [{
                "name": "success-rate",
                "interval": "1s",
                "count": 2,
                "failureLimit": 0,
                "consecutiveErrorLimit": 30,
                "successCondition": "result[0] >= 0.95",
                "provider": {"prometheus": {
                    "query": format!(r#"sum({requests},code="200"}}) / sum({requests}}})"#),
                }},
            }],
        },
    })
}

fn analysed(version: &str) -> Value {
    json!([
        {"setWeight": 40}, {"pause": {"duration": "3s"}},
        {"analysis": {"templates": [{"templateName": "success-rate"}], "args": [{"name": "version", "value": version}]}},
    ])
}

#[tokio::test]
async fn an_analysis_lets_a_good_version_through_and_takes_a_bad_one_back() {
    let (shared, shop) = Shared::with("analysis").await.expect("a namespace");
    shop.apply(&success_rate(&shop)).await.expect("a template");
    shop.first("v1", &analysed("v1")).await.expect("healthy");
    let cluster = shared.cluster().expect("it");
    let load = tests_fleet::traffic::Load::start(shared.run(), cluster, &shop.host(), 40);
    let _load = load.expect("load");

    shop.deploy("v2", &analysed("v2")).await.expect("applied");
    shop.healthy("v2").await.expect("good");
    let run = analysis_of(&shop, 2).await;
    assert_eq!(text(&run, "/status/phase"), "Successful");
    assert_eq!(number(&run, "/status/metricResults/0/successful"), 2);
    assert_eq!(text(&run, "/metadata/labels/rollout-type"), "Step");

    let mut bad = shop.manifest("v3", &analysed("v3"));
    bad["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "ERROR_RATE", "value": "0.5"}]);
    shop.apply(&bad).await.expect("applied");
    let rollout = shop.phase("Degraded").await.expect("taken back");
    let message = text(&rollout, "/status/message");
    assert!(message.starts_with("RolloutAborted: "), "{message}");
    shop.serves(&[("v2", 5)]).await.expect("on v2");
    let run = analysis_of(&shop, 3).await;
    assert_eq!(text(&run, "/status/phase"), "Failed");
    shared.check().await.expect("no fault");
}

/// The one AnalysisRun of a revision.
async fn analysis_of(shop: &Shop, revision_number: u32) -> Value {
    let wanted = revision_number.to_string();
    let runs = eventually("its AnalysisRun", Duration::from_secs(5), async || {
        let runs = shop
            .all(Kind::AnalysisRun)
            .await
            .map_err(|error| error.to_string())?;
        let of: Vec<Value> = runs
            .into_iter()
            .filter(|run| revision(run) == wanted)
            .collect();
        if of.is_empty() {
            Err(String::from("none"))
        } else {
            Ok(of)
        }
    })
    .await
    .expect("found");
    assert_eq!(runs.len(), 1, "one run: {runs:?}");
    runs.into_iter().next().expect("one")
}
