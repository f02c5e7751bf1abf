//! The policies of a FleetRollout. In: their nodes. Out: their values. It must not accept a policy that nothing acts on.

use super::reader::{Fields, Node, Reader};
use super::tree::Value;
use super::{
    Enforcement, Expedite, Membership, Missing, OnFailure, OnHubLoss, RollbackPhase, Supersede,
    Unchanged, Unreachable, check,
};
use crate::amount::{Amount, Seconds};

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
    reader.finish(fields);
    Some(Expedite { bake: bake? })
}

/// Observe is the default of gate.md G13; until it is built a document has to say Enforce, so that none changes its
/// meaning on the day when it is.
pub(super) fn enforcement(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Enforcement> {
    let node = reader.need(
        fields,
        "enforcement",
        "write enforcement: Enforce (Observe is not built yet)",
    )?;
    if reader.text(&node)? == "Observe" {
        reader.at(&node, "Observe is not built yet; write Enforce");
        return None;
    }
    reader.choice(&node, &[("Enforce", Enforcement::Enforce)])
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
            "firstContact: Open is not built yet; leave it out, or write Hold",
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
            };
            reader.choice(&node, &[("Halt", OnFailure::Halt), ("Rollback", all)])
        });
    let given: Vec<Node<'_>> = ["scope", "order", "maxConcurrent"]
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
        OnFailure::Rollback { mut max_concurrent } => {
            for node in &given {
                if node.path.ends_with(".scope") {
                    reader.choice(node, &[("Touched", ())]);
                } else if node.path.ends_with(".order") {
                    reader.choice(node, &[("ReverseWaves", ())]);
                } else if let Some(amount) = check::not_zero(reader, node) {
                    max_concurrent = amount;
                }
            }
            Some(OnFailure::Rollback { max_concurrent })
        }
    }
}

pub(super) fn membership(reader: &mut Reader, node: &Node<'_>) -> Option<Membership> {
    let mut fields = reader.fields(node)?;
    let mut membership = Membership::default();
    if let Some(node) = fields.take("lateJoin") {
        reader.choice(&node, &[("CatchUp", ())]);
    }
    if let Some(node) = fields.take("missing")
        && let Some(missing) =
            reader.choice(&node, &[("Fail", Missing::Fail), ("Skip", Missing::Skip)])
    {
        membership.missing = missing;
    }
    if let Some(node) = fields.take("unchanged")
        && let Some(unchanged) = reader.choice(
            &node,
            &[("Wait", Unchanged::Wait), ("Skip", Unchanged::Skip)],
        )
    {
        membership.unchanged = unchanged;
    }
    let unreachable = fields.take("unreachable");
    reader.finish(fields);
    if let Some(node) = unreachable {
        let mut fields = reader.fields(&node)?;
        if let Some(node) = fields.take("after") {
            membership.unreachable_after = check::longer_than_nothing(reader, &node)?;
        }
        if let Some(node) = fields.take("action") {
            let choices = [
                ("CountAsFailed", Unreachable::CountAsFailed),
                ("Wait", Unreachable::Wait),
            ];
            membership.unreachable = reader.choice(&node, &choices)?;
        }
        reader.finish(fields);
    }
    Some(membership)
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
