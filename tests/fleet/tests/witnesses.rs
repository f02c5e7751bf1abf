//! The witnesses, held against one another on a real cluster without any program of ours. In: a Deployment that is pushed to
//! Git. Out: the applier puts it there, the gateway answers, Prometheus counts, and journal and watch tell of the same pods.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tests_fleet::records::{self, Answer, Happening, JournalLine, Sighting};
use tests_fleet::traffic::{Applier, Load};
use tests_fleet::witness::Witness;
use tests_fleet::{GitRepo, Prometheus, RunDir, Sandbox, eventually};

const SOON: Duration = Duration::from_secs(60);

const SERVICE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: checkout, namespace: shop}
spec:
  selector: {app: checkout}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec:
      containers:
      - name: checkout
        image: demo:v1
        env: [{name: ERROR_RATE, value: '0.5'}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
";

fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    records::read(path).map_err(|error| error.to_string())
}

#[tokio::test]
async fn they_tell_of_the_same_pods() {
    tests_fleet::init();
    let run = RunDir::temporary("witnesses").expect("a folder");
    let mut sandbox = Sandbox::up(&run, &["one"]).await.expect("a cluster");
    let cluster = sandbox.cluster("one").expect("the cluster").clone();
    let prometheus = Prometheus::start(&run, sandbox.clusters())
        .await
        .expect("Prometheus");
    let witness = Witness::start(&run, &cluster).expect("a witness");
    let repo = GitRepo::create(&run).expect("a repository");
    let mut applier = Applier::start(&run, &repo, sandbox.clusters()).expect("an applier");
    let files = [("one/checkout.yaml".to_owned(), SERVICE.to_owned())];
    let revision = repo.push(&files, "v1").expect("pushed");
    applier
        .applied(&revision, "one", SOON)
        .await
        .expect("applied");

    let started = eventually("both pods are ready", SOON, async || {
        let journal: Vec<JournalLine> = lines(&cluster.journal())?;
        let ready = journal
            .iter()
            .filter(|line| line.event == Happening::Ready)
            .count();
        let started = journal
            .iter()
            .filter(|line| line.event == Happening::Started);
        let started: BTreeSet<String> = started.map(|line| line.uid.clone()).collect();
        if ready == 2 {
            Ok(started)
        } else {
            Err(format!("{ready} are"))
        }
    })
    .await
    .expect("ready");
    eventually("the watch tells of the same pods", SOON, async || {
        let seen: Vec<Sighting> = lines(witness.seen())?;
        let pods = seen
            .iter()
            .filter(|sighting| sighting.kind == "Pod" && sighting.phase == "Running");
        let pods: BTreeSet<String> = pods.map(|sighting| sighting.uid.clone()).collect();
        if pods == started {
            Ok(())
        } else {
            Err(format!("{pods:?}, not {started:?}"))
        }
    })
    .await
    .expect("the same");

    let load = Load::start(&run, &cluster, "checkout.shop", 50).expect("load");
    both_answer(&load).await;
    let query =
        r#"sum(http_requests_total{cluster="one",namespace="shop",version="v1",code="500"})"#;
    eventually(
        "Prometheus has counted failures of both",
        SOON,
        async || {
            let counted = prometheus.query(query).map_err(|error| error.to_string())?;
            if counted.first().is_some_and(|count| *count >= 20.0) {
                Ok(())
            } else {
                Err(format!("{counted:?}"))
            }
        },
    )
    .await
    .expect("counted");
    sandbox.process().must_run().expect("still up");
}

async fn both_answer(load: &Load) {
    eventually(
        "both pods answer, each second time with a failure",
        SOON,
        async || {
            let answers: Vec<Answer> = lines(load.answers())?;
            let own: Vec<&Answer> = answers
                .iter()
                .filter(|answer| answer.version == "v1")
                .collect();
            let failed = own.iter().filter(|answer| answer.failed()).count();
            let pods: BTreeSet<&str> = own.iter().map(|answer| answer.pod.as_str()).collect();
            let half = failed.abs_diff(own.len() - failed) <= 2;
            let good = own.len() >= 50 && pods.len() == 2 && half;
            if good {
                Ok(())
            } else {
                Err(format!("{failed} of {} failed, by {pods:?}", own.len()))
            }
        },
    )
    .await
    .expect("answers");
}
