//! The Rollout that really runs: the stored one, with kept content in the place of the spec's where the gate says so.
//!
//! In: `Observed` and a `Decision`. Out: `Effective`. It must not look at ReplicaSets or statuses.

use std::collections::BTreeMap;

use agent_api::digest::{content_digest, delivery_digest};
use agent_api::names::{ANNOTATION_DIGEST, ANNOTATION_REVISION};
use agent_api::{ContentDigest, DeliveryDigest, PodTemplate, ReplicaSet, RolloutStrategy};
use serde_json::Value;

use crate::gate::decision::{Content, Decision};
use crate::observed::{Observed, TemplateKey, Templates};

/// Content with the way it is delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The content.
    pub digest: ContentDigest,
    /// The delivery.
    pub delivery: DeliveryDigest,
    /// The template as written; `None` when it is not kept.
    pub template: Option<PodTemplate>,
    /// The strategy.
    pub strategy: RolloutStrategy,
    /// The analysis templates that the strategy names.
    pub templates: Templates,
}

/// What the spec says.
pub fn of_spec(observed: &Observed) -> Effective {
    let template = observed.template().cloned();
    let strategy = observed.rollout.spec.strategy.clone();
    let templates = named_by(&strategy, &observed.templates);
    Effective {
        digest: spec_digest(observed),
        delivery: delivery(&strategy_value(&strategy), &templates),
        template,
        strategy,
        templates,
    }
}

/// The content that the spec is. What admission stored is the content (G1): a template that a client copied back from a
/// ReplicaSet, with the API server's defaults in it, is that ReplicaSet's content under the digest that it carries.
pub fn spec_digest(observed: &Observed) -> ContentDigest {
    let (sets, stored) = (&observed.replica_sets, &observed.stored);
    // A workload that is gone wants nothing else than it did.
    if observed.template().is_none()
        && let Some(seen) = seen_before(observed)
    {
        return seen;
    }
    let written = content_digest(&observed.template().cloned().unwrap_or_default());
    if stored.is_empty() {
        return written;
    }
    let carried = |set: &ReplicaSet, key: &str| {
        let annotations = set.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(key)).cloned()
    };
    let digest = |set: &ReplicaSet| carried(set, ANNOTATION_DIGEST).map(ContentDigest);
    if sets
        .iter()
        .any(|set| digest(set).as_ref() == Some(&written))
    {
        return written;
    }
    // An edit on top of a copy has some of the defaults: with the others it is what admission would store. Unless admission
    // drops something of it: that is content too.
    let whole = |defaulted: &&PodTemplate| {
        let written = observed.template();
        written.is_some_and(|written| covers(&defaulted.value(), &written.value()))
    };
    let defaulted = observed.defaulted.as_ref().filter(whole);
    let defaulted = defaulted.map(content_digest);
    let copied = |set: &&ReplicaSet| {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let forms = [Some(&written), defaulted.as_ref()];
        let stored = stored.get(name).map_or(&[][..], Vec::as_slice);
        forms
            .into_iter()
            .flatten()
            .any(|form| stored.contains(form))
    };
    // One that is being deleted has to be made anew, and from what is written.
    let stays = |set: &&ReplicaSet| set.metadata.deletion_timestamp.is_none();
    let newest = sets.iter().filter(stays).filter(copied).max_by_key(|set| {
        let revision = carried(set, ANNOTATION_REVISION);
        revision.and_then(|text| text.parse::<i64>().ok())
    });
    newest.and_then(digest).unwrap_or(written)
}

/// The spec's content as the record of the gate last saw it.
fn seen_before(observed: &Observed) -> Option<ContentDigest> {
    observed.rollout.spec.workload_ref.as_ref()?;
    let record = observed.gate.gate()?.status.as_ref()?;
    record.observed_digest.clone()
}

