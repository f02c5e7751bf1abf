//! The fleet's part of a fixture.
//!
//! In: `gate` of `observed.yaml`. Out: what the agent knows of the fleet. It must not know what a plan should be.

use std::collections::BTreeMap;

use agent_api::{DeliveryDigest, FirstContact, Gate};
use agent_engine::{
    GateObserved, GateRecord, Governance, HubContact, HubTime, Kept, Observed, effective,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{Error, digest, template};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GatePart {
    #[serde(default = "governed")]
    governance: String,
    record: Option<Value>,
    undecodable: Option<String>,
    distrust: Option<String>,
    lost_since: Option<Timestamp>,
    #[serde(default)]
    never: bool,
    #[serde(default = "yes")]
    lease_live: bool,
    /// Where the lease ends, if not one length from now.
    lease_until: Option<Timestamp>,
    /// What the hub says that it is.
    hub_time: Option<Timestamp>,
    /// What the member record remembers of the last permit.
    spent: Option<Value>,
    /// The version that the member record remembers as last served under this name.
    served_before: Option<String>,
    #[serde(default = "yes")]
    first_contact_done: bool,
    /// The agent was started with `--first-contact open`.
    #[serde(default)]
    first_contact_open: bool,
    #[serde(default)]
    first_deploy_free: bool,
    #[serde(default)]
    passed: Vec<String>,
    stopped: Option<String>,
    #[serde(default)]
    kept: Vec<String>,
    kept_steps: Option<Value>,
    #[serde(default)]
    missing_config: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    break_glass_admitted: bool,
}

fn governed() -> String {
    "Governed".to_owned()
}
fn yes() -> bool {
    true
}

/// `"delivery"` in a record is what the fixture's strategy gives.
fn record(
    record: Option<Value>,
    undecodable: Option<String>,
    delivery: &DeliveryDigest,
) -> Result<GateRecord, Error> {
    Ok(match (record, undecodable) {
        (Some(record), _) => {
            let text = record
                .to_string()
                .replace("\"delivery\"", &format!("\"{delivery}\""));
            let gate: Gate =
                serde_json::from_str(&text).map_err(|error| Error::Part("gate.record", error))?;
            GateRecord::Present(Box::new(gate))
        }
        (None, Some(why)) => GateRecord::Undecodable(why),
        (None, None) => GateRecord::Missing,
    })
}

fn first_contact(open: bool) -> FirstContact {
    if open {
        FirstContact::Open
    } else {
        FirstContact::Hold
    }
}

fn governance(text: &str) -> Governance {
    match text {
        "Free" => Governance::Free,
        "Unknown" => Governance::Unknown,
        "StandAlone" => Governance::StandAlone,
        _ => Governance::Governed,
    }
}

pub(super) fn gate_observed(part: GatePart, observed: &Observed) -> Result<GateObserved, Error> {
    let content = effective::of_spec(observed);
    let other_steps = |mut strategy: Value| {
        let steps = strategy.pointer_mut("/canary/steps");
        if let (Some(steps), Some(kept)) = (steps, &part.kept_steps) {
            *steps = kept.clone();
        }
        strategy
    };
    // `v1:other` was kept with steps that are not the present ones, but those of `keptSteps`.
    let kept = |entry: &String| {
        let (version, other) = entry
            .split_once(':')
            .map_or((entry.as_str(), None), |(v, o)| (v, Some(o)));
        let delivery = other.map_or_else(
            || content.delivery.clone(),
            |other| DeliveryDigest(format!("v1:{other}")),
        );
        let kept = Kept {
            template: template(version),
            strategy: match other {
                Some(_) => other_steps(effective::strategy_value(&content.strategy)),
                None => effective::strategy_value(&content.strategy),
            },
            templates: content.templates.clone(),
            delivery,
        };
        (digest(version), kept)
    };
    let record = record(part.record, part.undecodable, &content.delivery)?;
    let length = match &record {
        GateRecord::Present(gate) => gate.spec.permit.as_ref().map(|one| one.lease_seconds),
        GateRecord::Missing | GateRecord::Undecodable(_) => None,
    };
    let length = SignedDuration::from_secs(length.unwrap_or(0).try_into().unwrap_or(0));
    let until = part.lease_until.or(observed.now.checked_add(length).ok());
    let spent = part.spent.map(serde_json::from_value).transpose();
    let spent = spent.map_err(|error| Error::Part("gate.spent", error))?;
    Ok(GateObserved {
        governance: governance(&part.governance),
        governed_by: Some("checkout".to_owned()),
        record,
        distrust: part.distrust,
        hub: match part.lost_since {
            Some(since) => HubContact::Lost { since },
            None if part.never => HubContact::Never,
            None => HubContact::Connected,
        },
        hub_time: part.hub_time.map(|now| HubTime {
            now,
            ahead: now.duration_until(observed.now),
        }),
        lease_live: part.lease_live,
        lease_until: until.filter(|_| part.lease_live),
        spent,
        served_before: part.served_before.as_deref().map(digest),
        first_contact_done: part.first_contact_done,
        first_contact: first_contact(part.first_contact_open),
        first_deploy_free: part.first_deploy_free,
        passed: part.passed.iter().map(|version| digest(version)).collect(),
        stopped: part.stopped,
        kept: part.kept.iter().map(kept).collect(),
        missing_config: part
            .missing_config
            .into_iter()
            .map(|(version, names)| (digest(&version), names))
            .collect(),
        break_glass_admitted: part.break_glass_admitted,
    })
}
