//! Bad plans: each is a good one with one thing changed, and `audit` names what is wrong with it.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod experiments;
mod people;
mod spent;
mod status;

use std::collections::BTreeSet;

use agent_api::names::ANNOTATION_REVISION;
use agent_api::object::OwnerReference;
use agent_api::{
    AnalysisRun, Fence, GateStatus, ReplicaSet, StatusTime, Uid, WeightDestination, Weights,
};
use agent_engine::audit::RULES;
use agent_engine::{Action, Changes, Observed, Plan, Reason, Traffic, audit, reconcile};
use jiff::Timestamp;
use tests_golden::agent_fixture::{digest, hash, observed, template};

fn good(case: &str) -> (Observed, Plan) {
    let path = format!(
        "{}/../fixtures/agent/{case}/observed.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let observed = observed(&std::fs::read_to_string(path).unwrap()).unwrap();
    let plan = reconcile(&observed);
    assert!(audit(&observed, &plan).is_empty(), "{case}");
    (observed, plan)
}

fn scale(plan: &mut Plan, version: &str, from: i32, to: i32) {
    let name = format!("web-{}", hash(version));
    plan.actions.push(Action::ScaleReplicaSet {
        name,
        from,
        to,
        desired: 5,
        because: Reason::StepsDone,
    });
}

fn evict(plan: &mut Plan, name: &str) {
    plan.actions.push(Action::EvictPod {
        name: name.to_owned(),
        uid: Uid(format!("{name}-uid")),
        set: format!("web-{}", hash("v1")),
    });
}

fn workload_to(plan: &mut Plan, count: i32) {
    for action in &mut plan.actions {
        if let Action::ScaleWorkload { to, .. } = action {
            *to = count;
        }
    }
}

fn switch(plan: &mut Plan, service: &str, version: &str) {
    plan.actions.push(Action::SwitchService {
        name: service.to_owned(),
        from: None,
        to: hash(version),
    });
}

fn created(plan: &mut Plan) -> &mut ReplicaSet {
    let found = plan.actions.iter_mut().find_map(|action| match action {
        Action::CreateReplicaSet { replica_set } => Some(&mut **replica_set),
        _ => None,
    });
    found.unwrap()
}

fn run(plan: &mut Plan) -> &mut AnalysisRun {
    let found = plan.actions.iter_mut().find_map(|action| match action {
        Action::CreateAnalysisRun { run } => Some(&mut **run),
        _ => None,
    });
    found.unwrap()
}

fn owners(plan: &mut Plan) -> &mut Vec<OwnerReference> {
    let found = plan.actions.iter_mut().find_map(|action| match action {
        Action::ClaimReplicaSet { owners, .. } | Action::ReleaseReplicaSet { owners, .. } => {
            Some(owners)
        }
        _ => None,
    });
    found.unwrap()
}

fn record(plan: &mut Plan) -> &mut GateStatus {
    let found = plan.actions.iter_mut().find_map(|action| match action {
        Action::RecordGate { status, .. } => Some(&mut **status),
        _ => None,
    });
    found.unwrap()
}

/// The record as it is, to be changed.
fn recorded(observed: &Observed) -> GateStatus {
    observed.gate.gate().unwrap().status.clone().unwrap()
}

fn later() -> StatusTime {
    "2027-01-01T00:00:00Z".parse::<Timestamp>().unwrap().into()
}

type Change = fn(&Observed, &mut Plan);

/// Rule, case, what is changed.
const BAD: [(&str, &str, Change); 73] = [
    ("claims-by-selector", "at_rest", |observed, plan| {
        let set = observed.replica_sets.first().unwrap().metadata.clone();
        plan.actions.push(Action::ClaimReplicaSet {
            name: set.name.unwrap(),
            owners: set.owner_references.unwrap(),
        });
    }),
    ("claims-by-selector", "at_rest", |observed, plan| {
        let set = observed.replica_sets.first().unwrap().metadata.clone();
        plan.actions.push(Action::ReleaseReplicaSet {
            name: set.name.unwrap(),
            owners: Vec::new(),
        });
    }),
    ("claims-by-selector", "orphans_adopted", |_, plan| {
        owners(plan).clear();
    }),
    ("claims-by-selector", "orphans_adopted", |_, plan| {
        owners(plan).remove(0);
    }),
    ("claims-by-selector", "selector_left", |observed, plan| {
        let set = observed.replica_sets.iter().find(|set| {
            let labels = set.metadata.labels.clone().unwrap();
            labels.get("app").is_some_and(|app| app == "another")
        });
        let known = set.unwrap().metadata.owner_references.clone();
        *owners(plan) = known.unwrap();
    }),
    ("held-makes-no-set", "gate_held", |_, plan| {
        let (_, mut other) = good("new_version");
        let set = created(&mut other).clone();
        plan.actions.push(Action::CreateReplicaSet {
            replica_set: Box::new(set),
        });
    }),
    ("held-makes-no-set", "gate_not_trusted", |_, plan| {
        let (_, mut other) = good("new_version");
        let set = created(&mut other).clone();
        plan.actions.push(Action::CreateReplicaSet {
            replica_set: Box::new(set),
        });
    }),
    ("held-makes-no-set", "gate_permit_refused", |_, plan| {
        let (_, mut other) = good("new_version");
        let set = created(&mut other).clone();
        plan.actions.push(Action::CreateReplicaSet {
            replica_set: Box::new(set),
        });
    }),
    ("held-makes-no-set", "gate_retry_refused", |_, plan| {
        let name = format!("web-{}", hash("v3"));
        let (_, mut other) = good("third_version");
        created(&mut other).metadata.name = Some(name);
        let set = created(&mut other).clone();
        plan.actions.push(Action::CreateReplicaSet {
            replica_set: Box::new(set),
        });
    }),
    ("refused-waits", "claim_refused", |observed, plan| {
        let set = observed.replica_sets.first().unwrap().metadata.clone();
        let mut owners = set.owner_references.unwrap();
        owners.push(agent_engine::pass::current::owner(observed));
        let name = set.name.unwrap();
        plan.actions.push(Action::ClaimReplicaSet { name, owners });
    }),
    ("refused-waits", "refused_set_quota", |_, plan| {
        let (_, mut other) = good("new_version");
        let set = created(&mut other).clone();
        plan.actions.push(Action::CreateReplicaSet {
            replica_set: Box::new(set),
        });
    }),
    ("held-keeps-status", "gate_held", |_, plan| {
        plan.status.current_pod_hash = Some(hash("v2"))
    }),
    ("max-step", "gate_max_step", |_, plan| {
        plan.status.current_step_index = Some(1)
    }),
    ("max-step", "gate_max_step", |_, plan| {
        scale(plan, "v2", 1, 3)
    }),
    ("lease-ends-raising", "gate_lease_over", |_, plan| {
        plan.status.current_step_index = Some(2)
    }),
    ("lease-ends-raising", "gate_hub_lost_hold", |_, plan| {
        scale(plan, "v2", 1, 3)
    }),
    (
        "taken-back-grows-nothing",
        "gate_taken_back_edited",
        |_, plan| scale(plan, "v2", 1, 4),
    ),
    (
        "taken-back-grows-nothing",
        "gate_taken_back_steps_lost",
        |_, plan| scale(plan, "v2", 1, 2),
    ),
    ("record-before-effect", "gate_permit_starts", |_, plan| {
        let at = plan
            .actions
            .iter()
            .position(|action| matches!(action, Action::RecordGate { .. }))
            .unwrap();
        let record = plan.actions.remove(at);
        plan.actions.push(record);
    }),
    ("outcome-rises", "gate_rollback_served", |_, plan| {
        record(plan).outcome.as_mut().unwrap().fence = Fence {
            incarnation: 1,
            version: 3,
        };
    }),
    ("outcome-rises", "gate_rollback_stands", |observed, plan| {
        let status = GateStatus {
            outcome: None,
            ..recorded(observed)
        };
        plan.actions.insert(
            0,
            Action::RecordGate {
                status: Box::new(status),
                changes: Vec::new(),
            },
        );
    }),
    (
        "served-is-complete",
        "gate_permit_step",
        |observed, plan| {
            let mut served = recorded(observed).served;
            served.as_mut().unwrap().digest = digest("v2");
            record(plan).served = served;
        },
    ),
    ("enough-available", "at_rest", |_, plan| {
        scale(plan, "v1", 5, 3)
    }),
    ("enough-available", "third_version", |_, plan| {
        scale(plan, "v1", 4, 3)
    }),
    ("not-too-many", "at_rest", |_, plan| scale(plan, "v1", 5, 8)),
    ("kept-stable-stays", "kept_stable_last_step", |_, plan| {
        scale(plan, "v1", 10, 9)
    }),
    ("weight-of-the-step", "new_version", |_, plan| {
        created(plan).spec.replicas = Some(2)
    }),
    ("weight-of-the-step", "pause_runs", |_, plan| {
        scale(plan, "v2", 1, 2)
    }),
    ("scale-from-what-is", "at_rest", |_, plan| {
        scale(plan, "v1", 4, 5)
    }),
    ("promotion-needs-pods", "weight_reached", |_, plan| {
        plan.status.stable_rs = Some(hash("v2"))
    }),
    ("abort-stays", "aborted", |_, plan| plan.status.abort = None),
    ("aborted-gets-no-weight", "aborted", |_, plan| {
        scale(plan, "v2", 0, 1)
    }),
    ("analysis-before-progress", "analysis_runs", |_, plan| {
        plan.status.current_step_index = Some(2)
    }),
    ("pause-before-progress", "pause_runs", |_, plan| {
        plan.status.current_step_index = Some(2)
    }),
    ("pause-before-progress", "pause_for_person", |_, plan| {
        plan.status.current_step_index = Some(4)
    }),
    ("person-pauses", "paused_by_person", |_, plan| {
        plan.status.current_step_index = Some(2)
    }),
    ("paused-starts-nothing", "paused_new_version", |_, plan| {
        created(plan).spec.replicas = Some(1)
    }),
    (
        "paused-starts-nothing",
        "paused_scaled_while_growing",
        |_, plan| scale(plan, "v2", 2, 3),
    ),
    ("names-are-repeatable", "new_version", |_, plan| {
        created(plan).metadata.name = Some("web-new".into())
    }),
    ("names-are-repeatable", "analysis_begins", |_, plan| {
        run(plan).metadata.name = Some("web-analysis".into())
    }),
    ("names-are-new", "analysis_runs", |_, plan| {
        let (_, mut other) = good("analysis_begins");
        let run = run(&mut other).clone();
        plan.actions
            .push(Action::CreateAnalysisRun { run: Box::new(run) });
    }),
    ("revision-rises", "new_version", |_, plan| {
        created(plan)
            .metadata
            .annotations
            .as_mut()
            .unwrap()
            .insert(ANNOTATION_REVISION.into(), "1".into());
    }),
    (
        "workload-gives-way-to-ready-pods",
        "workload_gives_way_again",
        |_, plan| workload_to(plan, 2),
    ),
    (
        "workload-gives-way-to-ready-pods",
        "workload_on_success",
        |_, plan| workload_to(plan, 1),
    ),
    (
        "workload-gives-way-to-ready-pods",
        "workload_changed",
        |_, plan| {
            plan.actions.push(Action::ScaleWorkload {
                name: "web".into(),
                from: 1,
                to: 5,
                because: Reason::StepsDone,
            });
        },
    ),
    (
        "workload-generation-is-noted",
        "workload_changed",
        |_, plan| plan.status.workload_observed_generation = Some("4".into()),
    ),
    ("nothing-in-use-is-deleted", "at_rest", |_, plan| {
        plan.actions.push(Action::DeleteReplicaSet {
            name: format!("web-{}", hash("v1")),
        });
    }),
    ("nothing-in-use-is-deleted", "analysis_runs", |_, plan| {
        plan.actions.push(Action::DeleteAnalysisRun {
            name: format!("web-{}-2-1", hash("v2")),
        });
    }),
    ("evicts-old-pods", "restart_done", |_, plan| {
        evict(plan, "a")
    }),
    ("evicts-few", "restart_waits_for_pods", |_, plan| {
        evict(plan, "a")
    }),
    ("restart-sees-all", "restart_evicts", |observed, plan| {
        plan.status.restarted_at = observed.rollout.spec.restart_at
    }),
    ("template-is-content", "new_version", |_, plan| {
        created(plan).spec.template = template("v3")
    }),
    ("pods-stay-found", "metadata_reaches_pods", |_, plan| {
        let labels = [("app".to_owned(), None)].into();
        plan.actions.push(Action::ChangeTemplateMetadata {
            name: format!("web-{}", hash("v1")),
            labels,
            annotations: Changes::new(),
            notes: Changes::new(),
        });
    }),
    ("active-has-pods", "bg_preview_pending", |_, plan| {
        switch(plan, "web", "v2")
    }),
    ("active-has-pods", "bg_abort_stable_short", |_, plan| {
        switch(plan, "web", "v1")
    }),
    ("active-keeps-pods", "bg_at_rest", |_, plan| {
        scale(plan, "v1", 5, 3)
    }),
    ("active-keeps-pods", "bg_mid_update_switched", |_, plan| {
        scale(plan, "v2", 5, 0)
    }),
    ("stable-keeps-pods", "bg_post_runs", |_, plan| {
        scale(plan, "v1", 5, 0)
    }),
    ("aborted-is-not-active", "bg_aborted", |_, plan| {
        switch(plan, "web", "v2")
    }),
    ("held-switches-nothing", "bg_gate_held", |_, plan| {
        let (_, mut other) = good("bg_update_begins");
        let set = created(&mut other).clone();
        plan.actions.push(Action::CreateReplicaSet {
            replica_set: Box::new(set),
        });
        switch(plan, "web-preview", "v2");
    }),
    ("switch-is-permitted", "bg_gate_max_step", |_, plan| {
        switch(plan, "web", "v2")
    }),
    ("switch-is-permitted", "bg_gate_lease_over", |_, plan| {
        switch(plan, "web", "v2")
    }),
    ("promotion-was-waited-for", "bg_pause_begins", |_, plan| {
        switch(plan, "web", "v2")
    }),
    ("promotion-was-waited-for", "bg_pre_begins", |_, plan| {
        switch(plan, "web", "v2")
    }),
    ("promotion-was-waited-for", "bg_post_begins", |_, plan| {
        plan.status.stable_rs = Some(hash("v2"))
    }),
    ("traffic-has-pods", "routed_weight_confirmed", |_, plan| {
        scale(plan, "v2", 3, 1)
    }),
    ("traffic-has-pods", "dynamic_stable_waits", |_, plan| {
        scale(plan, "v1", 4, 2)
    }),
    ("weight-needs-pods", "routed_one_pod_short", |_, plan| {
        asks(plan, ("v2", 60), ("v1", 40))
    }),
    ("weight-of-the-step", "routed_weight_shown", |_, plan| {
        asks(plan, ("v2", 60), ("v1", 40))
    }),
    (
        "aborted-gets-no-weight",
        "routed_abort_delay_starts",
        |_, plan| asks(plan, ("v2", 20), ("v1", 80)),
    ),
    (
        "promotion-needs-traffic",
        "routed_last_weight",
        |_, plan| plan.status.stable_rs = Some(hash("v2")),
    ),
    ("service-needs-pods", "routed_pods_pending", |_, plan| {
        plan.actions.push(Action::SwitchService {
            name: "web-canary".into(),
            from: Some(hash("v1")),
            to: hash("v2"),
        });
    }),
    ("background-is-heard", "background_failed", |_, plan| {
        plan.status.abort = None
    }),
];

/// The split that a plan asks for, made anew.
fn asks(plan: &mut Plan, canary: (&str, i32), stable: (&str, i32)) {
    let side = |(version, weight): (&str, i32)| {
        Some(WeightDestination {
            weight,
            pod_template_hash: Some(hash(version)),
            ..WeightDestination::default()
        })
    };
    let weights = Weights {
        canary: side(canary),
        stable: side(stable),
        ..Weights::default()
    };
    plan.actions
        .retain(|action| !matches!(action, Action::SetTraffic { .. }));
    plan.actions.push(Action::SetTraffic {
        traffic: Box::new(Traffic {
            weights,
            routes: Vec::new(),
        }),
        because: Reason::StepsDone,
    });
}

#[test]
fn every_bad_plan_is_named() {
    let mut seen = BTreeSet::new();
    let all = BAD
        .iter()
        .chain(&status::BAD)
        .chain(&experiments::BAD)
        .chain(&spent::BAD)
        .chain(&people::BAD);
    for (index, (rule, case, change)) in all.enumerate() {
        let (observed, mut plan) = good(case);
        change(&observed, &mut plan);
        let found = audit(&observed, &plan);
        let rules: BTreeSet<&str> = found.iter().map(|violation| violation.rule).collect();
        assert!(
            rules.contains(rule),
            "bad plan {index} ({case}): {rule} is not among {found:?}\n{plan}"
        );
        seen.insert(*rule);
    }
    for rule in RULES {
        assert!(seen.contains(rule), "no bad plan breaks {rule}");
    }
}
