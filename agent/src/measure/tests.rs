//! Measurements against a server of one line. In: its answer, or its silence. Out: what is finished.

use std::pin::Pin;

use agent_api::{AnalysisPhase, MetricProvider, PrometheusMetric};
use agent_providers::{Environment, NoSecrets, SecretData, SecretNeed, Secrets, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

mod canary;
mod faults;
mod network;

/// A server that answers every request with this body, and never when there is none.
async fn prometheus(body: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(body) = body else {
                silent.push(stream);
                continue;
            };
            let mut request = [0_u8; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn metric(timeout: Option<i64>) -> Metric {
    Metric {
        name: "rate".to_owned(),
        success_condition: Some("result[0] >= 0.95".to_owned()),
        provider: MetricProvider {
            prometheus: Some(PrometheusMetric {
                query: Some("rate".to_owned()),
                timeout,
                ..PrometheusMetric::default()
            }),
            ..MetricProvider::default()
        },
        ..Metric::default()
    }
}

fn question(metric: Metric) -> Question {
    Question {
        metric: Box::new(metric),
        secrets: Vec::new(),
        number: 1,
        before: None,
    }
}

fn asker(prometheus_address: Option<String>) -> Asker {
    let environment = Environment {
        prometheus_address,
        ..Environment::default()
    };
    Asker::new(Transport::default(), Arc::new(NoSecrets), environment)
}

/// Nothing is made there.
fn jobs() -> Arc<Jobs> {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("no API server"))
    });
    Arc::new(Jobs::elsewhere(
        kube::Client::new(service, "default"),
        None,
        true,
    ))
}

struct World {
    measurer: Arc<Measurer>,
    queue: Arc<Queue<Work>>,
    key: ObjectKey,
    run: Uid,
}

impl World {
    fn new(address: Option<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::with(asker(address))
    }

    fn with(asker: Asker) -> Self {
        let queue = Arc::new(Queue::default());
        Self {
            measurer: Arc::new(Measurer::new(asker, jobs(), Arc::clone(&queue))),
            queue,
            key: ObjectKey::new("shop", "run"),
            run: "uid".into(),
        }
    }

    async fn measure(&self, metric: Metric) -> Finished {
        self.measurer.start(&self.key, &self.run, question(metric));
        assert_eq!(self.queue.next().await, Work::Run(self.key.clone()));
        self.queue.done(&Work::Run(self.key.clone()));
        let (in_flight, finished) = self.measurer.under_way(&self.run, Moment::read());
        assert!(in_flight.is_empty());
        self.measurer.settle(&self.run, finished.len());
        assert!(
            self.measurer
                .under_way(&self.run, Moment::read())
                .1
                .is_empty()
        );
        finished.into_iter().next().unwrap()
    }
}

#[tokio::test]
async fn a_measurement_is_judged_and_names_its_run() {
    const GOOD: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.98"]}]}}"#;
    let finished = World::new(Some(prometheus(Some(GOOD)).await))
        .measure(metric(None))
        .await;
    assert_eq!(
        finished.phase,
        AnalysisPhase::Successful,
        "{:?}",
        finished.message
    );
    assert_eq!(finished.value.as_deref(), Some("[0.98]"));
}

#[tokio::test]
async fn what_cannot_be_measured_is_an_error() {
    let silent = World::new(Some(prometheus(None).await));
    let finished = silent.measure(metric(Some(1))).await;
    assert_eq!(finished.phase, AnalysisPhase::Error);
    assert!(
        finished
            .message
            .unwrap()
            .contains("did not answer within 1 s")
    );
    let finished = World::new(None).measure(metric(None)).await;
    assert!(finished.message.unwrap().contains("--prometheus-address"));
    let mut other = metric(None);
    other.provider.prometheus = None;
    other
        .provider
        .rest
        .insert("datadog".to_owned(), serde_json::json!({}));
    let finished = World::new(None).measure(other).await;
    assert!(finished.message.unwrap().contains("datadog"));
}

#[tokio::test]
async fn what_was_given_up_does_not_count() {
    let world = World::new(Some(prometheus(None).await));
    world
        .measurer
        .start(&world.key, &world.run, question(metric(None)));
    world
        .measurer
        .start(&world.key, &world.run, question(metric(None)));
    assert_eq!(
        world.measurer.under_way(&world.run, Moment::read()).0.len(),
        1
    );
    world.measurer.cancel(&world.run, "rate");
    assert!(
        world
            .measurer
            .under_way(&world.run, Moment::read())
            .0
            .is_empty()
    );
    assert!(
        world
            .measurer
            .under_way(&world.run, Moment::read())
            .1
            .is_empty()
    );
}

struct Panics;

impl Secrets for Panics {
    fn read<'a>(
        &'a self,
        _: &'a SecretNeed,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Option<SecretData>, String>> + Send + 'a>> {
        std::panic::resume_unwind(Box::new("poisoned"))
    }
}

#[tokio::test]
async fn a_measurement_that_panics_is_an_error() {
    let mut world = World::new(None);
    let asker = Asker::new(
        Transport::default(),
        Arc::new(Panics),
        Environment::default(),
    );
    world.measurer = Arc::new(Measurer::new(asker, jobs(), Arc::clone(&world.queue)));
    let place = SecretKeyRef {
        name: "api".to_owned(),
        key: "token".to_owned(),
        ..SecretKeyRef::default()
    };
    let question = Question {
        secrets: vec![("token".to_owned(), place)],
        ..question(metric(None))
    };
    world.measurer.start(&world.key, &world.run, question);
    assert_eq!(world.queue.next().await, Work::Run(world.key.clone()));
    let (in_flight, finished) = world.measurer.under_way(&world.run, Moment::read());
    assert!(in_flight.is_empty(), "it would be measured for ever");
    assert_eq!(finished[0].phase, AnalysisPhase::Error);
    let message = finished[0].message.clone().unwrap();
    assert!(message.contains("panicked"), "{message}");
}

