//! What survives the way, and what is refused.
use std::time::Duration;

use hub_engine::observed::{Gate, Terms, Waiting};
use hub_engine::release::{Direction, Permit};
use proto::v1;

use super::*;
use crate::authority::Authority;

fn state() -> v1::RolloutState {
    v1::RolloutState {
        rollout: Some(v1::RolloutRef {
            namespace: "shop".into(),
            name: "checkout".into(),
            uid: "u1".into(),
        }),
        spec: Some(v1::Content {
            digest: "v1:b".into(),
            images: vec!["b".into(), "a".into()],
            ..v1::Content::default()
        }),
        served_digest: "v1:a".into(),
        held_digest: "v1:b".into(),
        outcome: Some(v1::Outcome {
            result: v1::outcome::Result::Served.into(),
            ..v1::Outcome::default()
        }),
        ..v1::RolloutState::default()
    }
}

#[test]
fn a_state_is_read() {
    let (name, rollout) = report::rollout_state(state()).unwrap();
    assert_eq!(name.to_string(), "shop/checkout");
    assert_eq!(rollout.served, Some(Digest("v1:a".into())));
    assert_eq!(rollout.spec.unwrap().images, ["a", "b"]);
    assert!(rollout.served_delivery.is_none());
}

#[test]
fn a_state_without_a_rollout_or_with_endless_texts_is_refused() {
    assert!(
        report::rollout_state(v1::RolloutState {
            rollout: None,
            ..state()
        })
        .is_err()
    );
    assert!(
        report::rollout_state(v1::RolloutState {
            served_digest: "x".repeat(2_000),
            ..state()
        })
        .is_err()
    );
    let (_, rollout) = report::rollout_state(v1::RolloutState {
        message: "x\0".repeat(9_000),
        ..state()
    })
    .unwrap();
    assert_eq!(rollout.message.chars().count(), MAX_MESSAGE);
    assert!(!rollout.message.contains('\0'));
}

#[test]
fn an_outcome_that_this_hub_does_not_know_is_no_outcome() {
    let unknown = v1::Outcome {
        result: 99,
        ..v1::Outcome::default()
    };
    assert_eq!(report::outcome(unknown).unwrap(), None);
}

#[test]
fn a_permit_is_the_same_from_every_hub_and_bound_to_its_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path()).unwrap();
    let again = Authority::open(dir.path()).unwrap();
    let permit = Permit {
        release: "checkout#2".parse().unwrap(),
        direction: Direction::Forward,
        fence: Fence {
            incarnation: 1,
            version: 7,
        },
        digest: "v1:b".into(),
        delivery: "v1:d".into(),
        start_by: None,
        max_step: None,
        why: String::new(),
        granted_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let waiting = Waiting {
        release: None,
        wave: 0,
        waves: 0,
        wave_name: String::new(),
        message: "m".into(),
        next: String::new(),
    };
    let gate = Gate {
        terms: Terms::default(),
        waiting: Some(waiting),
        permit: Some(permit),
    };
    let sealed = |authority, cluster_uid| {
        let seal = set::Seal {
            authority,
            lease: Duration::from_secs(30),
            cluster_uid,
            rollout_uid: "u1",
        };
        set::governed(&gate, "Enforce", seal)
    };
    assert_eq!(sealed(&authority, "c1"), sealed(&again, "c1"));
    let (one, other) = (
        sealed(&authority, "c1").permit.unwrap(),
        sealed(&authority, "c2").permit.unwrap(),
    );
    assert_ne!(one.signature, other.signature);
    assert_eq!(one.lease_seconds, 30);
    assert_eq!(one.trace.unwrap().traceparent.len(), 55);
}
