//! Many Hellos in one transaction leave what they would one by one, and none is opened of which there is something to be said.

use hub_engine::RolloutName;
use hub_engine::observed::Rollout;
use serde_json::{Value, json};

use super::fixture;
use super::recovery::hello;
use crate::Store;
use crate::history::{self, Fact};
use crate::session::together::ROLLOUTS_TOGETHER;
use crate::session::{Begun, Hello, Opened};

struct Case {
    name: &'static str,
    /// What is another in the tables before, about cluster `$1`.
    before: &'static str,
    said: fn(&mut Hello),
    /// Whether it is opened with others.
    together: bool,
}

const NOTHING: &str = "select 1 where $1 = ''";

const CASES: [Case; 14] = [
    Case {
        name: "as it went",
        before: NOTHING,
        said: |_| {},
        together: true,
    },
    Case {
        name: "with less than it should have",
        before: "update cluster_sets set version = 9 where cluster = $1",
        said: |_| {},
        together: true,
    },
    Case {
        name: "in another phase and without one",
        before: NOTHING,
        said: |hello| hello.rollouts = vec![(name("checkout"), state("Degraded"))],
        together: true,
    },
    Case {
        name: "with nothing",
        before: NOTHING,
        said: |hello| hello.rollouts.clear(),
        together: true,
    },
    Case {
        name: "believed now, and the claim was not",
        before: "with noted as (update clusters set note = 'UnprovenFence: x' where name = $1) \
             update cluster_sessions set claimed_incarnation = 3, claimed_version = 4 where cluster = $1",
        said: |_| {},
        together: true,
    },
    Case {
        name: "another cluster",
        before: NOTHING,
        said: |hello| hello.kube_system_uid = "other".into(),
        together: false,
    },
    Case {
        name: "revoked",
        before: "update clusters set revoked_at = now() where name = $1",
        said: |_| {},
        together: false,
    },
    Case {
        name: "with more than it should",
        before: NOTHING,
        said: |hello| hello.fence.version = 6,
        together: false,
    },
    Case {
        name: "with less than it had",
        before: NOTHING,
        said: |hello| hello.fence.version = 4,
        together: false,
    },
    Case {
        name: "its first word",
        before: "update cluster_sessions set stored_incarnation = 0, stored_version = 0 where cluster = $1",
        said: |_| {},
        together: false,
    },
    Case {
        name: "with a head of another history",
        before: NOTHING,
        said: |hello| hello.handed = Some((1, vec![7])),
        together: false,
    },
    Case {
        name: "forgiven",
        before: "update cluster_sessions set audit_head = '-' where cluster = $1",
        said: |_| {},
        together: false,
    },
    Case {
        name: "without an end that it told",
        before: "update rollouts set state = jsonb_set(state, '{outcome}', '{\"fence\": {\"incarnation\": 1, \"version\": 2}, \
             \"release\": \"f#1\", \"digest\": \"sha256:b\", \"result\": \"Served\"}') where cluster = $1",
        said: |_| {},
        together: false,
    },
    Case {
        name: "with many Rollouts",
        before: NOTHING,
        said: |hello| {
            let all = (0..=ROLLOUTS_TOGETHER).map(|one| (name(&one.to_string()), state("a")));
            hello.rollouts = all.collect();
        },
        together: false,
    },
];

fn name(name: &str) -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn state(phase: &str) -> Rollout {
    serde_json::from_value(json!({"uid": "u", "phase": phase})).unwrap()
}

fn said(case: &Case, cluster: &str) -> Hello {
    let mut said = Hello {
        rollouts: vec![
            (name("checkout"), state("Healthy")),
            (name("cart"), state("Healthy")),
        ],
        fingerprint: "unlisted".into(),
        audit_head: "1 abc".into(),
        ..hello(cluster, (1, 5), None)
    };
    (case.said)(&mut said);
    said
}

/// A cluster that has been heard before.
async fn known(store: &Store, cluster: &str, before: &'static str) {
    for statement in [
        "insert into clusters (name, labels, kube_system_uid, joined_at) values ($1, '{}', 'uid', now())",
        "insert into cluster_sets (cluster, incarnation, version) values ($1, 1, 5)",
        "insert into cluster_sessions (cluster, stored_incarnation, stored_version) values ($1, 1, 5)",
        "insert into rollouts (cluster, namespace, rollout, session, sequence, state) \
         select $1, 'shop', name, 1, 0, '{\"uid\": \"u\", \"phase\": \"Healthy\"}' from unnest(array['cart', 'checkout']) as name",
        before,
    ] {
        let query = sqlx::query(statement).bind(cluster);
        query.execute(&store.pool).await.unwrap();
    }
}

