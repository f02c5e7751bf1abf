//! Bad documents through the API: each with its place, and nothing stored.
use std::fmt::Write as _;
use std::path::Path;

use proto::v1::{ApplyRequest, ListFleetRolloutsRequest};

use crate::fixture::{World, document};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_one_problem_stores_nothing_of_it() {
    let world = World::start().await;
    let good = document("good", "good", "prod", "name: all");
    let bad: Vec<(&str, String)> = vec![
        (
            "spec.waves",
            document("a", "a", "prod", "name: all")
                .replace("  waves:\n  - name: all\n", "  waves: []\n"),
        ),
        (
            "spec.waves[0].maxConcurrent",
            document("a", "a", "prod", "{name: all, maxConcurrent: 150%}"),
        ),
        (
            "spec.waves[0].bake",
            document("a", "a", "prod", "{name: all, bake: soon}"),
        ),
        (
            "spec.surprise",
            document("a", "a", "prod", "name: all") + "  surprise: 1\n",
        ),
    ];
    for (path, text) in bad {
        let response = world.apply(&format!("{good}---\n{text}")).await;
        let found = response
            .problems
            .iter()
            .find(|problem| problem.path == path);
        let problem = found.unwrap_or_else(|| panic!("{path} not in {:?}", response.problems));
        assert!(
            problem.line > 1 && !problem.message.is_empty(),
            "{problem:?}"
        );
        assert!(response.applied.is_empty());
    }
    assert!(!world.apply("{").await.problems.is_empty());
    let mut admin = world.admin().await;
    let stored = admin
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap()
        .into_inner()
        .fleet_rollouts;
    assert!(stored.is_empty(), "{stored:?}");

    let dry = ApplyRequest {
        file_name: String::new(),
        document: good.clone(),
        dry_run: true,
    };
    assert_eq!(
        admin.apply(dry).await.unwrap().into_inner().applied.len(),
        1
    );
    let stored = admin
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap()
        .into_inner()
        .fleet_rollouts;
    assert!(stored.is_empty(), "{stored:?}");

    assert!(world.apply(&good).await.problems.is_empty());
    let stored = admin
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap()
        .into_inner()
        .fleet_rollouts;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].document.trim(), good.trim());
}

/// The table of bad documents that the engine is held to, through the API: the same lines, the store as empty as before.
#[tokio::test(flavor = "multi_thread")]
async fn every_bad_document_is_answered_with_its_places_and_stores_nothing() {
    let world = World::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/fleetrollouts/bad");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let response = world.apply(&std::fs::read_to_string(&file).unwrap()).await;
        let mut lines = String::new();
        for problem in &response.problems {
            writeln!(
                lines,
                "line {} {}: {}",
                problem.line, problem.path, problem.message
            )
            .unwrap();
        }
        assert_eq!(
            lines,
            std::fs::read_to_string(file.with_extension("txt")).unwrap(),
            "{}",
            file.display()
        );
        assert!(response.applied.is_empty());
        tried += 1;
    }
    assert!(tried >= 25, "only {tried} bad documents");
    let stored = world
        .admin()
        .await
        .list_fleet_rollouts(ListFleetRolloutsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(stored.fleet_rollouts.is_empty());
    assert!(
        !world
            .history()
            .await
            .iter()
            .any(|row| row.kind.starts_with("FleetRollout"))
    );
}
