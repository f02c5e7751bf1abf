//! Label selectors. In: labels. Out: whether they are selected. It must not select by name or by anything that a cluster
//! says of itself at run time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kubernetes' label selector; empty selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Selector {
    /// All of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// And all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// The condition.
    pub operator: Operator,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// Is one of the values.
    In,
    /// Is not there, or is none of the values.
    NotIn,
    /// Is there.
    Exists,
    /// Is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether a cluster with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|expression| expression.selects(labels))
    }

    /// Whether everything that `narrow` selects is surely selected, whatever clusters there will be: each condition of this one
    /// follows from one of `narrow`.
    #[must_use]
    pub fn covers(&self, narrow: &Self) -> bool {
        let narrow: Vec<Expression> = narrow.conditions().collect();
        self.conditions()
            .all(|own| narrow.iter().any(|other| own.follows_from(other)))
    }

    fn conditions(&self) -> impl Iterator<Item = Expression> {
        let equal = |(key, value): (&String, &String)| Expression {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        };
        let labels = self.match_labels.iter().map(equal);
        labels.chain(self.match_expressions.iter().cloned())
    }
}

impl Expression {
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => !value.is_some_and(|value| self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }

    /// Whether every label that fulfils the other one fulfils this one.
    fn follows_from(&self, other: &Self) -> bool {
        let all = |some: &[String], of: &[String]| some.iter().all(|value| of.contains(value));
        let none = |some: &[String], of: &[String]| !some.iter().any(|value| of.contains(value));
        let (own, given) = (&self.values, &other.values);
        self.key == other.key
            && match (self.operator, other.operator) {
                (Operator::In, Operator::In) => all(given, own),
                (Operator::NotIn, Operator::In) => none(given, own),
                (Operator::NotIn, Operator::NotIn) => all(own, given),
                (Operator::NotIn | Operator::DoesNotExist, Operator::DoesNotExist)
                | (Operator::Exists, Operator::Exists | Operator::In) => true,
                (Operator::In, Operator::NotIn | Operator::Exists | Operator::DoesNotExist)
                | (Operator::NotIn, Operator::Exists)
                | (Operator::Exists, Operator::NotIn | Operator::DoesNotExist)
                | (Operator::DoesNotExist, Operator::In | Operator::NotIn | Operator::Exists) => {
                    false
                }
            }
    }
}
