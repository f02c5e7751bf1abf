//! ConfigMaps and Secrets beside a Rollout (gate.md G28). In: a Rollout, and the documents that came with it. Out: those that a
//! version which is taken back would no longer find as they were. It must not judge what is not among the files.

use agent_api::Rollout;
use serde_json::Value;

use super::Finding;
use super::set::Set;
use crate::manifest::Manifest;

/// What keeps an object that is no longer in Git: of Argo CD, of Flux, of Helm.
const KEPT: [(&str, &str); 3] = [
    ("argocd.argoproj.io/sync-options", "Prune=false"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ("helm.sh/resource-policy", "keep"),
];
/// A hash that kustomize puts at the end of a generated name has so many letters and digits.
const HASH_LENGTH: usize = 10;

/// What the pods take and may not find again.
pub fn check(set: &Set<'_>, manifest: &Manifest, rollout: &Rollout) -> Vec<Finding> {
    let Some(template) = &rollout.spec.template else {
        return Vec::new();
    };
    let names = template.config_names();
    let config_maps = names.config_maps.iter().map(|name| ("ConfigMap", name));
    let secrets = names.secrets.iter().map(|name| ("Secret", name));
    let found = config_maps.chain(secrets).filter_map(|(kind, name)| {
        let config = set.document(kind, manifest.namespace.as_deref(), name)?;
        let why = missed(config)?;
        let message = format!(
            "the pods take {kind} {name} ({}:{}), which {why}",
            config.file,
            config.line("metadata.name")
        );
        Some(Finding::warning("spec.template", message))
    });
    found.collect()
}

/// Why an older version may not find it as it was.
fn missed(config: &Manifest) -> Option<&'static str> {
    let immutable = config.value.get("immutable") == Some(&Value::Bool(true));
    if !immutable && !is_hashed(&config.name) {
        return Some(
            "is changed in place: pods of a version that is taken back would start with the newer content; give it a name with \
             a hash of its content, or make it immutable under a new name each time, and keep the former ones from pruning",
        );
    }
    let annotations = config.value.pointer("/metadata/annotations");
    let has = |(key, word): &(&str, &str)| {
        let value = annotations
            .and_then(|all| all.get(key))
            .and_then(Value::as_str);
        value.is_some_and(|value| value.split(',').any(|part| part.trim() == *word))
    };
    if KEPT.iter().any(has) {
        return None;
    }
    Some(
        "is pruned as soon as a newer one takes its place in Git: a version that is taken back would not find it; annotate it with \
         argocd.argoproj.io/sync-options: Prune=false (Flux: kustomize.toolkit.fluxcd.io/prune: disabled)",
    )
}

fn is_hashed(name: &str) -> bool {
    let Some((_, end)) = name.rsplit_once('-') else {
        return false;
    };
    end.len() == HASH_LENGTH
        && end.chars().any(|letter| letter.is_ascii_digit())
        && end
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
}
