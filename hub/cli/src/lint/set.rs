//! Documents that belong together. In: all of them. Out: what one may refer to. It must not judge the documents themselves.

use std::collections::BTreeMap;

use agent_api::analysis::{AnalysisTemplateSpec, TemplateRef};
use agent_api::{AnalysisTemplate, ClusterAnalysisTemplate};
use agent_engine::observed::{TemplateKey, Templates};

use super::Finding;
use crate::manifest::Manifest;

/// A template with its namespace.
pub type Found = (TemplateKey, Option<String>, AnalysisTemplateSpec);

/// All documents of a call.
pub struct Set<'a> {
    manifests: &'a [Manifest],
    /// Whether a cluster was asked too.
    live: bool,
    /// Templates with their namespaces.
    templates: Vec<Found>,
}

impl<'a> Set<'a> {
    /// These.
    pub fn new(manifests: &'a [Manifest]) -> Self {
        let read = |manifest: &Manifest| {
            let value = manifest.value.clone();
            let (cluster_scope, spec) = match manifest.kind.as_str() {
                "AnalysisTemplate" => {
                    let read: AnalysisTemplate = serde_json::from_value(value).ok()?;
                    (false, AnalysisTemplateSpec::of(&read.metadata, &read.spec))
                }
                "ClusterAnalysisTemplate" => {
                    let read: ClusterAnalysisTemplate = serde_json::from_value(value).ok()?;
                    (true, AnalysisTemplateSpec::of(&read.metadata, &read.spec))
                }
                _ => return None,
            };
            let name = manifest.name.clone();
            let namespace = manifest.namespace.clone().filter(|_| !cluster_scope);
            let key = TemplateKey {
                name,
                cluster_scope,
            };
            Some((key, namespace, spec))
        };
        Self {
            manifests,
            live: false,
            templates: manifests.iter().filter_map(read).collect(),
        }
    }

    /// With templates that a cluster has; those of the files come before them.
    pub fn and(mut self, found: Option<Vec<Found>>) -> Self {
        let Some(found) = found else {
            return self;
        };
        self.live = true;
        self.templates.splice(0..0, found);
        self
    }

    /// Templates that a document of this namespace can name; one without a namespace is in whichever it is applied to.
    pub fn templates(&self, namespace: Option<&str>) -> Templates {
        let mut found = Templates::new();
        for (key, lies_in, spec) in &self.templates {
            let seen = lies_in.is_none() || namespace.is_none() || lies_in.as_deref() == namespace;
            if seen {
                found.insert(key.clone(), spec.clone());
            }
        }
        found
    }

    /// References that lead nowhere; those in `path[i]`.
    pub fn missing(
        &self,
        manifest: &Manifest,
        path: &str,
        references: &[TemplateRef],
    ) -> Vec<Finding> {
        let templates = self.templates(manifest.namespace.as_deref());
        let mut findings = Vec::new();
        for (index, reference) in references.iter().enumerate() {
            let key = TemplateKey::of(reference);
            let path = format!("{path}[{index}].templateName");
            if reference.template_name.is_empty() {
                findings.push(Finding::error(&path, "is missing: name a template"));
            } else if !templates.contains_key(&key) {
                findings.push(Finding::error(
                    &path,
                    not_there(&key, &templates, self.live),
                ));
            }
        }
        findings
    }

    /// A second document of the same kind, namespace and name.
    pub fn named_twice(&self, manifest: &Manifest) -> Option<Finding> {
        let same = |other: &&Manifest| {
            other.kind == manifest.kind
                && other.name == manifest.name
                && other.namespace == manifest.namespace
        };
        let first = self.manifests.iter().find(same)?;
        if manifest.name.is_empty() || std::ptr::eq(first, manifest) {
            return None;
        }
        Some(Finding::error(
            "metadata.name",
            format!(
                "is that of another {} in {}:{}: rename one of them",
                manifest.title(),
                first.file,
                first.line("metadata.name")
            ),
        ))
    }
}

/// What to say of a template that is not among the files.
fn not_there(key: &TemplateKey, templates: &Templates, live: bool) -> String {
    let other = TemplateKey {
        cluster_scope: !key.cluster_scope,
        ..key.clone()
    };
    if templates.contains_key(&other) {
        let scope = !key.cluster_scope;
        return format!("names {key}, but {other} is there: set clusterScope: {scope}");
    }
    let names = templates
        .keys()
        .filter(|known| known.cluster_scope == key.cluster_scope)
        .map(|known| known.name.as_str());
    match super::schema::closest(&key.name, names) {
        Some(meant) => format!("names {key}, which is not among the files: did you mean {meant}?"),
        None if live => {
            format!("names {key}, which neither the files nor the cluster has: create it")
        }
        None => format!(
            "names {key}, which is not among the files: add its file, or look into a cluster with --live"
        ),
    }
}

/// All templates that are reached from these, with themselves.
pub fn reached(
    references: &[TemplateRef],
    templates: &Templates,
) -> BTreeMap<TemplateKey, AnalysisTemplateSpec> {
    let mut found = BTreeMap::new();
    let mut open: Vec<TemplateKey> = references.iter().map(TemplateKey::of).collect();
    while let Some(key) = open.pop() {
        let Some(spec) = templates.get(&key).filter(|_| !found.contains_key(&key)) else {
            continue;
        };
        open.extend(spec.templates.iter().map(TemplateKey::of));
        found.insert(key, spec.clone());
    }
    found
}
