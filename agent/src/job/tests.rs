//! An API server that keeps Jobs, loses replies and refuses. In: measurements. Out: one Job each, its verdict, its end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use agent_api::{AnalysisPhase, Decoded};
use serde_json::json;

use super::*;

#[derive(Default)]
struct Server {
    jobs: Mutex<BTreeMap<String, Value>>,
    pods: Mutex<Vec<Value>>,
    /// Replies to creations that are still to be lost.
    lose: AtomicU32,
    /// Not 0: Jobs cannot be looked at.
    down: AtomicU32,
    requests: Mutex<Vec<String>>,
}

impl Server {
    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        self.requests
            .lock()
            .unwrap()
            .push(format!("{method} {path}"));
        let status = |code: u16, reason: &str| {
            let body = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason});
            (code, body)
        };
        if path.ends_with("/pods") {
            return (
                200,
                json!({"metadata": {}, "items": *self.pods.lock().unwrap()}),
            );
        }
        if method == "GET" && path.contains("/forbidden/") {
            return status(403, "Forbidden");
        }
        if method == "GET" && self.down.load(Ordering::SeqCst) > 0 {
            return status(503, "ServiceUnavailable");
        }
        let mut jobs = self.jobs.lock().unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        match method {
            "POST" => {
                let job: Value = serde_json::from_slice(body).unwrap();
                let name = job["metadata"]["name"].as_str().unwrap().to_owned();
                if path.contains("/full/") {
                    return status(403, "exceeded quota");
                }
                if jobs.contains_key(&name) {
                    return status(409, "AlreadyExists");
                }
                jobs.insert(name, job.clone());
                let lost = self.lose.load(Ordering::SeqCst) > 0;
                if lost {
                    self.lose.fetch_sub(1, Ordering::SeqCst);
                    return status(504, "Timeout");
                }
                (201, job)
            }
            "DELETE" => match jobs.remove(&name) {
                Some(job) => (200, job),
                None => status(404, "NotFound"),
            },
            _ => match jobs.get(&name) {
                Some(job) => (200, job.clone()),
                None => status(404, "NotFound"),
            },
        }
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let server = Arc::clone(&server);
            async move {
                let (method, path) = (
                    request.method().to_string(),
                    request.uri().path().to_owned(),
                );
                let sent = request.into_body().collect_bytes().await.unwrap();
                if method == "DELETE" {
                    let options: Value = serde_json::from_slice(&sent).unwrap();
                    assert_eq!(options["propagationPolicy"], "Foreground");
                }
                let (code, body) = server.answer(&method, &path, &sent);
                let body = kube::client::Body::from(body.to_string().into_bytes());
                let answer = http::Response::builder().status(code).body(body);
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn set(&self, name: &str, status: Value) {
        self.jobs.lock().unwrap().get_mut(name).unwrap()["status"] = status;
    }
}

fn world() -> (Arc<Server>, Arc<Store<Job>>, Jobs) {
    let server = Arc::<Server>::default();
    let store = Arc::new(Store::new(|object: &Decoded<Job>| {
        let labels = object.metadata().labels.clone().unwrap_or_default();
        labels.get(LABEL_RUN_UID).cloned().into_iter().collect()
    }));
    let jobs = Jobs::beside_runs(server.client(), Arc::clone(&store));
    (server, store, jobs)
}

fn smoke() -> Metric {
    serde_json::from_value(json!({
        "name": "smoke",
        "provider": {"job": {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "t"}]}}}}},
    }))
    .unwrap()
}

fn place(jobs: &Jobs, namespace: &str, number: i64) -> Place {
    jobs.place(&ObjectKey::new(namespace, "run"), "uid", "smoke", number)
}

fn later(outcome: Outcome) -> BTreeMap<String, String> {
    match outcome {
        Outcome::Later { memory, .. } => memory,
        Outcome::Over { judgement, .. } => panic!("{judgement:?}"),
    }
}

