//! Every fixture of the hub's engine through `reconcile`, as text. In: `tests/fixtures/hub`. Out: each plan equals its
//! `plan.txt`. `UPDATE=1` rewrites the texts: read each changed one as prose before keeping it. It must not touch a database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use hub_engine::action::MemberChange;
use hub_engine::reason::{Reason, Why};
use hub_engine::{Action, Observed, Plan, audit, reconcile};

/// Cases that there have to be at least.
const LEAST: usize = 20;
/// Rounds after which nothing is left to do when no fact changes.
const ROUNDS_MAX: usize = 4;

fn cases() -> BTreeMap<String, (PathBuf, Observed)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/hub");
    let entries = std::fs::read_dir(folder)
        .expect("the folder of fixtures")
        .map(|entry| entry.expect("an entry").path());
    let case = |path: PathBuf| {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(path.join("observed.yaml")).expect("observed.yaml");
        let observed =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, (path, observed))
    };
    entries.map(case).collect()
}

/// The word of an action; a new variant does not compile until it has one, and then needs a case.
fn action_word(action: &Action) -> &'static str {
    match action {
        Action::Govern { .. } => "Govern",
        Action::SetWaiting { .. } => "SetWaiting",
        Action::OpenRelease { .. } => "OpenRelease",
        Action::SettleChange { .. } => "SettleChange",
        Action::RefuseRequest { .. } => "RefuseRequest",
        Action::StartRelease { .. } => "StartRelease",
        Action::JoinTarget { .. } => "JoinTarget",
        Action::BindContent { .. } => "BindContent",
        Action::BindDelivery { .. } => "BindDelivery",
        Action::SetTargetState { .. } => "SetTargetState",
        Action::RequestApproval { .. } => "RequestApproval",
        Action::StartWave { .. } => "StartWave",
        Action::VoidApprovals { .. } => "VoidApprovals",
        Action::GrantPermit { .. } => "GrantPermit",
        Action::RevokePermit { .. } => "RevokePermit",
        Action::StartBake { .. } => "StartBake",
        Action::PassWave { .. } => "PassWave",
        Action::FailWave { .. } => "FailWave",
        Action::HaltRelease { .. } => "HaltRelease",
        Action::StartRollback { .. } => "StartRollback",
        Action::EndRelease { .. } => "EndRelease",
        Action::Bar { .. } => "Bar",
        Action::Unbar { .. } => "Unbar",
        Action::Obey { .. } => "Obey",
        Action::Member { change } => match change {
            MemberChange::Ungovern { .. } => "Ungovern",
            MemberChange::Govern { .. } => "GovernAgain",
            MemberChange::Answer { .. } => "Answer",
            MemberChange::Forget { .. } => "Forget",
            MemberChange::Restart { .. } => "Restart",
        },
    }
}
const ACTIONS: usize = 29;

/// The word of a reason, likewise.
fn reason_word(reason: &Reason) -> &'static str {
    match &reason.why {
        Why::WaitingForWave { .. } => "WaitingForWave",
        Why::WaitingForApproval { .. } => "WaitingForApproval",
        Why::WaitingForSlot { .. } => "WaitingForSlot",
        Why::WaitingForContent { .. } => "WaitingForContent",
        Why::WaitingForRelease { .. } => "WaitingForRelease",
        Why::Baking { .. } => "Baking",
        Why::InFlight { .. } => "InFlight",
        Why::NotStarted { .. } => "NotStarted",
        Why::Disconnected { .. } => "Disconnected",
        Why::Regressed => "Regressed",
        Why::ClockAhead { .. } => "ClockAhead",
        Why::NotReported => "NotReported",
        Why::UndecodableGate => "UndecodableGate",
        Why::Barred { .. } => "Barred",
        Why::Ahead { .. } => "Ahead",
        Why::Behind { .. } => "Behind",
        Why::Conflict { .. } => "Conflict",
        Why::NoLongerSelected => "NoLongerSelected",
        Why::NoClusters => "NoClusters",
        Why::Halted { .. } => "Halted",
        Why::RollingBack { .. } => "RollingBack",
        Why::RollbackQueued { .. } => "RollbackQueued",
        Why::RollbackUnreachable { .. } => "RollbackUnreachable",
        Why::NotTakenBack { .. } => "NotTakenBack",
        Why::WindowClosed { .. } => "WindowClosed",
        Why::WaitingForFleetRollout { .. } => "WaitingForFleetRollout",
        Why::Paused { .. } => "Paused",
        Why::Stopped { .. } => "Stopped",
        Why::LeftTheFleet { .. } => "LeftTheFleet",
        Why::LetGo { .. } => "LetGo",
        Why::BeganAgain { .. } => "BeganAgain",
        Why::Observing => "Observing",
        Why::OnPaper { .. } => "OnPaper",
        Why::HeldAtStep { .. } => "HeldAtStep",
        Why::NothingSpeaksForIt { .. } => "NothingSpeaksForIt",
        Why::NotApproved { .. } => "NotApproved",
        Why::BoundBefore { .. } => "BoundBefore",
        Why::NotDecided { .. } => "NotDecided",
    }
}
const REASONS: usize = 37;

