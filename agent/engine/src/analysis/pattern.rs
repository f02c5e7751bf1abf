//! Metrics by name: `dryRun` and `measurementRetention`.
//!
//! In: a regular expression as users write it. Out: whether a name is meant. It must not run long on any expression: the
//! engine behind it is linear in the text.

use regex_lite::{Regex, RegexBuilder};

/// An expression compiles into less than this; names of metrics need no more.
const MAX_COMPILED: usize = 64 * 1024;

/// Why there is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no regular expression.
    #[error(
        "is {text:?}, which is no regular expression ({why}): write a metric's name or, for all of them, \".*\""
    )]
    NoExpression {
        /// What is written.
        text: String,
        /// Why.
        why: String,
    },
}

/// A regular expression over names of metrics; it is looked for anywhere in the name, as Argo Rollouts does.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// `None`: every name.
    expression: Option<Regex>,
}

impl Pattern {
    /// Reads it. `*` alone, which the API's own description shows, means every name.
    pub fn new(text: &str) -> Result<Self, Error> {
        if matches!(text, "*" | ".*") {
            return Ok(Self { expression: None });
        }
        let built = RegexBuilder::new(text).size_limit(MAX_COMPILED).build();
        let expression = built.map_err(|error| Error::NoExpression {
            text: text.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self {
            expression: Some(expression),
        })
    }

    /// The name is meant.
    pub fn is(&self, name: &str) -> bool {
        let expression = self.expression.as_ref();
        expression.is_none_or(|expression| expression.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn names_by_expression() {
        let table = [
            ("errors", "errors", true),
            ("errors", "errors-5xx", true),
            ("errors$", "errors-5xx", false),
            ("^p9[59]$", "p95", true),
            ("^p9[59]$", "p90", false),
            (".*", "anything", true),
            ("*", "anything", true),
            ("errors|latency", "latency", true),
            ("a.c", "abc", true),
            ("a\\.c", "abc", false),
        ];
        for (text, name, meant) in table {
            assert_eq!(Pattern::new(text).unwrap().is(name), meant, "{text} {name}");
        }
        for bad in ["(", "[a", "a{2", "+", "a{1000}{1000}{1000}"] {
            let error = Pattern::new(bad).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
