//! The history of a real database against the chain.

use hub_engine::chain::{Anchor, ChainHead, Verifier};

use super::fixture;
use super::recovery::{hello, open};
use crate::Store;
use crate::history::{self, Fact};
use crate::session::Hello;

async fn add(store: &Store, stream: &str, message: &str) {
    let mut tx = store.pool.begin().await.unwrap();
    let fact = Fact {
        stream: stream.to_owned(),
        evidence: serde_json::json!({"z": 1e16, "a": {"é": -0.0, "b": [0.1, null]}}),
        ..Fact::of_hub(None, "Test", "hub", message.to_owned())
    };
    history::add_now(&mut tx, fact).await.unwrap();
    tx.commit().await.unwrap();
}

async fn verify(store: &Store, heads: &[ChainHead], anchors: Vec<Anchor>) -> Result<u64, String> {
    let mut verifier = Verifier::new(anchors);
    for row in store.history_list("", 0, 1_000).await.unwrap() {
        verifier.row(&row).map_err(|broken| broken.to_string())?;
    }
    let verified = verifier.end(heads).map_err(|broken| broken.to_string())?;
    Ok(verified.rows)
}

/// Whoever owns the database can switch the trigger off; the chain tells.
#[tokio::test]
async fn what_its_owner_does_to_the_history_is_found() {
    let store = fixture::store().await;
    for number in 1..=4 {
        add(&store, "hub", &format!("row {number}")).await;
        add(&store, "a#1", &format!("row {number}")).await;
    }
    let (heads, _) = store.history_heads().await.unwrap();
    assert_eq!(heads.len(), 2);
    assert_eq!(verify(&store, &heads, Vec::new()).await, Ok(8));
    let newest = store.history_list("", 7, 1).await.unwrap().remove(0);
    let anchor = Anchor {
        cluster: "eu".into(),
        sequence: newest.sequence,
        hash: newest.hash,
    };
    assert_eq!(verify(&store, &heads, vec![anchor.clone()]).await, Ok(8));
    let mut owner = <sqlx::PgConnection as sqlx::Connection>::connect(&fixture::url(&store).await)
        .await
        .unwrap();
    for statement in [
        "alter table history disable trigger all",
        "update history set message = 'row 9' where stream = 'hub' and position = 3",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    let found = verify(&store, &heads, Vec::new()).await.unwrap_err();
    assert!(
        found.starts_with("row 5 (hub, position 3) was changed"),
        "{found}"
    );
    for statement in [
        "update history set message = 'row 3' where stream = 'hub' and position = 3",
        "delete from history where stream = 'a#1' and position = 4",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    let found = verify(&store, &heads, Vec::new()).await.unwrap_err();
    assert!(
        found.starts_with("a#1 was cut: it ends at position 3"),
        "{found}"
    );
    // Whoever takes the head back, too, meets the agent.
    sqlx::query("update history_heads h set position = 3, hash = (select hash from history where stream = 'a#1' and position = 3) where stream = 'a#1'")
        .execute(&mut owner).await.unwrap();
    let (heads, _) = store.history_heads().await.unwrap();
    assert_eq!(verify(&store, &heads, Vec::new()).await, Ok(7));
    let found = verify(&store, &heads, vec![anchor]).await.unwrap_err();
    assert!(
        found.starts_with("row 8, which the agent of eu was handed, is not there"),
        "{found}"
    );
}

/// What an agent says of itself is no anchor, and cannot forgive what it was handed.
#[tokio::test]
async fn only_a_head_that_this_hub_has_signed_is_kept() {
    let store = fixture::store().await;
    for statement in [
        "insert into clusters (name, labels, kube_system_uid) values ('eu', '{}', 'uid')",
        "insert into cluster_sets (cluster, incarnation) values ('eu', 1)",
        "insert into cluster_sessions (cluster) values ('eu')",
    ] {
        sqlx::query(statement).execute(&store.pool).await.unwrap();
    }
    add(&store, "hub", "a row").await;
    let row = store.history_list("", 0, 1).await.unwrap().remove(0);
    let signed = (row.sequence, hex::decode(&row.hash).unwrap());
    for (said, handed, kept) in [
        ("x", None, vec![]),
        ("a head", Some(signed), vec!["a head"]),
        ("-", None, vec![]),
    ] {
        let hello = Hello {
            audit_head: said.to_owned(),
            ..hello("eu", (1, 0), handed)
        };
        open(&store, &hello).await;
        let (_, anchors) = store.history_heads().await.unwrap();
        let anchors: Vec<&str> = anchors.iter().map(|(_, head)| head.as_str()).collect();
        assert_eq!(anchors, kept);
    }
}
