//! What agents say of a Rollout in clusters that a FleetRollout does not govern.

use hub_engine::FleetRolloutName;

use super::fixture;

const DOCUMENTS: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {tier: prod}}
  waves: [{name: all}]
---
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: other}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {tier: other}}
  waves: [{name: all}]
";

/// So many changes ($2) of a cluster ($1).
const SAY: &str = "insert into changes (cluster, namespace, rollout, now, session, sequence) \
    select $1, 'shop', 'checkout', jsonb_build_object('digest', 'v1:' || number, 'delivery', 's', 'images', '[]'::jsonb, \
    'generation', 2), 1, number from generate_series(1, $2) as number";

/// Any joined agent may name any Rollout, as often as it likes.
#[tokio::test]
async fn changes_elsewhere_stand_in_front_of_none_that_count() {
    let store = fixture::store().await;
    let file = hub_engine::parse_file(DOCUMENTS).unwrap();
    let person = "ann".into();
    let applied = store.fleet_rollout_apply(&file, &person, false);
    applied.await.unwrap();
    // One that nobody selects, one that the other one governs although both select it now, and one that counts.
    for (cluster, tier, count) in [
        ("dev", "dev", 1_000),
        ("late", "prod", 1_000),
        ("eu", "prod", 1),
    ] {
        sqlx::query("insert into clusters (name, labels, kube_system_uid) values ($1, jsonb_build_object('tier', $2), 'u')")
            .bind(cluster)
            .bind(tier)
            .execute(&store.pool)
            .await
            .unwrap();
        for statement in [
            "insert into cluster_sets (cluster, incarnation) values ($1, 1)",
            "insert into cluster_sessions (cluster) values ($1)",
        ] {
            let query = sqlx::query(statement).bind(cluster);
            query.execute(&store.pool).await.unwrap();
        }
        let query = sqlx::query(SAY).bind(cluster).bind(count);
        query.execute(&store.pool).await.unwrap();
    }
    let taken = "insert into gates (cluster, namespace, rollout, fleet_rollout, version, terms) \
         values ('late', 'shop', 'checkout', 'other', 1, '{}')";
    sqlx::query(taken).execute(&store.pool).await.unwrap();
    let name = FleetRolloutName::from("checkout");
    let observed = store.observe(&name).await.unwrap().unwrap();
    let changes: Vec<&str> = observed
        .changes
        .iter()
        .map(|change| change.cluster.as_str())
        .collect();
    assert_eq!(changes, ["eu"]);
    assert!(observed.conflicts.contains_key(&"late".into()));
}
