//! Since when a hub listens (S7). In: leases that are taken, renewed, given up and left to end. Out: a gap is noticed, and
//! what is none is not.

use std::time::Duration;

use super::fixture;
use crate::Store;

const TTL: Duration = Duration::from_secs(60);

/// Since when a hub listens, and whether that is now.
async fn listening(store: &Store) -> (Option<f64>, bool) {
    sqlx::query_as("select extract(epoch from since)::float8, coalesce(since > now() - interval '5 seconds', false) from hub_lease")
        .fetch_one(&store.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_hub_that_was_away_listens_from_its_return() {
    let store = fixture::store().await;
    let ago = "update hub_lease set since = now() - interval '1 hour', expires_at = now() - $1 * interval '1 second'";
    let set = async |seconds: f64| {
        let done = sqlx::query(ago).bind(seconds).execute(&store.pool).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
        listening(&store).await.0
    };
    assert_eq!(listening(&store).await.0, None);
    let epoch = store.epoch_take("a", TTL).await.unwrap().unwrap();
    assert!(listening(&store).await.1, "learnt");
    let before = set(5.0).await;
    let epoch_of_b = store.epoch_take("b", TTL).await.unwrap().unwrap();
    assert_eq!(
        listening(&store).await.0,
        before,
        "the next hub was there at once"
    );
    assert!(!store.lease_renew("a", epoch, TTL).await.unwrap());
    store.lease_release("b").await.unwrap();
    let epoch = store.epoch_take("c", TTL).await.unwrap().unwrap();
    assert!(epoch > epoch_of_b);
    assert_eq!(listening(&store).await.0, before, "b gave it up");
    set(20.0).await;
    assert!(store.lease_renew("c", epoch, TTL).await.unwrap());
    assert!(listening(&store).await.1, "c was cut off from the database");
    set(20.0).await;
    store.epoch_take("d", TTL).await.unwrap().unwrap();
    assert!(listening(&store).await.1, "no hub was there");
    let seen = crate::changed::moment(&mut store.pool.acquire().await.unwrap()).await;
    assert!(seen.unwrap().listening.is_some());
}
