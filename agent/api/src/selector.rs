//! Label selectors.
//!
//! In: a selector and a set of labels. Out: whether they match, and the text form for the API. Must not touch: objects.

use std::collections::BTreeMap;

use crate::record::{Absent, record, words};

words! {
    /// How a requirement compares.
    pub enum Operator {
        /// The label's value is one of those listed.
        In,
        /// The label is missing, or its value is none of those listed.
        NotIn,
        /// The label is there.
        Exists,
        /// The label is missing.
        DoesNotExist,
    }
}

record! {
    /// One requirement of a selector.
    pub struct LabelRequirement {
        /// The label's key.
        pub key: String,
        /// How it is compared.
        pub operator: Operator,
        /// The values it is compared with.
        pub values: Vec<String>,
    }
}

record! {
    /// A label selector, as in `spec.selector`.
    pub struct LabelSelector {
        /// Labels that must be there with these values.
        pub match_labels: BTreeMap<String, String>,
        /// Further requirements; all must hold.
        pub match_expressions: Vec<LabelRequirement>,
    }
}

impl LabelRequirement {
    /// Whether the labels meet this requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let found = labels.get(&self.key);
        match self.operator {
            Operator::In => found.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => !found.is_some_and(|value| self.values.contains(value)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
        }
    }
}

impl LabelSelector {
    /// True when there is no requirement at all.
    pub fn is_empty(&self) -> bool {
        self.match_labels.absent() && self.match_expressions.absent()
    }

    /// Whether the labels meet every requirement; an empty selector matches everything.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.matches(labels))
    }

    /// The text form, as `status.selector` and list calls take it: labels by key, then expressions as written.
    pub fn to_query(&self) -> String {
        let labels = self
            .match_labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let expressions = self.match_expressions.iter().map(|requirement| {
            let LabelRequirement {
                key,
                operator,
                values,
                ..
            } = requirement;
            match operator {
                Operator::In => format!("{key} in ({})", values.join(",")),
                Operator::NotIn => format!("{key} notin ({})", values.join(",")),
                Operator::Exists => key.clone(),
                Operator::DoesNotExist => format!("!{key}"),
            }
        });
        labels.chain(expressions).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests;
