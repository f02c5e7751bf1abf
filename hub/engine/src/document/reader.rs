//! Reading fields by hand, so that every problem is found with its path and line. In: a tree. Out: values, and problems on
//! the side. It must not know which fields a FleetRollout has.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::Problem;
use super::tree::{Tree, Value};

/// Collects problems and where each path was written.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub problems: Vec<Problem>,
    pub lines: BTreeMap<String, u32>,
    /// Added to every line: where the document starts in its file.
    pub offset: u32,
}

/// A node with its path.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub path: String,
    pub tree: &'a Tree,
}

/// The fields of a map that have not been asked for yet.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    path: String,
    line: u32,
    entries: Vec<(&'a str, u32, &'a Tree)>,
    known: Vec<&'static str>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

impl Reader {
    pub(super) fn problem(&mut self, path: &str, line: u32, message: impl Into<String>) {
        let line = if line == 0 { 0 } else { line + self.offset };
        self.problems.push(Problem {
            path: path.to_owned(),
            line,
            message: message.into(),
        });
    }

    pub(super) fn at(&mut self, node: &Node<'_>, message: impl Into<String>) {
        self.problem(&node.path, node.tree.line, message);
    }

    /// The fields of a map; `None` after a problem.
    pub(super) fn fields<'a>(&mut self, node: &Node<'a>) -> Option<Fields<'a>> {
        let Value::Map(map) = &node.tree.value else {
            self.at(
                node,
                format!("a map is needed here, not {}", node.tree.value.kind()),
            );
            return None;
        };
        let mut entries: Vec<(&str, u32, &Tree)> = Vec::new();
        for (key, line, tree) in map {
            if let Some((_, first, _)) = entries.iter().find(|(other, _, _)| other == key) {
                let first = *first + self.offset;
                self.problem(
                    &join(&node.path, key),
                    *line,
                    format!("written twice, first in line {first}; keep one"),
                );
                continue;
            }
            self.lines
                .insert(join(&node.path, key), *line + self.offset);
            entries.push((key, *line, tree));
        }
        Some(Fields {
            path: node.path.clone(),
            line: node.tree.line,
            entries,
            known: Vec::new(),
        })
    }

    /// Whatever is left in a map is unknown.
    pub(super) fn finish(&mut self, fields: Fields<'_>) {
        for (key, line, _) in &fields.entries {
            let path = join(&fields.path, key);
            self.problem(
                &path,
                *line,
                format!(
                    "there is no such field; here are {}",
                    fields.known.join(", ")
                ),
            );
        }
    }

    /// A field that has to be there.
    pub(super) fn need<'a>(
        &mut self,
        fields: &mut Fields<'a>,
        name: &'static str,
        what: &str,
    ) -> Option<Node<'a>> {
        let node = fields.take(name);
        if node.is_none() {
            self.problem(
                &join(&fields.path, name),
                fields.line,
                format!("is missing; {what}"),
            );
        }
        node
    }

    pub(super) fn list<'a>(&mut self, node: &Node<'a>) -> Option<Vec<Node<'a>>> {
        let Value::List(list) = &node.tree.value else {
            self.at(
                node,
                format!("a list is needed here, not {}", node.tree.value.kind()),
            );
            return None;
        };
        let nodes = list
            .iter()
            .enumerate()
            .map(|(index, tree)| Node {
                path: format!("{}[{index}]", node.path),
                tree,
            })
            .collect::<Vec<_>>();
        for item in &nodes {
            self.lines
                .insert(item.path.clone(), item.tree.line + self.offset);
        }
        Some(nodes)
    }

    pub(super) fn text(&mut self, node: &Node<'_>) -> Option<String> {
        match &node.tree.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                self.at(
                    node,
                    format!(
                        "a text is needed here, not {}; put it in quotes",
                        node.tree.value.kind()
                    ),
                );
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.at(
                    node,
                    format!("a text is needed here, not {}", node.tree.value.kind()),
                );
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        let Value::Bool(value) = node.tree.value else {
            self.at(
                node,
                format!(
                    "true or false is needed here, not {}",
                    node.tree.value.kind()
                ),
            );
            return None;
        };
        Some(value)
    }

    /// A text or a number in the writing of `T`: `30m`, `2`, `50%`.
    pub(super) fn written<T>(&mut self, node: &Node<'_>) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = match &node.tree.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                self.at(
                    node,
                    format!(
                        "a text or a number is needed here, not {}",
                        node.tree.value.kind()
                    ),
                );
                return None;
            }
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.at(node, error.to_string());
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let found = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.at(
                node,
                format!("{text:?} is not known here; write {}", words.join(" or ")),
            );
        }
        found
    }

    /// A field of the design that does nothing yet: refused, rather than taken and not done.
    pub(super) fn not_built(&mut self, fields: &mut Fields<'_>, name: &'static str) {
        if let Some(node) = fields.take(name) {
            self.at(&node, format!("{name} is not built yet; leave it out"));
        }
        fields.known.retain(|known| *known != name);
    }
}

impl<'a> Fields<'a> {
    /// A field, once. An explicit null counts as left out.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Node<'a>> {
        self.known.push(name);
        let index = self.entries.iter().position(|(key, _, _)| *key == name)?;
        let (_, _, tree) = self.entries.remove(index);
        (tree.value != Value::Null).then(|| Node {
            path: join(&self.path, name),
            tree,
        })
    }
}
