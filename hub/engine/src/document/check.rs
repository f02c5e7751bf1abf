//! What a field's form alone does not tell. In: read values with their nodes. Out: problems on the side, notes for the
//! person. It must not look at clusters: that is `overlap`.

use super::reader::{Node, Reader};
use super::selector::Selector;
use super::tree::Value;
use super::{Document, Enforcement, FleetRollout, OnFailure, Problem, WaveSpec};
use crate::amount::{Amount, Seconds};

/// The longest name that Kubernetes gives an object or a label's part.
const NAME_BYTES_MAX: usize = 63;
/// More approvers than this is a typing error, not a policy.
const APPROVERS_MAX: i64 = 20;

/// A DNS label: what names of FleetRollouts, waves, namespaces and Rollouts are made of.
pub(super) fn name(reader: &mut Reader, node: &Node<'_>) -> Option<String> {
    let text = reader.text(node)?;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if !good {
        let message = format!(
            "{text:?} is not a name: small letters, digits and -, {NAME_BYTES_MAX} at most, no - at an end"
        );
        reader.at(node, message);
        return None;
    }
    Some(text)
}

pub(super) fn longer_than_nothing(reader: &mut Reader, node: &Node<'_>) -> Option<Seconds> {
    let seconds: Seconds = reader.written(node)?;
    if seconds.0 == 0 {
        reader.at(
            node,
            "no time at all would fail everything at once; write a longer time",
        );
        return None;
    }
    Some(seconds)
}

pub(super) fn not_zero(reader: &mut Reader, node: &Node<'_>) -> Option<Amount> {
    let amount: Amount = reader.written(node)?;
    if matches!(amount, Amount::Count(0) | Amount::Percent(0)) {
        reader.at(node, "nothing could ever move; write 1 or more");
        return None;
    }
    Some(amount)
}

pub(super) fn approvers(reader: &mut Reader, node: &Node<'_>) -> Option<u32> {
    let Value::Integer(number) = node.tree.value else {
        reader.at(
            node,
            format!(
                "a number of persons is needed here, not {}",
                node.tree.value.kind()
            ),
        );
        return None;
    };
    if !(1..=APPROVERS_MAX).contains(&number) {
        reader.at(node, format!("{number} persons cannot be required; write 1 to {APPROVERS_MAX}, or leave approval out"));
        return None;
    }
    u32::try_from(number).ok()
}

/// A wave's selector; an empty one is refused, because it would take every cluster and leave none for the others.
pub(super) fn some_selector(reader: &mut Reader, node: &Node<'_>) -> Option<Selector> {
    let before = reader.problems.len();
    let selector = super::read::selector(reader, node)?;
    if reader.problems.len() > before {
        return None;
    }
    if selector == Selector::default() {
        reader.at(node, "an empty selector selects every cluster; name labels, or leave clusters out for all that are left");
        return None;
    }
    Some(selector)
}

/// Names once, a rest wave last and once, no two waves with the same or a wider selector.
pub(super) fn waves(reader: &mut Reader, waves: &[(Node<'_>, WaveSpec)]) {
    for (index, (node, wave)) in waves.iter().enumerate() {
        let earlier = waves.get(..index).unwrap_or_default();
        if earlier.iter().any(|(_, other)| other.name == wave.name) {
            let path = format!("{}.name", node.path);
            reader.problem(
                &path,
                node.tree.line,
                format!("there is a wave {} already; names are used once", wave.name),
            );
        }
        let named = wave.names.iter().find_map(|name| {
            let other = earlier
                .iter()
                .find(|(_, other)| other.names.contains(name))?;
            Some((name, &other.1.name))
        });
        if let Some((name, other)) = named {
            let path = format!("{}.names", node.path);
            reader.problem(
                &path,
                node.tree.line,
                format!("{name} is in wave {other} already; a cluster is in one wave only"),
            );
        }
        match &wave.clusters {
            None if wave.is_rest() && index + 1 < waves.len() => {
                let rests = waves.iter().filter(|(_, other)| other.is_rest()).count();
                let message = if rests > 1 {
                    "more than one wave has no selector; only the last one may take every cluster that is left"
                } else {
                    "a wave without a selector takes every cluster that is left, so it has to be the last one"
                };
                reader.at(node, message);
            }
            None => {}
            Some(selector) => {
                let wider = earlier.iter().find(|(_, other)| {
                    let all = other.take.is_none();
                    all && other
                        .clusters
                        .as_ref()
                        .is_some_and(|own| own.covers(selector))
                });
                if let Some((_, other)) = wider {
                    let path = format!("{}.clusters", node.path);
                    let message = format!(
                        "every cluster that it selects is in wave {} already",
                        other.name
                    );
                    reader.problem(&path, node.tree.line, message);
                }
            }
        }
    }
}

/// A wave that survives more failures than it has clusters can never fail: nobody means that.
pub(super) fn budget(reader: &mut Reader, node: &Node<'_>, wave: &WaveSpec) {
    let size = match wave.take {
        Some(Amount::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Amount::Percent(_)) => return,
        None => wave.names.len(),
    };
    if size > 0 && wave.max_failed.of(size) > size {
        let message = format!(
            "{} failures are more than the {size} clusters of the wave, so it could never fail",
            wave.max_failed
        );
        reader.problem(&format!("{}.maxFailed", node.path), node.tree.line, message);
    }
}

/// Two documents of one file by the same name.
pub(super) fn names(documents: &[Document], problems: &mut Vec<Problem>) {
    for (index, document) in documents.iter().enumerate() {
        let name = &document.fleet_rollout.name;
        let earlier = documents.get(..index).unwrap_or_default();
        if let Some(other) = earlier
            .iter()
            .find(|other| &other.fleet_rollout.name == name)
        {
            problems.push(Problem {
                path: "metadata.name".to_owned(),
                line: document.line_of("metadata.name"),
                message: format!(
                    "FleetRollout {name} is in this file already, from line {}; keep one",
                    other.line
                ),
            });
        }
    }
}

/// Sentences that the person should read.
pub(super) fn notes(fleet_rollout: &FleetRollout) -> Vec<String> {
    let mut notes = vec![format!(
        "only the Rollout {} is held back; jobs, CRDs and Deployments of the same application move at once (applies: RolloutOnly)",
        fleet_rollout.rollout
    )];
    if fleet_rollout.enforcement == Enforcement::Observe {
        notes.push(
            "enforcement is Observe: nothing is held and nothing permitted; the history tells what the waves would have done"
                .to_owned(),
        );
    }
    if fleet_rollout.waves.len() == 1 {
        notes.push(
            "there is one wave: every cluster may start as soon as maxConcurrent allows".to_owned(),
        );
    }
    if fleet_rollout.on_failure == OnFailure::Halt {
        notes.push(
            "a failed wave halts the release; clusters that finished keep the new version"
                .to_owned(),
        );
    }
    notes
}
