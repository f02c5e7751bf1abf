//! Bad plans about policies of the document: windows, order, budgets, approvals. In: nothing. Out: plans and what each
//! breaks. They must not be taken from a planner.

use hub_engine::Action;
use hub_engine::release::{Direction, TargetState};

use crate::{Bad, NOTHING, forward, grant, set};

fn start() -> Action {
    Action::StartWave {
        release: 2,
        wave: 2,
    }
}

pub const POLICIES: [Bad; 9] = [
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
