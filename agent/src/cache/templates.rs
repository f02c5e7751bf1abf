//! The analysis templates that somebody names.
//!
//! In: names. Out: what the stores have of them, and of those that they name in turn. It must not judge them.

use agent_api::AnalysisTemplateSpec;
use agent_engine::{TemplateKey, Templates};

use super::Caches;
use crate::key::ObjectKey;

impl Caches {
    /// The analysis templates of these names, nested ones too; one that is missing is absent.
    #[must_use]
    pub fn named_templates(&self, namespace: &str, mut wanted: Vec<TemplateKey>) -> Templates {
        let mut found: Templates = Templates::new();
        while let Some(key) = wanted.pop() {
            if found.contains_key(&key) {
                continue;
            }
            if let Some(spec) = self.template(namespace, &key) {
                wanted.extend(spec.templates.iter().map(TemplateKey::of));
                found.insert(key, spec);
            }
        }
        found
    }

    /// Whether it is there, also where it cannot be decoded.
    #[must_use]
    pub fn has_template(&self, namespace: &str, key: &TemplateKey) -> bool {
        if key.cluster_scope {
            let key = ObjectKey::new("", key.name.clone());
            self.cluster_templates.get(&key).is_some()
        } else {
            let key = ObjectKey::new(namespace, key.name.clone());
            self.templates.get(&key).is_some()
        }
    }

    fn template(&self, namespace: &str, key: &TemplateKey) -> Option<AnalysisTemplateSpec> {
        if key.cluster_scope {
            let found = self
                .cluster_templates
                .get(&ObjectKey::new("", key.name.clone()))?;
            found
                .object
                .as_ref()
                .ok()
                .map(|template| AnalysisTemplateSpec::of(&template.metadata, &template.spec))
        } else {
            let found = self
                .templates
                .get(&ObjectKey::new(namespace, key.name.clone()))?;
            found
                .object
                .as_ref()
                .ok()
                .map(|template| AnalysisTemplateSpec::of(&template.metadata, &template.spec))
        }
    }
}
