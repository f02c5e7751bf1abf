//! Every fixture of the agent's engine through `reconcile`, as text. `UPDATE=1` rewrites the texts: read each changed one
//! as prose before keeping it.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use agent_api::GateStatus;
use agent_engine::canary::experiment::{leave, stable_wanted};
use agent_engine::experiment::Leave;
use agent_engine::gate::told::waiting;
use agent_engine::sets::views;
use agent_engine::{Action, Observed, Plan, Reason, audit, effective, reconcile};
use tests_golden::agent_fixture::{hash, named, observed};

/// Cases that there have to be at least.
const LEAST: usize = 40;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/agent")
}

fn cases() -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                path,
            )
        })
        .collect()
}

/// The word of an action; a new variant does not compile until it has one, and then needs a case.
fn action_word(action: &Action) -> &'static str {
    match action {
        Action::KeepTemplate(_) => "KeepTemplate",
        Action::ForgetTemplate { .. } => "ForgetTemplate",
        Action::RecordGate { .. } => "RecordGate",
        Action::CreateReplicaSet { .. } => "CreateReplicaSet",
        Action::ClaimReplicaSet { .. } => "ClaimReplicaSet",
        Action::ReleaseReplicaSet { .. } => "ReleaseReplicaSet",
        Action::AdoptReplicaSet { .. } => "AdoptReplicaSet",
        Action::AnnotateReplicaSet { .. } => "AnnotateReplicaSet",
        Action::ChangeTemplateMetadata { .. } => "ChangeTemplateMetadata",
        Action::ChangePods { .. } => "ChangePods",
        Action::EvictPod { .. } => "EvictPod",
        Action::ScaleReplicaSet { .. } => "ScaleReplicaSet",
        Action::DeleteReplicaSet { .. } => "DeleteReplicaSet",
        Action::CreateAnalysisRun { .. } => "CreateAnalysisRun",
        Action::TerminateAnalysisRun { .. } => "TerminateAnalysisRun",
        Action::DeleteAnalysisRun { .. } => "DeleteAnalysisRun",
        Action::CreateExperiment { .. } => "CreateExperiment",
        Action::TerminateExperiment { .. } => "TerminateExperiment",
        Action::DeleteExperiment { .. } => "DeleteExperiment",
        Action::ScaleWorkload { .. } => "ScaleWorkload",
        Action::SwitchService { .. } => "SwitchService",
        Action::ReleaseService { .. } => "ReleaseService",
        Action::SetTraffic { .. } => "SetTraffic",
        Action::PatchRollout { .. } => "PatchRollout",
        Action::Event(_) => "Event",
    }
}
const ACTIONS: usize = 25;

