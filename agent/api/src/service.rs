//! A slim Service: what the agent reads of one, and no more.
//!
//! In: a `v1` Service's JSON. Out: its selector. Must not touch: ports and addresses.

use std::collections::BTreeMap;

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
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        self.spec.rest.clear();
        self.rest.clear();
    }
}
