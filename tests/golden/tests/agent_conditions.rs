//! What clients read beside the phase: the conditions of every fixture's plan, a line a case; and what a new ReplicaSet
//! carries. `UPDATE=1` rewrites the lines.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use agent_api::names::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST, ANNOTATION_KEEP_STABLE,
    ANNOTATION_LAST_APPLIED, ANNOTATION_NOTIFIED, ANNOTATION_PERMITTED_BY, ANNOTATION_RELEASE,
    ANNOTATION_REVISION, LABEL_POD_HASH,
};
use agent_api::{Condition, ReplicaSet};
use agent_engine::{Action, Observed, Plan, reconcile};
use tests_golden::agent_fixture::{NAME, digest, hash, named, observed};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn planned(case: &Path) -> (Observed, Plan) {
    let yaml = std::fs::read_to_string(case.join("observed.yaml")).unwrap();
    let observed = observed(&yaml).unwrap();
    let plan = reconcile(&observed);
    (observed, plan)
}

/// Conditions that the plan changes.
fn changed<'a>(observed: &Observed, plan: &'a Plan) -> Vec<&'a Condition> {
    let before = observed.rollout.status.clone().unwrap_or_default();
    let conditions = plan.status.conditions.iter();
    conditions
        .filter(|one| before.condition(&one.r#type) != Some(*one))
        .collect()
}

/// Reasons of conditions that have to occur.
const REASONS: [&str; 17] = [
    "AvailableReason",
    "FoundNewReplicaSet",
    "InvalidSpec",
    "NewReplicaSetAvailable",
    "NewReplicaSetCreated",
    "ProgressDeadlineExceeded",
    "ReplicaSetCreateError",
    "ReplicaSetClaimRefused",
    "ReplicaSetNotAvailable",
    "ReplicaSetUpdated",
    "RolloutAborted",
    "RolloutCompleted",
    "RolloutHealthy",
    "RolloutPaused",
    "RolloutResumed",
    "RolloutRetry",
    "FailedCreate",
];

#[test]
fn every_fixture_gives_its_conditions() {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(fixtures().join("agent"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    let (mut text, mut reasons) = (String::new(), BTreeSet::new());
    for case in &cases {
        let (observed, plan) = planned(case);
        let name = case.file_name().unwrap().to_string_lossy();
        text.push_str(&format!("{name}\n"));
        for one in changed(&observed, &plan) {
            let reason = one.reason.clone().unwrap_or_default();
            let message = one.message.as_deref().unwrap_or_default();
            text.push_str(&format!(
                "  {}={} {reason}: {message}\n",
                one.r#type, one.status
            ));
            reasons.insert(reason);
        }
    }
    let (file, text) = (fixtures().join("conditions.txt"), named(&text));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(known == text, "UPDATE=1 rewrites {}", file.display());
    let expected: BTreeSet<String> = REASONS.iter().map(ToString::to_string).collect();
    assert_eq!(reasons, expected);
}

fn created(plan: &Plan) -> &ReplicaSet {
    let mut actions = plan.actions.iter();
    let found = actions.find_map(|action| {
        if let Action::CreateReplicaSet { replica_set } = action {
            Some(&**replica_set)
        } else {
            None
        }
    });
    found.unwrap()
}

#[test]
fn a_new_replica_set_carries_what_clients_read() {
    let case = fixtures().join("agent/new_version");
    let (mut observed, _) = planned(&case);
    let own = [
        (ANNOTATION_LAST_APPLIED, "{}"),
        (ANNOTATION_NOTIFIED, "x"),
        (ANNOTATION_RELEASE, "checkout#1"),
        (ANNOTATION_PERMITTED_BY, "2 checkout#1"),
        (ANNOTATION_KEEP_STABLE, "true"),
        ("team", "shop"),
    ];
    let annotations = observed
        .rollout
        .metadata
        .annotations
        .get_or_insert_default();
    annotations.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let plan = reconcile(&observed);
    let set = created(&plan);
    let text = |map: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = map.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let (hash, digest) = (hash("v2"), digest("v2"));
    let labels = text(&[("app", NAME), (LABEL_POD_HASH, hash.as_str())]);
    assert_eq!(set.metadata.labels.as_ref(), Some(&labels));
    assert_eq!(set.spec.selector.match_labels, labels);
    assert_eq!(set.spec.template.labels(), labels);
    // What speaks of the Rollout itself is not copied.
    let expected = text(&[
        ("team", "shop"),
        (ANNOTATION_REVISION, "2"),
        (ANNOTATION_DESIRED_REPLICAS, "5"),
        (ANNOTATION_DIGEST, digest.as_str()),
    ]);
    assert_eq!(set.metadata.annotations.as_ref(), Some(&expected));
    let owner = set.metadata.owner_references.iter().flatten().next();
    assert_eq!(owner.and_then(|owner| owner.controller), Some(true));
    assert_eq!(owner.map(|owner| owner.kind.as_str()), Some("Rollout"));
}

/// The Rollout's own word of it counts for nothing.
#[test]
fn what_the_fleet_lets_start_carries_whose_permit_it_was() {
    let permitted = |case: &str| {
        let (mut observed, _) = planned(&fixtures().join("agent").join(case));
        let annotations = observed
            .rollout
            .metadata
            .annotations
            .get_or_insert_default();
        annotations.insert(ANNOTATION_PERMITTED_BY.to_owned(), "2 other#1".to_owned());
        let plan = reconcile(&observed);
        let annotations = created(&plan).metadata.annotations.clone();
        annotations.and_then(|all| all.get(ANNOTATION_PERMITTED_BY).cloned())
    };
    assert_eq!(
        permitted("gate_permit_starts").as_deref(),
        Some("2 checkout#2")
    );
    for free in [
        "gate_first_deploy_free",
        "gate_break_glass",
        "gate_observe_only",
    ] {
        assert_eq!(permitted(free), None, "{free}");
    }
}
