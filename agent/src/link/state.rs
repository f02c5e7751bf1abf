//! What the hub is told of one Rollout.
//!
//! In: what was observed and planned. Out: messages. It must not decide, and it says what is unknown as unknown.

use agent_api::names::ANNOTATION_FLEET_REVISION;
use agent_api::{
    BreakGlassEnd, EffectiveRecord, GateStatus, Outcome, PodTemplate, RolloutStatus, StatusTime,
};
use agent_engine::gate::told;
use agent_engine::{GateRecord, Observed, Reason, effective, sets};
use proto::{time, v1};

use crate::key::ObjectKey;
use crate::wire;

/// The Rollout that messages are about.
#[must_use]
pub fn reference(observed: &Observed) -> v1::RolloutRef {
    let metadata = &observed.rollout.metadata;
    let key = ObjectKey::of(metadata);
    v1::RolloutRef {
        namespace: key.namespace,
        name: key.name,
        uid: metadata.uid.clone().unwrap_or_default(),
    }
}

/// Rises with every change of what Git wants, also where the pods are a workload's.
fn generation(observed: &Observed) -> i64 {
    let own = observed.rollout.metadata.generation.unwrap_or(0);
    let workload = observed.workload.as_ref();
    own.saturating_add(workload.map_or(0, |workload| workload.generation))
}

/// What Git wants.
#[must_use]
pub fn content(observed: &Observed) -> v1::Content {
    let spec = effective::of_spec(observed);
    let annotations = observed.rollout.metadata.annotations.as_ref();
    v1::Content {
        digest: spec.digest.0,
        delivery_digest: spec.delivery.0,
        revision: annotations
            .and_then(|all| all.get(ANNOTATION_FLEET_REVISION))
            .cloned()
            .unwrap_or_default(),
        images: spec
            .template
            .as_ref()
            .map(PodTemplate::images)
            .unwrap_or_default(),
        generation: generation(observed),
    }
}

/// The whole state, as of the end of a pass.
#[must_use]
pub fn rollout_state(
    observed: &Observed,
    status: &RolloutStatus,
    record: Option<&GateStatus>,
    reasons: &[Reason],
) -> v1::RolloutState {
    let views = sets::views(observed);
    let stable = sets::by_hash(&views, status.stable_rs.as_ref());
    let served = stable.map(|view| view.digest.0.clone()).unwrap_or_default();
    let recorded = record
        .and_then(|record| record.served.as_ref())
        .filter(|one| one.digest.as_str() == served);
    let permit = observed
        .gate
        .gate()
        .and_then(|gate| gate.spec.permit.as_ref());
    let kept = record
        .map(|record| record.kept.as_slice())
        .unwrap_or_default();
    let canary = observed.rollout.spec.strategy.canary.as_ref();
    v1::RolloutState {
        rollout: Some(reference(observed)),
        spec: Some(content(observed)),
        served_delivery_digest: recorded
            .map(|one| one.delivery_digest.0.clone())
            .unwrap_or_default(),
        served_digest: served,
        held_digest: told::waiting(observed, status, record, &views)
            .map(|content| content.0)
            .unwrap_or_default(),
        kept: observed
            .gate
            .kept
            .keys()
            .map(|digest| digest.0.clone())
            .collect(),
        healthy: kept
            .iter()
            .filter(|kept| kept.last_served_at.is_some())
            .map(|kept| kept.digest.0.clone())
            .collect(),
        phase: status
            .phase
            .map(|phase| phase.to_string())
            .unwrap_or_default(),
        message: status.message.clone().unwrap_or_default(),
        step: unsigned(status.current_step_index.unwrap_or(0)),
        steps: canary.map_or(0, |canary| {
            u32::try_from(canary.steps.len()).unwrap_or(u32::MAX)
        }),
        outcome: ended(observed, record).map(|one| outcome(observed, one)),
        permit_fence: permit.map(|permit| wire::fence_to_wire(permit.fence)),
        effect: record
            .and_then(|record| record.effective.as_ref())
            .map(|one| effect(observed, one)),
        reasons: reasons.iter().map(wire::reason).collect(),
        lease_live: observed.gate.lease_live,
        undecodable_gate: undecodable(&observed.gate.record),
        kept_deliveries: observed
            .gate
            .kept
            .iter()
            .map(|(digest, kept)| (digest.0.clone(), kept.delivery.0.clone()))
            .collect(),
    }
}

