//! A metric with its Secrets filled in.
//!
//! In: a metric in which `{{args.name}}` stands for each argument from a Secret, and their values. Out: the metric to ask
//! with, and the texts to take out of whatever comes back. It must not print or serialise what it holds.

use std::collections::BTreeMap;

use agent_api::Metric;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::redact::Redactions;

/// Why a metric cannot be filled in. No value is in a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A Job's spec can be read by whoever can list Jobs.
    #[error(
        "metric {0:?} puts an argument from a Secret into its Job, where others can read it: use env.valueFrom.secretKeyRef in the Job's pod"
    )]
    InJob(String),
    /// The metric is not one any more.
    #[error(
        "metric {0:?} cannot be read with its Secrets filled in: numbers and switches cannot come from a Secret"
    )]
    Unreadable(String),
}

/// A metric to ask with. It may hold Secrets, so it neither prints nor serialises.
#[derive(Clone)]
pub struct Filled {
    /// Boxed: thousands of measurements wait for their servers, and it is large.
    metric: Box<Metric>,
    redactions: Redactions,
}

impl std::fmt::Debug for Filled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filled").field(&self.metric.name).finish()
    }
}

impl From<Metric> for Filled {
    /// A metric without Secrets.
    fn from(metric: Metric) -> Self {
        Self {
            metric: Box::new(metric),
            redactions: Redactions::default(),
        }
    }
}

impl Filled {
    /// Puts each value into its places. A value is never read as JSON, and a place that a value would make is none.
    pub fn new(
        metric: impl Into<Box<Metric>>,
        values: &BTreeMap<String, SecretString>,
    ) -> Result<Self, Error> {
        let mut filled = Self {
            metric: metric.into(),
            redactions: Redactions::default(),
        };
        if values.is_empty() {
            return Ok(filled);
        }
        let name = filled.metric.name.clone();
        let unreadable = || Error::Unreadable(name.clone());
        let mut json = serde_json::to_value(&filled.metric).map_err(|_| unreadable())?;
        if !fill(&mut json, values) {
            return Ok(filled);
        }
        if filled.metric.provider.job.is_some() {
            return Err(Error::InJob(name));
        }
        // The parser's words would repeat the value.
        filled.metric = serde_json::from_value(json).map_err(|_| unreadable())?;
        filled.redactions.add(values.values());
        Ok(filled)
    }

    /// The metric. Whoever prints it prints Secrets.
    #[must_use]
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// What to take out of texts about it.
    #[must_use]
    pub fn redactions(&self) -> &Redactions {
        &self.redactions
    }
}

/// Whether anything was filled in.
fn fill(value: &mut Value, values: &BTreeMap<String, SecretString>) -> bool {
    let mut any = false;
    match value {
        Value::String(text) => {
            if let Some(filled) = text_with(text, values) {
                *text = filled;
                any = true;
            }
        }
        Value::Array(items) => {
            for item in items {
                any |= fill(item, values);
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                any |= fill(field, values);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    any
}

/// The text with every place filled in; `None` when it has none.
fn text_with(text: &str, values: &BTreeMap<String, SecretString>) -> Option<String> {
    let mut out = String::new();
    let (mut left, mut any) = (text, false);
    while let Some((before, tail)) = left.split_once("{{") {
        out.push_str(before);
        let place = tail.split_once("}}").and_then(|(inside, after)| {
            let name = inside.trim().strip_prefix("args.")?.trim_end();
            Some((values.get(name)?, after))
        });
        left = match place {
            Some((value, after)) => {
                out.push_str(value.expose_secret());
                any = true;
                after
            }
            None => {
                out.push_str("{{");
                tail
            }
        };
    }
    out.push_str(left);
    any.then_some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metric(provider: Value) -> Metric {
        serde_json::from_value(json!({"name": "rate", "provider": provider})).unwrap()
    }

    fn values(value: &str) -> BTreeMap<String, SecretString> {
        BTreeMap::from([("key".to_owned(), value.to_owned().into())])
    }

    #[test]
    fn a_value_is_text_and_nothing_else() {
        let web = metric(json!({"web": {
            "url": "http://x/?a={{ args.key }}",
            "headers": [{"key": "k", "value": "{{args.key}}-{{args.other}}-{{x}}"}],
            "jsonBody": {"deep": ["{{args.key}}"]},
        }}));
        let value = "\"},{{args.key}}\\";
        let filled = Filled::new(web, &values(value)).unwrap();
        let web = filled.metric().provider.web.as_ref().unwrap();
        assert_eq!(web.url.as_deref(), Some(&*format!("http://x/?a={value}")));
        assert_eq!(
            web.headers[0].value,
            format!("{value}-{{{{args.other}}}}-{{{{x}}}}")
        );
        assert_eq!(web.json_body, Some(json!({"deep": [value]})));
        assert_eq!(format!("{filled:?}"), "Filled(\"rate\")");
        assert_eq!(filled.redactions().redact(value), crate::redact::MASK);
    }

    #[test]
    fn a_job_takes_no_secret() {
        let job = metric(json!({"job": {"spec": {"template": {"x": "{{args.key}}"}}}}));
        let error = Filled::new(job, &values("hunter2")).unwrap_err();
        assert_eq!(error, Error::InJob("rate".to_owned()));
        assert!(error.to_string().contains("secretKeyRef"), "{error}");
        let job = metric(json!({"job": {"spec": {}}}));
        assert!(
            Filled::new(job, &values("hunter2")).is_ok(),
            "another metric's"
        );
    }

    #[test]
    fn no_value_is_in_an_error() {
        let mut wrong = metric(json!({"web": {"url": "http://x"}}));
        wrong
            .rest
            .insert("interval".to_owned(), json!("{{args.key}}"));
        if let Err(error) = Filled::new(wrong, &values("hunter2")) {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
