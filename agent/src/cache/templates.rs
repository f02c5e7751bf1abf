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
            if let Some(Some(spec)) = self.template(namespace, &key) {
                wanted.extend(spec.templates.iter().map(TemplateKey::of));
                found.insert(key, spec);
            }
        }
        found
    }

    /// One template; `Some(None)`: it is there and cannot be decoded.
    pub fn template(
        &self,
        namespace: &str,
        key: &TemplateKey,
    ) -> Option<Option<AnalysisTemplateSpec>> {
        if key.cluster_scope {
            let key = ObjectKey::new("", key.name.clone());
            let found = self.cluster_templates.get(&key)?;
            let found = found.object.as_ref().ok();
            Some(found.map(|one| AnalysisTemplateSpec::of(&one.metadata, &one.spec)))
        } else {
            let key = ObjectKey::new(namespace, key.name.clone());
            let found = self.templates.get(&key)?;
            let found = found.object.as_ref().ok();
            Some(found.map(|one| AnalysisTemplateSpec::of(&one.metadata, &one.spec)))
        }
    }
}
