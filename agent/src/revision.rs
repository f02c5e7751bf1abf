//! Kept templates (gate.md G4): ControllerRevisions in the agent's own namespace.
//!
//! In: content that the engine wants kept. Out: the object, and the content in one read back. It must not be owned by
//! anything that users delete: it survives the Rollout.

use std::collections::BTreeMap;

use agent_api::{ContentDigest, DeliveryDigest, ObjectMeta, PodTemplate, Trim, Uid};
use agent_engine::{KeepTemplate, Kept, TemplateKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::ObjectKey;

/// Label by which kept templates are found; its value is the Rollout's UID.
pub const LABEL_ROLLOUT_UID: &str = "fleet.groundswell.dev/rollout-uid";
/// Annotation that names the Rollout, `namespace/name`.
pub const ANNOTATION_ROLLOUT: &str = "fleet.groundswell.dev/rollout";

/// A ControllerRevision that holds content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Always `apps/v1`.
    #[serde(default)]
    pub api_version: String,
    /// Always `ControllerRevision`.
    #[serde(default)]
    pub kind: String,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// The content.
    pub data: Content,
    /// Required by the kind; says nothing here.
    #[serde(default)]
    pub revision: i64,
}

/// What a kept revision holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The content's digest.
    pub digest: ContentDigest,
    /// The digest of its delivery.
    pub delivery_digest: DeliveryDigest,
    /// The template as written.
    pub template: PodTemplate,
    /// The strategy as written.
    #[serde(default)]
    pub strategy: Value,
    /// The analysis templates that the strategy names.
    #[serde(default)]
    pub templates: Vec<Named>,
}

/// An analysis template of a kept revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Whether it is a ClusterAnalysisTemplate.
    #[serde(default)]
    pub cluster_scope: bool,
    /// What it holds.
    pub spec: agent_api::AnalysisTemplateSpec,
}

impl kube::Resource for Revision {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;
    fn kind(_: &()) -> std::borrow::Cow<'_, str> {
        "ControllerRevision".into()
    }
    fn group(_: &()) -> std::borrow::Cow<'_, str> {
        "apps".into()
    }
    fn version(_: &()) -> std::borrow::Cow<'_, str> {
        "v1".into()
    }
    fn plural(_: &()) -> std::borrow::Cow<'_, str> {
        "controllerrevisions".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Trim for Revision {
    fn trim(&mut self) {
        self.metadata.managed_fields = None;
    }
}

impl Revision {
    /// The object for content of a Rollout.
    #[must_use]
    pub fn of(namespace: &str, rollout: &ObjectKey, uid: &Uid, keep: &KeepTemplate) -> Self {
        let named = |(key, spec): (&TemplateKey, &agent_api::AnalysisTemplateSpec)| Named {
            name: key.name.clone(),
            cluster_scope: key.cluster_scope,
            spec: spec.clone(),
        };
        Self {
            api_version: "apps/v1".to_owned(),
            kind: "ControllerRevision".to_owned(),
            metadata: ObjectMeta {
                name: Some(keep.name.clone()),
                namespace: Some(namespace.to_owned()),
                labels: Some(BTreeMap::from([(
                    LABEL_ROLLOUT_UID.to_owned(),
                    uid.0.clone(),
                )])),
                annotations: Some(BTreeMap::from([(
                    ANNOTATION_ROLLOUT.to_owned(),
                    rollout.to_string(),
                )])),
                ..ObjectMeta::default()
            },
            data: Content {
                digest: keep.digest.clone(),
                delivery_digest: keep.delivery.clone(),
                template: keep.template.clone(),
                strategy: keep.strategy.clone(),
                templates: keep.templates.iter().map(named).collect(),
            },
            revision: 1,
        }
    }

    /// The content in the engine's form.
    #[must_use]
    pub fn kept(&self) -> (ContentDigest, Kept) {
        let Content {
            digest,
            delivery_digest,
            template,
            strategy,
            templates,
        } = self.data.clone();
        let key = |named: &Named| TemplateKey {
            name: named.name.clone(),
            cluster_scope: named.cluster_scope,
        };
        let templates = templates
            .into_iter()
            .map(|named| (key(&named), named.spec))
            .collect();
        (
            digest,
            Kept {
                template,
                strategy,
                templates,
                delivery: delivery_digest,
            },
        )
    }

    /// The Rollout that an object with this metadata belongs to.
    #[must_use]
    pub fn rollout(metadata: &ObjectMeta) -> Option<ObjectKey> {
        let text = metadata.annotations.as_ref()?.get(ANNOTATION_ROLLOUT)?;
        let (namespace, name) = text.split_once('/')?;
        Some(ObjectKey::new(namespace, name))
    }
}
