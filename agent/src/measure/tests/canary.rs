//! A secret put wherever a metric has room for one, before a server that repeats everything it is told. In: each place, each
//! way to repeat. Out: the secret is in nothing that anybody sees: status, events' texts, the plan, logs, what prints.

use std::io::Write;

use agent_engine::analysis::{Observed, reconcile};
use agent_providers::question::ReadSecret;
use agent_providers::{SecretData, SecretNeed, Secrets};
use serde_json::{Value, json};

use super::*;

/// It has to be encoded in every way there is, and its parts are looked for as well.
const CANARY: &str = "CANARY+s3cr3t/ä \"&\\x";
const PARTS: [&str; 3] = ["canary", "s3cr3t", "q0fOQVJZ"];

struct One;

impl Secrets for One {
    fn read<'a>(&'a self, _: &'a SecretNeed, _: &'a str) -> ReadSecret<'a> {
        let data = SecretData::from([("key".to_owned(), CANARY.to_owned().into())]);
        Box::pin(std::future::ready(Ok(Some(data))))
    }
}

/// How the server repeats what it is told.
#[derive(Clone, Copy)]
enum Repeats {
    AsError,
    Cut,
    AsValue,
    Page,
}

async fn echo(how: Repeats) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0_u8; 65_536];
            let mut told = stream.read(&mut request).await.unwrap_or(0);
            // The body may come on its own.
            let more = stream.read(&mut request[told..]);
            let more = tokio::time::timeout(std::time::Duration::from_millis(50), more).await;
            told += more.map_or(0, |read| read.unwrap_or(0));
            let told = String::from_utf8_lossy(&request[..told]).into_owned();
            let (status, body) = match how {
                Repeats::AsError => ("500 no", told),
                // So that a message that is cut is cut within the secret.
                Repeats::Cut => ("400 no", format!("{}{CANARY}", "x".repeat(190))),
                Repeats::AsValue => (
                    "200 OK",
                    json!({"status": "success", "value": told, "data": {"resultType": told}})
                        .to_string(),
                ),
                Repeats::Page => ("200 OK", format!("<html>{told}")),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}")
}

/// Every place of a metric that holds text.
fn places(server: &str) -> Vec<Value> {
    let place = "{{args.held}}";
    vec![
        json!({"web": {"url": format!("{server}/?q={place}"), "jsonPath": "{$.value}"}}),
        json!({"web": {"url": format!("{server}/{place}/x"), "jsonPath": "{$.value}"}}),
        json!({"web": {"url": format!("http://{place}/"), "jsonPath": "{$.value}"}}),
        json!({"web": {"url": place}}),
        json!({"web": {"url": server, "headers": [{"key": "x-key", "value": place}], "jsonPath": "{$.value}"}}),
        json!({"web": {"url": server, "headers": [{"key": place, "value": "v"}], "jsonPath": "{$.value}"}}),
        json!({"web": {"url": server, "method": "POST", "body": place, "jsonPath": "{$.value}"}}),
        json!({"web": {"url": server, "method": "POST", "jsonBody": {"a": [place]}, "jsonPath": "{$.value}"}}),
        json!({"web": {"url": server, "method": place, "jsonPath": place}}),
        json!({"prometheus": {"address": server, "query": format!("up{{k=\"{place}\"}}")}}),
        json!({"prometheus": {"address": format!("{server}/{place}"), "query": "up"}}),
        json!({"prometheus": {"address": server, "query": "up", "headers": [{"key": "k", "value": place}]}}),
        json!({"graphite": {"address": server, "query": place}}),
        json!({"wavefront": {"address": server, "query": place}}),
        json!({"skywalking": {"address": server, "query": place}}),
        json!({"influxdb": {"query": place}}),
        json!({"datadog": {"query": place}}),
        json!({"newRelic": {"query": place}}),
        json!({"kayenta": {"address": server, "application": place, "canaryConfigName": place}}),
        json!({"job": {"spec": {"template": {"spec": {"containers": [{"env": [{"name": "a", "value": place}]}]}}}}}),
    ]
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn holds_none(what: &str, text: &str) {
    let lower = text.to_ascii_lowercase();
    for part in PARTS {
        let found = lower.find(&part.to_ascii_lowercase());
        assert_eq!(found, None, "{part} is in {what}: {text}");
    }
}

#[tokio::test]
async fn a_canary_secret_is_in_nothing_that_anybody_sees() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(crate::log_filter::filter("trace"))
        .with_writer(move || writer.clone())
        .finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let mut measured = 0;
    for how in [
        Repeats::AsError,
        Repeats::Cut,
        Repeats::AsValue,
        Repeats::Page,
    ] {
        let server = echo(how).await;
        for provider in places(&server) {
            measured += usize::from(repeated(&provider).await);
        }
    }
    assert!(measured > 20, "{measured}: the server repeats it");
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for line in logged.lines() {
        holds_none("the log", line);
    }
}

/// Measures once and searches; whether something was taken out.
async fn repeated(provider: &Value) -> bool {
    let run: agent_api::AnalysisRun = serde_json::from_value(json!({
        "metadata": {"name": "run", "namespace": "shop", "uid": "u"},
        "spec": {
            "metrics": [{
                "name": "m", "consecutiveErrorLimit": 0, "provider": provider,
                "successCondition": "result == \"{{args.held}}\"",
            }],
            "args": [{"name": "held", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}}],
        },
    }))
    .unwrap();
    let queue = Arc::new(Queue::default());
    let asker = Asker::new(Transport::default(), Arc::new(One), Environment::default());
    let measurer = Arc::new(Measurer::new(asker.clone(), jobs(), Arc::clone(&queue)));
    let metric = run.spec.metrics[0].clone();
    let secrets = agent_engine::args::secrets_of(&metric, &run.spec.args);
    assert_eq!(secrets.len(), 1);
    if let Ok(filled) = asker.fill(metric.clone(), &secrets, "shop").await {
        holds_none("what prints", &format!("{filled:?}"));
    }
    let key = ObjectKey::new("shop", "run");
    let asked = Question {
        secrets,
        ..question(metric)
    };
    measurer.start(&key, &"u".into(), asked);
    queue.next().await;
    let (in_flight, finished) = measurer.under_way(&"u".into(), Moment::read());
    holds_none("what is finished", &format!("{finished:?}"));
    let plan = reconcile(&Observed {
        now: Timestamp::now(),
        clock_set: <_>::default(),
        run,
        finished,
        in_flight,
        bad_conditions: BTreeMap::new(),
        told: agent_engine::analysis::Told::NoOwner,
    });
    holds_none("the plan", &format!("{plan:?}"));
    let status = serde_json::to_string(&plan.status).unwrap();
    holds_none("the status", &status);
    assert_ne!(
        plan.status.phase,
        Some(AnalysisPhase::Successful),
        "{status}"
    );
    status.contains(agent_providers::redact::MASK)
}
