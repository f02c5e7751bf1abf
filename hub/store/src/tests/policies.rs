//! Policies of documents that only the database can tell: order, windows of the fleet, budgets, previews.

use std::collections::BTreeMap;

use hub_engine::Problem;
use hub_engine::name::Person;
use hub_engine::preview::Preview;
use hub_engine::window::{Standing, Windows};

use super::fixture;
use crate::Store;
use crate::cluster;
use crate::fleet_rollout::{Apply, Change};
use crate::preview::Previewed;

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

fn lines(problems: Vec<Problem>) -> Vec<String> {
    let line = |problem: Problem| {
        format!(
            "line {} {}: {}",
            problem.line, problem.path, problem.message
        )
    };
    problems.into_iter().map(line).collect()
}

fn problems(apply: Apply) -> Vec<String> {
    match apply {
        Apply::Problems(problems) => lines(problems),
        Apply::Done(applied) => panic!("{applied:?}"),
    }
}

/// Of a file that nobody has stored.
async fn plans(store: &Store, text: &str) -> Result<Vec<Preview>, Vec<String>> {
    let file = hub_engine::parse_file(text).unwrap();
    match store.preview_of(&file).await.unwrap() {
        Previewed::Plans(plans) => Ok(plans),
        Previewed::Problems(problems) => Err(lines(problems)),
    }
}

async fn cluster(store: &Store, name: &str, region: &str) {
    let labels = BTreeMap::from([("region".to_owned(), region.to_owned())]);
    let mut tx = store.pool.begin().await.unwrap();
    cluster::upsert(&mut tx, name, &labels).await.unwrap();
    tx.commit().await.unwrap();
}

/// Nobody is shown a plan of what cannot be stored, and both say why in the same words.
async fn refused(store: &Store, text: &str) -> Vec<String> {
    let found = problems(apply(store, text).await);
    assert_eq!(plans(store, text).await.unwrap_err(), found);
    found
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
        refused(&store, &alone).await,
        [
            "line 8 spec.after[0]: there is no FleetRollout payments; apply it first, or in the same file"
        ]
    );
    let both = format!("{alone}{}", fleet_rollout("payments", all));
    assert_eq!(done(apply(&store, &both).await).len(), 2);
    let circle = fleet_rollout("payments", &format!("  after: [checkout]\n{all}"));
    assert_eq!(
        refused(&store, &circle).await,
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
        cluster(&store, name, "eu").await;
    }
    let eu =
        "  waves: [{name: eu, clusters: {matchLabels: {region: eu}}, budget: {maxFailed: 3}}]\n";
    assert_eq!(
        refused(&store, &fleet_rollout("checkout", eu)).await,
        [
            "line 8 spec.waves[0].budget.maxFailed: 3 failures are more than the 2 clusters of wave eu, so it could never fail"
        ]
    );
    let good = fleet_rollout(
        "checkout",
        "  waves: [{name: half, percent: 50%, bake: 1h}, {name: rest}]\n",
    );
    let before = plans(&store, &good).await.unwrap().remove(0);
    assert!(store.preview(&"checkout".into()).await.unwrap().is_none());
    done(apply(&store, &good).await);
    let after = store.preview(&"checkout".into()).await.unwrap().unwrap();
    assert_eq!(before.digest, after.digest);
    let exposed: Vec<u32> = after.waves.iter().map(|wave| wave.exposed).collect();
    assert_eq!((after.governed, exposed), (2, vec![1, 2]));
}

#[tokio::test]
async fn a_plan_of_a_file_meets_the_windows_of_that_file() {
    let store = fixture::store().await;
    for name in ["eu-1", "us-1"] {
        cluster(&store, name, name.split_once('-').unwrap().0).await;
    }
    done(apply(&store, FREEZE).await);
    let checkout = fleet_rollout("checkout", "  waves: [{name: all, maxConcurrent: 100%}]\n");
    let meets = async |text: &str| {
        let plan = plans(&store, text).await.unwrap().remove(0);
        let clusters = plan.waves[0].clusters.iter();
        let all = clusters.map(|one| one.window.clone());
        all.collect::<Vec<_>>()
    };
    let stored = "FleetWindow sale freezes it: a sale";
    assert_eq!(meets(&checkout).await, [stored, stored]);
    // Its own stands in the place of the stored one, and one that is new stands beside it.
    let over = FREEZE.replace("2999", "2001");
    let region = "spec:\n  clusters: {matchLabels: {region: us}}\n";
    let new = FREEZE.replace("spec:\n", region).replace("sale", "move");
    let file = format!("{checkout}{over}{new}");
    let own = "FleetWindow move freezes it: a move";
    assert_eq!(meets(&file).await, ["", own]);
    assert_eq!(meets(&checkout).await, [stored, stored], "nothing is kept");
    assert_eq!(plans(&store, &over).await, Ok(Vec::new()));
}