fn judged(outcome: Outcome) -> (AnalysisPhase, String) {
    match outcome {
        Outcome::Over { judgement, .. } => (judgement.phase, judgement.message.unwrap_or_default()),
        Outcome::Later { .. } => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_job() {
    let (server, _, jobs) = world();
    server.lose.store(1, Ordering::SeqCst);
    let place = place(&jobs, "shop", 1);
    let memory = later(jobs.begin(&smoke(), &place).await);
    assert_eq!(memory[MEMORY_NAME], "uid.smoke.1");
    assert_eq!(memory[MEMORY_NAMESPACE], "shop");
    // An agent that died before it wrote that down.
    assert_eq!(later(jobs.begin(&smoke(), &place).await), memory);
    assert_eq!(server.jobs.lock().unwrap().len(), 1);
    let created = server.requests.lock().unwrap();
    assert_eq!(created[0], "POST /apis/batch/v1/namespaces/shop/jobs");
}

#[tokio::test]
async fn a_job_that_cannot_be_made_is_an_error() {
    let (server, _, jobs) = world();
    let (phase, message) = judged(jobs.begin(&smoke(), &place(&jobs, "full", 1)).await);
    assert_eq!(phase, AnalysisPhase::Error);
    assert!(message.contains("exceeded quota"), "{message}");
    let foreign =
        json!({"metadata": {"name": "uid.smoke.1", "labels": {LABEL_RUN_UID: "another"}}});
    server
        .jobs
        .lock()
        .unwrap()
        .insert("uid.smoke.1".to_owned(), foreign);
    let (phase, message) = judged(jobs.begin(&smoke(), &place(&jobs, "shop", 1)).await);
    assert_eq!(phase, AnalysisPhase::Error);
    assert!(message.contains("somebody else"), "{message}");
    let mut without = smoke();
    without.provider.job.as_mut().unwrap().spec = None;
    let (phase, _) = judged(jobs.begin(&without, &place(&jobs, "shop", 2)).await);
    assert_eq!(phase, AnalysisPhase::Error);
}

#[tokio::test]
async fn looking_tells_how_it_stands() {
    let (server, _, jobs) = world();
    let memory = later(jobs.begin(&smoke(), &place(&jobs, "shop", 1)).await);
    let now = Timestamp::now();
    let wait = |outcome: Outcome| match outcome {
        Outcome::Later { resume_at, .. } => resume_at.duration_since(now).as_secs(),
        Outcome::Over { .. } => panic!("{outcome:?}"),
    };
    assert!(wait(jobs.look(&memory, now).await) <= 5, "it comes up");
    server.set("uid.smoke.1", json!({"active": 1, "ready": 1}));
    assert!(
        wait(jobs.look(&memory, now).await) >= 300,
        "its end is told"
    );
    server.set("uid.smoke.1", json!({"active": 1, "ready": 0}));
    *server.pods.lock().unwrap() = vec![json!({
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": "t", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
    })];
    let (phase, message) = judged(jobs.look(&memory, now).await);
    assert_eq!(phase, AnalysisPhase::Inconclusive);
    assert!(message.contains("ImagePullBackOff"), "{message}");
    server.set(
        "uid.smoke.1",
        json!({"conditions": [{"type": "Complete", "status": "True"}]}),
    );
    assert_eq!(
        judged(jobs.look(&memory, now).await).0,
        AnalysisPhase::Successful
    );
    let deadline = json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"});
    server.set("uid.smoke.1", json!({"conditions": [deadline]}));
    let (phase, message) = judged(jobs.look(&memory, now).await);
    assert_eq!(phase, AnalysisPhase::Failed);
    assert!(message.contains("DeadlineExceeded"), "{message}");
}

#[tokio::test]
async fn f51_a_job_deleted_under_way_is_an_error() {
    let (server, _, jobs) = world();
    let memory = later(jobs.begin(&smoke(), &place(&jobs, "shop", 1)).await);
    server.jobs.lock().unwrap().clear();
    let (phase, message) = judged(jobs.look(&memory, Timestamp::now()).await);
    assert_eq!(phase, AnalysisPhase::Error);
    assert!(message.contains("deleted"), "{message}");
    let (phase, _) = judged(jobs.look(&BTreeMap::new(), Timestamp::now()).await);
    assert_eq!(phase, AnalysisPhase::Error);
}

/// F51. Whoever may not look at Jobs gets a verdict, not a run that waits for ever.
#[tokio::test]
async fn f51_a_job_that_cannot_be_looked_at_is_an_error() {
    let (server, _, jobs) = world();
    let now = Timestamp::now();
    let forbidden = later(jobs.begin(&smoke(), &place(&jobs, "forbidden", 1)).await);
    let (phase, message) = judged(jobs.look(&forbidden, now).await);
    assert_eq!(phase, AnalysisPhase::Error);
    assert!(message.contains("is refused: Forbidden"), "{message}");

    let begun = later(jobs.begin(&smoke(), &place(&jobs, "shop", 2)).await);
    server.down.store(1, Ordering::SeqCst);
    let unseen = later(jobs.look(&begun, now).await);
    let since: Timestamp = unseen[MEMORY_UNSEEN].parse().unwrap();
    assert!(since >= now);
    assert_eq!(
        later(jobs.look(&unseen, now).await),
        unseen,
        "since the first"
    );
    let ago = |minutes| {
        let since = now.checked_sub(SignedDuration::from_mins(minutes)).unwrap();
        let mut memory = unseen.clone();
        memory.insert(MEMORY_UNSEEN.to_owned(), since.to_string());
        memory
    };
    later(jobs.look(&ago(4), now).await);
    let (phase, message) = judged(jobs.look(&ago(6), now).await);
    assert_eq!(phase, AnalysisPhase::Error);
    assert!(message.contains("so it was since"), "{message}");
    // It is back in time.
    server.down.store(0, Ordering::SeqCst);
    assert_eq!(later(jobs.look(&ago(6), now).await), begun);
}

#[tokio::test]
async fn a_job_ends_when_it_is_to_and_twice_does_no_harm() {
    let (server, _, jobs) = world();
    let memory = later(jobs.begin(&smoke(), &place(&jobs, "shop", 1)).await);
    jobs.end(&job_of(&memory).unwrap()).await.unwrap();
    assert!(server.jobs.lock().unwrap().is_empty());
    jobs.end(&job_of(&memory).unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_watch_tells_the_end_and_old_jobs_go() {
    let (server, store, jobs) = world();
    for number in 1..=12 {
        let memory = later(jobs.begin(&smoke(), &place(&jobs, "shop", number)).await);
        assert_eq!(jobs.told(&memory), None);
        let name = memory[MEMORY_NAME].clone();
        let mut job = server.jobs.lock().unwrap()[&name].clone();
        job["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        store.show(serde_json::from_value(job).unwrap());
        let told = jobs.told(&memory).unwrap();
        assert_eq!(told.phase, AnalysisPhase::Successful);
    }
    let left = server.jobs.lock().unwrap();
    assert_eq!(left.len(), KEPT + 1, "{:?}", left.keys());
    assert!(!left.contains_key("uid.smoke.1"));
}

#[tokio::test]
async fn jobs_elsewhere_have_no_owner() {
    let (server, _, here) = world();
    let run = ObjectKey::new("shop", "run");
    assert!(here.place(&run, "uid", "m", 1).owned);
    for (namespace, here, expected) in [
        (Some("jobs"), true, ("jobs", false)),
        (Some("shop"), true, ("shop", true)),
        (None, false, ("shop", false)),
    ] {
        let jobs = Jobs::elsewhere(server.client(), namespace.map(str::to_owned), here);
        let place = jobs.place(&run, "uid", "m", 1);
        assert_eq!((place.namespace.as_str(), place.owned), expected);
    }
}
