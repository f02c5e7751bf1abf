//! The published kubectl plugin of Argo Rollouts drives the agent. In: its commands. Out: what it prints, as
//! in `tests/fixtures/plugin`, and what the cluster then runs.

use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::text;
use tests_e2e::shop::{NAME, Shop};
use tests_e2e::transcript::{self, Transcript};
use tests_fleet::{Plugin, RunDir};

/// The Service of a preview.
const PREVIEW: &str = "preview";

const GET: [&str; 3] = ["get", "rollout", NAME];

/// A version of the application that is healthy, and a session with the plugin.
async fn session(name: &str) -> (&'static Shared, Shop, Transcript) {
    session_with(
        name,
        json!({"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": steps()}}),
    )
    .await
}

/// The same under another strategy.
async fn session_with(name: &str, strategy: Value) -> (&'static Shared, Shop, Transcript) {
    let namespace = format!("plugin-{name}");
    let (shared, shop) = Shared::with(&namespace).await.expect("a namespace");
    let cluster = shared.cluster().expect("the cluster");
    shop.service(PREVIEW).await.expect("a Service");
    let mut manifest = shop.manifest("v1", &json!([]));
    manifest["spec"]["strategy"] = strategy;
    shop.apply(&manifest).await.expect("applied");
    shop.healthy("v1").await.expect("healthy");
    let transcript = Transcript::open(name, cluster, &shop).expect("a fixture");
    (shared, shop, transcript)
}

fn steps() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}])
}

/// Another image, by the plugin.
async fn change_image(said: &mut Transcript, version: &str) {
    let image = format!("{NAME}=demo:{version}");
    said.does(&["set", "image", NAME, &image])
        .await
        .expect("set image");
}

/// The same, until the canary waits at its first pause.
async fn set_image(shop: &Shop, said: &mut Transcript, version: &str) {
    change_image(said, version).await;
    shop.paused_at(1).await.expect("held at the first pause");
}

