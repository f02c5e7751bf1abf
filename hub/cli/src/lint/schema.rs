//! Fields against the schema of their kind. In: a document, the schema that the cluster has of it. Out: fields that are not in
//! it, with what was probably meant, and values of another type. It must not judge values.

use serde_json::{Map, Value};

use super::Finding;

/// A name that is off by more than a third of its letters was not meant.
const LETTERS_AN_ERROR: usize = 3;

/// Kinds and their schemas.
pub struct Schemas(Vec<(String, Value)>);

impl Schemas {
    /// As the CRDs have them.
    pub fn new() -> Self {
        let of = |document: Value| {
            let kind = document.pointer("/spec/names/kind")?.as_str()?.to_owned();
            let schema = document.pointer("/spec/versions/0/schema/openAPIV3Schema")?;
            Some((kind, schema.clone()))
        };
        let documents = agent_api::crd::documents().into_iter();
        Self(documents.filter_map(of).collect())
    }

    /// A kind that is spelled almost like this one.
    pub fn meant(&self, kind: &str) -> Option<&str> {
        closest(kind, self.0.iter().map(|(name, _)| name.as_str()))
    }

    /// What does not fit. Values of another type are emptied, so that the rest can be read.
    pub fn check(&self, kind: &str, value: &mut Value) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some((_, schema)) = self.0.iter().find(|(name, _)| name == kind) {
            compare(schema, value, "", &mut findings);
        }
        findings
    }
}

/// The name that was probably meant.
pub fn closest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = written.len().div_ceil(LETTERS_AN_ERROR);
    names
        .map(|name| {
            let (one, other) = (name.to_lowercase(), written.to_lowercase());
            (strsim::osa_distance(&one, &other), name)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn compare(schema: &Value, value: &mut Value, path: &str, findings: &mut Vec<Finding>) {
    if value.is_null() {
        return;
    }
    if let Some(wanted) = mismatch(schema, value) {
        let message = format!("is {}, and must be {wanted}", found(value));
        findings.push(Finding::error(path, message));
        *value = Value::Null;
        return;
    }
    let of = |key: &str| schema.get(key);
    match value {
        Value::Object(fields) => object(schema, fields, path, findings),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if let Some(schema) = of("items") {
                    compare(schema, item, &format!("{path}[{index}]"), findings);
                }
            }
        }
        Value::String(text) => {
            let allowed = of("enum").and_then(Value::as_array);
            let allowed: Vec<&str> = allowed
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
                let message = format!("is {text:?}: write one of {}", allowed.join(", "));
                findings.push(Finding::error(path, message));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn object(
    schema: &Value,
    fields: &mut Map<String, Value>,
    path: &str,
    findings: &mut Vec<Finding>,
) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    let open = schema
        .get("x-kubernetes-preserve-unknown-fields")
        .is_some_and(|open| open == &Value::Bool(true));
    for (key, value) in fields {
        let place = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match (properties.and_then(|known| known.get(key)), others) {
            (Some(known), _) | (None, Some(known)) => compare(known, value, &place, findings),
            (None, None) if open || properties.is_none() => {}
            (None, None) => {
                let known = properties.into_iter().flat_map(Map::keys);
                findings.push(Finding::error(
                    &place,
                    unknown(key, known.map(String::as_str)),
                ));
            }
        }
    }
}

fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match closest(key, known.clone()) {
        Some(meant) => format!("is no field of the API: did you mean {meant}?"),
        None => {
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            format!("is no field of the API: there are {}", known.join(", "))
        }
    }
}

/// What the value must be, when it is something else.
fn mismatch(schema: &Value, value: &Value) -> Option<&'static str> {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        let fits = value.is_string() || value.is_i64();
        return (!fits).then_some("a whole number or a text");
    }
    let (fits, wanted) = match schema.get("type").and_then(Value::as_str)? {
        "object" => (value.is_object(), "a map"),
        "array" => (value.is_array(), "a list"),
        "string" => (value.is_string(), "a text: put it in quotes"),
        "boolean" => (value.is_boolean(), "true or false"),
        "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
        "number" => (value.is_number(), "a number"),
        _ => return None,
    };
    (!fits).then_some(wanted)
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("{value}"),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}