fn actions_text(plan: &Plan) -> String {
    let mut text = String::new();
    for decision in &plan.actions {
        let _ = writeln!(text, "  {}: {}", decision.action.kind(), decision.action);
    }
    text
}

fn reasons_text(plan: &Plan) -> String {
    let mut text = String::new();
    for reason in &plan.reasons {
        let release = reason
            .release
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let wave = reason
            .wave
            .map(|wave| format!(" wave {wave}"))
            .unwrap_or_default();
        let cluster = reason
            .cluster
            .as_ref()
            .map(|cluster| format!(" {cluster}"))
            .unwrap_or_default();
        let scope = format!("{release}{wave}{cluster}");
        let _ = writeln!(
            text,
            "  {}: {}: {}",
            scope.trim(),
            reason.code(),
            reason.message()
        );
        if !reason.next.is_empty() {
            let _ = writeln!(text, "    next: {}", reason.next);
        }
    }
    text
}

fn text(plan: &Plan) -> String {
    let status = &plan.status;
    let release = status
        .release
        .as_ref()
        .map_or_else(|| "no release".to_owned(), ToString::to_string);
    let phase = status.phase.map_or("", |phase| phase.as_str());
    let wake = plan.wake.map_or_else(
        || "when something happens".to_owned(),
        |wake| wake.to_string(),
    );
    format!(
        "actions:\n{}reasons:\n{}status: {release} {phase}, {} of {} clusters connected\nwake: {wake}\n",
        actions_text(plan),
        reasons_text(plan),
        status.connected,
        status.clusters,
    )
}

#[test]
fn every_plan_is_as_written() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for (name, (path, observed)) in cases() {
        let golden = path.join("plan.txt");
        let now = text(&reconcile(&observed));
        if update {
            std::fs::write(&golden, &now).expect("the golden file is written");
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != now {
            wrong.push(format!("{name} differs (UPDATE=1 rewrites it):\n{now}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_two_plans_do_and_say_the_same() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let cases = cases();
    assert!(
        cases.len() >= LEAST,
        "{} cases, {LEAST} are needed",
        cases.len()
    );
    for (name, (_, observed)) in cases {
        let plan = reconcile(&observed);
        let key = format!("{}{}", actions_text(&plan), reasons_text(&plan));
        if let Some(other) = seen.insert(key, name.clone()) {
            panic!("{name} and {other} do and say the same");
        }
    }
}

#[test]
fn every_action_and_reason_occurs() {
    let plans: Vec<Plan> = cases()
        .values()
        .map(|(_, observed)| reconcile(observed))
        .collect();
    let actions: BTreeSet<_> = plans
        .iter()
        .flat_map(|plan| &plan.actions)
        .map(|decision| action_word(&decision.action))
        .collect();
    let reasons: BTreeSet<_> = plans
        .iter()
        .flat_map(|plan| &plan.reasons)
        .map(reason_word)
        .collect();
    assert_eq!(actions.len(), ACTIONS, "{actions:?}");
    assert_eq!(reasons.len(), REASONS, "{reasons:?}");
}

#[test]
fn every_plan_keeps_the_invariants_and_settles() {
    for (name, (_, mut observed)) in cases() {
        let mut rounds = 0;
        loop {
            let plan = reconcile(&observed);
            let found = audit(&observed, &plan);
            assert!(
                found.is_empty(),
                "{name}, round {rounds}: {found:#?}\n{}",
                text(&plan)
            );
            if plan.actions.is_empty() {
                break;
            }
            observed.apply(&plan);
            rounds += 1;
            assert!(
                rounds <= ROUNDS_MAX,
                "{name} does not settle:\n{}",
                text(&plan)
            );
        }
    }
}
