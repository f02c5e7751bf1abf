//! A database put back from a copy in which the sessions of its agents are the current ones already (L5): whoever has seen
//! more of it says so with its next word.

use hub_engine::observed::{Outcome, Rollout};
use hub_engine::{ClusterName, Fence, RolloutName};
use serde_json::json;

use super::recovery::{copy, folder, hello, open, raise, session_of, start, stop};
use crate::Store;
use crate::embedded::Embedded;
use crate::heard::{Acknowledged, Clock, Heard, Seen};
use crate::older::Committed;
use crate::report::{Batch, Body, Report, Stored};

fn cluster() -> ClusterName {
    "a".into()
}

fn fence(version: u64) -> Fence {
    Fence {
        incarnation: 1,
        version,
    }
}

fn outcome(sequence: u64) -> Report {
    let outcome = json!({"fence": {"incarnation": 1, "version": 1}, "release": "f#1", "digest": "v1:b", "result": "Served"});
    let outcome: Outcome = serde_json::from_value(outcome).unwrap();
    Report {
        sequence,
        at: jiff::Timestamp::default(),
        traceparent: String::new(),
        rollout: rollout(),
        body: Body::Outcome {
            uid: String::new(),
            outcome,
        },
    }
}

fn rollout() -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

async fn seen(store: &Store, session: u64, committed: Committed) -> bool {
    let said = Seen {
        cluster: cluster(),
        session,
        committed,
        clock: Clock::default(),
    };
    let beats = store.sessions_seen(&[said]).await.unwrap();
    beats[0].heard == Heard::Current
}

async fn acknowledged(store: &Store, session: u64, committed: Committed, version: u64) -> bool {
    let said = Acknowledged {
        cluster: cluster(),
        session,
        committed,
        fence: fence(version),
        set_hash: String::new(),
        problems: Vec::new(),
    };
    store.sessions_acknowledged(&[said]).await.unwrap() == [Heard::Current]
}

async fn reported(store: &Store, session: u64, committed: Committed, report: Report) -> Stored {
    let batch = Batch {
        cluster: cluster(),
        session,
        committed,
        reports: vec![report],
    };
    store.reports_store(&[batch]).await.unwrap()[0].stored
}

/// Every word of the session, and how it is answered.
async fn goes_on(store: &Store, session: u64, committed: Committed) -> [bool; 3] {
    let next = outcome(committed.reported + 1);
    let stored = reported(store, session, committed, next).await;
    [
        seen(store, session, committed).await,
        acknowledged(store, session, committed, committed.stored.version).await,
        stored != Stored::SessionOver,
    ]
}

async fn phase(store: &Store) -> (String, bool) {
    let state: sqlx::types::Json<Rollout> =
        sqlx::query_scalar("select state from rollouts where cluster = 'a'")
            .fetch_one(&store.pool)
            .await
            .unwrap();
    (state.phase.clone(), state.outcome.is_some())
}

/// Whether the cluster counts as heard since the server started.
async fn heard(store: &Store) -> bool {
    sqlx::query_scalar(
        "select last_seen_at >= pg_postmaster_start_time() from cluster_sessions where cluster = 'a'",
    )
    .fetch_one(&store.pool)
    .await
    .unwrap()
}

/// A cluster in its first session, copied; then it reports, stores a set and is sent the next one, in that session or in
/// another one. Answers the store on the copy, the session, and what that has seen.
async fn put_back(dir: &std::path::Path, again: bool) -> (Embedded, Store, u64, Committed) {
    let place = dir.join("hub");
    let (server, store) = start(&place).await;
    for statement in [
        "insert into clusters (name, labels, kube_system_uid) values ('a', '{}', 'uid')",
        "insert into cluster_sets (cluster, incarnation, version) values ('a', 1, 1)",
        "insert into cluster_sessions (cluster, stored_incarnation, stored_version) values ('a', 1, 1)",
    ] {
        sqlx::query(statement).execute(&store.pool).await.unwrap();
    }
    let state: Rollout = serde_json::from_value(json!({"uid": "u", "phase": "early"})).unwrap();
    let mut first = hello("a", (1, 1), None);
    first.rollouts = vec![(rollout(), state)];
    open(&store, &first).await;
    let data = server.folder();
    stop(server, store).await;
    copy(&data, &dir.join("backup"));
    let (server, store) = start(&place).await;
    if again {
        open(&store, &first).await;
    }
    let session = session_of(&store, "a").await;
    let mut committed = Committed {
        reported: 0,
        stored: fence(1),
        sent: fence(1),
    };
    assert_eq!(goes_on(&store, session, committed).await, [true; 3]);
    committed.reported = 1;
    raise(&store, "a").await;
    committed.sent = fence(2);
    assert!(acknowledged(&store, session, committed, 2).await);
    committed.stored = fence(2);
    assert!(seen(&store, session, committed).await);
    assert_eq!(phase(&store).await, ("early".to_owned(), true));
    stop(server, store).await;
    copy(&dir.join("backup"), &data);
    let (server, store) = start(&place).await;
    (server, store, session, committed)
}

async fn held(store: &Store) -> String {
    store.held().await.unwrap().unwrap_or_default()
}

#[tokio::test]
async fn l5_a_session_that_has_seen_more_than_a_restored_database_has_is_over() {
    let dir = folder();
    let (server, store, session, all) = put_back(dir.path(), false).await;
    let nothing = Committed::default();
    let some = [
        Committed {
            reported: all.reported,
            ..nothing
        },
        Committed {
            stored: all.stored,
            ..nothing
        },
    ];
    for seen in some {
        let goes_on = goes_on(&store, session, seen).await;
        assert_eq!(goes_on, [false; 3], "{seen:?}");
        assert!(!heard(&store).await, "it has not been heard of by this one");
        assert_eq!(phase(&store).await, ("early".to_owned(), false));
    }
    let why = held(&store).await;
    assert!(!why.contains("restored from"), "it was only late: {why}");
    // Whoever has seen nothing that is lost goes on.
    assert_eq!(goes_on(&store, session, nothing).await, [true; 3]);
    // The number of a set that was sent must not be given again.
    let sent = Committed {
        sent: all.sent,
        ..nothing
    };
    assert_eq!(goes_on(&store, session, sent).await, [false; 3]);
    let why = held(&store).await;
    assert!(
        why.starts_with("a was sent 1.2, more than the 1.1 of this database"),
        "{why}"
    );
    stop(server, store).await;
}

/// The copy is older than the stream: its session is none that the database knows.
#[tokio::test]
async fn l5_a_session_that_was_opened_since_the_copy_says_what_it_was_sent() {
    let dir = folder();
    let (server, store, session, all) = put_back(dir.path(), true).await;
    let known = session_of(&store, "a").await;
    assert!(known < session);
    // An agent of an older session has said more in its newer one's Hello.
    assert_eq!(goes_on(&store, known - 1, all).await, [false; 3]);
    let why = held(&store).await;
    assert!(!why.contains("restored from"), "{why}");
    assert!(!seen(&store, session, all).await);
    let why = held(&store).await;
    assert!(why.starts_with("a was sent 1.2, more than"), "{why}");
    // Nor is its number given again: what waits in it is no word of the next one.
    open(&store, &hello("a", (1, 1), None)).await;
    assert!(session_of(&store, "a").await > session);
    let late = reported(&store, session, Committed::default(), outcome(1)).await;
    assert_eq!(late, Stored::SessionOver);
    stop(server, store).await;
}
