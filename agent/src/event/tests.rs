//! Events before an API server of this test's own. In: news. Out: what is posted, and under which names.

use std::sync::atomic::{AtomicUsize, Ordering};

use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::*;

fn news(key: &str) -> News {
    News {
        about: About {
            kind: "Rollout",
            key: ObjectKey::new("shop", "checkout"),
            uid: "u".into(),
        },
        kind: EventKind::Normal,
        reason: "RolloutPaused".to_owned(),
        message: "ü".repeat(2000),
        key: key.to_owned(),
    }
}

#[test]
fn names_follow_from_what_is_told() {
    assert_eq!(name(&news("1.1")), name(&news("1.1")));
    assert_ne!(name(&news("1.1")), name(&news("1.2")));
    let mut other = news("1.1");
    other.about.uid = "v".into();
    assert_ne!(
        name(&news("1.1")),
        name(&other),
        "a Rollout made again has events of its own"
    );
    let mut long = news("1.1");
    long.about.key.name = "x".repeat(300);
    assert_eq!(name(&long).len(), MAX_NAME);
}

#[test]
fn an_event_has_what_tools_look_for() {
    let made = event(&news("1.1"), Timestamp::UNIX_EPOCH);
    assert_eq!(made.source.unwrap().component.unwrap(), EVENT_COMPONENT);
    assert_eq!(made.type_.unwrap(), "Normal");
    assert_eq!(made.message.unwrap().len(), MAX_MESSAGE);
}

/// Counts what is posted; the first so many are refused, as by a server with too much to do.
fn server(posts: &Arc<AtomicUsize>, fails: usize) -> Client {
    let posts = Arc::clone(posts);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        assert_eq!(request.method(), http::Method::POST);
        let before = posts.fetch_add(1, Ordering::SeqCst);
        async move {
            let (code, body) = if before < fails {
                let body = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError", "message": "no"});
                (500, body)
            } else {
                let body = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "e"}});
                (201, body)
            };
            let body = Body::from(body.to_string().into_bytes());
            let answer = http::Response::builder().status(code).body(body);
            Ok::<_, std::io::Error>(answer.unwrap())
        }
    });
    Client::new(service, "default")
}

/// Tells everything of a round, waits until it is written, and so on; counts the posts.
async fn posts(rounds: &[&[&str]], fails: usize) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let recent: Arc<Mutex<Recent>> = Arc::default();
    for keys in rounds {
        let writer = Writer::new(server(&count, fails));
        let (mut events, writing) = Events::new(writer.clone(), Metrics::new().unwrap());
        drop(writing);
        let (lane, waiting) = mpsc::channel(QUEUE);
        events.lanes = vec![lane; LANES].into();
        events.recent = Arc::clone(&recent);
        keys.iter().for_each(|key| events.tell(news(key)));
        // Without anybody who tells, the writer comes to its end.
        drop(events);
        write_all(writer, Arc::clone(&recent), waiting).await;
    }
    count.load(Ordering::SeqCst)
}

#[tokio::test]
async fn what_every_pass_tells_is_posted_once() {
    assert_eq!(posts(&[&["1.1"], &["1.1"], &["1.1", "1.1"]], 0).await, 1);
    assert_eq!(posts(&[&["1.1", "1.2"], &["1.2", "1.1"]], 0).await, 2);
}

#[tokio::test]
async fn what_could_not_be_written_is_told_again() {
    assert_eq!(
        posts(&[&["1.1"], &["1.1"], &["1.1"]], TRIES).await,
        TRIES + 1
    );
}
