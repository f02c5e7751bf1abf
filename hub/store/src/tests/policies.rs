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

fn window(name: &str, more: &str, cron: &str, duration: &str) -> String {
    format!(
        "---\napiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetWindow\nmetadata: {{name: {name}}}\nspec:\n  {more}\
         windows: [{{allow: {{cron: \"{cron}\", duration: {duration}, timezone: UTC}}}}]\n"
    )
}

#[tokio::test]
async fn windows_that_are_never_open_together_are_refused_with_the_names_of_both() {
    let store = fixture::store().await;
    let weekdays = "  waves: [{name: all}]\n  windows: [{allow: {cron: \"0 9 * * 1-5\", duration: 8h, timezone: UTC}}]\n";
    let checkout = fleet_rollout("checkout", weekdays);
    let weekends = window("weekends", "", "0 0 * * 6,0", "1d");
    let never = "FleetRollout checkout and FleetWindow weekends are never open together, so nothing of checkout could ever start";
    let help = "; let their windows meet, or write freezes with from and to for a time that ends";
    // In one file, and each beside the other one that is stored.
    assert_eq!(
        refused(&store, &format!("{checkout}{weekends}")).await,
        [format!("line 9 spec.windows: {never}{help}")]
    );
    done(apply(&store, &checkout).await);
    assert_eq!(
        refused(&store, &weekends).await,
        [format!("line 2 spec.windows: {never}{help}")]
    );
    let always = fleet_rollout("checkout", "  waves: [{name: all}]\n");
    done(apply(&store, &format!("{always}{weekends}")).await);
    assert_eq!(
        refused(&store, &checkout).await,
        [format!("line 9 spec.windows: {never}{help}")]
    );
    // Where it holds, only clusters can tell.
    let eu = "clusters: {matchLabels: {region: eu}}\n  ";
    let moved = window("weekends", eu, "0 0 * * 6,0", "1d");
    done(apply(&store, &format!("{moved}{checkout}")).await);
    cluster(&store, "eu-1", "eu").await;
    let there = format!("{never} in eu-1{help}");
    assert_eq!(
        refused(&store, &checkout).await,
        [format!("line 9 spec.windows: {there}")]
    );
    // Nothing of the file is at it: whoever stored the two has it said.
    let other = fleet_rollout("other", "  waves: [{name: all}]\n");
    done(apply(&store, &other).await);
    done(apply(&store, FREEZE).await);
    let met = window("weekends", eu, "0 12 * * *", "1d");
    done(apply(&store, &met).await);
}

#[tokio::test]
async fn two_fleet_rollouts_that_could_not_but_meet_are_refused_before_there_is_a_cluster() {
    let over = |name: &str, clusters: &str| {
        let more = format!("  clusters: {clusters}\n  waves: [{{name: all}}]\n");
        fleet_rollout(name, &more)
            .replace(&format!("name: {name}}}\n  enf"), "name: checkout}\n  enf")
    };
    let store = fixture::store().await;
    let eu = "{matchLabels: {region: eu}}";
    done(apply(&store, &over("checkout", eu)).await);
    let says = |which: &str| {
        [format!(
            "line 8 spec.clusters: FleetRollout checkout over shop/checkout {which}; one FleetRollout governs one Rollout a \
             cluster, so let each select its own values of a label"
        )]
    };
    for (clusters, which) in [
        (eu, "selects the same clusters"),
        (
            "{matchExpressions: [{key: region, operator: In, values: [eu]}]}",
            "selects the same clusters",
        ),
        (
            "{matchLabels: {region: eu, ring: a}}",
            "selects every cluster that this one selects",
        ),
        ("{}", "selects no cluster that this one does not select"),
    ] {
        assert_eq!(refused(&store, &over("next", clusters)).await, says(which));
    }
    // By other values of one label each has its own; and what is handed over, is so by one file.
    done(apply(&store, &over("next", "{matchLabels: {region: us}}")).await);
    let handed = format!(
        "{}{}",
        over("checkout", "{matchLabels: {region: eu, ring: a}}"),
        over(
            "next",
            "{matchExpressions: [{key: region, operator: In, values: [us, eu]}, {key: ring, operator: NotIn, values: [a]}]}"
        )
    );
    done(apply(&store, &handed).await);
    // Over another Rollout it may select what it likes.
    let all = "  clusters: {}\n  waves: [{name: all}]\n";
    done(apply(&store, &fleet_rollout("search", all)).await);
    // Where they meet in a cluster that is there, that one is named.
    cluster(&store, "us-1", "us").await;
    let named = refused(&store, &over("third", "{}")).await;
    assert!(
        named
            .iter()
            .any(|line| line.contains("next governs shop/checkout in cluster us-1")),
        "{named:?}"
    );
}

#[tokio::test]
async fn one_that_others_come_after_is_not_deleted() {
    let store = fixture::store().await;
    let all = "  waves: [{name: all}]\n";
    let after = "  after: [payments]\n  waves: [{name: all}]\n";
    let three = [
        fleet_rollout("payments", all),
        fleet_rollout("checkout", after),
        fleet_rollout("basket", after),
    ];
    done(apply(&store, &three.concat()).await);
    let delete = async |name: &str| {
        let (name, person) = (name.into(), Person("ann".into()));
        store.fleet_rollout_delete(&name, &person, "over").await
    };
    let refused = delete("payments").await.unwrap_err().to_string();
    let says = "after it comes basket and checkout, which would wait for its releases for good; take payments out of \
                spec.after there and apply that, or delete basket and checkout first";
    assert!(refused.contains(says), "{refused}");
    delete("basket").await.unwrap();
    done(apply(&store, &fleet_rollout("checkout", all)).await);
    delete("payments").await.unwrap();
}
