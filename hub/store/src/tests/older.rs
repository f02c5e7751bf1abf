//! A database put back from a copy in which the sessions of its agents are the current ones already (L5): whoever has seen
//! more of it says so with its next word.

use hub_engine::observed::{Outcome, Rollout};
use hub_engine::{ClusterName, Fence, RolloutName};
use serde_json::json;

use super::recovery::{copy, folder, hello, open, raise, start, stop};
use crate::Store;
use crate::embedded::Embedded;
use crate::heard::{Acknowledged, Seen};
use crate::older::Committed;
use crate::report::{Batch, Body, Report, Stored};

const SESSION: u64 = 1;

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
        body: Body::Outcome(outcome),
    }
}

fn rollout() -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

async fn seen(store: &Store, committed: Committed) -> bool {
    let said = Seen {
        cluster: cluster(),
        session: SESSION,
        committed,
    };
    store.sessions_seen(&[said]).await.unwrap() == [true]
}

async fn acknowledged(store: &Store, committed: Committed, version: u64) -> bool {
    let said = Acknowledged {
        cluster: cluster(),
        session: SESSION,
        committed,
        fence: fence(version),
        set_hash: String::new(),
        problems: Vec::new(),
    };
    store.sessions_acknowledged(&[said]).await.unwrap() == [true]
}

async fn reported(store: &Store, committed: Committed, report: Report) -> Stored {
    let batch = Batch {
        cluster: cluster(),
        session: SESSION,
        committed,
        reports: vec![report],
    };
    store.reports_store(&[batch]).await.unwrap()[0]
}

/// Every word of the session, and how it is answered.
async fn goes_on(store: &Store, committed: Committed) -> [bool; 3] {
    let stored = reported(store, committed, outcome(committed.reported + 1)).await;
    [
        seen(store, committed).await,
        acknowledged(store, committed, committed.stored.version).await,
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

/// A cluster in its first session, copied; then it reports, stores a set and is sent the next one. Answers the store on the
/// copy, and what the session has seen.
async fn put_back(dir: &std::path::Path) -> (Embedded, Store, Committed) {
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
    let mut committed = Committed {
        reported: 0,
        stored: fence(1),
        sent: fence(1),
    };
    assert_eq!(goes_on(&store, committed).await, [true; 3]);
    committed.reported = 1;
    raise(&store, "a").await;
    committed.sent = fence(2);
    assert!(acknowledged(&store, committed, 2).await);
    committed.stored = fence(2);
    assert!(seen(&store, committed).await);
    assert_eq!(phase(&store).await, ("early".to_owned(), true));
    stop(server, store).await;
    copy(&dir.join("backup"), &data);
    let (server, store) = start(&place).await;
    (server, store, committed)
}

#[tokio::test]
async fn l5_a_session_that_has_seen_more_than_a_restored_database_has_is_over() {
    let dir = folder();
    let (server, store, all) = put_back(dir.path()).await;
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
        assert_eq!(goes_on(&store, seen).await, [false; 3], "{seen:?}");
        assert!(!heard(&store).await, "it has not been heard of by this one");
        assert_eq!(phase(&store).await, ("early".to_owned(), false));
    }
    let held = async || store.held().await.unwrap().unwrap_or_default();
    let why = held().await;
    assert!(!why.contains("restored from"), "it was only late: {why}");
    // Whoever has seen nothing that is lost goes on.
    assert_eq!(goes_on(&store, nothing).await, [true; 3]);
    // The number of a set that was sent must not be given again.
    assert_eq!(
        goes_on(
            &store,
            Committed {
                sent: all.sent,
                ..nothing
            }
        )
        .await,
        [false; 3]
    );
    let why = held().await;
    assert!(
        why.starts_with("a was sent 1.2, more than the 1.1 of this database"),
        "{why}"
    );
    stop(server, store).await;
}
