//! From YAML to a FleetRollout. In: the text of a file. Out: its documents, or all of their problems. It must not accept a
//! field that nothing here acts on.

use std::collections::BTreeMap;

use super::reader::{Fields, Node, Reader};
use super::selector::{Expression, Operator, Selector};
use super::tree::{self, TEXT_BYTES_MAX, Tree, Value};
use super::{
    API_VERSION, Document, File, FleetRollout, KIND, Problem, WaveSpec, approval, check,
    membership, policy, window,
};
use crate::amount::Seconds;
use crate::name::RolloutName;

/// Fields of the design that nothing acts on yet.
const NOT_BUILT: [&str; 2] = ["source", "analysis"];

/// Every document of a file, split at its `---` lines.
pub(super) fn file(text: &str) -> Result<File, Vec<Problem>> {
    let whole = |message: String| {
        vec![Problem {
            path: String::new(),
            line: 0,
            message,
        }]
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(whole(format!(
            "the file has {} bytes; {TEXT_BYTES_MAX} are the most",
            text.len()
        )));
    }
    let mut file = File::default();
    let mut problems = Vec::new();
    for (offset, part) in parts(text) {
        match document(&part, offset) {
            Ok(Some(One::FleetRollout(document))) => file.documents.push(document),
            Ok(Some(One::FleetWindow(document))) => file.windows.push(document),
            Ok(None) => {}
            Err(found) => problems.extend(found),
        }
    }
    check::names(&file.documents, &mut problems);
    window::names(&file.windows, &mut problems);
    if problems.is_empty() && file.documents.is_empty() && file.windows.is_empty() {
        return Err(whole(format!(
            "the file is empty; a FleetRollout starts with `apiVersion: {API_VERSION}`"
        )));
    }
    problems.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
    if problems.is_empty() {
        Ok(file)
    } else {
        Err(problems)
    }
}

/// (lines before it, text) of each part. A `---` at the start of a line is always a document's start in YAML.
fn parts(text: &str) -> Vec<(u32, String)> {
    let mut parts = vec![(0, String::new())];
    for (number, line) in (1_u32..).zip(text.lines()) {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            parts.push((number, String::new()));
            continue;
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

/// A document by its kind.
enum One {
    FleetRollout(Document),
    FleetWindow(window::WindowDocument),
}

fn document(text: &str, offset: u32) -> Result<Option<One>, Vec<Problem>> {
    let blank = text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return Ok(None);
    }
    let tree = tree::parse(text).map_err(|mut problem| {
        problem.line += if problem.line == 0 { 0 } else { offset };
        vec![problem]
    })?;
    let mut reader = Reader {
        offset,
        ..Reader::default()
    };
    let node = Node {
        path: String::new(),
        tree: &tree,
    };
    let line = first_line(&tree) + offset;
    if window::is_one(&tree) {
        let window = window::root(&mut reader, &node);
        return match window {
            Some(window) if reader.problems.is_empty() => {
                let document = window::WindowDocument::new(window, text, line);
                Ok(Some(One::FleetWindow(document)))
            }
            Some(_) | None => Err(reader.problems),
        };
    }
    let fleet_rollout = root(&mut reader, &node);
    match fleet_rollout {
        Some(fleet_rollout) if reader.problems.is_empty() => {
            let notes = check::notes(&fleet_rollout);
            Ok(Some(One::FleetRollout(Document {
                fleet_rollout,
                text: text.to_owned(),
                line,
                notes,
                lines: reader.lines,
            })))
        }
        Some(_) | None => Err(reader.problems),
    }
}

fn first_line(tree: &Tree) -> u32 {
    match &tree.value {
        Value::Map(map) => map.first().map_or(tree.line, |(_, line, _)| *line),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_) => tree.line,
    }
}

/// What every document starts with.
pub(super) fn version(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    kind: &'static str,
    only_kind: &str,
) {
    for (name, only) in [("apiVersion", API_VERSION), (kind, only_kind)] {
        if let Some(node) = reader.need(fields, name, &format!("write {name}: {only}"))
            && let Some(text) = reader.text(&node)
            && text != only
        {
            reader.at(&node, format!("{text:?} is not known; write {only}"));
        }
    }
}

