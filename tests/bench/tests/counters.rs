//! The benchmark's own counters on a real control plane: a story of which every request is known is counted to the last
//! one, and twenty Rollouts show that the agent writes nothing in vain and no more than its peer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchParams};
use serde_json::{Value, json};
use tests_bench::bed::{Bed, Rights, USER};
use tests_bench::follow::kind;
use tests_bench::manifest::{self, NAMESPACE};
use tests_bench::meter::{Meter, Phase, Time};
use tests_bench::story::{self, Run, Story};
use tests_fleet::{Process, RunDir, kubeconfig, programs};

const COUNT: usize = 20;

/// What the peer writes to a Rollout and its ReplicaSets in both phases. The goal, half of it, is judged by the benchmark,
/// which says that it is missed; this only keeps the agent from writing more than the peer.
const WRITES_AT_MOST: usize = 28;

#[tokio::test]
async fn the_counters_count_what_happens() {
    tests_fleet::init();
    let run = RunDir::temporary("bench").expect("a folder");
    let mut bed = Bed::up(&run, Rights::Shipped).await.expect("a cluster");
    a_known_story(&run, &bed).await;
    let story = Story {
        name: "ours".into(),
        command: format!(
            "{} --kubeconfig {{kubeconfig}} --metricsPort {{port}} --healthzPort {{port}}",
            programs::program("groundswell-agent")
                .expect("built")
                .display()
        ),
        rights: Rights::Shipped,
        count: COUNT,
        pause: Duration::from_secs(2),
        idle: Duration::from_secs(3),
    };
    let told = story::tell_on(&run, &mut bed, &story, |_| {})
        .await
        .expect("told");
    judge(&told);
}

/// Everybody who takes part in the known story.
struct Cast {
    admin: Api<DynamicObject>,
    controller: Api<DynamicObject>,
    sets: Api<DynamicObject>,
    events: Api<Event>,
    name: String,
}

async fn a_known_story(run: &RunDir, bed: &Bed) {
    let mut command = std::process::Command::new("tail");
    command.args(["-f", "/dev/null"]);
    let idler = Process::spawn(run, "idler", command).expect("started");
    let mut meter = Meter::new(bed, &idler).expect("a meter");
    let client = kubeconfig::client(&bed.kubeconfig())
        .await
        .expect("a client");
    let cast = Cast {
        admin: rollouts(bed.cluster().client().await.expect("a client")),
        controller: rollouts(client.clone()),
        sets: Api::namespaced_with(client.clone(), NAMESPACE, &set_kind()),
        events: Api::namespaced(client, NAMESPACE),
        name: manifest::name(9999),
    };
    let object = dynamic(manifest::rollout(9999, "v1", Duration::ZERO));
    let parameters = PostParams::default();
    cast.admin
        .create(&parameters, &object)
        .await
        .expect("created");
    let mark = meter.begin().await.expect("begun");
    cast.writes().await;
    cast.reads().await;
    let requests = meter.quiet().await.expect("quiet");
    let time = Time {
        wall: Duration::ZERO,
        median: Duration::ZERO,
    };
    let phase = meter
        .end("known", mark, time, requests)
        .await
        .expect("ended");
    counted(&phase, &cast.name);
    let deleted = cast.admin.delete(&cast.name, &Default::default()).await;
    deleted.expect("deleted");
}

impl Cast {
    /// Two patches of which one changes nothing, one that comes too late, one creation without the right to it, one that is
    /// only rehearsed, one event.
    async fn writes(&self) {
        let first = self.say("Progressing", None).await.expect("changed");
        self.say("Progressing", None).await.expect("not changed");
        let label = Patch::Merge(json!({"metadata": {"labels": {"by": "another"}}}));
        self.admin
            .patch(&self.name, &PatchParams::default(), &label)
            .await
            .expect("labelled");
        let version = first.metadata.resource_version;
        self.say("Paused", version).await.expect_err("a conflict");
        let other = dynamic(manifest::rollout(9998, "v1", Duration::ZERO));
        let stored = PostParams::default();
        self.controller
            .create(&stored, &other)
            .await
            .expect_err("no right");
        let rehearsal = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        self.sets
            .create(&rehearsal, &replica_set())
            .await
            .expect("rehearsed");
        self.events
            .create(&stored, &event(&self.name))
            .await
            .expect("told");
    }

