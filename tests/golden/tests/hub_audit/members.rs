//! Bad plans about membership: governance that nobody ended, targets that begin again without cause, clusters that are gone. In:
//! nothing. Out: plans and what each breaks. They must not be taken from a planner.

use std::sync::Arc;

use hub_engine::Action;
use hub_engine::action::MemberChange;
use hub_engine::member::{Departure, Gone, LetGo};
use hub_engine::observed::{Observed, Terms};
use hub_engine::release::{ReleasePhase, TargetState};
use hub_engine::verb::{By, Verb};

use crate::{Bad, NOTHING, end, forward, set};

fn by(observed: &Observed, reason: &str) -> By {
    By {
        person: "ann".into(),
        reason: reason.to_owned(),
        at: observed.now,
    }
}

fn ungovern(observed: &Observed, cluster: &str, reason: &str) -> Action {
    let change = MemberChange::Ungovern {
        request: 7,
        cluster: cluster.into(),
        mode: LetGo::KeepServing,
        by: by(observed, reason),
    };
    Action::Member { change }
}

fn restart(cluster: &str, keep: bool) -> Action {
    let change = MemberChange::Restart {
        release: 2,
        cluster: cluster.into(),
        keep,
        why: String::new(),
    };
    Action::Member { change }
}

fn leave(observed: &mut Observed, index: usize) {
    let by = by(observed, "sold");
    Arc::make_mut(&mut observed.clusters[index]).gone = Some(Gone {
        how: Departure::Left,
        by,
    });
}

pub const MEMBERS: [Bad; 14] = [
    (
        "nobody ended governance",
        "canary-in-flight",
        NOTHING,
        |observed| vec![ungovern(observed, "eu-1", "because")],
        "G9",
    ),
    (
        "governance ends in another cluster than was said",
        "g9-one-cluster-is-let-go",
        NOTHING,
        |observed| vec![ungovern(observed, "us-1", "another tool takes it")],
        "G9",
    ),
    (
        "governance ends for another reason than was said",
        "g9-one-cluster-is-let-go",
        NOTHING,
        |observed| vec![ungovern(observed, "eu-1", "I felt like it")],
        "G9",
    ),
    (
        "governed again without a word",
        "g9-let-go-already",
        NOTHING,
        |_| {
            vec![Action::Govern {
                cluster: "us-1".into(),
                terms: Terms::default(),
            }]
        },
        "G9",
    ),
    (
        "taken in again without a word",
        "g9-let-go-already",
        NOTHING,
        |observed| {
            let change = MemberChange::Govern {
                request: 7,
                cluster: "us-1".into(),
                by: by(observed, "another tool takes it"),
            };
            vec![Action::Member { change }]
        },
        "G9",
    ),
    (
        "an answer to what nobody asked",
        "g9-one-cluster-is-let-go",
        NOTHING,
        |observed| {
            let change = MemberChange::Answer {
                request: 7,
                verb: Verb::Govern { cluster: None },
                by: by(observed, "another tool takes it"),
            };
            vec![Action::Member { change }]
        },
        "S19",
    ),
    (
        "a cluster that left starts",
        "held-by-what-the-cluster-is",
        |observed| leave(observed, 2),
        |_| vec![forward("eu-2")],
        "G9",
    ),
    (
        "a permit of its own is forgotten",
        "canary-in-flight",
        NOTHING,
        |_| {
            let change = MemberChange::Forget {
                cluster: "staging".into(),
                why: String::new(),
            };
            vec![Action::Member { change }]
        },
        "L4",
    ),
    (
        "begins again and is the same",
        "bake-goes-on",
        NOTHING,
        |_| vec![restart("staging", false)],
        "S9",
    ),
    (
        "is to say again what it never said",
        "canary-in-flight",
        |observed| Arc::make_mut(&mut observed.clusters[0]).restored = Some(observed.now),
        |_| vec![restart("staging", true)],
        "S9",
    ),
    (
        "what has succeeded is in flight",
        "bake-goes-on",
        NOTHING,
        |_| vec![set("staging", TargetState::Permitted)],
        "S9",
    ),
    (
        "a release ends while a cluster of it is governed",
        "f28-a-cluster-leaves-before-its-turn",
        NOTHING,
        |_| vec![end(ReleasePhase::Aborted)],
        "S19",
    ),
    (
        "a release stays open of which nobody is left",
        "canary-in-flight",
        |observed| (0..observed.clusters.len()).for_each(|index| leave(observed, index)),
        |_| Vec::new(),
        "L1",
    ),
    (
        "one that is back has no turn in the wave that it left empty",
        "f28-back-in-the-wave-that-it-left-empty",
        NOTHING,
        |_| Vec::new(),
        "L1",
    ),
];
