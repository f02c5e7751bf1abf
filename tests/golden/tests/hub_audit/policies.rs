//! Bad plans about policies of the document: windows, order, budgets, approvals. In: nothing. Out: plans and what each
//! breaks. They must not be taken from a planner.

use std::sync::Arc;

use hub_engine::action::ChangeFate;
use hub_engine::amount::Amount;
use hub_engine::document::{Enforcement, OnFailure, RollbackSteps};
use hub_engine::observed::{Observed, Terms};
use hub_engine::release::{Direction, TargetState};
use hub_engine::{Action, paper};

use crate::{Bad, NOTHING, by_change, forward, grant, open, set};

fn start() -> Action {
    Action::StartWave {
        release: 2,
        wave: 2,
    }
}

pub const POLICIES: [Bad; 11] = [
    (
        "a rollback that skips the steps that its policy asks for",
        "rollback-of-later-waves-first",
        |observed| {
            let plan = Arc::make_mut(&mut observed.releases[0].plan);
            plan.on_failure = OnFailure::Rollback {
                max_concurrent: Amount::Percent(100),
                steps: RollbackSteps::Backwards,
            };
        },
        |_| vec![grant("eu-2", Direction::Rollback, "v1:v1")],
        "G22",
    ),
    (
        "a start by steps backwards",
        "window-is-open-for-one",
        NOTHING,
        |_| {
            let mut start = forward("eu-2");
            if let Action::GrantPermit {
                steps_backwards, ..
            } = &mut start
            {
                *steps_backwards = true;
            }
            vec![start]
        },
        "G22",
    ),
    (
        "a start while no window is open",
        "window-is-closed",
        NOTHING,
        |_| vec![start(), forward("eu-1")],
        "S12",
    ),
    (
        "a start during a freeze",
        "f59-freeze-in-mid-wave",
        NOTHING,
        |_| vec![forward("eu-1")],
        "S12",
    ),
    (
        "a permit without an end in a window that ends",
        "window-is-open-for-one",
        NOTHING,
        |_| vec![start(), forward("eu-2")],
        "S12",
    ),
    (
        "a rollback while no window is open, where it waits for one",
        "rollback-waits-for-a-window",
        NOTHING,
        |_| vec![grant("eu-2", Direction::Rollback, "v1:v1")],
        "S12",
    ),
    (
        "a permit taken back for being late before its time",
        "permit-that-missed-its-window",
        |observed| {
            observed.now = "2026-11-23T12:30:59Z".parse().expect("a time");
        },
        |_| vec![set("staging", TargetState::Held)],
        "S9",
    ),
    (
        "a wave beside an open release of a FleetRollout before it",
        "waits-for-another-fleet-rollout",
        NOTHING,
        |_| vec![start()],
        "S1",
    ),
    (
        "a wave passes without the approval after it",
        "approval-to-pass-is-asked",
        NOTHING,
        |_| {
            vec![Action::PassWave {
                release: 2,
                wave: 1,
            }]
        },
        "S1",
    ),
    (
        "a wave by an approval that has expired",
        "approval-has-expired",
        NOTHING,
        |_| vec![start()],
        "S1",
    ),
    (
        "a wave by the approval of whoever started the release",
        "approval-by-the-author",
        NOTHING,
        |_| vec![start()],
        "S1",
    ),
];

/// Plans for what only observes (gate.md G13).
pub const PAPER: [Bad; 6] = [
    (
        "a permit on paper",
        "canary-in-flight",
        observes,
        |_| vec![forward("eu-1")],
        "G13",
    ),
    (
        "a release on paper",
        "g13-on-paper-everything-starts-at-once",
        NOTHING,
        |observed| vec![open(observed, 2, by_change(7))],
        "G13",
    ),
    (
        "a wave that starts on paper",
        "bake-is-over-and-approval-is-asked",
        observes,
        |_| vec![start()],
        "G13",
    ),
    (
        "a gate that holds although the document observes",
        "g13-on-paper-in-turn",
        NOTHING,
        |observed| vec![govern(observed, Enforcement::Enforce)],
        "G13",
    ),
    (
        "a gate that holds nothing although the document enforces",
        "g13-enforced-from-now-on",
        NOTHING,
        |observed| vec![govern(observed, Enforcement::Observe)],
        "G13",
    ),
    (
        "a change that only paper sees although the document enforces",
        "change-opens-a-release",
        NOTHING,
        |observed| {
            let change = &observed.changes[0];
            let fate = ChangeFate::OnPaper {
                paper: paper::of(observed, &change.cluster, &change.now),
            };
            vec![Action::SettleChange {
                cluster: change.cluster.clone(),
                change: change.id,
                fate,
            }]
        },
        "G13",
    ),
];

/// Plans for windows that close on what is in flight, and for what an expedited release may pass (gate.md G30).
pub const CLOSING: [Bad; 4] = [
    (
        "what a window closes on goes on",
        "f59-a-window-closes-and-holds-at-the-step",
        NOTHING,
        |_| vec![set("staging", TargetState::Progressing)],
        "S12",
    ),
    (
        "what was held goes on being held in an open window",
        "f59-a-window-opens-and-it-goes-on",
        NOTHING,
        |_| vec![set("staging", TargetState::Progressing)],
        "S12",
    ),
    (
        "an expedited release passes a freeze",
        "g30-an-expedited-wave-waits-for-a-freeze",
        NOTHING,
        |_| vec![start(), forward("eu-1")],
        "S12",
    ),
    (
        "an expedited release passes a window without a policy that says so",
        "g30-an-expedited-wave-passes-windows",
        |observed| Arc::make_mut(&mut observed.releases[0].plan).expedite = None,
        |_| vec![start(), forward("eu-1")],
        "S12",
    ),
];

fn observes(observed: &mut Observed) {
    observed.fleet_rollout.enforcement = Enforcement::Observe;
}

fn govern(observed: &Observed, enforcement: Enforcement) -> Action {
    Action::Govern {
        cluster: "staging".into(),
        terms: Terms {
            enforcement,
            passed: observed.passed.clone(),
            ..Terms::default()
        },
    }
}
