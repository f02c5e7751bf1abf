//! Documents that belong together. In: all of them. Out: what one may refer to. It must not judge the documents themselves.

use std::collections::BTreeMap;

use agent_api::analysis::{AnalysisTemplateSpec, TemplateRef};
use agent_api::{AnalysisTemplate, ClusterAnalysisTemplate};
use agent_engine::observed::{TemplateKey, Templates};

use super::Finding;
use crate::manifest::Manifest;

/// A template with its namespace.
pub type Found = (TemplateKey, Option<String>, AnalysisTemplateSpec);

/// What a cluster said of the templates that documents name.
#[derive(Debug, Default)]
pub struct OfCluster {
    /// Those that it has.
    pub found: Vec<Found>,
    /// Those that nobody could look at, and why.
    pub unseen: BTreeMap<TemplateKey, String>,
}

/// All documents of a call.
pub struct Set<'a> {
    manifests: &'a [Manifest],
    /// Templates that a cluster did not show, when one was asked.
    live: Option<BTreeMap<TemplateKey, String>>,
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
            live: None,
            templates: manifests.iter().filter_map(read).collect(),
        }
    }

    /// With templates that a cluster has; those of the files come before them.
    pub fn and(mut self, cluster: Option<OfCluster>) -> Self {
        let Some(OfCluster { found, unseen }) = cluster else {
            return self;
        };
        self.live = Some(unseen);
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
                findings.push(self.not_there(&path, &key, &templates));
            }
        }
        findings
    }

    /// What to say of a template that is nowhere to be found.
    fn not_there(&self, path: &str, key: &TemplateKey, templates: &Templates) -> Finding {
        let unseen = self.live.as_ref().and_then(|unseen| unseen.get(key));
        if let Some(why) = unseen {
            let message =
                format!("names {key}, which is not among the files, and {why}: not checked");
            return Finding::warning(path, message);
        }
        let other = TemplateKey {
            cluster_scope: !key.cluster_scope,
            ..key.clone()
        };
        if templates.contains_key(&other) {
            let scope = !key.cluster_scope;
            let message = format!("names {key}, but {other} is there: set clusterScope: {scope}");
            return Finding::error(path, message);
        }
        let mut elsewhere = self.templates.iter().filter(|(known, _, _)| known == key);
        if let Some(namespace) = elsewhere.find_map(|(_, namespace, _)| namespace.as_ref()) {
            let message = format!(
                "names {key}, which is in the namespace {namespace} and not in that of what names it: create it there too, or make it a ClusterAnalysisTemplate"
            );
            return Finding::error(path, message);
        }
        let nowhere = match &self.live {
            Some(_) => "neither the files nor the cluster has",
            None => "is not among the files",
        };
        let names = templates
            .keys()
            .filter(|known| known.cluster_scope == key.cluster_scope)
            .map(|known| known.name.as_str());
        let next = match super::schema::closest(&key.name, names) {
            Some(meant) => format!("did you mean {meant}?"),
            None if self.live.is_some() => "create it".to_owned(),
            None => "add its file, or look into a cluster with --live".to_owned(),
        };
        Finding::error(path, format!("names {key}, which {nowhere}: {next}"))
    }

    /// A document of any kind; one without a namespace is in whichever it is applied to.
    pub fn document(&self, kind: &str, namespace: Option<&str>, name: &str) -> Option<&Manifest> {
        let is = |one: &&Manifest| {
            let lies_in = one.namespace.as_deref();
            let here = lies_in.is_none() || namespace.is_none() || lies_in == namespace;
            one.kind == kind && one.name == name && here
        };
        self.manifests.iter().find(is)
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
