//! JSONPath in the dialect of Kubernetes: `{$.a[0].b}`, filters, recursive descent, range and end.
//!
//! In: a template and a document. Out: the values that the template names, in order. It must not be laxer than that
//! dialect: a key that no value has, and an index that is out of bounds, are errors and no empty answers.
//! Where the first implementation of the dialect refuses to compare a number of a document with a whole number in a
//! filter, this one compares them as numbers.

mod parse;
mod walk;

use serde_json::Value;

/// Longest template.
const MAX_BYTES: usize = 4096;
/// Deepest nesting of filters, unions and ranges.
const MAX_DEPTH: usize = 16;
/// Most values looked at: `..` visits all of a document, and again for each further one.
const MAX_VALUES: usize = 100_000;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The template cannot be read.
    #[error("jsonPath {path:?} cannot be read: {reason}; write it as {{$.a.b}}")]
    Syntax {
        /// The template.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// No value has the key.
    #[error("{0:?} is not found in the answer")]
    Missing(String),
    /// An index is out of bounds.
    #[error("index {index} is out of bounds: the list in the answer has {length} elements")]
    Bounds {
        /// The index.
        index: i64,
        /// How many elements there are.
        length: usize,
    },
    /// A slice is not one.
    #[error("a slice goes forward in steps of at least one")]
    Slice,
    /// Something else than a list is indexed or filtered.
    #[error("the answer has {0} where jsonPath needs a list")]
    NoList(&'static str),
    /// Two things cannot be compared.
    #[error("a filter cannot compare {0} with {1}")]
    Compare(&'static str, &'static str),
    /// One side of a comparison is not one value.
    #[error("a filter compares {0} values at once: it needs one on each side")]
    Several(usize),
    /// Too much to look at.
    #[error("jsonPath looks at more than {MAX_VALUES} values")]
    TooMany,
}

/// A template, read.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Text between braces; it is a value too.
    Text(Value),
    /// A path.
    Path(Vec<Step>),
    /// What stands between range and end, for each value of a path.
    Range(Vec<Step>, Vec<Node>),
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.name`
    Field(String),
    /// `.*` or `[*]`
    All,
    /// `[0]`
    Index(i64),
    /// `[1:3:2]`
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        by: Option<i64>,
    },
    /// `[0, 'a']`
    Union(Vec<Vec<Step>>),
    /// `[?(@.a == 1)]`
    Filter(Filter),
    /// `..`
    Descend,
    /// A value written into the template.
    Literal(Value),
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
enum Filter {
    /// The element has it.
    Has(Vec<Step>),
    /// Two sides compare so.
    Compares(Vec<Step>, Operator, Vec<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl JsonPath {
    /// Reads a template.
    pub fn parse(path: &str) -> Result<Self, Error> {
        parse::template(path)
            .map(|nodes| Self { nodes })
            .map_err(|reason| Error::Syntax {
                path: path.chars().take(MAX_QUOTED).collect(),
                reason,
            })
    }

    /// The values that the template names.
    pub fn find<'a>(&'a self, document: &'a Value) -> Result<Vec<&'a Value>, Error> {
        let mut budget = MAX_VALUES;
        walk::nodes(&self.nodes, document, &mut budget)
    }
}

/// Longest part of a template in a message.
const MAX_QUOTED: usize = 200;

#[cfg(test)]
mod tests;
