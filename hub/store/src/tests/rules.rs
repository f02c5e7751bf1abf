//! What holds whatever is decided: epochs fence, history is only added to, sessions and reports count once, tokens join once.

use std::collections::BTreeMap;
use std::time::Duration;

use hub_engine::name::RolloutName;
use hub_engine::observed::Rollout;
use hub_engine::{ClusterName, Fence};
use sqlx::Connection as _;

use super::{fixture, recovery};
use crate::certificate::{Certificate, CertificateIssuer, Renewal};
use crate::history::{self, Fact};
use crate::join::{Join, NewToken};
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
    assert!(store.history_is_add_only());
    let mut owner = sqlx::PgConnection::connect(&fixture::url(&store).await)
        .await
        .unwrap();
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
            error.to_string().contains("permission denied"),
            "{statement}: {error}"
        );
        // Whoever may change it by right is stopped by the trigger.
        let error = sqlx::query(statement)
            .execute(&mut owner)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("only ever added to"),
            "{statement}: {error}"
        );
    }
}

/// As a managed PostgreSQL gives it: the owner of one database, and nothing more.
#[tokio::test]
async fn a_user_who_may_not_make_roles_has_a_hub_with_the_trigger_alone() {
    let store = fixture::store().await;
    let url = fixture::url(&store).await;
    let mut admin = sqlx::PgConnection::connect(&url).await.unwrap();
    for statement in [
        "create role managed login",
        "drop schema public cascade",
        "create schema public authorization managed",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let managed = Store::connect(&fixture::as_user(&url, "managed")).unwrap();
    managed.migrate().await.unwrap();
    assert!(!managed.history_is_add_only());
    let epoch = managed.epoch_take("a", TTL).await.unwrap();
    assert!(epoch.is_some());
    let error = sqlx::query("truncate history")
        .execute(&managed.pool)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("only ever added to"), "{error}");
    // What the hub asks an administrator for is enough.
    sqlx::query("grant groundswell_hub to managed")
        .execute(&mut admin)
        .await
        .unwrap();
    let later = Store::connect(&fixture::as_user(&url, "managed")).unwrap();
    later.migrate().await.unwrap();
    assert!(later.history_is_add_only());
}

pub(super) struct Issuer;

impl CertificateIssuer for Issuer {
    fn issue(&self, cluster: &ClusterName) -> Result<Certificate, String> {
        let pem = format!("certificate of {cluster} {:?}", std::time::Instant::now());
        Ok(Certificate {
            fingerprint: format!("fingerprint of {pem}"),
            pem,
            expires: jiff::Timestamp::MAX,
        })
    }
}

