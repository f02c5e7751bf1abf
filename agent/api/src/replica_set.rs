//! A slim ReplicaSet: what the agent reads of one, and no more.
//!
//! In: an `apps/v1` ReplicaSet's JSON. Out: counts, selector and template. Must not touch: typed pod specs.

use crate::names::{ANNOTATION_DIGEST, condition::REPLICA_FAILURE};
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::pod_template::PodTemplate;
use crate::record::record;
use crate::selector::LabelSelector;

record! {
    /// A set of equal pods.
    pub struct ReplicaSet {
        /// Always `apps/v1`.
        pub api_version: ApiVersionOf<ReplicaSet>,
        /// Always `ReplicaSet`.
        pub kind: KindOf<ReplicaSet>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What is wanted.
        pub spec: ReplicaSetSpec,
        /// What was observed.
        pub status: Option<ReplicaSetStatus>,
    }
}
kind!(
    ReplicaSet,
    Namespaced,
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets"
);

record! {
    /// What is wanted of a ReplicaSet.
    pub struct ReplicaSetSpec {
        /// Number of pods.
        pub replicas: Option<i32>,
        /// Seconds for which a ready pod must stay so.
        pub min_ready_seconds: Option<i32>,
        /// Which pods belong to it.
        pub selector: LabelSelector,
        /// The pods; in caches only metadata and images, when the digest annotation stands for the rest.
        pub template: PodTemplate,
    }
}

record! {
    /// What was observed of a ReplicaSet.
    pub struct ReplicaSetStatus {
        /// Pods.
        pub replicas: i32,
        /// Pods with all labels of the template.
        pub fully_labeled_replicas: Option<i32>,
        /// Ready pods.
        pub ready_replicas: Option<i32>,
        /// Available pods.
        pub available_replicas: Option<i32>,
        /// Generation this status speaks of.
        pub observed_generation: Option<i64>,
        /// Conditions.
        pub conditions: Vec<ReplicaSetCondition>,
    }
}

record! {
    /// One condition of a ReplicaSet.
    pub struct ReplicaSetCondition {
        /// Its type.
        pub r#type: String,
        /// `True`, `False` or `Unknown`.
        pub status: String,
        /// One word.
        pub reason: Option<String>,
        /// One sentence.
        pub message: Option<String>,
    }
}

impl ReplicaSet {
    /// Pods wanted; the API server's default is 1.
    pub fn desired(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// Pods that exist.
    pub fn current(&self) -> i32 {
        self.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// Pods that are ready.
    pub fn ready(&self) -> i32 {
        self.status
            .as_ref()
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0)
    }

    /// Pods cannot be made or deleted: the condition that says why.
    pub fn failure(&self) -> Option<&ReplicaSetCondition> {
        let mut all = self.status.as_ref()?.conditions.iter();
        all.find(|one| one.r#type == REPLICA_FAILURE && one.status == "True")
    }

    /// Pods that are available.
    pub fn available(&self) -> i32 {
        self.status
            .as_ref()
            .and_then(|status| status.available_replicas)
            .unwrap_or(0)
    }
}

impl Trim for ReplicaSet {
    /// With a digest annotation most of the template's spec is dropped too: the digest identifies it, and it is most of the
    /// object. Images stay: by them it is seen whether the spec could be what the API server stored.
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        let known = self
            .metadata
            .annotations
            .as_ref()
            .is_some_and(|all| all.contains_key(ANNOTATION_DIGEST));
        if known {
            self.spec.template.keep_images();
        }
    }
}