/// The word of a reason, likewise.
fn reason_word(reason: &Reason) -> &'static str {
    match reason {
        Reason::InvalidSpec { .. } => "InvalidSpec",
        Reason::InitialDeploy => "InitialDeploy",
        Reason::StepWeight { .. } => "StepWeight",
        Reason::StepsDone => "StepsDone",
        Reason::Complete { .. } => "Complete",
        Reason::FullPromotion => "FullPromotion",
        Reason::BackToStable => "BackToStable",
        Reason::RollbackWindow => "RollbackWindow",
        Reason::Intermediate => "Intermediate",
        Reason::Replicas { .. } => "Replicas",
        Reason::WorkloadReplaced { .. } => "WorkloadReplaced",
        Reason::PodsPending { .. } => "PodsPending",
        Reason::AvailabilityGuard { .. } => "AvailabilityGuard",
        Reason::SurgeGuard { .. } => "SurgeGuard",
        Reason::PauseUntil { .. } => "PauseUntil",
        Reason::PauseForPerson { .. } => "PauseForPerson",
        Reason::PausedByPerson => "PausedByPerson",
        Reason::AnalysisRunning { .. } => "AnalysisRunning",
        Reason::AnalysisInconclusive { .. } => "AnalysisInconclusive",
        Reason::ExperimentRunning { .. } => "ExperimentRunning",
        Reason::ExperimentInconclusive { .. } => "ExperimentInconclusive",
        Reason::ExperimentWaits { .. } => "ExperimentWaits",
        Reason::FastRollback => "FastRollback",
        Reason::Verified => "Verified",
        Reason::Switches { .. } => "Switches",
        Reason::PromotionForPerson => "PromotionForPerson",
        Reason::PromotionUntil { .. } => "PromotionUntil",
        Reason::PromotionAnalysis { .. } => "PromotionAnalysis",
        Reason::Delayed { .. } => "Delayed",
        Reason::DelayOver => "DelayOver",
        Reason::Aborted { .. } => "Aborted",
        Reason::NothingToAbort => "NothingToAbort",
        Reason::DeadlineExceeded { .. } => "DeadlineExceeded",
        Reason::Held { .. } => "Held",
        Reason::WouldHold { .. } => "WouldHold",
        Reason::Permitted { .. } => "Permitted",
        Reason::PermitIgnored { .. } => "PermitIgnored",
        Reason::StepBoundary { .. } => "StepBoundary",
        Reason::FleetRollback { .. } => "FleetRollback",
        Reason::Adopted { .. } => "Adopted",
        Reason::VerbRefused { .. } => "VerbRefused",
        Reason::VerbHonoured { .. } => "VerbHonoured",
        Reason::BreakGlass { .. } => "BreakGlass",
        Reason::NumbersWait => "NumbersWait",
        Reason::TemplateLost { .. } => "TemplateLost",
        Reason::Restarting { .. } => "Restarting",
        Reason::RestartRefused { .. } => "RestartRefused",
        Reason::SetRefused { .. } => "SetRefused",
        Reason::ClaimRefused { .. } => "ClaimRefused",
        Reason::SetGoes { .. } => "SetGoes",
        Reason::TrafficError { .. } => "TrafficError",
        Reason::NoPodsNoTraffic { .. } => "NoPodsNoTraffic",
        Reason::TrafficWaitsForStable { .. } => "TrafficWaitsForStable",
        Reason::TrafficUnconfirmed { .. } => "TrafficUnconfirmed",
        Reason::StaysUntil { .. } => "StaysUntil",
        Reason::NameTaken { .. } => "NameTaken",
        Reason::ServiceWaits { .. } => "ServiceWaits",
    }
}
const REASONS: usize = 57;

fn words(plan: &Plan) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let actions = plan.actions.iter().map(action_word).collect();
    let inside = plan.actions.iter().filter_map(|action| match action {
        Action::ScaleReplicaSet { because, .. }
        | Action::ScaleWorkload { because, .. }
        | Action::SetTraffic { because, .. } => Some(because),
        _ => None,
    });
    (
        actions,
        plan.reasons.iter().chain(inside).map(reason_word).collect(),
    )
}

