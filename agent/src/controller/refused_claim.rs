//! An orphaned ReplicaSet that the API server does not let the Rollout own. In: passes before an API server of this test's
//! own. Out: the claim is refused once, the next pass does everything else, and it is tried again until it is taken.

use std::sync::atomic::{AtomicBool, AtomicUsize};

use agent_api::{Decoded, ReplicaSet};
use http::Method;
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::tests::{controller, rollout};
use super::*;
use crate::cache::Caches;

/// The second try is due after a second.
const LONG: Duration = Duration::from_secs(30);
const SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";

/// What was asked of it.
#[derive(Default)]
struct Server {
    allows: AtomicBool,
    claims: AtomicUsize,
    made: AtomicUsize,
    statuses: AtomicUsize,
}

impl Server {
    async fn answer(self: Arc<Self>, request: http::Request<Body>) -> (u16, Value) {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let rehearsed = parts
            .uri
            .query()
            .is_some_and(|query| query.contains("dryRun"));
        let count = |of: &AtomicUsize| of.fetch_add(1, Ordering::SeqCst);
        let sent = body.collect().await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&sent).unwrap_or(json!({}));
        if path == format!("{SETS}/web-free") && answer["metadata"]["ownerReferences"].is_array() {
            count(&self.claims);
            if !self.allows.load(Ordering::SeqCst) {
                let message = "cannot set blockOwnerDeletion";
                return (
                    403,
                    json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": message}),
                );
            }
        } else if parts.method == Method::POST && path == SETS && !rehearsed {
            count(&self.made);
        } else if path.ends_with("/status") {
            count(&self.statuses);
        }
        answer["metadata"]["resourceVersion"] = json!("2");
        answer["metadata"]["uid"] = json!("shop");
        (200, answer)
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request| {
            let answer = Arc::clone(&server).answer(request);
            async move {
                let (code, body) = answer.await;
                let body = Body::from(body.to_string().into_bytes());
                let answer = http::Response::builder().status(code).body(body);
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn seen(&self) -> [usize; 3] {
        [&self.claims, &self.made, &self.statuses].map(|count| count.load(Ordering::SeqCst))
    }
}

fn orphan() -> Decoded<ReplicaSet> {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": "web-free", "namespace": "shop", "uid": "free", "resourceVersion": "1",
            "labels": {"app": "web", "rollouts-pod-template-hash": "free"},
            "annotations": {"fleet.groundswell.dev/digest": "v1:another"},
        },
        "spec": {"replicas": 0, "selector": {}, "template": {}},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_claim_that_is_refused_costs_only_itself() {
    let (server, caches) = (Arc::new(Server::default()), Arc::new(Caches::default()));
    caches.rollouts.show(rollout("shop"));
    caches.replica_sets.show(orphan());
    let controller = controller(&server.client(), Arc::clone(&caches));
    let rollout = rollout("shop").object.unwrap();
    let pass = || async {
        let seen = controller
            .observer
            .observe(&rollout, Moment::read(), false)
            .await
            .unwrap();
        let plan = agent_engine::reconcile(&seen);
        controller.applier.apply(&seen, plan).await.unwrap();
        seen.refused_claims.len()
    };
    assert_eq!(pass().await, 0);
    assert_eq!(server.seen(), [1, 0, 0], "it ends the pass it is tried in");
    assert_eq!(pass().await, 1);
    assert_eq!(server.seen(), [1, 1, 1], "everything else is done");

    server.allows.store(true, Ordering::SeqCst);
    let taken = async {
        while server.seen()[0] < 2 {
            pass().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, taken).await.unwrap();
    assert_eq!(pass().await, 0, "it is forgotten");
}
