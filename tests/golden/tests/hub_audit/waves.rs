//! Bad plans about waves and proofs of success. In: nothing. Out: plans and what each breaks. They must not be taken from a planner.

use std::sync::Arc;

use hub_engine::Action;
use hub_engine::release::TargetState;

use crate::{Bad, NOTHING, forward, set};

pub const WAVES: [Bad; 16] = [
    (
        "a later wave starts first",
        "canary-in-flight",
        NOTHING,
        |_| {
            vec![Action::StartWave {
                release: 2,
                wave: 2,
            }]
        },
        "S1",
    ),
    (
        "a cluster of a later wave",
        "canary-in-flight",
        NOTHING,
        |_| vec![forward("us-1")],
        "S1",
    ),
    (
        "a wave without its approval",
        "approval-by-the-wrong-group",
        NOTHING,
        |_| {
            vec![Action::StartWave {
                release: 2,
                wave: 2,
            }]
        },
        "S1",
    ),
    (
        "one approval twice",
        "approved-and-one-at-a-time",
        |observed| {
            let release = &mut observed.releases[0];
            Arc::make_mut(&mut release.plan).waves[1]
                .approval
                .as_mut()
                .expect("an approval")
                .required = 2;
            let again = release.approvals[0].clone();
            release.approvals.push(again);
        },
        |_| {
            vec![Action::StartWave {
                release: 2,
                wave: 2,
            }]
        },
        "S1",
    ),
    (
        "an approval of another plan",
        "approved-and-one-at-a-time",
        |observed| observed.releases[0].approvals[0].plan_digest = "p1:other".to_owned(),
        |_| {
            vec![Action::StartWave {
                release: 2,
                wave: 2,
            }]
        },
        "S1",
    ),
    (
        "an approval of other images",
        "approved-and-one-at-a-time",
        |observed| observed.releases[0].approvals[0].images = vec!["shop:v1".to_owned()],
        |_| {
            vec![Action::StartWave {
                release: 2,
                wave: 2,
            }]
        },
        "S1",
    ),
    (
        "two at once where one may",
        "approved-and-one-at-a-time",
        NOTHING,
        |_| {
            let wave = Action::StartWave {
                release: 2,
                wave: 2,
            };
            vec![
                wave,
                forward("eu-1"),
                set("eu-1", TargetState::Permitted),
                forward("eu-2"),
            ]
        },
        "S1",
    ),
    (
        "a wave passes in flight",
        "canary-in-flight",
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
        "out of contact is done",
        "in-flight-and-out-of-contact",
        NOTHING,
        |_| {
            vec![
                set("staging", TargetState::Unknown),
                Action::PassWave {
                    release: 2,
                    wave: 1,
                },
            ]
        },
        "S1",
    ),
    (
        "a bake is cut short",
        "bake-goes-on",
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
        "a bake that is too short",
        "served-starts-the-bake",
        NOTHING,
        |observed| {
            let bake = Action::StartBake {
                release: 2,
                wave: 1,
                until: observed.now,
            };
            vec![set("staging", TargetState::Succeeded), bake]
        },
        "S12",
    ),
    (
        "a wave passes over its budget",
        "canary-fails-and-halts",
        NOTHING,
        |_| {
            vec![
                set("staging", TargetState::Failed),
                Action::PassWave {
                    release: 2,
                    wave: 1,
                },
            ]
        },
        "S1",
    ),
    (
        "success by phase",
        "canary-in-flight",
        NOTHING,
        |_| vec![set("staging", TargetState::Succeeded)],
        "G18",
    ),
    (
        "success by another permit's outcome",
        "outcome-of-another-permit-proves-nothing",
        NOTHING,
        |_| vec![set("staging", TargetState::Succeeded)],
        "G18",
    ),
    (
        "success of another release",
        "served-starts-the-bake",
        |observed| {
            let cluster = Arc::make_mut(&mut observed.clusters[0]);
            let rollout = Arc::make_mut(cluster.rollout.as_mut().expect("a rollout"));
            rollout.outcome.as_mut().expect("an outcome").release = "checkout#1".to_owned();
        },
        |_| vec![set("staging", TargetState::Succeeded)],
        "G18",
    ),
    (
        "a wave passes that everybody was left out of",
        "s7-a-person-passes-over-an-emptied-wave",
        NOTHING,
        |_| {
            vec![Action::PassWave {
                release: 2,
                wave: 1,
            }]
        },
        "S7",
    ),
];
