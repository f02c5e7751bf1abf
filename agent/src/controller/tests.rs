//! Passes that panic, before an API server of this test's own: the panic comes out of its answers, so the program has
//! nothing in it for this test. In: more poisoned Rollouts than there are workers, and good ones behind them. Out: the good
//! ones have their passes, the poisoned ones are tried again later and later, it is said and counted, and they recover.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use agent_api::{Decoded, FirstContact, Uid};
use agent_engine::Settings;
use agent_providers::{Asker, Environment, NoSecrets, Transport};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::analysis_pace::Pace;
use crate::apply::Undecodable;
use crate::cache::{Caches, Reach};
use crate::claims::Claims;
use crate::event::Events;
use crate::fleet::{Fleet, Kinds};
use crate::fleet_member::UnreadMembers;
use crate::job::Jobs;
use crate::link::report::Reports;
use crate::measure::Measurer;
use crate::moments::SharedMoments;
use crate::queue::Load;
use crate::refusals::Refusals;
use crate::rehearsal::Rehearsal;
use crate::status_times::StatusTimes;
use crate::stored::StoredForms;
use crate::workloads::Workloads;
use crate::writer::Writer;
use crate::written::Written;

/// Were a worker lost by a panic, none would be left.
const POISONED: usize = WORKERS + 8;
const GOOD: usize = 3;
/// Each of them waits longer than the one before.
const TRIES: usize = 4;
/// What each pass begins with here: the revision, on the Rollout.
const FIRST_WRITE: &str = "PATCH";
/// A pass here takes milliseconds.
const LONG: Duration = Duration::from_secs(30);

/// What the API server was asked, as it was asked.
#[derive(Default)]
struct Server {
    cured: AtomicBool,
    asked: Mutex<HashMap<String, Vec<Instant>>>,
    changed: tokio::sync::Notify,
}

impl Server {
    /// When a namespace was asked for something.
    fn asked(&self, what: &str, namespace: &str) -> Vec<Instant> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.get(&format!("{what} {namespace}"));
        times.cloned().unwrap_or_default()
    }

    fn note(&self, what: &str, namespace: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(format!("{what} {namespace}")).or_default();
        times.push(Instant::now());
        self.changed.notify_one();
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !wanted(self) {
                self.changed.notified().await;
            }
        };
        let waited = tokio::time::timeout(LONG, waiting).await;
        waited.unwrap_or_else(|_| panic!("{what}: {:?}", self.asked));
    }

    /// Writes are answered as they were sent, with a version; in a poisoned namespace they panic.
    async fn answer(self: Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let namespace = parts.uri.path().split('/').nth(5).unwrap_or_default();
        let what = match parts.uri.path().ends_with("/status") {
            true => "status",
            false => parts.method.as_str(),
        };
        self.note(what, namespace);
        if namespace.starts_with("poisoned") && !self.cured.load(Ordering::Acquire) {
            // As a panic is, but for the backtraces, which take longer to print than all the rest here.
            std::panic::resume_unwind(Box::new("poisoned"));
        }
        let sent = body.collect().await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&sent).unwrap();
        answer["metadata"]["resourceVersion"] = json!("2");
        answer["metadata"]["uid"] = json!(format!("{what}-{namespace}"));
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
}

pub(super) fn rollout(namespace: &str) -> Decoded<Rollout> {
    let labels = json!({"app": "web"});
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {
            "name": "web", "namespace": namespace, "uid": namespace, "generation": 1, "resourceVersion": "1",
        },
        "spec": {
            "selector": {"matchLabels": labels}, "strategy": {"canary": {}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    });
    serde_json::from_value(object).unwrap()
}

/// Asks providers that need no secret.
fn asker() -> Asker {
    let transport = Transport::default();
    Asker::new(transport, Arc::new(NoSecrets), Environment::default())
}

