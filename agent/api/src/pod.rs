//! A slim Pod: its metadata, and no more.
//!
//! In: a `v1` Pod's metadata. Out: names, labels, times. Must not touch: the pod's spec.

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
    }
}
kind!(Pod, Namespaced, "", "v1", "Pod", "pods");

impl Trim for Pod {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        self.rest.clear();
    }
}
