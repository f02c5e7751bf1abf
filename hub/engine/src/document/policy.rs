//! The policies of a FleetRollout. In: their nodes. Out: their values. It must not accept a policy that nothing acts on.

use super::reader::{Fields, Node, Reader};
use super::tree::Value;
use super::{
    Enforcement, Expedite, ExpediteWindows, OnFailure, OnHubLoss, RollbackPhase, RollbackSteps,
    Supersede, check, membership, window,
};
use crate::amount::{Amount, Seconds};
use crate::name::FleetRolloutName;
use crate::window::Calendar;

pub(super) fn rollback_phase(reader: &mut Reader, node: &Node<'_>) -> Option<RollbackPhase> {
    let choices = [
        ("Degraded", RollbackPhase::Degraded),
        ("Paused", RollbackPhase::Paused),
    ];
    reader.choice(node, &choices)
}

pub(super) fn supersede(reader: &mut Reader, node: &Node<'_>) -> Option<Supersede> {
    let choices = [
        ("Finish", Supersede::Finish),
        ("Replace", Supersede::Replace),
    ];
    reader.choice(node, &choices)
}

pub(super) fn expedite(reader: &mut Reader, node: &Node<'_>) -> Option<Expedite> {
    let mut fields = reader.fields(node)?;
    let bake = reader
        .need(
            &mut fields,
            "bake",
            "write how long a wave after the first bakes at most, e.g. 5m",
        )
        .and_then(|node| reader.written(&node));
    let windows = fields.take("windows").and_then(|node| {
        let choices = [
            ("Wait", ExpediteWindows::Wait),
            ("Pass", ExpediteWindows::Pass),
        ];
        reader.choice(&node, &choices)
    });
    reader.finish(fields);
    Some(Expedite {
        bake: bake?,
        windows: windows.unwrap_or_default(),
    })
}

/// Whoever says nothing observes (gate.md G13); that a stored one which enforces is not freed by silence, the store sees to.
pub(super) fn enforcement(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Enforcement> {
    let Some(node) = fields.take("enforcement") else {
        return Some(Enforcement::Observe);
    };
    let choices = [
        ("Enforce", Enforcement::Enforce),
        ("Observe", Enforcement::Observe),
    ];
    reader.choice(&node, &choices)
}

pub(super) fn applies(reader: &mut Reader, fields: &mut Fields<'_>) {
    let Some(node) = fields.take("applies") else {
        return;
    };
    let Some(text) = reader.text(&node) else {
        return;
    };
    if text == "WholeApplication" {
        reader.at(
            &node,
            "WholeApplication is not built yet; leave it out, or write RolloutOnly",
        );
    } else {
        reader.choice(&node, &[("RolloutOnly", ())]);
    }
}

/// gate.md G8 speaks of the time before any word of the fleet was stored; so only an agent's own flag can mean anything.
pub(super) fn first_contact(reader: &mut Reader, fields: &mut Fields<'_>) {
    let Some(node) = fields.take("firstContact") else {
        return;
    };
    let Some(text) = reader.text(&node) else {
        return;
    };
    if text == "Open" {
        reader.at(
            &node,
            "a FleetRollout reaches an agent with its first word, and then the first contact has been: only the agent itself \
             can be open before it. Leave this out, or write Hold, and start that cluster's agent with --first-contact open",
        );
    } else {
        reader.choice(&node, &[("Hold", ())]);
    }
}

pub(super) fn lockstep(reader: &mut Reader, fields: &mut Fields<'_>) {
    let Some(node) = fields.take("lockstep") else {
        return;
    };
    if reader.boolean(&node) == Some(true) {
        reader.at(&node, "lockstep is not built yet; leave it out");
    }
}

pub(super) fn on_failure(reader: &mut Reader, node: &Node<'_>) -> Option<OnFailure> {
    let mut fields = reader.fields(node)?;
    let action = reader
        .need(&mut fields, "action", "write Halt or Rollback")
        .and_then(|node| {
            let all = OnFailure::Rollback {
                max_concurrent: Amount::Percent(100),
                steps: RollbackSteps::Skip,
            };
            reader.choice(&node, &[("Halt", OnFailure::Halt), ("Rollback", all)])
        });
    let given: Vec<Node<'_>> = ["scope", "order", "maxConcurrent", "steps"]
        .into_iter()
        .filter_map(|name| fields.take(name))
        .collect();
    reader.finish(fields);
    let action = action?;
    match action {
        OnFailure::Halt => {
            for node in &given {
                reader.at(node, "belongs to action: Rollback; Halt takes nothing back");
            }
            Some(OnFailure::Halt)
        }
        OnFailure::Rollback {
            mut max_concurrent,
            mut steps,
        } => {
            for node in &given {
                if node.path.ends_with(".scope") {
                    reader.choice(node, &[("Touched", ())]);
                } else if node.path.ends_with(".order") {
                    reader.choice(node, &[("ReverseWaves", ())]);
                } else if node.path.ends_with(".steps") {
                    steps = rollback_steps(reader, node).unwrap_or(steps);
                } else if let Some(amount) = check::not_zero(reader, node) {
                    max_concurrent = amount;
                }
            }
            Some(OnFailure::Rollback {
                max_concurrent,
                steps,
            })
        }
    }
}

fn rollback_steps(reader: &mut Reader, node: &Node<'_>) -> Option<RollbackSteps> {
    let choices = [
        ("Skip", RollbackSteps::Skip),
        ("Backwards", RollbackSteps::Backwards),
    ];
    reader.choice(node, &choices)
}

/// `after`, `budget`, and everything about windows.
pub(super) fn order_budget_calendar(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
) -> (Vec<FleetRolloutName>, Option<Amount>, Calendar) {
    let names = fields.take("after").and_then(|node| after(reader, &node));
    let max_failed = fields
        .take("budget")
        .and_then(|node| membership::budget(reader, &node));
    let calendar = window::of_spec(reader, fields);
    (names.unwrap_or_default(), max_failed, calendar)
}

/// FleetRollouts that have to have passed; whether they are there, and in no circle, only the hub can tell.
fn after(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<FleetRolloutName>> {
    let mut names: Vec<FleetRolloutName> = Vec::new();
    for node in reader.list(node)? {
        let Some(name) = check::name(reader, &node) else {
            continue;
        };
        if names.iter().any(|other| other.as_str() == name) {
            reader.at(&node, format!("{name} is written twice; keep one"));
        } else {
            names.push(name.into());
        }
    }
    Some(names)
}

pub(super) fn on_hub_loss(reader: &mut Reader, node: &Node<'_>) -> Option<OnHubLoss> {
    let abort = OnHubLoss::Abort { after: Seconds(0) };
    let choices = [
        ("Finish", OnHubLoss::Finish),
        ("Hold", OnHubLoss::Hold),
        ("Abort", abort),
    ];
    if !matches!(node.tree.value, Value::Map(_)) {
        return reader.choice(node, &choices);
    }
    let mut fields = reader.fields(node)?;
    let action = reader
        .need(&mut fields, "action", "write Finish, Hold or Abort")
        .and_then(|node| reader.choice(&node, &choices));
    let after = fields.take("after");
    reader.finish(fields);
    match (action?, after) {
        (OnHubLoss::Abort { .. }, Some(node)) => Some(OnHubLoss::Abort {
            after: reader.written(&node)?,
        }),
        (OnHubLoss::Finish | OnHubLoss::Hold, Some(node)) => {
            reader.at(&node, "belongs to action: Abort; leave it out");
            None
        }
        (action, None) => Some(action),
    }
}