/// How the last permit ended: the member record has it before the Gate, and still has it when somebody deletes that.
fn ended<'a>(observed: &'a Observed, record: Option<&'a GateStatus>) -> Option<&'a Outcome> {
    let recorded = record.and_then(|record| record.outcome.as_ref());
    let all = [observed.gate.spent.as_ref(), recorded];
    all.into_iter().flatten().max_by_key(|one| one.fence)
}

fn undecodable(record: &GateRecord) -> bool {
    match record {
        GateRecord::Undecodable(_) => true,
        GateRecord::Missing | GateRecord::Present(_) => false,
    }
}

/// How a permit ended.
#[must_use]
pub fn outcome(observed: &Observed, outcome: &Outcome) -> v1::Outcome {
    v1::Outcome {
        rollout: Some(reference(observed)),
        fence: Some(wire::fence_to_wire(outcome.fence)),
        release: outcome.release.0.clone(),
        digest: outcome.digest.0.clone(),
        result: wire::outcome_result(outcome.result).into(),
        message: outcome.message.clone().unwrap_or_default(),
        generation: outcome.generation,
        at: Some(at(outcome.at)),
    }
}

/// A permit took effect.
#[must_use]
pub fn effect(observed: &Observed, effect: &EffectiveRecord) -> v1::PermitEffect {
    let permit = observed
        .gate
        .gate()
        .and_then(|gate| gate.spec.permit.as_ref());
    let release = permit
        .filter(|permit| permit.fence == effect.fence)
        .map(|permit| permit.release.0.clone());
    v1::PermitEffect {
        rollout: Some(reference(observed)),
        fence: Some(wire::fence_to_wire(effect.fence)),
        release: release.unwrap_or_default(),
        digest: effect.digest.0.clone(),
        generation: effect.generation,
        at: Some(at(effect.at)),
    }
}

/// What somebody in the cluster asked for, if a reason tells of it.
#[must_use]
pub fn verb(observed: &Observed, reason: &Reason) -> Option<v1::LocalVerb> {
    let (verb, message, held) = if let Reason::VerbRefused { text } = reason {
        let (verb, message) = text.split_once(": ").unwrap_or((text, ""));
        (verb, message, true)
    } else if let Reason::VerbHonoured { verb, text } = reason {
        (*verb, text.as_str(), false)
    } else {
        return None;
    };
    let hub = observed.gate.gate().map(|gate| &gate.spec);
    let waiting = hub.and_then(|hub| hub.waiting.as_ref());
    let release = hub
        .and_then(|hub| hub.permit.as_ref())
        .map(|permit| &permit.release)
        .or(waiting.map(|waiting| &waiting.release));
    let metadata = &observed.rollout.metadata;
    // The version of the object that was decided on: nothing is told twice of one.
    let id = [&metadata.uid, &metadata.resource_version]
        .map(|part| part.clone().unwrap_or_default())
        .join("/");
    Some(v1::LocalVerb {
        rollout: Some(reference(observed)),
        verb: verb.to_owned(),
        held,
        message: message.to_owned(),
        release: release.map(|release| release.0.clone()).unwrap_or_default(),
        id: format!("{id}/{verb}"),
    })
}

/// Every time that a person did without the fleet's word, as far as the record goes.
pub fn broken_glass<'a>(
    observed: &'a Observed,
    record: Option<&'a GateStatus>,
) -> impl Iterator<Item = v1::BrokenGlass> + 'a {
    let known = record.map_or(&[][..], |record| &record.break_glass);
    known.iter().map(|one| {
        let rollout = reference(observed);
        // One word counts once, so these are one word.
        let id = format!("{}/{}/{}/{}", rollout.uid, one.digest, one.at, one.by);
        v1::BrokenGlass {
            rollout: Some(rollout),
            id,
            digest: one.digest.0.clone(),
            by: one.by.clone(),
            reason: one.reason.clone(),
            release: one
                .release
                .as_ref()
                .map(|release| release.0.clone())
                .unwrap_or_default(),
            at: Some(at(one.at)),
            needed: one.ended != Some(BreakGlassEnd::NotNeeded),
        }
    })
}

fn at(time: StatusTime) -> prost_types::Timestamp {
    time::to_wire(time.timestamp())
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