#[tokio::test]
async fn the_wait_for_its_turn_is_part_of_the_time_a_measurement_has() {
    let address = prometheus(None).await;
    let mut world = World::new(Some(address.clone()));
    let measurer = Arc::get_mut(&mut world.measurer).unwrap();
    measurer.longest = Duration::from_millis(300);
    let name = server(&metric(None), measurer.asker.environment());
    let slots = measurer.slots.clone();
    let mut held = Vec::new();
    while let Some(slot) = slots.acquire(&name, &world.key.namespace).now_or_never() {
        held.push(slot);
    }
    world
        .measurer
        .start(&world.key, &world.run, question(metric(None)));
    let (in_flight, _) = world.measurer.under_way(&world.run, Moment::read());
    assert_eq!(in_flight["rate"], None, "not asked yet");
    world.queue.next().await;
    let (_, finished) = world.measurer.under_way(&world.run, Moment::read());
    assert_eq!(finished[0].phase, AnalysisPhase::Error);
    let message = finished[0].message.clone().unwrap();
    assert!(
        message.contains("the wait for its turn included"),
        "{message}"
    );
    drop(held);
}

/// An API server that makes a Job when it is let, and says what it deletes.
fn slow_jobs(
    go_on: &Arc<tokio::sync::Notify>,
    said: &tokio::sync::mpsc::UnboundedSender<String>,
) -> Arc<Jobs> {
    let (go_on, said) = (Arc::clone(go_on), said.clone());
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (go_on, said) = (Arc::clone(&go_on), said.clone());
        async move {
            let method = request.method().to_string();
            said.send(format!("{method} {}", request.uri().path()))
                .unwrap();
            if method == "POST" {
                go_on.notified().await;
            }
            let sent = request.into_body().collect_bytes().await.unwrap();
            let body = kube::client::Body::from(sent.to_vec());
            Ok::<_, std::io::Error>(http::Response::new(body))
        }
    });
    Arc::new(Jobs::elsewhere(
        kube::Client::new(service, "default"),
        None,
        false,
    ))
}

#[tokio::test]
async fn a_job_that_is_being_made_when_its_run_ends_is_ended() {
    let smoke: Metric = serde_json::from_value(serde_json::json!({
        "name": "smoke",
        "provider": {"job": {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "t"}]}}}}},
    }))
    .unwrap();
    let mut world = World::new(None);
    let go_on = Arc::new(tokio::sync::Notify::new());
    let (said, mut says) = tokio::sync::mpsc::unbounded_channel();
    let jobs = slow_jobs(&go_on, &said);
    world.measurer = Arc::new(Measurer::new(asker(None), jobs, Arc::clone(&world.queue)));
    for gone in [false, true] {
        world
            .measurer
            .start(&world.key, &world.run, question(smoke.clone()));
        assert_eq!(
            says.recv().await.unwrap(),
            "POST /apis/batch/v1/namespaces/shop/jobs"
        );
        let (in_flight, _) = world.measurer.under_way(&world.run, Moment::read());
        assert!(in_flight["smoke"].is_some(), "it is asked");
        match gone {
            true => world.measurer.forget(&world.key),
            false => world.measurer.cancel(&world.run, "smoke"),
        }
        go_on.notify_one();
        let deleted = "DELETE /apis/batch/v1/namespaces/shop/jobs/uid.smoke.1";
        assert_eq!(says.recv().await.unwrap(), deleted);
        assert!(
            world
                .measurer
                .under_way(&world.run, Moment::read())
                .1
                .is_empty()
        );
    }
}

/// A run without finalizers is never seen on its way out: what is left is its name.
#[tokio::test]
async fn nothing_is_kept_of_a_run_that_is_gone() {
    let world = World::new(None);
    let left = || -> (usize, usize, usize) {
        let state = world.measurer.lock();
        let running = state.runs.values().map(|run| run.running.len());
        let finished = state.runs.values().map(|run| run.finished.len());
        (state.names.len(), running.sum(), finished.sum())
    };
    world
        .measurer
        .start(&world.key, &world.run, question(metric(None)));
    assert_eq!(world.queue.next().await, Work::Run(world.key.clone()));
    assert_eq!(left(), (1, 0, 1), "measured, and not in its status");
    world.measurer.forget(&world.key);
    assert_eq!(left(), (0, 0, 0));

    let silent = World::new(Some(prometheus(None).await));
    silent
        .measurer
        .start(&silent.key, &silent.run, question(metric(None)));
    let again: Uid = "made again".into();
    silent
        .measurer
        .start(&silent.key, &again, question(metric(None)));
    assert!(
        silent
            .measurer
            .under_way(&silent.run, Moment::read())
            .0
            .is_empty()
    );
    assert_eq!(silent.measurer.under_way(&again, Moment::read()).0.len(), 1);
    silent.measurer.forget(&silent.key);
    assert!(
        silent
            .measurer
            .under_way(&again, Moment::read())
            .0
            .is_empty()
    );
}
