//! A slim Service: what the agent reads of one, and no more.
//!
//! In: a `v1` Service's JSON. Out: its selector. Must not touch: ports and addresses.

use std::collections::BTreeMap;

use crate::names::ANNOTATION_MANAGED_BY;
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::record::record;

record! {
    /// A Service.
    pub struct Service {
        /// Always `v1`.
        pub api_version: ApiVersionOf<Service>,
        /// Always `Service`.
        pub kind: KindOf<Service>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What is wanted.
        pub spec: ServiceSpec,
    }
}
kind!(Service, Namespaced, "", "v1", "Service", "services");

record! {
    /// What is wanted of a Service.
    pub struct ServiceSpec {
        /// Labels of the pods behind it.
        pub selector: BTreeMap<String, String>,
    }
}

impl Trim for Service {
    /// A cluster has Services of which no Rollout ever hears: all that is kept is what names and selects.
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        self.metadata.labels = None;
        self.metadata.owner_references = None;
        self.metadata.finalizers = None;
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.retain(|key, _| key == ANNOTATION_MANAGED_BY);
        }
        self.spec.rest.clear();
        self.rest.clear();
    }
}
