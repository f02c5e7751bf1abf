//! A watch of runs or of templates that lags behind that of Experiments: of an agent that has just become the leader, or of what
//! came in one `apply`. In: an Experiment that names one, a cache without it, an API server that has it or not. Out: what the
//! Experiment's status becomes.

use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;

use super::*;

const NAMESPACE: &str = "shop";

fn experiment() -> Value {
    let pods = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "compare", "namespace": NAMESPACE, "uid": "experiment-uid", "resourceVersion": "1"},
        "spec": {
            "templates": [{"name": "one", "selector": {"matchLabels": {"app": "web"}}, "template": pods}],
            "analyses": [{"name": "p95", "templateName": "p95", "requiredForCompletion": true}],
        },
        "status": {
            "phase": "Running", "availableAt": "2026-01-01T00:00:00Z",
            "templateStatuses": [{"name": "one", "status": "Successful"}],
            "analysisRuns": [{"name": "p95", "analysisRun": "compare-p95", "phase": "Running"}],
        },
    })
}

fn run(owner: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {
            "name": "compare-p95", "namespace": NAMESPACE, "uid": "run-uid", "resourceVersion": "1",
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Experiment", "name": "compare", "uid": owner, "controller": true,
            }],
        },
        "spec": {"metrics": []},
        "status": {"phase": "Running"},
    })
}

/// Reads of the run are answered with this, and kept as `null`; writes as they were sent, and kept.
fn client(run: Option<Value>, written: &Arc<Mutex<Vec<Value>>>) -> Client {
    let written = Arc::clone(written);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (written, run) = (Arc::clone(&written), run.clone());
        async move {
            let read = request.method() == http::Method::GET;
            if read {
                written.lock().unwrap().push(Value::Null);
            }
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let missing = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": ""});
            let (code, answer) = match (read, run) {
                (true, Some(run)) => (200, run),
                (true, None) => (404, missing),
                (false, _) => {
                    let mut sent: Value = serde_json::from_slice(&sent).unwrap();
                    written.lock().unwrap().push(sent.clone());
                    sent["metadata"]["uid"] = json!("experiment-uid");
                    (200, sent)
                }
            };
            let body = Body::from(answer.to_string().into_bytes());
            let answer = http::Response::builder().status(code).body(body);
            Ok::<_, std::io::Error>(answer.unwrap())
        }
    });
    Client::new(service, "default")
}

/// The phase that one pass writes, if it writes one.
async fn phase_written(of_server: Option<Value>) -> Option<String> {
    let asked = asked(experiment(), of_server, None).await;
    let phase = asked
        .iter()
        .find_map(|body| body.pointer("/status/phase")?.as_str());
    phase.map(str::to_owned)
}

fn controller(caches: Arc<Caches>, client: Client) -> ExperimentController {
    let metrics = Metrics::new().unwrap();
    let writer = Writer::new(client.clone());
    let (events, _) = Events::new(writer.clone(), metrics.clone());
    ExperimentController::new(caches, (client, writer), Arc::default(), events, metrics)
}

/// What one pass over an Experiment asks of the API server.
async fn asked(experiment: Value, of_server: Option<Value>, cached: Option<Value>) -> Vec<Value> {
    let (written, caches) = (Arc::default(), Arc::new(Caches::default()));
    if let Some(run) = cached {
        caches.runs.show(serde_json::from_value(run).unwrap());
    }
    caches
        .experiments
        .show(serde_json::from_value(experiment).unwrap());
    let controller = controller(caches, client(of_server, &written));
    let key = ObjectKey::new(NAMESPACE, "compare");
    let outcome = controller.reconcile(&key, Leave::Given).await;
    assert!(matches!(outcome, Ok(Outcome::Done(_))));
    let written: &Mutex<Vec<Value>> = &written;
    written.lock().unwrap().clone()
}

