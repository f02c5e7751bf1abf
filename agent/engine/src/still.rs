//! Passes in which no ReplicaSet is touched: an invalid spec, a first deploy that is held, a template that is lost.
//!
//! In: what is observed, and why nothing is done. Out: the status that says so. It must not scale or walk steps.

use agent_api::names::{condition, pause_reason};
use agent_api::{PauseCondition, Phase, RolloutStatus};

use crate::observed::Observed;
use crate::pass::autoscale::counted as counted_for_autoscaling;
use crate::pass::conditions::set;
use crate::pass::serving::Serving;
use crate::pass::without_gate_pause;
use crate::sets::SetView;

/// The status of a spec that cannot be acted on.
pub fn invalid(observed: &Observed, views: &[SetView], message: &str) -> RolloutStatus {
    let mut status = counted(observed, views);
    set(
        &mut status,
        observed.now,
        condition::INVALID_SPEC,
        "True",
        "InvalidSpec",
        message.to_owned(),
    );
    status.phase = Some(Phase::Degraded);
    status.message = Some(format!("InvalidSpec: {message}"));
    status
}

/// The status of content that waits, with nothing else to serve.
pub fn held(observed: &Observed, views: &[SetView], message: &str) -> RolloutStatus {
    let mut status = counted(observed, views);
    let before = observed.rollout.status.as_ref();
    let known = before
        .and_then(|status| status.pause_condition(pause_reason::FLEET_GATE))
        .map(|pause| pause.start_time);
    let gate = observed.gate.gate().and_then(|gate| gate.status.as_ref());
    let held = gate
        .and_then(|record| record.held.as_ref())
        .map(|held| held.since);
    status.pause_conditions.push(PauseCondition {
        reason: pause_reason::FLEET_GATE.to_owned(),
        start_time: known.or(held).unwrap_or_else(|| observed.now.into()),
        ..PauseCondition::default()
    });
    status
        .conditions
        .retain(|known| known.r#type != condition::INVALID_SPEC);
    set(
        &mut status,
        observed.now,
        condition::PROGRESSING,
        "Unknown",
        "RolloutPaused",
        "Rollout is paused".to_owned(),
    );
    set(
        &mut status,
        observed.now,
        condition::PAUSED,
        "True",
        "RolloutPaused",
        "Rollout is paused".to_owned(),
    );
    status.phase = Some(Phase::Paused);
    status.message = Some(message.to_owned());
    status
}

/// The observed status with present counts and generation.
fn counted(observed: &Observed, views: &[SetView]) -> RolloutStatus {
    let mut status = without_gate_pause(&observed.rollout.status.clone().unwrap_or_default());
    // An autoscaler must not see other pods for as long as the spec is wrong.
    let serving = Serving::of(&status, views);
    status.replicas = Some(Serving::all(views.iter()).current);
    status.hpa_replicas = Some(counted_for_autoscaling(observed, serving.current));
    status.ready_replicas = Some(serving.ready);
    status.available_replicas = Some(serving.available);
    let current = views
        .iter()
        .find(|set| Some(&set.hash) == status.current_pod_hash.as_ref());
    status.updated_replicas = Some(current.map_or(0, |set| set.current));
    // Nothing moves, so autoscalers look at the pods that they looked at before. Of a workload that is gone nothing can be
    // inherited.
    let selector = status.selector.take();
    let own = observed.selector();
    let own = (!own.is_empty()).then(|| own.to_query());
    status.selector = selector.or(own);
    status.observed_generation = Some(
        observed
            .rollout
            .metadata
            .generation
            .unwrap_or(0)
            .to_string(),
    );
    status
}
