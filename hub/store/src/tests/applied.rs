//! Documents applied while the hub decides.

use std::time::Duration;

use super::fixture;
use crate::Store;

/// Longer than any wait for a lock that comes to an end.
const PATIENCE: Duration = Duration::from_secs(60);

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
    // What other sessions wait for is shown to every user here, unlike in pg_stat_activity.
    const WAITING: &str = "select count(*) from pg_locks where not granted";
    let waited = tokio::time::timeout(PATIENCE, async {
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
    let documents = |text: &str| hub_engine::parse_file(text).unwrap();
    let first = documents(DOCUMENT);
    store
        .fleet_rollout_apply(&first, &person, false)
        .await
        .unwrap();
    let name = first.documents[0].fleet_rollout.name.clone();
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
