//! The table of fields, read into a tree.
//!
//! In: lines of `path`, type and allowed values under a line for each kind. Out: kinds with their tree of fields. Must
//! not touch: what the fields mean to the engine.

use std::collections::BTreeMap;

/// One kind of the table.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct KindRow {
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) short: String,
    pub(super) scope: String,
    pub(super) has_status: bool,
    pub(super) has_scale: bool,
    pub(super) columns: Vec<Column>,
    pub(super) root: Node,
}

/// A column that `kubectl get` prints.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) r#type: String,
    pub(super) path: String,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum FieldType {
    #[default]
    Object,
    Array,
    String,
    Integer,
    Boolean,
    IntOrString,
    /// A whole Kubernetes type, kept as it comes.
    Embedded,
}

/// A field with what lies under it.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Node {
    pub(super) r#type: FieldType,
    pub(super) allowed: Vec<String>,
    pub(super) fields: BTreeMap<String, Node>,
    pub(super) items: Option<Box<Node>>,
    pub(super) values: Option<Box<Node>>,
}

impl Node {
    /// True for an object about which the table says nothing more.
    pub(super) fn is_open(&self) -> bool {
        self.r#type == FieldType::Embedded
            || (self.r#type == FieldType::Object && self.fields.is_empty() && self.values.is_none())
    }

    /// The node at a path, made with everything above it.
    fn at(&mut self, path: &str) -> &mut Self {
        let mut node = self;
        for segment in path.split('.') {
            let name = segment.trim_end_matches(['[', ']', '{', '}']);
            let mut suffix = segment.get(name.len()..).unwrap_or_default();
            node = node.fields.entry(name.to_owned()).or_default();
            while !suffix.is_empty() {
                let slot = if suffix.starts_with("[]") {
                    &mut node.items
                } else {
                    &mut node.values
                };
                node = slot.get_or_insert_default();
                suffix = suffix.get(2..).unwrap_or_default();
            }
        }
        node
    }
}

/// Reads a table; lines that are not understood are left out, which a test forbids.
pub(super) fn parse(table: &str) -> Vec<KindRow> {
    let mut kinds: Vec<KindRow> = Vec::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells.as_slice() {
            ["kind", kind, plural, short, scope, subresources] => kinds.push(KindRow {
                kind: (*kind).to_owned(),
                plural: (*plural).to_owned(),
                short: (*short).to_owned(),
                scope: (*scope).to_owned(),
                has_status: subresources.split(',').any(|one| one == "status"),
                has_scale: subresources.split(',').any(|one| one == "scale"),
                ..KindRow::default()
            }),
            ["column", name, kind, path] => {
                let column = Column {
                    name: (*name).into(),
                    r#type: (*kind).into(),
                    path: (*path).into(),
                };
                if let Some(last) = kinds.last_mut() {
                    last.columns.push(column);
                }
            }
            [path, kind, allowed @ ..] => {
                if let (Some(last), Some(kind)) = (kinds.last_mut(), field_type(kind)) {
                    let node = last.root.at(path);
                    node.r#type = kind;
                    node.allowed = allowed
                        .iter()
                        .flat_map(|all| all.split(','))
                        .map(str::to_owned)
                        .collect();
                }
            }
            _ => {}
        }
    }
    kinds
}

pub(super) fn field_type(word: &str) -> Option<FieldType> {
    Some(match word {
        "object" => FieldType::Object,
        "array" => FieldType::Array,
        "string" => FieldType::String,
        "integer" => FieldType::Integer,
        "boolean" => FieldType::Boolean,
        "int-or-string" => FieldType::IntOrString,
        "PodTemplateSpec" | "JobSpec" => FieldType::Embedded,
        _ => return None,
    })
}
