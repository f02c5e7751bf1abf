//! What holds whatever is decided: epochs fence, history is only added to, sessions and reports count once, tokens join once.

use std::collections::BTreeMap;
use std::time::Duration;

use hub_engine::name::RolloutName;
use hub_engine::observed::Rollout;
use hub_engine::{ClusterName, Fence};

use super::fixture;
use crate::history::{self, Fact};
use crate::join::{CertificateIssuer, Join, NewToken};
use crate::report::{Body, Report, Stored};
use crate::session::{Hello, Opened};
use crate::{Epoch, Error, Store, epoch};

const TTL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_takeover_ends_the_epoch_before_it() {
    let store = fixture::store().await;
    let first = store.epoch_take("a", TTL).await.unwrap().unwrap();
    assert_eq!(
        store.epoch_take("b", TTL).await.unwrap(),
        None,
        "the lease is held"
    );
    assert!(store.lease_renew("a", first, TTL).await.unwrap());
    store.lease_release("a").await.unwrap();
    let second = store.epoch_take("b", TTL).await.unwrap().unwrap();
    assert!(second > first);
    assert!(!store.lease_renew("a", first, TTL).await.unwrap());
    let mut tx = store.pool.begin().await.unwrap();
    assert!(matches!(
        epoch::guard(&mut tx, first).await,
        Err(Error::Fenced { .. })
    ));
    assert!(epoch::guard(&mut tx, second).await.is_ok());
    assert_eq!(second, Epoch(first.0 + 1));
}

#[tokio::test]
async fn history_is_chained_and_only_added_to() {
    let store = fixture::store().await;
    let mut tx = store.pool.begin().await.unwrap();
    for message in ["one", "two"] {
        history::add_now(
            &mut tx,
            Fact::of_hub(None, "Test", "hub", message.to_owned()),
        )
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let rows = store.history_list("", 0, 10).await.unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.message.as_str())
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
    let linked: bool = sqlx::query_scalar(
        "select (select hash from history where position = 1) = (select previous_hash from history where position = 2)",
    )
    .fetch_one(&store.pool)
    .await
    .unwrap();
    assert!(linked);
    for statement in [
        "update history set message = 'x'",
        "delete from history",
        "truncate history",
    ] {
        let error = sqlx::query(statement)
            .execute(&store.pool)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("only ever added to"),
            "{statement}: {error}"
        );
    }
}

struct Issuer;

impl CertificateIssuer for Issuer {
    fn issue(&self, cluster: &ClusterName) -> Result<String, String> {
        Ok(format!(
            "certificate of {cluster} {:?}",
            std::time::Instant::now()
        ))
    }
}

async fn token(store: &Store, id: &str, valid_seconds: u32) {
    let labels = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
    let (cluster, person) = ("eu".into(), "ann".into());
    let token = NewToken {
        id: id.into(),
        secret_hash: "hash".into(),
        cluster,
        labels,
        valid_seconds,
        person,
    };
    store.token_create(&token).await.unwrap();
}

fn join(id: &str) -> Join {
    Join {
        token_id: id.into(),
        secret_hash: "hash".into(),
        cluster: "eu".into(),
        kube_system_uid: "uid".into(),
        csr_hash: "csr".into(),
        agent_version: "1".into(),
    }
}