fn unreadable(owner: &str) -> Value {
    let mut run = run(owner);
    run["spec"]["metrics"] = json!("many");
    run
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_not_read_again_and_waited_for() {
    let own = unreadable("experiment-uid");
    let written = asked(experiment(), Some(own.clone()), Some(own)).await;
    assert!(!written.contains(&Value::Null), "{written:?}");
    let said = |pointer: &str| {
        let found = written.iter().find_map(|body| body.pointer(pointer));
        found.and_then(Value::as_str)
    };
    assert_eq!(said("/status/phase"), None, "{written:?}");
    let why = said("/status/analysisRuns/0/message").unwrap_or_default();
    assert!(why.starts_with("the run cannot be read: "), "{written:?}");
    // Another's under its name is none of its business.
    let other = Some(unreadable("another"));
    let other = asked(experiment(), Some(run("another")), other).await;
    assert!(other.contains(&Value::Null), "{other:?}");
}

#[tokio::test]
async fn an_experiment_hears_terminate_also_while_its_run_cannot_be_read() {
    let mut ended = experiment();
    ended["spec"]["terminate"] = json!(true);
    let own = unreadable("experiment-uid");
    let written = asked(ended, Some(own.clone()), Some(own)).await;
    let phase = |pointer: &str| {
        let found = written.iter().find_map(|body| body.pointer(pointer));
        found.and_then(Value::as_str)
    };
    // What the run would have said is not known.
    assert_eq!(phase("/status/phase"), Some("Error"), "{written:?}");
    assert_eq!(phase("/status/analysisRuns/0/phase"), Some("Error"));
}

#[tokio::test]
async fn a_run_that_the_cache_does_not_show_yet_is_not_taken_for_a_deleted_one() {
    assert_eq!(phase_written(Some(run("experiment-uid"))).await, None);
    // Gone for good, or another's under its name.
    for of_server in [None, Some(run("another"))] {
        assert_eq!(phase_written(of_server).await.as_deref(), Some("Error"));
    }
}

#[tokio::test]
async fn a_template_that_the_cache_does_not_show_yet_is_not_taken_for_a_missing_one() {
    let mut begins = experiment();
    begins["status"] = json!({});
    let template = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "p95", "namespace": NAMESPACE},
        "spec": {"metrics": [{"name": "p95", "count": 1, "provider": {"web": {"url": "http://x"}}}]},
    });
    for (of_server, ends) in [(Some(template), false), (None, true)] {
        let written = asked(begins.clone(), of_server, None).await;
        let makes = written.iter().any(|body| body["kind"] == "ReplicaSet");
        let phase = written
            .iter()
            .find_map(|body| body.pointer("/status/phase"));
        assert_eq!(makes, !ends, "{written:?}");
        assert_eq!(phase == Some(&json!("Error")), ends, "{written:?}");
    }
}

#[tokio::test]
async fn what_the_clock_was_set_by_is_known_and_puts_no_refused_set_off() {
    let controller = controller(Arc::default(), client(None, &Arc::default()));
    let key = ObjectKey::new(NAMESPACE, "compare");
    let experiment: Experiment = serde_json::from_value(experiment()).unwrap();
    let begun = std::time::Instant::now();
    let available = experiment.status.as_ref().unwrap().available_at.unwrap();
    let at = |ahead: i64, seconds: u64| Moment {
        now: Timestamp::from_second(1_800_000_000 + ahead + seconds as i64).unwrap(),
        mono: begun + Duration::from_secs(seconds),
    };
    let refused = Refused {
        message: "exceeded quota".into(),
        invalid: false,
        until: later(at(0, 0).now, REFUSED.most),
    };
    let learned = Learned {
        refused: BTreeMap::from([("one".to_owned(), (refused, 9))]),
        taken: Vec::new(),
    };
    controller.lock().insert(key.clone(), learned);
    for (seconds, ahead) in [(0, 0), (1, 3_600), (2, -3_600), (3, 0)] {
        let at = at(ahead, seconds);
        let observed = controller.observe(&experiment, &key, at);
        let set = observed.clock_set.shifted(available).as_second() - available.as_second();
        assert_eq!(set, ahead, "after {seconds} s");
        let wait = observed.refused["one"].until.duration_since(at.now);
        assert!(wait <= REFUSED.most.try_into().unwrap(), "{wait:#}");
    }
}
