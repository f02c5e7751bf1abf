//! A wave that runs again after a person's word about it (S1). In: a fixture, and what an agent says next. Out: the whole bake
//! and every approval come after the last success. It must not use the engine's rules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::sync::Arc;

use hub_engine::observed::{Outcome, OutcomeResult};
use hub_engine::release::{Wave, WavePhase};
use hub_engine::{Observed, audit, reconcile};
use jiff::SignedDuration;

const CASE: &str =
    include_str!("../../fixtures/hub/retried-after-it-was-promoted-and-approved/observed.yaml");
/// As in the fixture.
const BAKE: SignedDuration = SignedDuration::from_hours(1);

fn round(observed: &mut Observed) {
    let plan = reconcile(observed);
    let found = audit(observed, &plan);
    assert!(found.is_empty(), "{found:#?}");
    observed.apply(&plan);
}

fn wave(observed: &Observed) -> &Wave {
    observed.releases[0].wave(2).expect("it is there")
}

/// Its agent serves what it is permitted.
fn serves(observed: &mut Observed, name: &str) {
    let own = observed
        .clusters
        .iter_mut()
        .find(|own| own.name.as_str() == name);
    let own = Arc::make_mut(own.expect("it is there"));
    let permit = own.gate.as_ref().and_then(|gate| gate.permit.clone());
    let permit = permit.expect("it is permitted");
    own.stored = own.desired;
    let rollout = Arc::make_mut(own.rollout.as_mut().expect("reported"));
    rollout.served = Some(permit.digest.clone());
    rollout.outcome = Some(Outcome {
        fence: permit.fence,
        release: permit.release.to_string(),
        digest: permit.digest,
        result: OutcomeResult::Served,
        message: String::new(),
        generation: 2,
    });
}

#[test]
fn what_a_retry_brings_is_baked_whole_and_agreed_to_anew() {
    let mut observed: Observed = serde_saphyr::from_str(CASE).expect("a fixture");
    round(&mut observed);
    assert_eq!(
        (wave(&observed).phase, wave(&observed).promoted),
        (WavePhase::Running, false)
    );
    assert!(!observed.releases[0].approvals[0].voided.is_empty());
    observed.now += SignedDuration::from_mins(10);
    serves(&mut observed, "eu-1");
    round(&mut observed);
    let over = observed.now + BAKE;
    assert_eq!(
        (wave(&observed).phase, wave(&observed).bake_until),
        (WavePhase::Baking, Some(over))
    );
    round(&mut observed);
    assert_eq!(
        wave(&observed).phase,
        WavePhase::Baking,
        "an earlier promotion is not of this bake"
    );
    observed.now = over;
    round(&mut observed);
    assert_eq!(
        wave(&observed).phase,
        WavePhase::WaitingToPass,
        "nobody has seen it yet"
    );
}
