//! Runs whose Jobs, or whose own writes, hang. In: more of them than there are workers, and a Rollout behind them. Out: the
//! Rollout has its pass at once; no run says that it is over before its Jobs are.

use agent_api::{AnalysisRun, Decoded};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::tests::{controller, rollout};
use super::*;
use crate::cache::Caches;

/// Each would keep a worker.
const RUNS: usize = WORKERS * 3;
/// A pass here takes milliseconds; a hung request, its time limit of 15 s.
const SOON: Duration = Duration::from_secs(8);

/// An API server that accepts what has this in its path, and hangs until it is let go on.
struct Server {
    hangs: &'static str,
    /// How many requests hang, or hung.
    hanging: watch::Sender<usize>,
    goes_on: watch::Sender<bool>,
    /// Paths that were answered.
    answered: watch::Sender<Vec<String>>,
}

impl Server {
    fn new(hangs: &'static str) -> Arc<Self> {
        Arc::new(Self {
            hangs,
            hanging: watch::Sender::default(),
            goes_on: watch::Sender::new(false),
            answered: watch::Sender::default(),
        })
    }

    async fn answer(self: Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        if path.contains(self.hangs) {
            self.hanging.send_modify(|hanging| *hanging += 1);
            let mut goes_on = self.goes_on.subscribe();
            goes_on.wait_for(|goes_on| *goes_on).await.unwrap();
        }
        let sent = body.collect().await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&sent).unwrap();
        answer["metadata"]["resourceVersion"] = json!("2");
        answer["metadata"]["uid"] = json!(path);
        self.answered.send_modify(|answered| answered.push(path));
        http::Response::new(Body::from(answer.to_string().into_bytes()))
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request| {
            let answer = Arc::clone(&server).answer(request);
            async move { Ok::<_, std::io::Error>(answer.await) }
        });
        Client::new(service, "default")
    }

    /// Waits until so many requests hang.
    async fn hang(&self, wanted: usize) {
        let mut hanging = self.hanging.subscribe();
        let enough = hanging.wait_for(|hanging| *hanging >= wanted);
        let waited = tokio::time::timeout(SOON, enough).await.is_ok();
        assert!(waited, "{} hang", *self.hanging.borrow());
    }

    fn count(&self, kind: &str) -> usize {
        count(&self.answered.borrow(), kind)
    }

    async fn until(&self, kind: &str, wanted: usize) {
        let mut answered = self.answered.subscribe();
        let enough = answered.wait_for(|answered| count(answered, kind) >= wanted);
        let waited = tokio::time::timeout(SOON, enough).await.is_ok();
        assert!(
            waited,
            "{} {kind}: {:?}",
            self.count(kind),
            self.answered.borrow()
        );
    }
}

fn count(answered: &[String], kind: &str) -> usize {
    answered.iter().filter(|path| path.contains(kind)).count()
}

/// Somebody ended it while its Job is under way.
fn run(number: usize) -> Decoded<AnalysisRun> {
    let name = format!("run-{number}");
    let measurement = json!({
        "phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "resumeAt": "2036-01-01T00:00:00Z",
        "metadata": {"job-name": format!("{name}.smoke.1"), "job-namespace": "shop"},
    });
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"},
        "spec": {"terminate": true, "metrics": [{
            "name": "smoke",
            "provider": {"job": {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "t"}]}}}}},
        }]},
        "status": {"phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "metricResults": [
            {"name": "smoke", "phase": "Running", "measurements": [measurement]},
        ]},
    });
    serde_json::from_value(object).unwrap()
}

/// A controller with all these runs under way, and, when so many requests of theirs hang, a Rollout.
async fn stalls_no_rollout(server: &Arc<Server>, hang: usize) -> tokio::task::JoinHandle<()> {
    let caches = Arc::new(Caches::default());
    caches.rollouts.show(rollout("shop"));
    let controller = Arc::new(controller(&server.client(), Arc::clone(&caches)));
    for number in 0..RUNS {
        caches.runs.show(run(number));
        let key = ObjectKey::new("shop", format!("run-{number}"));
        controller.queue.add(Work::Run(key));
    }
    let running = tokio::spawn(Arc::clone(&controller).run());
    server.hang(hang).await;
    let work = Work::Rollout(ObjectKey::new("shop", "web"));
    controller.queue.add(work);
    server.until("/rollouts/web/status", 1).await;
    assert_eq!(server.count("/analysisruns/"), 0, "none is over yet");
    running
}

#[tokio::test]
async fn a_job_cluster_that_accepts_and_hangs_stalls_no_rollout() {
    let server = Server::new("/apis/batch/");
    let running = stalls_no_rollout(&server, 1).await;
    server.goes_on.send_replace(true);
    server.until("/analysisruns/", RUNS).await;
    assert_eq!(server.count("/jobs/"), RUNS, "each Job was ended, and once");
    let answered = server.answered.borrow().clone();
    let place = |wanted: &str| {
        answered
            .iter()
            .position(|path| format!("{path}.").contains(wanted))
    };
    for number in 0..RUNS {
        let job = place(&format!("/jobs/run-{number}."));
        let over = place(&format!("/analysisruns/run-{number}."));
        assert!(job.is_some() && job < over, "run-{number}: {answered:?}");
    }
    running.abort();
}

#[tokio::test]
async fn runs_that_are_written_slowly_stall_no_rollout() {
    let server = Server::new("/analysisruns/");
    // Every worker that runs may have has one: what is named after that needs one of the others.
    let running = stalls_no_rollout(&server, WORKERS_FOR_RUNS).await;
    server.goes_on.send_replace(true);
    server.until("/analysisruns/", RUNS).await;
    running.abort();
}