#[tokio::test]
async fn a_token_joins_once_and_each_refusal_is_recorded() {
    let store = fixture::store().await;
    token(&store, "t", 60).await;
    let certificate = store.join(&join("t"), &Issuer).await.unwrap();
    assert_eq!(
        store.join(&join("t"), &Issuer).await.unwrap(),
        certificate,
        "a lost reply costs nothing"
    );
    let cases = [
        (
            Join {
                csr_hash: "other".into(),
                ..join("t")
            },
            "used already",
        ),
        (
            Join {
                secret_hash: "wrong".into(),
                ..join("t")
            },
            "not known",
        ),
        (
            Join {
                cluster: "us".into(),
                ..join("t")
            },
            "made for cluster eu, not for us",
        ),
        (join("nothing"), "not known"),
    ];
    for (join, says) in &cases {
        let error = store.join(join, &Issuer).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    token(&store, "second", 60).await;
    let elsewhere = Join {
        kube_system_uid: "other".into(),
        ..join("second")
    };
    assert!(
        store
            .join(&elsewhere, &Issuer)
            .await
            .unwrap_err()
            .to_string()
            .contains("bound to another")
    );
    sqlx::query(
        "update join_tokens set expires_at = now() - interval '1 second' where id = 'second'",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    assert!(
        store
            .join(&join("second"), &Issuer)
            .await
            .unwrap_err()
            .to_string()
            .contains("expired")
    );
    assert_eq!(store.refusal_list(10).await.unwrap().len(), cases.len() + 2);
    let clusters = store.cluster_list().await.unwrap();
    assert_eq!(clusters.first().map(|one| one.labels.len()), Some(1));
}

fn rollout() -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

fn hello(uid: &str, version: u64) -> Hello {
    let state: Rollout = serde_json::from_str("{\"uid\":\"u\"}").unwrap();
    Hello {
        cluster: "eu".into(),
        kube_system_uid: uid.into(),
        agent_version: "1".into(),
        fence: Fence {
            incarnation: 1,
            version,
        },
        set_hash: String::new(),
        rollouts: vec![(rollout(), state)],
        audit_head: String::new(),
        hub: "test".into(),
    }
}

async fn open(store: &Store, hello: &Hello) -> (u64, bool) {
    match store.session_open(hello).await.unwrap() {
        Opened::Session {
            session, regressed, ..
        } => (session, regressed),
        other @ (Opened::DuplicateIdentity | Opened::UnknownCluster) => panic!("{other:?}"),
    }
}

fn state(sequence: u64, phase: &str) -> Report {
    let mut state: Rollout = serde_json::from_str("{\"uid\":\"u\"}").unwrap();
    state.phase = phase.to_owned();
    let at = jiff::Timestamp::default();
    Report {
        sequence,
        at,
        traceparent: String::new(),
        rollout: rollout(),
        body: Body::State(state),
    }
}

#[tokio::test]
async fn reports_count_once_and_only_in_the_current_session() {
    let store = fixture::store().await;
    token(&store, "t", 60).await;
    let cluster: ClusterName = "eu".into();
    assert_eq!(
        store.session_open(&hello("uid", 0)).await.unwrap(),
        Opened::UnknownCluster
    );
    store.join(&join("t"), &Issuer).await.unwrap();
    assert_eq!(
        store.session_open(&hello("other", 0)).await.unwrap(),
        Opened::DuplicateIdentity
    );
    let (first, _) = open(&store, &hello("uid", 0)).await;
    let stored = store
        .report_store(&cluster, first, &[state(1, "a"), state(2, "b")])
        .await
        .unwrap();
    assert_eq!(stored, Stored::UpTo(2));
    let again = store
        .report_store(&cluster, first, &[state(1, "old"), state(2, "old")])
        .await
        .unwrap();
    assert_eq!(again, Stored::UpTo(2));
    let phase: String = sqlx::query_scalar("select state->>'phase' from rollouts")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(phase, "b");
    let (second, _) = open(&store, &hello("uid", 0)).await;
    assert!(second > first);
    assert_eq!(
        store
            .report_store(&cluster, first, &[state(3, "late")])
            .await
            .unwrap(),
        Stored::SessionOver
    );
    assert!(!store.session_seen(&cluster, first).await.unwrap());
    assert!(store.session_seen(&cluster, second).await.unwrap());
}

#[tokio::test]
async fn a_lower_fence_is_a_regressed_cluster() {
    let store = fixture::store().await;
    token(&store, "t", 60).await;
    store.join(&join("t"), &Issuer).await.unwrap();
    sqlx::query("update cluster_sets set version = 7")
        .execute(&store.pool)
        .await
        .unwrap();
    let (session, regressed) = open(&store, &hello("uid", 7)).await;
    assert!(!regressed);
    let (again, regressed) = open(&store, &hello("uid", 3)).await;
    assert!(regressed && again > session);
    assert!(
        store
            .cluster_list()
            .await
            .unwrap()
            .iter()
            .all(|one| one.regressed)
    );
    let fence = Fence {
        incarnation: 1,
        version: 7,
    };
    assert!(
        store
            .session_ack(&"eu".into(), again, fence, "", &[])
            .await
            .unwrap()
    );
    assert!(
        store
            .cluster_list()
            .await
            .unwrap()
            .iter()
            .all(|one| !one.regressed),
        "equal again"
    );
}

const DOCUMENT: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  waves: [{name: all, bake: 1m}]
";

/// Waits until some transaction of this database waits for a lock.
async fn somebody_waits(store: &Store) {
    const WAITING: &str = "select count(*) from pg_stat_activity \
         where datname = current_database() and wait_event_type = 'Lock'";
    let waited = tokio::time::timeout(TTL, async {
        loop {
            let waiting: i64 = sqlx::query_scalar(WAITING)
                .fetch_one(&store.pool)
                .await
                .unwrap();
            if waiting > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap();
}

/// Found in a loaded run: the deciding loop and a person's apply waited for each other, and the person got the error.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_and_a_decision_do_not_wait_for_each_other() {
    let store = fixture::store().await;
    let person = hub_engine::name::Person("ann".into());
    let documents = |text: &str| hub_engine::parse(text).unwrap();
    let first = documents(DOCUMENT);
    store
        .fleet_rollout_apply(&first, &person, false)
        .await
        .unwrap();
    let name = first[0].fleet_rollout.name.clone();
    let mut decision = store.pool.begin().await.unwrap();
    let row = crate::fleet_rollout::get(&mut decision, &name, true)
        .await
        .unwrap()
        .unwrap();
    let applying = tokio::spawn({
        let (store, second) = (store.clone(), documents(&DOCUMENT.replace("1m", "2m")));
        async move { store.fleet_rollout_apply(&second, &person, false).await }
    });
    somebody_waits(&store).await;
    crate::fleet_rollout::set_status(&mut decision, &name, &row.status, &row.reasons)
        .await
        .unwrap();
    decision.commit().await.unwrap();
    applying.await.unwrap().unwrap();
    assert!(
        store.fleet_rollout_list().await.unwrap()[0]
            .text
            .contains("2m")
    );
}
