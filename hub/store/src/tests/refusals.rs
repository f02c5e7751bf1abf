//! What is refused again and again (S11): it costs whoever asks, and fills no table, however many hubs are asked.

use super::fixture;
use super::rules::{Issuer, join, token};
use crate::certificate::Renewal;
use crate::join::Join;
use crate::refusal::{MOST_OF_ONE, MOST_OF_STRANGERS, Refusal};
use crate::{Error, Store};

const AGES_AGO: &str = "update refusals set at = at - interval '11 minutes'";

async fn rows(store: &Store) -> Vec<Refusal> {
    store.refusal_list(1_000).await.unwrap()
}

#[tokio::test]
async fn what_is_refused_again_is_counted_and_too_much_of_one_kind_as_well() {
    let store = fixture::store().await;
    let most = usize::try_from(MOST_OF_ONE).unwrap();
    for _ in 0..50 {
        store.refusal_add("Denied", "bob", "may not").await.unwrap();
    }
    let one = rows(&store).await;
    assert_eq!((one.len(), one[0].again), (1, 49));
    // With other words each time; the same ones still find their row.
    for number in 1..50 {
        let message = format!("may not do {number}");
        store.refusal_add("Denied", "bob", &message).await.unwrap();
    }
    store.refusal_add("Denied", "bob", "may not").await.unwrap();
    let all = rows(&store).await;
    assert_eq!(all.len(), most, "{all:?}");
    assert_eq!(all[0].again, 49 - (most as u64 - 1), "{all:?}");
    assert_eq!(all[most - 1].again, 50);
    // Another's, another kind, and what is refused later have rows of their own.
    for (kind, who) in [("Denied", "eve"), ("Hello", "bob")] {
        store.refusal_add(kind, who, "may not").await.unwrap();
    }
    assert_eq!(rows(&store).await.len(), most + 2);
    sqlx::query(AGES_AGO).execute(&store.pool).await.unwrap();
    store.refusal_add("Denied", "bob", "may not").await.unwrap();
    assert_eq!(rows(&store).await.len(), most + 3);
}

#[tokio::test]
async fn strangers_have_a_few_rows_whatever_they_call_themselves() {
    let store = fixture::store().await;
    for number in 0..100 {
        let stranger = Join {
            cluster: format!("cluster-{number}").into(),
            ..join(&format!("token-{number}"))
        };
        let refused = store.join(&stranger, &Issuer).await;
        assert!(matches!(refused, Err(Error::Refused { .. })));
    }
    let all = rows(&store).await;
    let most = usize::try_from(MOST_OF_STRANGERS).unwrap();
    assert_eq!(all.len(), most);
    assert_eq!(all[0].again, 100 - most as u64);
}

#[tokio::test]
async fn a_certificate_that_is_renewed_without_end_is_not() {
    let store = fixture::store().await;
    token(&store, "t", 60).await;
    let mut shown = store.join(&join("t"), &Issuer).await.unwrap();
    let mut renewed = 0;
    let why = loop {
        let renewal = Renewal {
            cluster: "eu".into(),
            fingerprint: format!("fingerprint of {shown}"),
            kube_system_uid: "uid".into(),
        };
        match store.renew(&renewal, &Issuer).await {
            Ok(next) => shown = next,
            Err(error) => break error.to_string(),
        }
        renewed += 1;
        assert!(renewed < 30);
    };
    // The one that it joined with counts.
    assert_eq!(renewed, 19);
    assert!(
        why.contains("has had 20 certificates in the last tenth"),
        "{why}"
    );
    let life = "update certificates set issued_at = now() - (expires_at - now()) / 9.9";
    sqlx::query(life).execute(&store.pool).await.unwrap();
    let renewal = Renewal {
        cluster: "eu".into(),
        fingerprint: format!("fingerprint of {shown}"),
        kube_system_uid: "uid".into(),
    };
    store.renew(&renewal, &Issuer).await.unwrap();
}
