//! `{{args.name}}` in metrics.
//!
//! In: a metric and arguments. Out: the metric with every argument filled in that has a value; places of arguments that
//! come from Secrets stay as they are written, for the shell to fill in when it asks. It must not look values up, and never
//! holds a Secret's content.

use agent_api::analysis::{Argument, SecretKeyRef};
use agent_api::{AnalysisRunSpec, Metric};
use serde_json::Value;

/// Fields of a metric that the engine itself reads: what it decides by must be known to it.
const READ_HERE: [&str; 8] = [
    "name",
    "interval",
    "initialDelay",
    "count",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
];

/// Why a metric cannot be filled in. Paths begin at the metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The argument has no value.
    #[error(
        "metric {metric:?} uses {{{{args.{name}}}}} in {path}, which has no value: give it one in the analysis or in the template"
    )]
    NoValue {
        /// The metric.
        metric: String,
        /// The field.
        path: String,
        /// The argument.
        name: String,
    },
    /// A field that decides what happens cannot be a Secret.
    #[error(
        "metric {metric:?} uses {{{{args.{name}}}}} in {path}, which comes from a Secret: give it a value there"
    )]
    SecretPlace {
        /// The metric.
        metric: String,
        /// The field.
        path: String,
        /// The argument.
        name: String,
    },
    /// A value that would draw a Secret into a place where nobody has written it.
    #[error(
        "metric {metric:?} uses {{{{args.{name}}}}} in {path}, whose value names the Secret of {{{{args.{secret}}}}}: take that out of the value"
    )]
    DrawsSecret {
        /// The metric.
        metric: String,
        /// The field.
        path: String,
        /// The argument.
        name: String,
        /// The argument that comes from a Secret.
        secret: String,
    },
    /// Values that stand beside each other and together would draw a Secret into a place where nobody has written it.
    #[error(
        "metric {metric:?} has values in {path} that join to the Secret of {{{{args.{secret}}}}}: take the braces out of them"
    )]
    JoinsToSecret {
        /// The metric.
        metric: String,
        /// The field.
        path: String,
        /// The argument that comes from a Secret.
        secret: String,
    },
    /// The metric is not one any more with its arguments filled in.
    #[error(
        "metric {metric:?} cannot be read with its arguments filled in ({why}): correct their values"
    )]
    Unreadable {
        /// The metric.
        metric: String,
        /// Why.
        why: String,
    },
}

/// Fills the arguments into every text of a metric. A value is never read as JSON, so no value can add a field.
pub fn resolved(metric: &Metric, args: &[Argument]) -> Result<Metric, Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable {
        metric: metric.name.clone(),
        why: error.to_string(),
    };
    let mut value = serde_json::to_value(metric).map_err(unreadable)?;
    let mut filling = Filling {
        metric: &metric.name,
        args,
        path: Vec::new(),
        changed: false,
    };
    filling.fill(&mut value)?;
    if filling.changed {
        serde_json::from_value(value).map_err(unreadable)
    } else {
        Ok(metric.clone())
    }
}

/// The arguments of a run that come from Secrets, with where they are; only those that a metric uses.
pub fn secrets(spec: &AnalysisRunSpec) -> Vec<(String, SecretKeyRef)> {
    let used = |name: &str| spec.metrics.iter().any(|metric| uses(metric, name));
    all_secrets(&spec.args)
        .filter(|(name, _)| used(name))
        .map(|(name, key)| (name.to_owned(), key.clone()))
        .collect()
}

/// The arguments that come from Secrets and that this metric uses, filled in or not.
pub fn secrets_of(metric: &Metric, args: &[Argument]) -> Vec<(String, SecretKeyRef)> {
    all_secrets(args)
        .filter(|(name, _)| uses(metric, name))
        .map(|(name, key)| (name.to_owned(), key.clone()))
        .collect()
}

fn all_secrets(args: &[Argument]) -> impl Iterator<Item = (&str, &SecretKeyRef)> {
    let valueless = args.iter().filter(|argument| argument.value.is_none());
    valueless.filter_map(|argument| {
        let key = argument.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some((argument.name.as_str(), key))
    })
}

