//! An API server that refuses to rehearse, for a while or for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use agent_api::digest::content_digest;
use kube::Client;
use serde_json::{Value, json};

use super::*;
use crate::claims::tests::alone;

struct Server {
    code: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
    rehearsal: Rehearsal,
}

impl Server {
    /// Stores what it is sent with one more field, or answers with a code.
    fn new() -> Self {
        let (code, asked) = (Arc::<AtomicU16>::default(), Arc::<AtomicUsize>::default());
        let (says, counts) = (Arc::clone(&code), Arc::clone(&asked));
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            counts.fetch_add(1, Ordering::SeqCst);
            let code = says.load(Ordering::SeqCst);
            async move {
                assert_eq!(request.uri().query(), Some("&dryRun=All"));
                let sent = request.into_body().collect_bytes().await.unwrap();
                let mut body: Value = serde_json::from_slice(&sent).unwrap();
                body["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
                if code != 200 {
                    let reason = if code == 422 { "Invalid" } else { "" };
                    body = json!({
                        "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no",
                    });
                }
                let body = kube::client::Body::from(body.to_string().into_bytes());
                let answer = http::Response::builder().status(code).body(body);
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        let rehearsal = Rehearsal::new(Writer::new(Client::new(service, "default")));
        Self {
            code,
            asked,
            rehearsal,
        }
    }

    async fn ask(&self, observed: &Observed, code: u16) -> Result<Option<PodTemplate>, Error> {
        self.code.store(code, Ordering::SeqCst);
        let written = content_digest(observed.template().unwrap());
        let uid = Uid("u".into());
        self.rehearsal.defaulted(observed, &uid, &written).await
    }
}

fn observed(image: &str, generation: i64, seen: &str) -> Observed {
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": generation},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}]}},
        },
        "status": {"observedGeneration": seen, "currentPodHash": "abc", "stableRS": "abc"},
    });
    alone(rollout)
}

#[tokio::test]
async fn a_rehearsal_that_is_refused_stops_nothing_for_good() {
    for code in [403, 429, 500, 503] {
        let server = Server::new();
        let mut changed = observed("demo:v2", 8, "7");
        assert!(
            server.ask(&changed, code).await.is_err(),
            "{code}: at first"
        );
        changed.now = changed.now.checked_add(PATIENCE).unwrap();
        let without = server.ask(&changed, code).await.unwrap();
        assert_eq!(without, None, "{code}: not for ever");
        let known = server.ask(&changed, 200).await.unwrap();
        assert!(known.is_some(), "{code}: it is asked again every time");

        let server = Server::new();
        let same = observed("demo:v2", 7, "7");
        let without = server.ask(&same, code).await.unwrap();
        assert_eq!(without, None, "{code}: the status says which version it is");
    }
}

#[tokio::test]
async fn an_answer_holds_for_the_content_whatever_the_generation() {
    let server = Server::new();
    for generation in [7, 8, 9] {
        let known = server.ask(&observed("demo:v2", generation, "7"), 200).await;
        assert!(known.unwrap().is_some());
    }
    assert_eq!(
        server.asked.load(Ordering::SeqCst),
        1,
        "autoscalers change it often"
    );
    assert!(
        server
            .ask(&observed("demo:v3", 9, "7"), 200)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
    let refused = server.ask(&observed("demo:v4", 9, "7"), 422).await.unwrap();
    assert_eq!(refused, None, "it is not valid");
    let refused = server.ask(&observed("demo:v4", 9, "7"), 422).await.unwrap();
    assert_eq!(refused, None);
    assert_eq!(server.asked.load(Ordering::SeqCst), 3, "and stays so");
}
