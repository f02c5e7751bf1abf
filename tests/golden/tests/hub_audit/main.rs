//! Bad plans that the audit has to find. In: golden observations and actions that no planner may take there. Out: the
//! invariant that each breaks. It must not ask the planner.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod clusters;
mod members;
mod policies;
mod releases;
mod waves;
mod words;

use std::path::Path;

use hub_engine::observed::Observed;
use hub_engine::plan::FleetRolloutStatus;
use hub_engine::release::{Cause, Direction, ReleasePhase, TargetState};
use hub_engine::{Action, Decision, Plan, audit};
use serde_json::json;

/// The issue asks for so many.
const LEAST: usize = 20;

fn observed(case: &str) -> Observed {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/hub")
        .join(case)
        .join("observed.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(file).expect("the fixture"))
        .expect("an observation")
}

fn plan(actions: Vec<Action>) -> Plan {
    let actions = actions
        .into_iter()
        .map(|action| Decision {
            action,
            evidence: json!({}),
        })
        .collect();
    Plan {
        actions,
        status: FleetRolloutStatus::default(),
        reasons: Vec::new(),
        wake: None,
    }
}

fn set(cluster: &str, state: TargetState) -> Action {
    Action::SetTargetState {
        release: 2,
        cluster: cluster.into(),
        state,
        message: String::new(),
    }
}

fn grant(cluster: &str, direction: Direction, digest: &str) -> Action {
    Action::GrantPermit {
        release: 2,
        cluster: cluster.into(),
        direction,
        digest: digest.into(),
        delivery: "v1:steps".into(),
        start_by: None,
        max_step: None,
        why: String::new(),
        steps_backwards: false,
    }
}

fn forward(cluster: &str) -> Action {
    grant(cluster, Direction::Forward, "v1:v2")
}

fn end(phase: ReleasePhase) -> Action {
    Action::EndRelease {
        release: 2,
        phase,
        verdict: String::new(),
    }
}

fn open(observed: &Observed, release: u64, cause: Cause) -> Action {
    Action::OpenRelease {
        release,
        revision: None,
        images: Vec::new(),
        cause,
        plan: observed.releases.first().map_or_else(
            || {
                hub_engine::waves::plan_waves(
                    &observed.fleet_rollout,
                    &std::collections::BTreeMap::new(),
                )
            },
            |release| (*release.plan).clone(),
        ),
        phase: ReleasePhase::Progressing,
        overtook: 0,
    }
}

fn by_change(change: u64) -> Cause {
    Cause::Change {
        cluster: "staging".into(),
        change,
    }
}

/// (what is wrong, fixture, its observation made to fit, the actions, the invariant)
type Bad = (
    &'static str,
    &'static str,
    fn(&mut Observed),
    fn(&Observed) -> Vec<Action>,
    &'static str,
);

const NOTHING: fn(&mut Observed) = |_| {};

#[test]
fn every_planted_bad_plan_is_found() {
    let all: Vec<&Bad> = waves::WAVES
        .iter()
        .chain(&clusters::CLUSTERS)
        .chain(&releases::RELEASES)
        .chain(&policies::POLICIES)
        .chain(&policies::PAPER)
        .chain(&policies::CLOSING)
        .chain(&words::WORDS)
        .chain(&members::MEMBERS)
        .collect();
    assert!(
        all.len() >= LEAST,
        "{} plans, {LEAST} are needed",
        all.len()
    );
    for (name, case, fit, actions, rule) in all {
        let mut observed = observed(case);
        fit(&mut observed);
        let found = audit(&observed, &plan(actions(&observed)));
        assert!(
            found.iter().any(|violation| violation.rule == *rule),
            "{name}: {rule} is not found, but {found:?}"
        );
    }
}

#[test]
fn a_decision_without_evidence_is_found() {
    let observed = observed("canary-in-flight");
    let mut bad = plan(vec![set("staging", TargetState::Progressing)]);
    bad.actions[0].evidence = serde_json::Value::Null;
    assert!(
        audit(&observed, &bad)
            .iter()
            .any(|violation| violation.rule == "S22")
    );
}
