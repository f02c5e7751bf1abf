//! What many sessions say in one transaction: to each its own answer, and news only of what is news.

use ::time::OffsetDateTime;
use hub_engine::observed::{Outcome, Rollout};
use hub_engine::{ClusterName, Fence, RolloutName};
use serde_json::json;

use super::fixture;
use super::recovery::hello;
use crate::Store;
use crate::heard::Heard::{Current, Locked, Over};
use crate::heard::{Acknowledged, Beat, Clock, Heard, Seen};
use crate::hint::Hint;
use crate::older::Committed;
use crate::report::{Batch, Body, Report, Stored};
use crate::session::{Hello, Opened};
use crate::time::from_db;

const CLUSTERS: [&str; 3] = ["asia", "eu", "us"];

fn name() -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

fn rollout(phase: &str) -> Rollout {
    serde_json::from_value(json!({"uid": "u", "phase": phase})).unwrap()
}

fn heard(beats: &[Beat]) -> Vec<Heard> {
    beats.iter().map(|beat| beat.heard).collect()
}

fn report(sequence: u64, body: Body) -> Report {
    Report {
        sequence,
        at: jiff::Timestamp::default(),
        traceparent: String::new(),
        rollout: name(),
        body,
    }
}

fn outcome(version: u64) -> Outcome {
    let fence = json!({"incarnation": 1, "version": version});
    let outcome =
        json!({"fence": fence, "release": "f#1", "digest": "sha256:b", "result": "Served"});
    serde_json::from_value(outcome).unwrap()
}

async fn open(store: &Store, cluster: &str) -> u64 {
    let hello = Hello {
        kube_system_uid: cluster.into(),
        rollouts: vec![(name(), rollout("a"))],
        fingerprint: "unlisted".into(),
        ..hello(cluster, (1, 1), None)
    };
    match store.session_open(&hello).await.unwrap() {
        Opened::Session(begun) => begun.session,
        Opened::DuplicateIdentity
        | Opened::UnknownCluster
        | Opened::Revoked
        | Opened::Unproven { .. } => panic!("{cluster} has no session"),
    }
}

/// Three clusters that hold their set of version 1, and the session of each.
async fn fleet() -> (Store, [u64; 3]) {
    let store = fixture::store().await;
    for cluster in CLUSTERS {
        for statement in [
            "insert into clusters (name, labels, kube_system_uid, joined_at) values ($1, '{}', $1, now())",
            "insert into cluster_sets (cluster, incarnation, version) values ($1, 1, 1)",
            "insert into cluster_sessions (cluster, stored_incarnation, stored_version) values ($1, 1, 1)",
        ] {
            sqlx::query(statement)
                .bind(cluster)
                .execute(&store.pool)
                .await
                .unwrap();
        }
    }
    let mut sessions = [0; 3];
    for (session, cluster) in sessions.iter_mut().zip(CLUSTERS) {
        *session = open(&store, cluster).await;
    }
    (store, sessions)
}

async fn known(store: &Store) -> i64 {
    let count = "select count(*) from rollouts where cluster = 'eu'";
    let count = sqlx::query_scalar(count).fetch_one(&store.pool).await;
    count.unwrap()
}

/// Whoever reads what is known of a cluster reads all of it, so an agent adds to it only so much (S11).
#[tokio::test]
async fn of_one_cluster_so_many_rollouts_are_kept_and_what_is_gone_makes_room() {
    let (store, [_, session, _]) = fleet().await;
    let most = i64::try_from(crate::report::ROLLOUTS_MAX).unwrap();
    let fill = "insert into rollouts (cluster, namespace, rollout, session, sequence, state) \
         select 'eu', 'old', number::text, 1, 0, '{\"uid\": \"u\"}' from generate_series(2, $1) as number";
    sqlx::query(fill)
        .bind(most)
        .execute(&store.pool)
        .await
        .unwrap();
    assert_eq!(known(&store).await, most);
    let new = |sequence| Report {
        rollout: RolloutName {
            namespace: "shop".into(),
            name: format!("new-{sequence}"),
        },
        ..report(sequence, Body::State(rollout("a")))
    };
    let known_one = report(2, Body::State(rollout("b")));
    let batches = [batch("eu", session, &[new(1), known_one, new(3)])];
    let told = stored(&store, &batches).await;
    assert_eq!(told, [Stored::UpTo(3)], "nothing waits for ever");
    assert_eq!(known(&store).await, most);
    let gone = "update rollouts set state = state || '{\"removed\": true}' where namespace = 'old' and rollout < '11'";
    let gone = sqlx::query(gone).execute(&store.pool).await.unwrap();
    let batches = [batch("eu", session, &[new(4)])];
    stored(&store, &batches).await;
    let left = most - i64::try_from(gone.rows_affected()).unwrap() + 1;
    assert_eq!(known(&store).await, left);
    // What Hello does not name and nobody governs is not kept.
    open(&store, "eu").await;
    assert_eq!(known(&store).await, 1);
}

