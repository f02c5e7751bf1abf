//! The Rollout that really runs: the stored one, with kept content in the place of the spec's where the gate says so.
//!
//! In: `Observed` and a `Decision`. Out: `Effective`. It must not look at ReplicaSets or statuses.

use std::collections::BTreeMap;

use agent_api::digest::{content_digest, delivery_digest};
use agent_api::{ContentDigest, DeliveryDigest, PodTemplate, RolloutStrategy};
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
        digest: content_digest(&template.clone().unwrap_or_default()),
        delivery: delivery(&strategy_value(&strategy), &templates),
        template,
        strategy,
        templates,
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

/// The templates that the steps of a strategy name.
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
    of_steps
        .chain(background)
        .flat_map(|analysis| &analysis.templates)
        .map(TemplateKey::of)
        .collect()
}
