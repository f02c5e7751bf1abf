//! What survives the way, and what is refused.
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hub_engine::name::RolloutName;
use hub_engine::observed::Terms;
use hub_engine::release::{Direction, Permit};
use hub_store::desired::{DesiredSet, Entry, Governance, Same, SignedPermit, Since};
use hub_store::{PermitSigner as _, UnsignedPermit};
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

fn entry(name: &str, version: u64, permit: Option<SignedPermit>) -> Entry {
    Entry {
        rollout: RolloutName {
            namespace: "shop".into(),
            name: name.into(),
        },
        fleet_rollout: "checkout".into(),
        version,
        governance: Governance::Governed {
            terms: Terms::default(),
            waiting: None,
            permit,
        },
    }
}

#[test]
fn a_delta_has_what_changed_and_the_hash_of_everything() {
    let fence = |version| Fence {
        incarnation: 1,
        version,
    };
    let set = DesiredSet {
        fence: fence(7),
        entries: vec![entry("a", 5, None), entry("b", 7, None)],
    };
    let full = set::desired(&set, None);
    let delta = set::desired(&set, Some(fence(5)));
    assert!(full.full && !delta.full);
    assert_eq!(full.set_hash, delta.set_hash);
    assert_eq!(delta.base_version, 5);
    let names: Vec<&str> = delta
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(names, ["b"]);
    assert_eq!(full.entries.len(), 2);
    let read = Since {
        fence: fence(7),
        base: Some(fence(5)),
        changed: vec![entry("b", 7, None)],
        same: vec![Same {
            rollout: set.entries[0].rollout.clone(),
            fleet_rollout: set.entries[0].fleet_rollout.clone(),
            version: 5,
        }],
    };
    assert_eq!(set::since(&read), delta);
}

fn unsigned() -> UnsignedPermit {
    UnsignedPermit {
        release: "checkout#2".parse().unwrap(),
        direction: Direction::Forward,
        fence: Fence {
            incarnation: 1,
            version: 7,
        },
        digest: "v1:b".into(),
        delivery: "v1:d".into(),
        start_by: None,
        max_step: Some(2),
        lease_seconds: 30,
        why: "wave 1".into(),
        steps_backwards: false,
        cluster_uid: "c1".into(),
        rollout_uid: "u1".into(),
    }
}

#[test]
fn what_was_signed_at_the_grant_verifies_as_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Arc::new(Authority::open(dir.path()).unwrap());
    let signer = set::Signer {
        authority: Arc::clone(&authority),
        lease_seconds: 30,
    };
    let signature = signer.sign(&unsigned());
    assert_ne!(
        signature,
        signer.sign(&UnsignedPermit {
            cluster_uid: "c2".into(),
            ..unsigned()
        })
    );
    assert_ne!(
        signature,
        signer.sign(&UnsignedPermit {
            rollout_uid: "u2".into(),
            ..unsigned()
        })
    );
    let permit = Permit {
        release: unsigned().release,
        direction: Direction::Forward,
        fence: unsigned().fence,
        digest: "v1:b".into(),
        delivery: "v1:d".into(),
        start_by: None,
        max_step: Some(2),
        why: "wave 1".into(),
        granted_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let signed = SignedPermit {
        permit,
        lease_seconds: 30,
        steps_backwards: false,
        cluster_uid: "c1".into(),
        rollout_uid: "u1".into(),
        signature,
        traceparent: String::new(),
    };
    let set = DesiredSet {
        fence: unsigned().fence,
        entries: vec![entry("a", 7, Some(signed))],
    };
    let sent = set::desired(&set, None);
    let Some(v1::gate_entry::Governance::Governed(governed)) = &sent.entries[0].governance else {
        panic!("not governed")
    };
    let permit = governed.permit.as_ref().unwrap();
    let public = BASE64.decode(authority.permit_key()).unwrap();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
    let signature = BASE64.decode(&permit.signature).unwrap();
    assert!(
        key.verify(&proto::permit::signing_bytes(permit), &signature)
            .is_ok()
    );
}
