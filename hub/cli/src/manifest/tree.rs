//! YAML in which every node knows its line. In: one document. Out: a tree, or where and why it cannot be read. It must not know
//! what the document is.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use serde_saphyr::Spanned;

/// A node and its line, counted from 1 in its own text.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) line: usize,
    node: Node,
}

#[derive(Debug)]
enum Node {
    Leaf(Json),
    List(Vec<Tree>),
    Map(Vec<(String, usize, Tree)>),
}

/// Parses one document; else its line and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Tree, (usize, String)> {
    // A key that is there twice is reported with its path.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options::<Tree>(text, options).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let message = error.without_snippet().to_string();
        let first = message.lines().next().unwrap_or("it cannot be read");
        // Its own place counts from the document's beginning, not from the file's.
        let first = first.split(" at line ").next().unwrap_or(first);
        (usize::try_from(line).unwrap_or(0), plain(first).to_owned())
    })
}

/// The reader's words, but for those about its own types.
fn plain(words: &str) -> &str {
    if words.contains("deserialize") || words.contains("Option<") {
        "a key or a value is missing; write `name: value`"
    } else {
        words
    }
}

impl Tree {
    pub(super) fn is_null(&self) -> bool {
        matches!(self.node, Node::Leaf(Json::Null))
    }

    /// The value, with the line of everything in it by its path; `twice` is a key that is there two times.
    pub(super) fn json(
        &self,
        path: &str,
        lines: &mut BTreeMap<String, usize>,
        twice: &mut Option<(usize, String)>,
    ) -> Json {
        match &self.node {
            Node::Leaf(value) => value.clone(),
            Node::List(items) => {
                let item = |(index, item): (usize, &Self)| {
                    let path = format!("{path}[{index}]");
                    lines.insert(path.clone(), item.line);
                    item.json(&path, lines, twice)
                };
                items.iter().enumerate().map(item).collect()
            }
            Node::Map(fields) => {
                let mut map = Map::new();
                for (key, line, value) in fields {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    if lines.insert(path.clone(), *line).is_some() {
                        twice.get_or_insert((*line, path.clone()));
                    }
                    map.insert(key.clone(), value.json(&path, lines, twice));
                }
                Json::Object(map)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Self {
            line: usize::try_from(spanned.referenced.line()).unwrap_or(0),
            node: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Json::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Json::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element::<Tree>()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = usize::try_from(key.referenced.line()).unwrap_or(0);
            map.push((key.value, line, access.next_value::<Tree>()?));
        }
        Ok(Node::Map(map))
    }
}
