//! Bad plans about single clusters: permits, rollbacks, content, gates. In: nothing. Out: plans and what each breaks. They must not be taken from a planner.

use std::sync::Arc;

use hub_engine::Action;
use hub_engine::observed::{Observed, Terms};
use hub_engine::release::{Content, Direction, TargetState};
use jiff::SignedDuration;

use crate::{Bad, NOTHING, forward, grant, set};

/// The same with a sentence.
fn failed(cluster: &str, message: &str) -> Action {
    Action::SetTargetState {
        release: 2,
        cluster: cluster.into(),
        state: TargetState::Failed,
        message: message.to_owned(),
    }
}

/// No hub listened until now.
const RETURNED: fn(&mut Observed) = |observed| observed.listening_since = Some(observed.now);

pub const CLUSTERS: [Bad; 22] = [
    (
        "a change of a cluster that another one governs",
        "change-opens-a-release",
        |observed| {
            let cluster = observed.changes[0].cluster.clone();
            observed.conflicts.insert(cluster, "other".into());
        },
        |observed| {
            let change = &observed.changes[0];
            vec![Action::SettleChange {
                cluster: change.cluster.clone(),
                change: change.id,
                fate: hub_engine::action::ChangeFate::NotSelected,
            }]
        },
        "G12",
    ),
    (
        "silent while no hub listened",
        "unreachable-for-too-long",
        RETURNED,
        |_| vec![failed("staging", "unreachable for 15m")],
        "S7",
    ),
    (
        "late while no hub listened",
        "deadline-of-a-target",
        RETURNED,
        |_| vec![failed("staging", "did not finish within 2h")],
        "S7",
    ),
    (
        "a permit that has ended stays in its set",
        "canary-in-flight",
        |observed| {
            let cluster = Arc::make_mut(&mut observed.clusters[0]);
            let permit = cluster.gate.as_ref().and_then(|gate| gate.permit.clone());
            let permit = permit.expect("it is in flight");
            let rollout = Arc::make_mut(cluster.rollout.as_mut().expect("its agent has reported"));
            rollout.outcome = Some(hub_engine::observed::Outcome {
                fence: permit.fence,
                release: permit.release.to_string(),
                digest: permit.digest,
                result: hub_engine::observed::OutcomeResult::Failed,
                message: String::new(),
                generation: 2,
            });
        },
        |_| vec![set("staging", TargetState::Failed)],
        "G17",
    ),
    (
        "a regressed cluster starts",
        "held-by-what-the-cluster-is",
        NOTHING,
        |_| vec![forward("eu-1")],
        "L4",
    ),
    (
        "a cluster is permitted that takes its time for over",
        "held-by-what-the-cluster-is",
        |observed| Arc::make_mut(&mut observed.clusters[2]).clock_ahead = 7_201,
        |observed| {
            let mut action = forward("eu-2");
            if let Action::GrantPermit { start_by, .. } = &mut action {
                *start_by = observed.now.checked_add(SignedDuration::from_hours(2)).ok();
            }
            vec![action]
        },
        "S12",
    ),
    (
        "a cluster out of contact starts",
        "held-by-what-the-cluster-is",
        |observed| Arc::make_mut(&mut observed.clusters[2]).connected = false,
        |_| vec![forward("eu-2")],
        "S7",
    ),
    (
        "a barred digest starts",
        "held-by-what-the-cluster-is",
        |observed| {
            observed
                .barred
                .insert("v1:v2".into(), "checkout#1".parse().expect("a release"));
        },
        |_| vec![forward("eu-2")],
        "G17",
    ),
    (
        "another digest than is bound",
        "held-by-what-the-cluster-is",
        NOTHING,
        |_| vec![grant("eu-2", Direction::Forward, "v1:v1")],
        "G25",
    ),
    (
        "two FleetRollouts over one",
        "two-fleet-rollouts-over-one",
        NOTHING,
        |_| vec![forward("eu-1")],
        "G12",
    ),
    (
        "back to what was never healthy",
        "wave-fails-and-takes-everything-back",
        NOTHING,
        |_| {
            let why = String::new();
            let failed = Action::FailWave {
                release: 2,
                wave: 2,
                why: why.clone(),
            };
            let back = Action::StartRollback { release: 2, why };
            vec![
                set("eu-1", TargetState::Failed),
                failed,
                back,
                grant("eu-2", Direction::Rollback, "v1:v0"),
            ]
        },
        "S20",
    ),
    (
        "the first wave goes back first",
        "rollback-of-later-waves-first",
        NOTHING,
        |_| vec![grant("staging", Direction::Rollback, "v1:v1")],
        "G22",
    ),
    (
        "an untouched cluster goes back",
        "rollback-of-later-waves-first",
        NOTHING,
        |_| vec![grant("us-1", Direction::Rollback, "v1:v1")],
        "S20",
    ),
    (
        "back without a word",
        "rollback-of-later-waves-first",
        NOTHING,
        |_| vec![set("eu-2", TargetState::RolledBack)],
        "G22",
    ),
    (
        "content that is not held",
        "content-is-waited-for",
        NOTHING,
        |observed| {
            let content = observed.releases[0].targets[0]
                .content
                .clone()
                .expect("content");
            vec![Action::BindContent {
                release: 2,
                cluster: "eu-1".into(),
                content,
            }]
        },
        "G25",
    ),
    (
        "content bound twice",
        "canary-in-flight",
        NOTHING,
        |observed| {
            let content = observed.releases[0].targets[1]
                .content
                .clone()
                .expect("content");
            vec![Action::BindContent {
                release: 2,
                cluster: "eu-1".into(),
                content,
            }]
        },
        "G25",
    ),
    (
        "steps that its agent does not report",
        "canary-in-flight",
        NOTHING,
        |observed| vec![other_steps(observed, 1)],
        "G2",
    ),
    (
        "other steps under a permit",
        "canary-in-flight",
        |observed| {
            let cluster = Arc::make_mut(&mut observed.clusters[0]);
            let rollout = Arc::make_mut(cluster.rollout.as_mut().expect("a Rollout"));
            rollout.spec.as_mut().expect("a spec").delivery = "v1:other".into();
        },
        |observed| vec![other_steps(observed, 0)],
        "G2",
    ),
    (
        "a permit for other steps than are bound",
        "straggler-catches-up",
        |observed| {
            let target = Arc::make_mut(&mut observed.releases[0].targets[2]);
            target.state = TargetState::Held;
            target.content = observed.clusters[2]
                .rollout
                .as_ref()
                .and_then(|rollout| rollout.spec.clone());
            target.content.as_mut().expect("content").delivery = "v1:other".into();
        },
        |_| vec![forward("eu-2")],
        "G2",
    ),
    (
        "held again without a refusal",
        "canary-in-flight",
        NOTHING,
        |_| vec![set("staging", TargetState::Held)],
        "S9",
    ),
    (
        "free beside a release",
        "canary-in-flight",
        NOTHING,
        |_| {
            let terms = Terms {
                first_deploy_free: true,
                ..Terms::default()
            };
            vec![Action::Govern {
                cluster: "eu-1".into(),
                terms,
            }]
        },
        "G10",
    ),
    (
        "a gate where nothing is selected",
        "change-where-nothing-is-selected-any-more",
        |observed| {
            let own = observed.clusters.iter_mut().map(Arc::make_mut);
            own.filter(|own| own.name.as_str() == "us-1")
                .for_each(|own| own.gate = None);
        },
        |_| {
            vec![Action::Govern {
                cluster: "us-1".into(),
                terms: Terms::default(),
            }]
        },
        "G9",
    ),
];

/// The bound content of a target, to be delivered otherwise.
fn other_steps(observed: &Observed, target: usize) -> Action {
    let target = &observed.releases[0].targets[target];
    let content = target.content.clone().expect("content");
    Action::BindDelivery {
        release: 2,
        cluster: target.cluster.clone(),
        content: Content {
            delivery: "v1:other".into(),
            ..content
        },
    }
}