#[tokio::test]
async fn the_plugin_takes_a_canary_step_by_step() {
    let (shared, shop, mut said) = session("canary").await;
    said.shows(&GET).await.expect("healthy");
    said.does(&["status", NAME]).await.expect("at once");
    set_image(&shop, &mut said, "v2").await;
    said.shows(&GET).await.expect("a fifth");
    said.shows(&["list", "rollouts"]).await.expect("a row");
    said.does(&["status", NAME, "--watch=false"])
        .await
        .expect("paused");
    said.does(&["status", NAME, "--timeout", "1s"])
        .await
        .expect("given up");
    said.does(&["promote", NAME]).await.expect("promote");
    shop.paused_at(3).await.expect("held at the second pause");
    shop.serves(&[("v1", 2), ("v2", 3)]).await.expect("v2");
    said.shows(&GET).await.expect("three fifths");
    said.does(&["promote", NAME]).await.expect("promote");
    shop.healthy("v2").await.expect("done");
    said.shows(&GET).await.expect("all of it");
    said.shows(&["status", NAME]).await.expect("healthy");
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn the_plugin_aborts_retries_and_promotes_in_full() {
    let (shared, shop, mut said) = session("abort").await;
    set_image(&shop, &mut said, "v2").await;
    said.does(&["abort", NAME]).await.expect("abort");
    shop.phase("Degraded").await.expect("degraded");
    shop.serves(&[("v1", 5)]).await.expect("back on v1");
    said.shows(&GET).await.expect("aborted");
    said.does(&["status", NAME]).await.expect("degraded");
    said.does(&["retry", "rollout", NAME]).await.expect("retry");
    shop.paused_at(1).await.expect("held again");
    said.shows(&GET).await.expect("a fifth");
    said.does(&["promote", NAME, "--full"]).await.expect("full");
    shop.healthy("v2").await.expect("done");
    said.shows(&GET).await.expect("all of it");
    said.does(&["promote", NAME, "--full"])
        .await
        .expect("again");
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn what_the_plugin_pauses_waits_until_it_promotes() {
    let (shared, shop, mut said) = session("pause").await;
    said.does(&["pause", NAME]).await.expect("pause");
    shop.phase("Paused").await.expect("paused");
    said.shows(&GET).await.expect("paused while healthy");
    said.does(&["promote", NAME]).await.expect("unpaused");
    shop.phase("Healthy").await.expect("as before");
    set_image(&shop, &mut said, "v2").await;
    said.does(&["pause", NAME]).await.expect("pause");
    said.shows(&GET).await.expect("paused twice over");
    said.does(&["promote", NAME]).await.expect("promote");
    shop.paused_at(3).await.expect("held at the second pause");
    said.shows(&GET).await.expect("three fifths");
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn the_plugin_goes_back_by_undo() {
    let (shared, shop, mut said) = session("undo").await;
    set_image(&shop, &mut said, "v2").await;
    said.does(&["promote", NAME, "--full"]).await.expect("full");
    shop.healthy("v2").await.expect("done");
    said.shows(&GET).await.expect("two revisions");
    said.does(&["undo", NAME]).await.expect("undo");
    shop.paused_at(1).await.expect("through the steps");
    shop.serves(&[("v1", 1), ("v2", 4)])
        .await
        .expect("v1 is the canary");
    said.shows(&GET).await.expect("the first is the third");
    said.does(&["promote", NAME, "--full"]).await.expect("full");
    shop.healthy("v1").await.expect("back");
    said.shows(&GET).await.expect("two revisions");
    said.does(&["undo", NAME, "--to-revision", "3"])
        .await
        .expect("nothing to do");
    said.does(&["undo", NAME, "--to-revision", "99"])
        .await
        .expect("no such revision");
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn the_plugin_restarts_every_pod() {
    let (shared, shop, mut said) = session("restart").await;
    // A pod's age is in whole seconds: those of this second would not be older than it.
    for restart in [&["restart", NAME, "--in", "2s"][..], &["restart", NAME]] {
        said.does(restart).await.expect("restart");
        shop.until("restarted", |rollout| {
            let (asked, done) = ("/spec/restartAt", "/status/restartedAt");
            text(rollout, asked) == text(rollout, done)
                && text(rollout, "/status/phase") == "Healthy"
        })
        .await
        .expect("restarted");
        shop.healthy("v1").await.expect("as before");
        said.shows(&GET).await.expect("the same revision");
        said.does(&["status", NAME]).await.expect("healthy");
    }
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn the_plugin_switches_blue_green() {
    let strategy = json!({"blueGreen": {
        "activeService": NAME, "previewService": PREVIEW, "autoPromotionEnabled": false,
        "scaleDownDelaySeconds": 1, "abortScaleDownDelaySeconds": 1,
    }});
    let (shared, shop, mut said) = session_with("blue-green", strategy).await;
    said.shows(&GET).await.expect("healthy");
    said.does(&["status", NAME]).await.expect("healthy");
    change_image(&mut said, "v2").await;
    shop.phase("Paused").await.expect("before the switch");
    shop.serves(&[("v1", 5), ("v2", 5)]).await.expect("both");
    said.shows(&GET).await.expect("a preview");
    said.does(&["status", NAME, "--watch=false"])
        .await
        .expect("paused");
    said.does(&["promote", NAME]).await.expect("promote");
    shop.healthy("v2").await.expect("switched");
    said.shows(&GET).await.expect("the old one is gone");

    change_image(&mut said, "v3").await;
    shop.phase("Paused").await.expect("before the switch");
    said.does(&["abort", NAME]).await.expect("abort");
    shop.phase("Degraded").await.expect("degraded");
    shop.serves(&[("v2", 5)]).await.expect("on v2");
    said.shows(&GET).await.expect("aborted");
    said.does(&["status", NAME]).await.expect("degraded");
    said.does(&["retry", "rollout", NAME]).await.expect("retry");
    shop.phase("Paused").await.expect("before the switch");
    said.does(&["promote", NAME, "--full"]).await.expect("full");
    shop.healthy("v3").await.expect("switched");
    said.shows(&GET).await.expect("the old one is gone");
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

/// An Experiment by hand that runs until somebody ends it.
fn experiment(shop: &Shop) -> Value {
    let side = |name: &str, version: &str| {
        let manifest = shop.manifest(version, &json!([]));
        let pods = manifest.pointer("/spec/template").cloned();
        json!({"name": name, "selector": {"matchLabels": {"app": NAME}}, "template": pods})
    };
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "compare", "namespace": shop.namespace()},
        "spec": {
            "scaleDownDelaySeconds": 0,
            "templates": [side("baseline", "v1"), side("canary", "v2")],
        },
    })
}

#[tokio::test]
async fn the_plugin_ends_an_experiment_and_begins_it_again() {
    let (shared, shop, mut said) = session("experiment").await;
    let (one, list) = (["get", "experiment", "compare"], ["list", "experiments"]);
    shop.apply(&experiment(&shop)).await.expect("applied");
    said.shows(&one).await.expect("two versions run");
    said.shows(&list).await.expect("a row");
    said.does(&["terminate", "experiment", "compare"])
        .await
        .expect("terminate");
    said.shows(&one).await.expect("ended");
    said.shows(&list).await.expect("a row");
    said.does(&["retry", "experiment", "compare"])
        .await
        .expect("retry");
    said.shows(&one).await.expect("ended is ended");
    said.end().expect("no more");
    shared.check().await.expect("no fault");
}

/// Manifests by name, each a good one with one thing changed.
fn manifests() -> Vec<(&'static str, Value)> {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": NAME},
            "spec": {
                "selector": {"matchLabels": {"app": NAME}},
                "strategy": {"canary": {"steps": steps()}},
                "template": {
                    "metadata": {"labels": {"app": NAME}},
                    "spec": {"containers": [{"name": NAME, "image": "demo:v1"}]},
                },
            },
        });
        change(&mut manifest["spec"]);
        manifest
    };
    vec![
        ("good.yaml", with(&|_| {})),
        (
            "two-in-one.yaml",
            with(&|spec| {
                spec["strategy"]["canary"]["steps"][0] = json!({"setWeight": 20, "pause": {}});
            }),
        ),
        (
            "no-room.yaml",
            with(&|spec| {
                spec["strategy"]["canary"]["maxSurge"] = json!(0);
                spec["strategy"]["canary"]["maxUnavailable"] = json!(0);
            }),
        ),
        (
            "selector.yaml",
            with(&|spec| spec["selector"]["matchLabels"]["app"] = json!("other")),
        ),
        (
            "unknown-field.yaml",
            with(&|spec| spec["strategy"]["canary"]["weight"] = json!(20)),
        ),
    ]
}

#[tokio::test]
async fn the_plugin_lints_without_a_cluster() {
    tests_fleet::init();
    let run = RunDir::temporary("lint").expect("a folder");
    let plugin = Plugin::new(&run.join("kubeconfig"), "shop").expect("the plugin");
    let mut found = String::new();
    for (name, manifest) in manifests() {
        // JSON is YAML.
        std::fs::write(run.join(name), manifest.to_string()).expect("written");
        let arguments = ["lint", "--filename", name];
        let answer = plugin.run(&arguments).await.expect("an answer");
        assert_eq!(answer.status == Some(0), name == "good.yaml", "{answer:?}");
        found.push_str(&transcript::block(&arguments, &answer, &[]));
    }
    let path = transcript::fixture("lint");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).expect("written");
    }
    let expected = std::fs::read_to_string(&path).expect("a fixture");
    assert_eq!(found, expected, "UPDATE=1 rewrites it");
}
