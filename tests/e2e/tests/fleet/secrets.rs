//! A secret that a metric sends to its server, which repeats it. In: a version whose analysis fails by that, in a fleet.
//! Out: the secret is in nothing that the clusters show, the agents say or the hub has stored.

use std::path::Path;

use serde_json::{Value, json};
use tests_e2e::fleet::{Fleet, in_two_waves, revised, state};
use tests_e2e::object::{Kind, text};
use tests_e2e::shop::{SOON, Shop};
use tests_fleet::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NAMESPACE: &str = "secretive";
const CANARY: &str = "canary-5c1e8b-token";
/// The canary as the API server and basic authentication write it.
const ENCODED: &str = "Y2FuYXJ5LTVjMWU4Yi10b2tlbg";
/// What the server says before it repeats it, and what stands there in its place.
const MARK: &str = "you-told-me";
const MASK: &str = "*****";

/// Repeats the head of each request: as an error, or as a value.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0_u8; 65_536];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let told = String::from_utf8_lossy(&request[..read]).into_owned();
            let key = told.lines().find(|line| line.starts_with("x-key"));
            let told_key = format!("{MARK} {}", key.unwrap_or_default());
            let (status, body) = if told.starts_with("GET /value") {
                ("200 OK", json!({"told": told_key}).to_string())
            } else {
                ("500 no", told_key)
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn spec(url: &str) -> Value {
    json!({
        "args": [{"name": "key", "valueFrom": {"secretKeyRef": {"name": "held", "key": "key"}}}],
        "metrics": [{
            "name": "told", "count": 1, "consecutiveErrorLimit": 0, "successCondition": "result == \"good\"",
            "provider": {"web": {
                "url": url, "jsonPath": "{$.told}",
                "headers": [{"key": "x-key", "value": "{{args.key}}"}],
            }},
        }],
    })
}

async fn apply(shop: &Shop, api: &str, kind: &str, name: &str, more: Value) {
    let mut object = json!({
        "apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE},
    });
    let fields = object.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().expect("an object"));
    shop.apply(&object).await.expect(kind);
}

fn holds_none(what: &str, all: &str) {
    for form in [CANARY, ENCODED] {
        let at = all.find(form);
        let around = at.and_then(|at| all.get(at.saturating_sub(200)..at));
        assert_eq!(around, None, "{form} is in {what}");
    }
}

/// v2 fails in the first cluster by what its server says.
pub async fn are_sent(fleet: &Fleet) {
    fleet
        .apply(&in_two_waves(NAMESPACE, NAMESPACE))
        .await
        .expect("stored");
    let shops = fleet.shops(NAMESPACE).await.expect("namespaces");
    let server = echo().await;
    let steps = json!([{"setWeight": 20}, {"analysis": {"templates": [{"templateName": "told"}]}}]);
    let held = json!({"stringData": {"key": CANARY}});
    let template = json!({"spec": spec(&format!("{server}/error"))});
    for shop in &shops {
        apply(shop, "v1", "Secret", "held", held.clone()).await;
        let (api, kind) = ("argoproj.io/v1alpha1", "AnalysisTemplate");
        apply(shop, api, kind, "told", template.clone()).await;
        let first = revised(shop.manifest("v1", &steps), "v1");
        shop.apply(&first).await.expect("applied");
    }
    for shop in &shops {
        shop.healthy("v1").await.expect("a first deploy");
        let second = revised(shop.manifest("v2", &steps), "v2");
        shop.apply(&second).await.expect("applied");
    }
    let ended = |release: &Value| ["Failed", "RolledBack"].contains(&text(release, "/phase"));
    let release = fleet
        .release_until("secretive#1", "ends badly", ended)
        .await;
    let release = release.expect("ended");
    assert_eq!(state(&release, "one"), "Failed", "{release}");
    holds_none("the release", &release.to_string());

    // The same as the value of a run that belongs to nobody.
    let by_hand = json!({"spec": spec(&format!("{server}/value"))});
    let (api, kind) = ("argoproj.io/v1alpha1", "AnalysisRun");
    apply(&shops[0], api, kind, "by-hand", by_hand).await;
    eventually("a run has its verdict", SOON, async || {
        let run = shops[0].named(Kind::AnalysisRun, "by-hand").await;
        let run = run.map_err(|error| error.to_string())?;
        match text(&run, "/status/phase") {
            "Failed" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await
    .expect("failed by its value");
    for shop in &shops {
        in_no_object(shop).await;
    }
    let told = shops[0].all(Kind::AnalysisRun).await.expect("runs");
    assert_eq!(told.len(), 2, "{told:?}");
    for run in told {
        let status = run.pointer("/status").expect("a status").to_string();
        let both = status.contains(MARK) && status.contains(MASK);
        assert!(both, "it was repeated and taken out: {status}");
    }
}

async fn in_no_object(shop: &Shop) {
    for kind in [
        Kind::Event,
        Kind::Rollout,
        Kind::AnalysisRun,
        Kind::Gate,
        Kind::ReplicaSet,
    ] {
        let all = shop.all(kind).await.expect("objects");
        for one in &all {
            holds_none(&format!("{kind:?}"), &one.to_string());
        }
        let some = matches!(kind, Kind::Event | Kind::Rollout);
        assert!(!some || !all.is_empty(), "{kind:?}: there are some");
    }
}

/// `/metrics` of an agent, whose log says where.
async fn metrics(log: &str) -> String {
    let (_, address) = log.split_once("metrics on http://").expect("it says so");
    let end = address.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
    let address = &address[..end.unwrap_or(address.len())];
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let ask = b"GET /metrics HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.expect("asked");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Logs, metrics, and every file of the hub: its database is one of them.
pub async fn are_told_to_nobody(fleet: &mut Fleet) {
    for agent in &mut fleet.agents {
        let log = agent.process().log();
        holds_none("an agent's log", &log);
        let metrics = metrics(&log).await;
        assert!(metrics.contains("analysis_run"), "{metrics}");
        holds_none("an agent's metrics", &metrics);
    }
    holds_none("the hub's log", &fleet.hub.process().log());
    let history = fleet.admin.json(&["history"]).await.expect("history");
    holds_none("the history", &history.to_string());
    let mut marked = 0;
    in_no_file(fleet.hub.data(), &mut marked);
    assert!(marked > 0, "the hub has stored why it failed");
}

fn in_no_file(folder: &Path, marked: &mut usize) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            in_no_file(&path, marked);
        } else if let Ok(bytes) = std::fs::read(&path) {
            // What is removed meanwhile, or is no file, is read by nobody.
            let all = String::from_utf8_lossy(&bytes);
            holds_none(&path.display().to_string(), &all);
            *marked += usize::from(all.contains(MARK));
        }
    }
}