fn root(reader: &mut Reader, node: &Node<'_>) -> Option<FleetRollout> {
    let mut fields = reader.fields(node)?;
    version(reader, &mut fields, "kind", KIND);
    let metadata = reader.need(&mut fields, "metadata", "write metadata: {name: checkout}");
    let spec = reader.need(
        &mut fields,
        "spec",
        "it says which Rollout, which clusters and which waves",
    );
    reader.finish(fields);
    let name = metadata.and_then(|node| metadata_name(reader, &node));
    let built = spec.and_then(|node| spec_of(reader, &node));
    let mut built = built?;
    built.name = name?.into();
    Some(built)
}

pub(super) fn metadata_name(reader: &mut Reader, node: &Node<'_>) -> Option<String> {
    let mut fields = reader.fields(node)?;
    let name = reader
        .need(&mut fields, "name", "every document has one")
        .and_then(|node| check::name(reader, &node));
    reader.finish(fields);
    name
}

fn spec_of(reader: &mut Reader, node: &Node<'_>) -> Option<FleetRollout> {
    let mut fields = reader.fields(node)?;
    let rollout = reader
        .need(
            &mut fields,
            "rollout",
            "write rollout: {namespace: shop, name: checkout}",
        )
        .and_then(|node| rollout(reader, &node));
    let enforcement = policy::enforcement(reader, &mut fields);
    policy::applies(reader, &mut fields);
    let clusters = fields
        .take("clusters")
        .and_then(|node| selector(reader, &node))
        .unwrap_or_default();
    let waves = reader
        .need(&mut fields, "waves", "at least one wave is needed")
        .and_then(|node| waves(reader, &node));
    let on_failure = fields
        .take("onFailure")
        .and_then(|node| policy::on_failure(reader, &node))
        .unwrap_or_default();
    let progress_deadline = fields
        .take("progressDeadline")
        .and_then(|node| check::longer_than_nothing(reader, &node))
        .unwrap_or_else(super::default_progress_deadline);
    let membership = fields
        .take("membership")
        .and_then(|node| membership::membership(reader, &node, progress_deadline))
        .unwrap_or_default();
    let on_hub_loss = fields
        .take("onHubLoss")
        .and_then(|node| policy::on_hub_loss(reader, &node))
        .unwrap_or_default();
    policy::first_contact(reader, &mut fields);
    let rollback_phase = fields
        .take("rollbackPhase")
        .and_then(|node| policy::rollback_phase(reader, &node))
        .unwrap_or_default();
    let supersede = fields
        .take("supersede")
        .and_then(|node| policy::supersede(reader, &node))
        .unwrap_or_default();
    let expedite = fields
        .take("expedite")
        .and_then(|node| policy::expedite(reader, &node));
    policy::lockstep(reader, &mut fields);
    let (after, max_failed, calendar) = policy::order_budget_calendar(reader, &mut fields);
    for name in NOT_BUILT {
        reader.not_built(&mut fields, name);
    }
    reader.finish(fields);
    Some(FleetRollout {
        name: "".into(),
        rollout: rollout?,
        enforcement: enforcement?,
        clusters,
        waves: waves?,
        on_failure,
        progress_deadline,
        membership,
        on_hub_loss,
        rollback_phase,
        supersede,
        after,
        max_failed,
        calendar,
        expedite,
    })
}

fn rollout(reader: &mut Reader, node: &Node<'_>) -> Option<RolloutName> {
    let mut fields = reader.fields(node)?;
    let namespace = reader
        .need(
            &mut fields,
            "namespace",
            "the Rollout has the same namespace in every cluster",
        )
        .and_then(|node| check::name(reader, &node));
    let name = reader
        .need(
            &mut fields,
            "name",
            "the Rollout has the same name in every cluster",
        )
        .and_then(|node| check::name(reader, &node));
    reader.finish(fields);
    Some(RolloutName {
        namespace: namespace?,
        name: name?,
    })
}

pub(super) fn selector(reader: &mut Reader, node: &Node<'_>) -> Option<Selector> {
    let mut fields = reader.fields(node)?;
    let match_labels = fields
        .take("matchLabels")
        .and_then(|node| labels(reader, &node))
        .unwrap_or_default();
    let mut match_expressions = Vec::new();
    for node in fields
        .take("matchExpressions")
        .and_then(|node| reader.list(&node))
        .unwrap_or_default()
    {
        match_expressions.extend(expression(reader, &node));
    }
    reader.finish(fields);
    Some(Selector {
        match_labels,
        match_expressions,
    })
}