/// Everything that a Hello writes about its cluster, but for what is another each time.
async fn written(store: &Store, cluster: &str) -> Value {
    let query = "select jsonb_build_object( \
         'session', (select to_jsonb(s) - 'cluster' - 'session' - 'last_seen_at' - 'restored_at' from cluster_sessions s where s.cluster = $1), \
         'note', (select note from clusters where name = $1), \
         'rollouts', (select jsonb_agg(to_jsonb(r) - 'cluster' - 'session' - 'changed_in' order by r.rollout) from rollouts r where r.cluster = $1), \
         'own', (select bool_and(r.session in (1, s.session)) from rollouts r join cluster_sessions s using (cluster) \
         where r.cluster = $1))";
    let written = sqlx::query_scalar(query).bind(cluster);
    written.fetch_one(&store.pool).await.unwrap()
}

#[tokio::test]
async fn many_together_leave_what_they_would_one_by_one() {
    let store = fixture::store().await;
    let names = CASES.map(|case| (format!("{} (together)", case.name), case.name.to_owned()));
    let mut hellos = Vec::new();
    for (case, (together, alone)) in CASES.iter().zip(&names) {
        known(&store, together, case.before).await;
        known(&store, alone, case.before).await;
        hellos.push(said(case, together));
    }
    let opened = store.sessions_open(&hellos).await.unwrap();
    for ((case, (together, alone)), opened) in CASES.iter().zip(&names).zip(opened) {
        assert_eq!(opened.is_some(), case.together, "{}", case.name);
        let Some(begun) = opened else { continue };
        let by_itself = match store.session_open(&said(case, alone)).await.unwrap() {
            Opened::Session(begun) => begun,
            other @ (Opened::DuplicateIdentity
            | Opened::UnknownCluster
            | Opened::Revoked
            | Opened::Unproven { .. }) => panic!("{alone}: {other:?}"),
        };
        let (here, there) = (
            written(&store, together).await,
            written(&store, alone).await,
        );
        assert_eq!(here, there, "{}", case.name);
        let same = |begun: Begun| Begun {
            cluster: "any".into(),
            session: 0,
            at: None,
            ..begun
        };
        assert!(begun.at.is_some() && by_itself.at.is_some());
        assert_eq!(same(begun), same(by_itself), "{}", case.name);
    }
}

#[tokio::test]
async fn one_that_is_locked_comes_twice_or_is_not_known_waits_for_its_own_turn() {
    let store = fixture::store().await;
    for cluster in ["free", "locked"] {
        known(&store, cluster, NOTHING).await;
    }
    let mut other = store.pool.begin().await.unwrap();
    sqlx::query("select 1 from cluster_sessions where cluster = 'locked' for update")
        .execute(&mut *other)
        .await
        .unwrap();
    let all = ["locked", "free", "free", "nobody"].map(|cluster| said(&CASES[0], cluster));
    let opened = store.sessions_open(&all).await.unwrap();
    let which: Vec<bool> = opened.iter().map(Option::is_some).collect();
    assert_eq!(which.iter().filter(|one| **one).count(), 1, "{which:?}");
    assert!(which[1] || which[2], "{which:?}");
    drop(other);
    assert_eq!(store.sessions_open(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_head_of_this_history_is_kept() {
    let store = fixture::store().await;
    known(&store, "eu", NOTHING).await;
    let mut tx = store.pool.begin().await.unwrap();
    let fact = Fact::of_hub(None, "Something", "hub", "it is there".to_owned());
    history::add_now(&mut tx, fact).await.unwrap();
    let newest = history::newest(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert!(newest.is_some());
    let hello = Hello {
        handed: newest.clone(),
        ..said(&CASES[0], "eu")
    };
    let opened = store.sessions_open(&[hello]).await.unwrap().remove(0);
    assert_eq!(opened.unwrap().head, newest);
    let kept = written(&store, "eu").await["session"]["audit_head"].clone();
    assert_eq!(kept, "1 abc");
}