pub(super) async fn token(store: &Store, id: &str, valid_seconds: u32) {
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

pub(super) fn join(id: &str) -> Join {
    Join {
        token_id: id.into(),
        secret_hash: "hash".into(),
        cluster: "eu".into(),
        kube_system_uid: "uid".into(),
        csr_hash: "csr".into(),
        agent_version: "1".into(),
    }
}

/// With those that are counted beside the same.
async fn refused(store: &Store) -> u64 {
    let all = store.refusal_list(100).await.unwrap();
    all.iter().map(|one| 1 + one.again).sum()
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
    assert_eq!(refused(&store).await, cases.len() as u64 + 2);
    let clusters = store.cluster_list().await.unwrap();
    assert_eq!(clusters.first().map(|one| one.labels.len()), Some(1));
}

#[tokio::test]
async fn certificates_are_renewed_for_their_own_cluster_until_they_are_revoked() {
    let store = fixture::store().await;
    token(&store, "t", 60).await;
    let first = store.join(&join("t"), &Issuer).await.unwrap();
    let renewal = |uid: &str, shown: &str| Renewal {
        cluster: "eu".into(),
        fingerprint: format!("fingerprint of {shown}"),
        kube_system_uid: uid.into(),
    };
    let second = store.renew(&renewal("uid", &first), &Issuer).await.unwrap();
    assert_ne!(first, second);
    let other = store.renew(&renewal("other", &first), &Issuer).await;
    assert!(other.unwrap_err().to_string().contains("kube-system"));
    let hello_with = |shown: &str| Hello {
        fingerprint: format!("fingerprint of {shown}"),
        ..hello("uid", 0)
    };
    // The old one stays good beside the new one.
    let (session, _) = open(&store, &hello_with(&first)).await;
    open(&store, &hello_with(&second)).await;
    store
        .revoke(&"eu".into(), &"ann".into(), "the cluster was sold")
        .await
        .unwrap();
    for shown in [&first, &second, "never listed"] {
        let opened = store.session_open(&hello_with(shown)).await.unwrap();
        assert_eq!(opened, Opened::Revoked, "{shown}");
    }
    assert!(
        store
            .renew(&renewal("uid", &second), &Issuer)
            .await
            .is_err()
    );
    assert!(!store.session_seen(&"eu".into(), session).await.unwrap());
    // Whoever joins again is let in again.
    token(&store, "again", 60).await;
    let third = store.join(&join("again"), &Issuer).await.unwrap();
    open(&store, &hello_with(&third)).await;
    let kinds: Vec<String> = store
        .history_list("", 0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.kind)
        .collect();
    for kind in ["CertificateRenewed", "CertificatesRevoked"] {
        assert!(kinds.contains(&kind.to_owned()), "{kinds:?}");
    }
    assert_eq!(refused(&store).await, 5);
    assert!(
        store
            .revoke(&"us".into(), &"ann".into(), "x")
            .await
            .is_err()
    );
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
        kube_system_uid: uid.into(),
        rollouts: vec![(rollout(), state)],
        fingerprint: "unlisted".into(),
        ..recovery::hello("eu", (1, version), None)
    }
}

async fn open(store: &Store, hello: &Hello) -> (u64, bool) {
    match store.session_open(hello).await.unwrap() {
        Opened::Session(begun) => (begun.session, begun.regressed),
        other @ (Opened::DuplicateIdentity
        | Opened::UnknownCluster
        | Opened::Revoked
        | Opened::Unproven { .. }) => panic!("{other:?}"),
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
async fn an_edit_of_the_strategy_alone_is_recorded_where_it_is_governed() {
    let store = fixture::store().await;
    token(&store, "t", 60).await;
    store.join(&join("t"), &Issuer).await.unwrap();
    let (session, _) = open(&store, &hello("uid", 0)).await;
    let with = |sequence: u64, digest: &str, delivery: &str| {
        let mut report = state(sequence, "Healthy");
        if let Body::State(state) = &mut report.body {
            let spec = serde_json::json!({"digest": digest, "delivery": delivery});
            state.spec = serde_json::from_value(spec).unwrap();
        }
        report
    };
    let told = async |reports: &[Report]| {
        store
            .report_store(&"eu".into(), session, reports)
            .await
            .unwrap();
        let rows = store.history_list("", 0, 100).await.unwrap();
        rows.iter()
            .filter(|row| row.kind == "StrategyEdited")
            .count()
    };
    assert_eq!(told(&[with(1, "a", "x"), with(2, "a", "y")]).await, 0);
    for statement in [
        "insert into fleet_rollouts values ('f', 'shop', 'checkout', '{}', '', 1, '', now(), '{}', '{}')",
        "insert into gates (cluster, namespace, rollout, fleet_rollout, version, terms) \
         values ('eu', 'shop', 'checkout', 'f', 1, '{}')",
    ] {
        sqlx::query(statement).execute(&store.pool).await.unwrap();
    }
    assert_eq!(told(&[with(3, "a", "z"), with(4, "a", "z")]).await, 1);
    assert_eq!(told(&[with(5, "b", "x")]).await, 1, "that is new content");
    assert_eq!(told(&[with(5, "b", "z")]).await, 1, "that was told already");
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