fn labels(reader: &mut Reader, node: &Node<'_>) -> Option<BTreeMap<String, String>> {
    let Value::Map(map) = &node.tree.value else {
        reader.at(
            node,
            format!(
                "a map of labels is needed here, not {}",
                node.tree.value.kind()
            ),
        );
        return None;
    };
    let mut labels = BTreeMap::new();
    for (key, line, tree) in map {
        let own = Node {
            path: format!("{}.{key}", node.path),
            tree,
        };
        if let Some(value) = reader.text(&own)
            && labels.insert(key.clone(), value).is_some()
        {
            reader.problem(&own.path, *line, "written twice; keep one");
        }
    }
    Some(labels)
}

fn expression(reader: &mut Reader, node: &Node<'_>) -> Option<Expression> {
    let mut fields = reader.fields(node)?;
    let key = reader
        .need(&mut fields, "key", "it names the label")
        .and_then(|node| reader.text(&node));
    let operator = reader
        .need(
            &mut fields,
            "operator",
            "write In, NotIn, Exists or DoesNotExist",
        )
        .and_then(|node| {
            let choices = [
                ("In", Operator::In),
                ("NotIn", Operator::NotIn),
                ("Exists", Operator::Exists),
                ("DoesNotExist", Operator::DoesNotExist),
            ];
            reader.choice(&node, &choices)
        });
    let listed = fields.take("values");
    let mut values = Vec::new();
    for node in listed
        .as_ref()
        .and_then(|node| reader.list(node))
        .unwrap_or_default()
    {
        values.extend(reader.text(&node));
    }
    reader.finish(fields);
    let needs_values = matches!(operator?, Operator::In | Operator::NotIn);
    if needs_values && values.is_empty() {
        reader.at(
            listed.as_ref().unwrap_or(node),
            "In and NotIn need at least one of values",
        );
    }
    if !needs_values && let Some(listed) = listed {
        reader.at(
            &listed,
            "Exists and DoesNotExist take no values; leave them out",
        );
    }
    Some(Expression {
        key: key?,
        operator: operator?,
        values,
    })
}

fn waves(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<WaveSpec>> {
    let nodes = reader.list(node)?;
    if nodes.is_empty() {
        reader.at(node, "at least one wave is needed");
        return None;
    }
    let mut waves = Vec::new();
    for node in &nodes {
        waves.push(wave(reader, node));
    }
    let waves: Vec<(Node<'_>, WaveSpec)> = nodes
        .into_iter()
        .zip(waves)
        .filter_map(|(node, wave)| Some((node, wave?)))
        .collect();
    check::waves(reader, &waves);
    Some(waves.into_iter().map(|(_, wave)| wave).collect())
}

fn wave(reader: &mut Reader, node: &Node<'_>) -> Option<WaveSpec> {
    let mut fields = reader.fields(node)?;
    let name = reader
        .need(&mut fields, "name", "every wave has one")
        .and_then(|node| check::name(reader, &node));
    let members = membership::members(reader, &mut fields);
    let max_concurrent = fields
        .take("maxConcurrent")
        .and_then(|node| check::not_zero(reader, &node));
    let bake = fields
        .take("bake")
        .and_then(|node| reader.written::<Seconds>(&node))
        .unwrap_or_default();
    let (approval, approval_after) = fields
        .take("approval")
        .and_then(|node| approval::both(reader, &node))
        .unwrap_or_default();
    let budget = fields.take("budget");
    let max_failed = budget
        .as_ref()
        .and_then(|node| membership::budget(reader, node));
    for name in ["analysis", "windows", "lockstep"] {
        reader.not_built(&mut fields, name);
    }
    reader.finish(fields);
    // Members that cannot be read are not missing ones: the wave is left out of the checks between waves.
    let members = members?;
    let wave = WaveSpec {
        name: name?,
        clusters: members.clusters,
        names: members.names,
        take: members.take,
        max_concurrent: max_concurrent.unwrap_or_else(super::default_max_concurrent),
        bake,
        approval,
        approval_after,
        max_failed: max_failed.unwrap_or_else(super::default_max_failed),
    };
    if let Some(node) = budget {
        check::budget(reader, &node, &wave);
    }
    Some(wave)
}