/// Everything that is written is there, beside whatever else is.
fn covers(there: &Value, written: &Value) -> bool {
    match (there, written) {
        (_, Value::Null) => true,
        (Value::Object(there), Value::Object(written)) => written.iter().all(|(key, value)| {
            let value_there = there.get(key).unwrap_or(&Value::Null);
            covers(value_there, value)
        }),
        (Value::Array(there), Value::Array(written)) => {
            let pairs = there.iter().zip(written);
            there.len() == written.len() && pairs.into_iter().all(|(one, other)| covers(one, other))
        }
        // Null, empty and absent are equal.
        (Value::Null, Value::Object(written)) => written.is_empty(),
        (Value::Null, Value::Array(written)) => written.is_empty(),
        (there, written) => there == written,
    }
}

/// What runs; `None` when nothing does.
pub fn of_decision(
    observed: &Observed,
    spec: &Effective,
    decision: &Decision,
) -> Option<Effective> {
    match &decision.content {
        Content::HoldNothing => None,
        Content::RunSpec => Some(spec.clone()),
        Content::RunKept(digest) => {
            let Some(kept) = observed.gate.kept.get(digest) else {
                // Its ReplicaSet may still be there: it is found by its digest and goes on as it is.
                return Some(Effective {
                    digest: digest.clone(),
                    template: None,
                    ..spec.clone()
                });
            };
            let strategy = serde_json::from_value(kept.strategy.clone())
                .unwrap_or_else(|_| spec.strategy.clone());
            Some(Effective {
                digest: digest.clone(),
                delivery: kept.delivery.clone(),
                template: Some(kept.template.clone()),
                strategy,
                templates: kept.templates.clone(),
            })
        }
    }
}

/// A strategy as JSON, as it is kept.
pub fn strategy_value(strategy: &RolloutStrategy) -> Value {
    serde_json::to_value(strategy).unwrap_or(Value::Null)
}

/// The digest of a strategy and the templates that it names.
fn delivery(strategy: &Value, templates: &Templates) -> DeliveryDigest {
    let templates: Vec<(String, Value)> = templates
        .iter()
        .map(|(key, spec)| {
            (
                key.to_string(),
                serde_json::to_value(spec).unwrap_or(Value::Null),
            )
        })
        .collect();
    delivery_digest(strategy, &templates)
}

/// The templates that a strategy names, directly or through other templates.
pub fn named_by(strategy: &RolloutStrategy, all: &Templates) -> Templates {
    let mut wanted: Vec<TemplateKey> = template_keys(strategy);
    let mut found: Templates = BTreeMap::new();
    while let Some(key) = wanted.pop() {
        if found.contains_key(&key) {
            continue;
        }
        if let Some(spec) = all.get(&key) {
            wanted.extend(spec.templates.iter().map(TemplateKey::of));
            found.insert(key, spec.clone());
        }
    }
    found
}

/// The templates that a strategy names: of its steps, in the background, before and after the switch.
pub fn template_keys(strategy: &RolloutStrategy) -> Vec<TemplateKey> {
    let steps = strategy
        .canary
        .as_ref()
        .map_or(&[][..], |canary| &canary.steps);
    let of_steps = steps.iter().filter_map(|step| step.analysis.as_ref());
    let background = strategy
        .canary
        .as_ref()
        .and_then(|canary| canary.analysis.as_ref());
    let blue_green = strategy.blue_green.iter().flat_map(|blue_green| {
        [
            &blue_green.pre_promotion_analysis,
            &blue_green.post_promotion_analysis,
        ]
    });
    let of_experiments = steps
        .iter()
        .filter_map(|step| step.experiment.as_ref())
        .flat_map(|experiment| &experiment.analyses)
        .map(TemplateKey::of_experiment);
    of_steps
        .chain(background)
        .chain(blue_green.flatten())
        .flat_map(|analysis| &analysis.templates)
        .map(TemplateKey::of)
        .chain(of_experiments)
        .collect()
}
