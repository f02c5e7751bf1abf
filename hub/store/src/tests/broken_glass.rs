//! Break-glass as agents tell it: once in the history, whoever tells it again.

use hub_engine::{ClusterName, Digest, RolloutName};

use super::fixture;
use crate::broken_glass::{BrokenGlass, tell};

async fn told(store: &crate::Store, glass: &BrokenGlass) {
    let cluster = ClusterName::from("eu");
    let rollout = RolloutName {
        namespace: "shop".to_owned(),
        name: "checkout".to_owned(),
    };
    let mut tx = store.pool.begin().await.unwrap();
    tell(&mut tx, &cluster, &rollout, glass).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn who_and_why_reach_the_history_once() {
    let store = fixture::store().await;
    let cluster = ClusterName::from("eu");
    sqlx::query(crate::cluster::UPSERT)
        .bind(cluster.as_str())
        .bind(sqlx::types::Json(serde_json::json!({})))
        .execute(&store.pool)
        .await
        .unwrap();
    let glass = BrokenGlass {
        id: "uid/v1:b/2026-01-01T00:00:00Z/ann".to_owned(),
        digest: Digest("v1:b".to_owned()),
        by: "ann".to_owned(),
        reason: "the fix for INC-7".to_owned(),
        release: "checkout#2".to_owned(),
        at: None,
        needed: true,
    };
    let spent = BrokenGlass {
        id: "another".to_owned(),
        needed: false,
        ..glass.clone()
    };
    for one in [&glass, &glass, &spent, &glass] {
        told(&store, one).await;
    }
    let rows = store.history_list("checkout#2", 0, 10).await.unwrap();
    let said: Vec<_> = rows
        .iter()
        .map(|row| (row.kind.as_str(), row.actor.as_str(), row.message.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (
                "GlassBroken",
                "agent:eu",
                "ann started v1:b of shop/checkout in eu without the fleet's word: the fix for INC-7"
            ),
            (
                "GlassNotNeeded",
                "agent:eu",
                "ann broke the glass for v1:b of shop/checkout in eu, which nothing held: the fix for INC-7"
            ),
        ]
    );
}
