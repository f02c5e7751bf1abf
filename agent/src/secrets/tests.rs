//! An API server with one Secret, counted. In: many readers, a rotation, refusals. Out: few requests, fresh values, sentences.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;

#[derive(Default)]
struct Server {
    asked: AtomicUsize,
    value: Mutex<String>,
}

fn secrets(server: &Arc<Server>) -> ClusterSecrets {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        server.asked.fetch_add(1, Ordering::SeqCst);
        let value = server.value.lock().unwrap().clone();
        let path = request.uri().path().to_owned();
        async move {
            let status = |code: u16, reason: &str| {
                let body = json!({
                    "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no",
                });
                (code, body)
            };
            let (code, body) = match path.as_str() {
                "/api/v1/namespaces/shop/secrets/keys" => {
                    let value = base64::engine::general_purpose::STANDARD.encode(value);
                    (
                        200,
                        json!({"metadata": {"name": "keys"}, "data": {"key": value, "raw": "/w=="}}),
                    )
                }
                "/api/v1/namespaces/vault/secrets/keys" => status(403, "Forbidden"),
                _ => status(404, "NotFound"),
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let answer = http::Response::builder().status(code).body(body);
            Ok::<_, std::io::Error>(answer.unwrap())
        }
    });
    ClusterSecrets::new(Client::new(service, "default"), "groundswell".to_owned())
}

fn need(name: &str) -> SecretNeed {
    SecretNeed {
        name: name.to_owned(),
        place: SecretPlace::Run,
        optional: false,
    }
}

async fn key(secrets: &ClusterSecrets) -> String {
    let data = secrets.read(&need("keys"), "shop").await.unwrap().unwrap();
    assert!(!data.contains_key("raw"), "no text");
    data["key"].expose_secret().to_owned()
}

#[tokio::test]
async fn many_runs_with_one_key_are_one_request() {
    let server = Arc::<Server>::default();
    *server.value.lock().unwrap() = "one".to_owned();
    let secrets = secrets(&server);
    let all = futures::future::join_all((0..1_000).map(|_| key(&secrets))).await;
    assert!(all.iter().all(|value| value == "one"));
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_rotated_key_counts_when_its_time_is_over() {
    assert!(FRESH <= Duration::from_secs(10));
    let server = Arc::<Server>::default();
    *server.value.lock().unwrap() = "one".to_owned();
    let secrets = secrets(&server);
    assert_eq!(key(&secrets).await, "one");
    *server.value.lock().unwrap() = "two".to_owned();
    assert_eq!(key(&secrets).await, "one");
    let entry = secrets.entry(&ObjectKey::new("shop", "keys"));
    let mut read = entry.read.lock().await;
    let (at, _) = read.as_mut().unwrap();
    *at = at.checked_sub(FRESH).unwrap();
    drop(read);
    assert_eq!(key(&secrets).await, "two");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_sentence() {
    let secrets = secrets(&Arc::default());
    let error = secrets.read(&need("keys"), "vault").await.unwrap_err();
    assert_eq!(
        error,
        "Secret vault/keys cannot be read: the agent has no right to: let its role get secrets there"
    );
    let controller = SecretNeed {
        place: SecretPlace::Controller,
        ..need("other")
    };
    assert!(secrets.read(&controller, "shop").await.unwrap().is_none());
    let known = secrets.entries.lock().unwrap();
    assert!(known.contains_key(&ObjectKey::new("groundswell", "other")));
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let secrets = secrets(&Arc::default());
    for index in 0..KEPT * 2 + 1 {
        let name = format!("s{index}");
        assert!(secrets.read(&need(&name), "shop").await.unwrap().is_none());
    }
    assert!(secrets.entries.lock().unwrap().len() <= KEPT);
}