/// How each batch was answered.
async fn stored(store: &Store, batches: &[Batch]) -> Vec<Stored> {
    let taken = store.reports_store(batches).await.unwrap();
    taken.into_iter().map(|one| one.stored).collect()
}

fn batch(cluster: &str, session: u64, reports: &[Report]) -> Batch {
    Batch {
        cluster: cluster.into(),
        session,
        committed: Committed::default(),
        reports: reports.to_vec(),
    }
}

async fn state_of(store: &Store, cluster: &str) -> (Rollout, String) {
    let (state, version): (sqlx::types::Json<Rollout>, String) =
        sqlx::query_as("select state, xmin::text || ctid::text from rollouts where cluster = $1")
            .bind(cluster)
            .fetch_one(&store.pool)
            .await
            .unwrap();
    (state.0, version)
}

#[tokio::test]
async fn each_session_is_answered_for_itself() {
    let (store, [asia, eu, us]) = fleet().await;
    open(&store, "us").await;
    let batches = [
        batch(
            "eu",
            eu,
            &[
                report(1, Body::State(rollout("b"))),
                report(
                    2,
                    Body::Outcome {
                        uid: String::new(),
                        outcome: outcome(1),
                    },
                ),
                report(3, Body::State(rollout("c"))),
            ],
        ),
        batch("us", us, &[report(1, Body::State(rollout("late")))]),
        batch("asia", asia, &[report(1, Body::Removed)]),
        batch("nowhere", 1, &[report(1, Body::Removed)]),
    ];
    let wanted = [
        Stored::UpTo(3),
        Stored::SessionOver,
        Stored::UpTo(1),
        Stored::SessionOver,
    ];
    for _ in 0..2 {
        assert_eq!(stored(&store, &batches).await, wanted);
        let (kept, _) = state_of(&store, "eu").await;
        assert_eq!(kept.phase, "c");
        assert_eq!(
            kept.outcome,
            Some(outcome(1)),
            "a state takes no outcome away"
        );
        assert_eq!(state_of(&store, "us").await.0.phase, "a");
        assert!(state_of(&store, "asia").await.0.removed);
    }
}

#[tokio::test]
async fn a_heartbeat_and_an_acknowledgement_count_in_the_current_session_alone() {
    let (store, [asia, eu, us]) = fleet().await;
    let again = open(&store, "us").await;
    let words = |sessions: [u64; 3]| {
        CLUSTERS
            .map(|cluster| cluster.into())
            .into_iter()
            .zip(sessions)
    };
    let seen: Vec<_> = words([asia, eu, us])
        .map(|(cluster, session)| Seen {
            cluster,
            session,
            committed: Committed::default(),
            clock: Clock::default(),
        })
        .collect();
    let beats = store.sessions_seen(&seen).await.unwrap();
    assert_eq!(heard(&beats), [Current, Current, Over]);
    // Who is heard is told the time, which is the database's.
    let now: (OffsetDateTime,) = sqlx::query_as("select clock_timestamp()")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    let now = from_db(now.0);
    for beat in beats.get(..2).unwrap() {
        let age = beat.at.unwrap().duration_until(now);
        assert!(!age.is_negative() && age.as_secs() < 60, "{age:?}");
    }
    assert_eq!(beats[2].at, None);
    let acks: Vec<_> = words([asia, eu + 1, again])
        .map(|(cluster, session)| Acknowledged {
            cluster,
            session,
            committed: Committed::default(),
            fence: Fence {
                incarnation: 1,
                version: 1,
            },
            set_hash: "h".to_owned(),
            problems: vec![(name(), "the API server refused it".to_owned())],
        })
        .collect();
    let answers = store.sessions_acknowledged(&acks).await.unwrap();
    assert_eq!(answers, [Current, Over, Current]);
    let rows = store.history_list("", 0, 100).await.unwrap();
    let told: Vec<&str> = rows
        .iter()
        .filter(|row| row.kind == "GateNotWritten")
        .map(|row| row.cluster.as_str())
        .collect();
    assert_eq!(told, ["asia", "us"]);
    let held: Option<String> = store.held().await.unwrap();
    assert!(
        held.is_none_or(|why| !why.contains("restored")),
        "nobody is ahead"
    );
}

#[tokio::test]
async fn what_is_known_is_no_news() {
    let (store, [asia, eu, _]) = fleet().await;
    let before = state_of(&store, "eu").await;
    let mut hints = store.hints().await.unwrap();
    let same = [report(1, Body::State(rollout("a")))];
    store
        .reports_store(&[batch("eu", eu, &same), batch("asia", asia, &same)])
        .await
        .unwrap();
    let fence = Fence {
        incarnation: 1,
        version: 1,
    };
    for cluster in ["asia", "eu"] {
        let session = if cluster == "eu" { eu } else { asia };
        let own: ClusterName = cluster.into();
        assert!(
            store
                .session_ack(&own, session, fence, "h", &[])
                .await
                .unwrap()
        );
    }
    assert_eq!(
        state_of(&store, "eu").await,
        before,
        "its row was not written"
    );
    let again = open(&store, "eu").await;
    assert_eq!(state_of(&store, "eu").await, before, "nor by a Hello");
    assert_eq!(
        hints.next().await.unwrap(),
        Hint::Rollout(name()),
        "it is there again"
    );
    let news = [report(1, Body::State(rollout("b")))];
    store
        .reports_store(&[batch("eu", again, &news)])
        .await
        .unwrap();
    assert_eq!(hints.next().await.unwrap(), Hint::Rollout(name()));
    sqlx::query("select pg_notify('groundswell', 'the end')")
        .execute(&store.pool)
        .await
        .unwrap();
    assert_eq!(
        hints.next().await.unwrap(),
        Hint::Anything,
        "and no more than that"
    );
}