#[test]
fn every_fixture_gives_its_plan() {
    let update = std::env::var_os("UPDATE").is_some();
    let (mut wrong, mut texts) = (Vec::new(), BTreeMap::<String, String>::new());
    let (mut actions, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    let cases = cases();
    for (name, path) in &cases {
        let yaml = std::fs::read_to_string(path.join("observed.yaml")).unwrap();
        let observed = observed(&yaml).unwrap_or_else(|error| panic!("{name}: {error}"));
        let plan = reconcile(&observed);
        let violations = audit(&observed, &plan);
        if !violations.is_empty() {
            wrong.push(format!("{name}: {violations:?}\n{plan}"));
        }
        let (some_actions, some_reasons) = words(&plan);
        actions.extend(some_actions);
        reasons.extend(some_reasons);
        let text = named(&plan.to_string());
        // Two cases that do the same for the same reasons are one case.
        let twin = texts.insert(text.clone(), name.clone());
        if let Some(twin) = twin {
            wrong.push(format!("{name} and {twin} give the same plan:\n{text}"));
        }
        let golden = path.join("plan.txt");
        if update {
            std::fs::write(&golden, &text).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{name}\n{text}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "UPDATE=1 rewrites these:\n{}",
        wrong.join("\n")
    );
    if !update {
        assert!(cases.len() >= LEAST, "only {} cases", cases.len());
        assert_eq!(actions.len(), ACTIONS, "actions that occur: {actions:?}");
        assert_eq!(reasons.len(), REASONS, "reasons that occur: {reasons:?}");
    }
}

#[test]
fn the_stable_template_is_read_for_a_step_that_needs_it_and_not_longer() {
    let wanted = |case: &str| {
        let text = std::fs::read_to_string(folder().join(case).join("observed.yaml")).unwrap();
        let set = stable_wanted(&observed(&text).unwrap());
        set.map(|set| named(&set))
    };
    assert_eq!(
        wanted("experiment_waits_for_template").as_deref(),
        Some("web-v1")
    );
    for case in ["experiment_runs", "experiment_skipped", "at_rest"] {
        assert_eq!(wanted(case), None, "{case}");
    }
}

#[test]
fn an_experiment_may_begin_while_its_rollout_waits_for_it_and_not_else() {
    let said = |case: &str, name: &str| {
        let text = std::fs::read_to_string(folder().join(case).join("observed.yaml")).unwrap();
        let observed = observed(&text).unwrap();
        let name = name.replace("v2", hash("v2").as_str());
        match leave(&reconcile(&observed), &name) {
            Leave::Given => None,
            Leave::Withheld { why } => Some(named(&why)),
        }
    };
    let of_step = "web-v2-2-1";
    assert_eq!(said("experiment_runs", of_step), None);
    assert_eq!(said("experiment_runs_while_held", of_step), None);
    for (case, why) in [
        (
            "experiment_waits_for_fleet",
            "the lease has ended and the hub does not renew it",
        ),
        (
            "experiment_begun_again_while_held",
            "the lease has ended and the hub is silent",
        ),
    ] {
        assert_eq!(said(case, of_step).as_deref(), Some(why), "{case}");
    }
    // Another of its Experiments, a pause of a person's, an abort, a step that is passed, a Rollout at rest.
    let other = said("experiment_runs", "web-v2-2-1-1");
    assert_eq!(
        other.as_deref(),
        Some("step 2 waits for experiment web-v2-2-1")
    );
    let aborted = said("experiment_begun_again_after_abort", of_step).unwrap();
    assert!(aborted.starts_with("aborted:"), "{aborted}");
    for case in [
        "experiment_failed_in_pause",
        "experiment_good",
        "experiment_unclear",
        "at_rest",
        "abort",
    ] {
        assert!(said(case, of_step).is_some(), "{case}");
    }
}

/// What a pass leaves in the record: as written, or as it was.
fn recorded(observed: &Observed, plan: &Plan) -> Option<GateStatus> {
    let written = plan.actions.iter().find_map(|action| match action {
        Action::RecordGate { status, .. } => Some((**status).clone()),
        _ => None,
    });
    written.or_else(|| observed.gate.gate()?.status.clone())
}

#[test]
fn what_failed_under_a_permit_is_told_as_content_that_waits() {
    let cases = [
        ("gate_held", true),
        ("gate_failed", true),
        ("gate_aborted_by_hand", true),
        ("gate_hub_lost_abort", true),
        ("gate_retry_refused", true),
        ("gate_taken_back_edited", true),
        ("bg_gate_abort", true),
        ("gate_permitted_again", false),
        ("gate_permit_step", false),
        ("gate_hub_lost_hold", false),
        ("gate_stopped", false),
        ("gate_adopted", false),
        ("gate_break_glass", false),
        ("gate_served", false),
        ("gate_served_spent", false),
        ("gate_withdrawn", false),
        ("gate_observe_only", false),
    ];
    for (case, waits) in cases {
        let text = std::fs::read_to_string(folder().join(case).join("observed.yaml")).unwrap();
        let observed = observed(&text).unwrap();
        let plan = reconcile(&observed);
        let record = recorded(&observed, &plan);
        let told = waiting(&observed, &plan.status, record.as_ref(), &views(&observed));
        let wanted = waits.then(|| effective::spec_digest(&observed));
        assert_eq!(told, wanted, "{case}");
    }
}
