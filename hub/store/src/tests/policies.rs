//! Policies of documents that only the database can tell: order, windows of the fleet, budgets, previews.

use hub_engine::Problem;
use hub_engine::name::Person;
use hub_engine::window::{Standing, Windows};

use super::fixture;
use crate::Store;
use crate::fleet_rollout::{Apply, Change};

fn fleet_rollout(name: &str, more: &str) -> String {
    format!(
        "---\napiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {name}}}\nspec:\n  \
         rollout: {{namespace: shop, name: {name}}}\n  enforcement: Enforce\n{more}"
    )
}

const FREEZE: &str = "---\napiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetWindow\nmetadata: {name: sale}\nspec:\n  \
     freezes: [{from: 2000-01-01T00:00:00Z, to: 2999-01-01T00:00:00Z, reason: a sale}]\n";

async fn apply(store: &Store, text: &str) -> Apply {
    let file = hub_engine::parse_file(text).unwrap();
    let person = Person("ann".into());
    store
        .fleet_rollout_apply(&file, &person, false)
        .await
        .unwrap()
}

fn problems(apply: Apply) -> Vec<String> {
    let line = |problem: Problem| {
        format!(
            "line {} {}: {}",
            problem.line, problem.path, problem.message
        )
    };
    match apply {
        Apply::Problems(problems) => problems.into_iter().map(line).collect(),
        Apply::Done(applied) => panic!("{applied:?}"),
    }
}

fn done(apply: Apply) -> Vec<(&'static str, String, Change)> {
    match apply {
        Apply::Done(applied) => applied
            .into_iter()
            .map(|one| (one.kind, one.name, one.change))
            .collect(),
        Apply::Problems(problems) => panic!("{problems:?}"),
    }
}

#[tokio::test]
async fn unknown_names_and_circles_are_refused() {
    let store = fixture::store().await;
    let all = "  waves: [{name: all}]\n";
    let alone = fleet_rollout("checkout", &format!("  after: [payments]\n{all}"));
    assert_eq!(
        problems(apply(&store, &alone).await),
        [
            "line 8 spec.after[0]: there is no FleetRollout payments; apply it first, or in the same file"
        ]
    );
    let both = format!("{alone}{}", fleet_rollout("payments", all));
    assert_eq!(done(apply(&store, &both).await).len(), 2);
    let circle = fleet_rollout("payments", &format!("  after: [checkout]\n{all}"));
    assert_eq!(
        problems(apply(&store, &circle).await),
        [
            "line 8 spec.after[0]: each would wait for the other: payments after checkout after payments; leave one of them out"
        ]
    );
    let observed = store.observe(&"checkout".into()).await.unwrap().unwrap();
    assert_eq!(observed.before.len(), 1);
    assert!(observed.before[0].newest.is_none());
}

#[tokio::test]
async fn a_freeze_of_the_fleet_is_seen_by_every_decision() {
    let store = fixture::store().await;
    let all = fleet_rollout("checkout", "  waves: [{name: all}]\n");
    let kinds = done(apply(&store, &format!("{all}{FREEZE}")).await);
    assert_eq!(
        kinds[1],
        ("FleetWindow", "sale".to_owned(), Change::Created)
    );
    let again = done(apply(&store, FREEZE).await);
    assert_eq!(again[0].2, Change::Unchanged);
    let observed = store.observe(&"checkout".into()).await.unwrap().unwrap();
    let windows = Windows::of(
        &observed.fleet_rollout,
        &observed.windows,
        &std::collections::BTreeMap::new(),
    );
    assert!(matches!(windows.at(observed.now), Standing::Closed { .. }));
    let over = FREEZE.replace("2999", "2001");
    assert_eq!(done(apply(&store, &over).await)[0].2, Change::Configured);
    let rows = store.history_list("", 0, 100).await.unwrap();
    let kept = rows.iter().filter(|row| row.kind == "FleetWindowApplied");
    assert_eq!(kept.count(), 2, "one a change");
}

#[tokio::test]
async fn a_budget_is_weighed_against_the_clusters_and_a_preview_shows_them() {
    let store = fixture::store().await;
    for name in ["eu-1", "eu-2"] {
        let labels = std::collections::BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
        sqlx::query(crate::cluster::UPSERT)
            .bind(name)
            .bind(sqlx::types::Json(labels))
            .execute(&store.pool)
            .await
            .unwrap();
    }
    let eu =
        "  waves: [{name: eu, clusters: {matchLabels: {region: eu}}, budget: {maxFailed: 3}}]\n";
    assert_eq!(
        problems(apply(&store, &fleet_rollout("checkout", eu)).await),
        [
            "line 8 spec.waves[0].budget.maxFailed: 3 failures are more than the 2 clusters of wave eu, so it could never fail"
        ]
    );
    let good = fleet_rollout(
        "checkout",
        "  waves: [{name: half, percent: 50%, bake: 1h}, {name: rest}]\n",
    );
    let file = hub_engine::parse_file(&good).unwrap();
    let before = store
        .preview_of(&file.documents[0].fleet_rollout)
        .await
        .unwrap();
    assert!(store.preview(&"checkout".into()).await.unwrap().is_none());
    done(apply(&store, &good).await);
    let after = store.preview(&"checkout".into()).await.unwrap().unwrap();
    assert_eq!(before.digest, after.digest);
    let exposed: Vec<u32> = after.waves.iter().map(|wave| wave.exposed).collect();
    assert_eq!((after.governed, exposed), (2, vec![1, 2]));
}