/// A Hello that takes long, a hub that was stopped, psql: only the cluster itself waits for whoever has locked its session.
#[tokio::test]
async fn one_that_is_locked_costs_the_others_nothing() {
    let (store, sessions) = fleet().await;
    let all = || CLUSTERS.into_iter().zip(sessions);
    let seen: Vec<_> = all()
        .map(|(cluster, session)| Seen {
            cluster: cluster.into(),
            session,
            committed: Committed::default(),
            clock: Clock::default(),
        })
        .collect();
    let acks: Vec<_> = all()
        .map(|(cluster, session)| Acknowledged {
            cluster: cluster.into(),
            session,
            committed: Committed::default(),
            fence: Fence {
                incarnation: 1,
                version: 1,
            },
            set_hash: String::new(),
            problems: Vec::new(),
        })
        .collect();
    let batches: Vec<_> = all()
        .map(|(cluster, session)| batch(cluster, session, &[report(1, Body::State(rollout("b")))]))
        .collect();
    let mut tx = store.pool.begin().await.unwrap();
    sqlx::query("select session from cluster_sessions where cluster = 'eu' for update")
        .execute(&mut *tx)
        .await
        .unwrap();
    let beats = store.sessions_seen(&seen).await.unwrap();
    assert_eq!(heard(&beats), [Current, Locked, Current]);
    assert!(beats[1].heard.current().is_err(), "it is asked again");
    let heard_of = store.sessions_acknowledged(&acks).await.unwrap();
    assert_eq!(heard_of, [Current, Locked, Current]);
    let told = stored(&store, &batches).await;
    let one = Stored::UpTo(1);
    assert_eq!(told, [one, Stored::Locked, one]);
    assert_eq!(state_of(&store, "eu").await.0.phase, "a");
    tx.commit().await.unwrap();
    let beats = store.sessions_seen(&seen).await.unwrap();
    assert_eq!(heard(&beats), [Current; 3]);
    assert_eq!(stored(&store, &batches).await, [one; 3]);
    assert_eq!(state_of(&store, "eu").await.0.phase, "b");
}

/// What a heartbeat proves of its cluster's clock: seconds that it is ahead by at the moment at which it was said, and what the
/// agent knew of the hub's time then; seconds that it came late by.
#[tokio::test]
async fn a_heartbeat_proves_of_a_clock_what_a_late_one_proves_too() {
    let (store, [asia, ..]) = fleet().await;
    let ago = |seconds: i64| {
        jiff::Timestamp::now()
            .checked_sub(jiff::SignedDuration::from_secs(seconds))
            .unwrap()
    };
    // (late, ahead, knows the hub's time, what is shown then)
    for (late, ahead, knows, shown) in [
        (0, 0, true, 0),
        (0, 3_600, false, 3_600),
        (0, 3_603, true, 3_600),
        (600, 3_600, true, 3_000),
        (0, 3_600, true, 3_600),
        (7_200, 3_600, true, 0),
        (600, 0, true, 0),
        (600, 0, false, 0),
        (0, -3_600, false, 0),
        (0, -3_600, true, -3_600),
        (600, -3_600, true, -3_600),
        (600, -3_603, true, -3_600),
        (0, 0, true, 0),
    ] {
        let clock = Clock {
            at: Some(ago(late - ahead)),
            hub_at: knows.then(|| ago(late)),
        };
        let said = Seen {
            cluster: "asia".into(),
            session: asia,
            committed: Committed::default(),
            clock,
        };
        store.sessions_seen(&[said]).await.unwrap();
        let rows = store.cluster_list().await.unwrap();
        let own = rows.iter().find(|row| row.name.as_str() == "asia").unwrap();
        let off = (own.clock_ahead - shown).abs();
        assert!(off <= 3, "{late} {ahead} {knows}: {}", own.clock_ahead);
    }
    // What is no word of a clock changes nothing, and no time that there is is too far away to be written.
    for at in [None, Some(jiff::Timestamp::MAX), Some(jiff::Timestamp::MIN)] {
        let said = Seen {
            cluster: "asia".into(),
            session: asia,
            committed: Committed::default(),
            clock: Clock { at, hub_at: at },
        };
        let beats = store.sessions_seen(&[said]).await.unwrap();
        assert_eq!(heard(&beats), [Current]);
    }
}
