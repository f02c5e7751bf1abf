//! A slim Pod: its metadata, and whether it is ready.
//!
//! In: a `v1` Pod's metadata and conditions. Out: names, labels, times, readiness. Must not touch: the pod's spec.

use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::record::record;

record! {
    /// A Pod.
    pub struct Pod {
        /// Always `v1`.
        pub api_version: ApiVersionOf<Pod>,
        /// Always `Pod`.
        pub kind: KindOf<Pod>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What was observed; absent where only metadata was asked for.
        pub status: Option<PodStatus>,
    }
}
kind!(Pod, Namespaced, "", "v1", "Pod", "pods");

record! {
    /// What was observed of a Pod.
    pub struct PodStatus {
        /// Conditions.
        pub conditions: Vec<PodCondition>,
    }
}

record! {
    /// One condition of a Pod.
    pub struct PodCondition {
        /// Its type.
        pub r#type: String,
        /// `True`, `False` or `Unknown`.
        pub status: String,
    }
}

/// The condition of a Pod that takes requests.
const READY: &str = "Ready";

impl Pod {
    /// It takes requests; `None` where only its metadata is known.
    pub fn is_ready(&self) -> Option<bool> {
        let status = self.status.as_ref()?;
        let mut all = status.conditions.iter();
        let ready = all.find(|condition| condition.r#type == READY);
        Some(ready.is_some_and(|condition| condition.status == "True"))
    }
}

impl Trim for Pod {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        self.rest.clear();
        if let Some(status) = &mut self.status {
            status.rest.clear();
            status
                .conditions
                .retain(|condition| condition.r#type == READY);
            for condition in &mut status.conditions {
                condition.rest.clear();
            }
        }
    }
}