    async fn say(&self, phase: &str, version: Option<String>) -> kube::Result<DynamicObject> {
        let mut patch = json!({"status": {"phase": phase}});
        // A null would take the version away, which no update may.
        if let Some(version) = version {
            patch["metadata"] = json!({"resourceVersion": version});
        }
        let parameters = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.controller
            .patch_status(&self.name, &parameters, &patch)
            .await
    }

    async fn reads(&self) {
        self.controller.get(&self.name).await.expect("read");
        self.controller.get(&self.name).await.expect("read");
        let all = ListParams::default();
        let list = self.controller.list(&all).await.expect("listed");
        let from = list.metadata.resource_version.expect("a version");
        let watch = self.controller.watch(&WatchParams::default(), &from).await;
        drop(watch.expect("watched"));
    }
}

fn counted(phase: &Phase, name: &str) {
    let counted: Vec<(String, u64)> = phase
        .requests
        .iter()
        .map(|(asked, count)| (asked.to_string(), count))
        .collect();
    let expected = [
        ("create events", 1),
        ("rehearse replicasets", 1),
        ("create rollouts (403)", 1),
        ("get rollouts", 2),
        ("list rollouts", 1),
        ("watch rollouts", 1),
        ("patch rollouts/status", 2),
        ("patch rollouts/status (409)", 1),
    ];
    let expected = expected.map(|(asked, count)| (asked.to_owned(), count));
    assert_eq!(counted, expected);
    let written = (phase.requests.writes, phase.requests.object_writes);
    assert_eq!(written, (5, 4));
    let vain: Vec<_> = phase
        .unchanged
        .iter()
        .map(|one| (one.object.as_str(), one.surplus(), one.writes.get(USER)))
        .collect();
    let object = format!("rollouts {NAMESPACE}/{name}");
    assert_eq!(vain, [(object.as_str(), 1, Some(&2))]);
}

fn judge(told: &Run) {
    let (create, update, idle) = (
        told.phase("create").expect("a phase"),
        told.phase("update").expect("a phase"),
        told.phase("idle").expect("a phase"),
    );
    for phase in [create, update] {
        assert_eq!(
            phase.requests.count("create", "replicasets"),
            COUNT as u64,
            "{phase:?}"
        );
        assert_eq!(
            phase.requests.count("patch", "rollouts"),
            COUNT as u64,
            "{phase:?}"
        );
        assert!(
            phase.cpu > 0.0 && phase.peak_rss > 1.0 && phase.peak_pss > 1.0,
            "{phase:?}"
        );
    }
    // Two pauses of two seconds, each counted from a whole second and so up to one shorter.
    assert!(update.wall > 2.0, "{update:?}");
    assert!(
        update.median > 2.0 && update.median <= update.wall,
        "{update:?}"
    );
    assert_eq!(idle.requests.writes, 0, "{idle:?}");
    for phase in &told.phases {
        assert_eq!(phase.unchanged, [], "{}", phase.name);
        let forbidden = phase
            .requests
            .iter()
            .find(|(asked, _)| asked.refused == Some(403));
        assert_eq!(forbidden, None);
    }
    let both = create.requests.and(&update.requests);
    assert!(
        both.object_writes <= (WRITES_AT_MOST * COUNT) as u64,
        "{} writes to objects of {COUNT} Rollouts: {both:?}",
        both.object_writes
    );
}

fn rollouts(client: kube::Client) -> Api<DynamicObject> {
    Api::namespaced_with(client, NAMESPACE, &kind())
}

fn set_kind() -> kube::api::ApiResource {
    kube::api::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "apps",
        "v1",
        "ReplicaSet",
    ))
}

fn dynamic(object: Value) -> DynamicObject {
    serde_json::from_value(object).expect("an object")
}

fn replica_set() -> DynamicObject {
    let labels = json!({"app": "rehearsed"});
    dynamic(json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "rehearsed", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "pause:v1"}]}},
        },
    }))
}

fn event(rollout: &str) -> Event {
    let event = json!({
        "metadata": {"name": "known", "namespace": NAMESPACE},
        "involvedObject": {"kind": "Rollout", "namespace": NAMESPACE, "name": rollout},
        "reason": "Known",
        "message": "told",
        "type": "Normal",
    });
    serde_json::from_value(event).expect("an event")
}
