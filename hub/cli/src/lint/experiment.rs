//! Experiments. In: one, and the templates beside it. Out: what is wrong with the analyses it names. It must not ask a
//! cluster.

use std::collections::BTreeSet;

use agent_api::analysis::TemplateRef;
use serde_json::Value;

use super::Finding;
use super::set::Set;
use crate::manifest::Manifest;

/// Everything that is wrong with it.
pub fn check(set: &Set<'_>, manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let list = |field: &str| -> Vec<Value> {
        let found = manifest.value.pointer(&format!("/spec/{field}"));
        found.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    if list("templates").is_empty() {
        findings.push(Finding::error(
            "spec.templates",
            "is missing: describe at least one set of pods",
        ));
    }
    for field in ["templates", "analyses"] {
        let mut names = BTreeSet::new();
        for (index, item) in list(field).iter().enumerate() {
            let path = format!("spec.{field}[{index}].name");
            match item.get("name").and_then(Value::as_str) {
                None | Some("") => findings.push(Finding::error(&path, "is missing: name it")),
                Some(name) if !names.insert(name.to_owned()) => {
                    let message = format!("is {name:?} a second time: names are unique");
                    findings.push(Finding::error(&path, message));
                }
                Some(_) => {}
            }
        }
    }
    let references: Vec<TemplateRef> = list("analyses")
        .into_iter()
        .map(|item| serde_json::from_value(item).unwrap_or_default())
        .collect();
    findings.extend(set.missing(manifest, "spec.analyses", &references));
    findings
}