fn uses(metric: &Metric, name: &str) -> bool {
    serde_json::to_value(metric).is_ok_and(|value| value_uses(&value, name))
}

fn value_uses(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => places(text).any(|place| place == name),
        Value::Array(items) => items.iter().any(|item| value_uses(item, name)),
        Value::Object(fields) => fields.values().any(|field| value_uses(field, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Names of the arguments that a text has places for.
fn places(text: &str) -> impl Iterator<Item = &str> {
    let mut left = text;
    std::iter::from_fn(move || {
        loop {
            let (_, tail) = left.split_once("{{")?;
            left = tail;
            if let Some((name, after)) = place(tail) {
                left = after;
                return Some(name);
            }
        }
    })
}

/// The argument's name behind an opening double brace, and what follows the place.
fn place(tail: &str) -> Option<(&str, &str)> {
    let (inside, after) = tail.split_once("}}")?;
    Some((inside.trim().strip_prefix("args.")?.trim_end(), after))
}

struct Filling<'a> {
    metric: &'a str,
    args: &'a [Argument],
    path: Vec<String>,
    changed: bool,
}

impl Filling<'_> {
    fn fill(&mut self, value: &mut Value) -> Result<(), Error> {
        match value {
            Value::String(text) => {
                if text.contains("{{") {
                    *text = self.text_with(text)?;
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(format!("[{index}]"));
                    self.fill(item)?;
                    self.path.pop();
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields.iter_mut() {
                    let dot = if self.path.is_empty() { "" } else { "." };
                    self.path.push(format!("{dot}{key}"));
                    self.fill(field)?;
                    self.path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// Replaces each `{{args.name}}`; other double braces belong to somebody else's language and stay.
    fn text_with(&mut self, text: &str) -> Result<String, Error> {
        let mut out = String::new();
        let mut left = text;
        while let Some((before, tail)) = left.split_once("{{") {
            out.push_str(before);
            let Some((name, after)) = place(tail) else {
                out.push_str("{{");
                left = tail;
                continue;
            };
            match self.value(name)? {
                Some(value) => {
                    out.push_str(value);
                    self.changed = true;
                }
                None => {
                    let written = tail.len().saturating_sub(after.len());
                    out.push_str("{{");
                    out.push_str(tail.get(..written).unwrap_or_default());
                }
            }
            left = after;
        }
        out.push_str(left);
        self.joins_nothing(text, &out)?;
        Ok(out)
    }

    /// The Secrets' places are those that were written, whatever values stand between them now.
    fn joins_nothing(&self, text: &str, out: &str) -> Result<(), Error> {
        let is_secret = |place: &&str| all_secrets(self.args).any(|(secret, _)| secret == *place);
        let mut written = places(text).filter(is_secret);
        let joined = places(out).filter(is_secret);
        for place in joined {
            if written.next() != Some(place) {
                return Err(Error::JoinsToSecret {
                    metric: self.metric.to_owned(),
                    path: self.path.concat(),
                    secret: place.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// What stands for an argument here; `None` when it comes from a Secret.
    fn value(&self, name: &str) -> Result<Option<&str>, Error> {
        let (metric, path) = (self.metric.to_owned(), self.path.concat());
        let known = self.args.iter().find(|argument| argument.name == name);
        if let Some(value) = known.and_then(|argument| argument.value.as_deref()) {
            let drawn = places(value)
                .find(|place| all_secrets(self.args).any(|(secret, _)| secret == *place));
            return match drawn {
                None => Ok(Some(value)),
                Some(secret) => Err(Error::DrawsSecret {
                    metric,
                    path,
                    name: name.to_owned(),
                    secret: secret.to_owned(),
                }),
            };
        }
        let name = name.to_owned();
        if !all_secrets(self.args).any(|(secret, _)| secret == name) {
            return Err(Error::NoValue { metric, path, name });
        }
        if READ_HERE.contains(&path.as_str()) {
            return Err(Error::SecretPlace { metric, path, name });
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