/// A whole controller before this API server.
pub(super) fn controller(client: &Client, caches: Arc<Caches>) -> Controller {
    let (queue, metrics) = (Arc::new(work_queue()), Metrics::new().unwrap());
    let (writer, written) = (Writer::new(client.clone()), Arc::new(Written::default()));
    let workloads = Workloads::new(client.clone(), Reach::Cluster, Arc::clone(&queue));
    let workloads = Arc::new(workloads);
    let fleet = Arc::new(Fleet::new(false, FirstContact::Open, Uid::default()));
    fleet.set_kinds(Kinds::Absent);
    // Nobody writes the events.
    let (events, _) = Events::new(writer.clone(), metrics.clone());
    let refusals: Arc<Refusals> = Arc::default();
    let status_times: Arc<StatusTimes> = Arc::default();
    let claims = Arc::new(Claims::new(client.clone()));
    let jobs = Arc::new(Jobs::elsewhere(client.clone(), None, true));
    let experiments = ExperimentController::new(
        Arc::clone(&caches),
        (client.clone(), writer.clone()),
        Arc::clone(&written),
        events.clone(),
        metrics.clone(),
    );
    let spent = crate::spent::Spent::new(Arc::clone(&caches), Arc::clone(&fleet));
    let spent = Arc::new(spent);
    let measurer = Measurer::new(asker(), Arc::clone(&jobs), Arc::clone(&queue));
    Controller {
        observer: Observer {
            spent: Arc::clone(&spent),
            unread: UnreadMembers::default(),
            caches: Arc::clone(&caches),
            fleet,
            namespace: "groundswell".to_owned(),
            client: client.clone(),
            workloads: Arc::clone(&workloads),
            rehearsal: Rehearsal::new(writer.clone()),
            refusals: Arc::clone(&refusals),
            claims: Arc::clone(&claims),
            status_times: Arc::clone(&status_times),
            moments: SharedMoments::default(),
            settings: Settings::default(),
            stored: StoredForms::new(client.clone()),
        },
        applier: Applier {
            spent,
            writer: writer.clone(),
            written: Arc::clone(&written),
            workloads,
            metrics: metrics.clone(),
            events: events.clone(),
            reports: Arc::new(Reports::new(false)),
            namespace: "groundswell".to_owned(),
            refusals,
            claims,
            status_times,
            undecodable: Undecodable::default(),
        },
        analysis: AnalysisController {
            caches,
            measurer: Arc::new(measurer),
            jobs,
            writer,
            written,
            events,
            pace: Pace::default(),
            moments: SharedMoments::default(),
        },
        experiments,
        queue,
        metrics,
        failures: Mutex::default(),
        first: FirstPass::over(Vec::new()),
        resync: Duration::from_secs(900),
    }
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

fn names(word: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{word}-{number}"))
        .collect()
}

fn waited_longer_and_longer(server: &Server, poisoned: &[String]) {
    for namespace in poisoned {
        let tries = server.asked(FIRST_WRITE, namespace);
        for (number, pair) in tries.windows(2).enumerate() {
            let least = FAILED.first / 2 * (1 << number);
            let waited = pair[1].duration_since(pair[0]);
            assert!(waited >= least, "{namespace}, wait {number}: {waited:?}");
        }
    }
}

fn counted_and_said(server: &Server, controller: &Controller, log: &str) {
    let metrics = controller
        .metrics
        .scrape(&controller.observer.caches, <(Load, Load, Load)>::default())
        .unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    let errors = |of: &str| {
        let start = format!("rollout_reconcile_error{{name=\"web\",namespace=\"{of}\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&start));
        found.map(str::to_owned)
    };
    for namespace in names("poisoned", POISONED) {
        // The last try is the one that went well.
        let failed = server.asked(FIRST_WRITE, &namespace).len() - 1;
        assert_eq!(errors(&namespace), Some(failed.to_string()), "{namespace}");
    }
    for namespace in names("good", GOOD) {
        assert_eq!(errors(&namespace), None, "{namespace}");
    }
    let said = log
        .lines()
        .filter(|line| line.contains("the pass panicked: poisoned"));
    let said = said
        .filter(|line| line.contains("key=poisoned-0/web"))
        .count();
    assert_eq!(Some(said.to_string()), errors("poisoned-0"), "{log}");
}

#[tokio::test]
async fn a_pass_that_panics_hurts_no_other_and_is_tried_again_later_and_later() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || written.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let (server, caches) = (Arc::new(Server::default()), Arc::new(Caches::default()));
    let (poisoned, good) = (names("poisoned", POISONED), names("good", GOOD));
    for namespace in poisoned.iter().chain(&good) {
        caches.rollouts.show(rollout(namespace));
    }
    let controller = Arc::new(controller(&server.client(), Arc::clone(&caches)));
    let work = |namespace: &String| Work::Rollout(ObjectKey::new(namespace.clone(), "web"));
    for namespace in &poisoned {
        controller.queue.add(work(namespace));
    }
    let running = tokio::spawn(Arc::clone(&controller).run());
    let all = |of: &[String], wanted: &dyn Fn(&String) -> bool| of.iter().all(wanted);
    server
        .until("every poisoned one was tried", |server| {
            all(&poisoned, &|one| !server.asked(FIRST_WRITE, one).is_empty())
        })
        .await;
    for namespace in &good {
        controller.queue.add(work(namespace));
    }
    server
        .until("the good ones have their status", |server| {
            all(&good, &|one| !server.asked("status", one).is_empty())
        })
        .await;
    server
        .until("the poisoned ones are tried again", |server| {
            all(&poisoned, &|one| {
                server.asked(FIRST_WRITE, one).len() >= TRIES
            })
        })
        .await;
    waited_longer_and_longer(&server, &poisoned);

    // What was wrong with them is over: nobody has to start anything.
    server.cured.store(true, Ordering::Release);
    server
        .until("the poisoned ones recover", |server| {
            all(&poisoned, &|one| !server.asked("status", one).is_empty())
        })
        .await;
    assert!(!running.is_finished());
    counted_and_said(&server, &controller, &log.text());
    running.abort();
}

/// The hub took a Rollout for removed whose first pass had met a conflict: nothing was said of it at the beginning.
#[test]
fn a_first_pass_counts_when_it_came_to_its_end() {
    let key = |name: &str| ObjectKey::new("shop", name);
    let first = FirstPass::over(vec![key("good"), key("poisoned")]);
    let done = || *first.done.borrow();
    first.passed(&key("good"), false);
    first.passed(&key("good"), true);
    first.passed(&key("made since"), true);
    for _ in 1..FIRST_TRIES {
        first.passed(&key("poisoned"), false);
        assert!(!done());
    }
    first.passed(&key("poisoned"), false);
    assert!(done(), "what never comes to its end holds nobody up");
    assert!(*FirstPass::over(Vec::new()).done.borrow());
}
