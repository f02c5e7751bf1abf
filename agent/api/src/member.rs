//! FleetMember: this cluster in the fleet, one object beside the Gates.
//!
//! In: the object's JSON. Out: what is governed, the fence, the first contact. Must not touch: single Rollouts.

use std::collections::BTreeMap;

use crate::digest::ContentDigest;
use crate::gate::Fence;
use crate::gate_status::Outcome;
use crate::names::{FLEET_GROUP, VERSION};
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::record::record;
use crate::text::{FleetRolloutName, Uid};
use crate::time::StatusTime;

record! {
    /// This cluster in the fleet.
    pub struct FleetMember {
        /// Always `fleet.groundswell.dev/v1alpha1`.
        pub api_version: ApiVersionOf<FleetMember>,
        /// Always `FleetMember`.
        pub kind: KindOf<FleetMember>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// Who this cluster is.
        pub spec: FleetMemberSpec,
        /// What is stored of the hub's word.
        pub status: Option<FleetMemberStatus>,
    }
}
kind!(
    FleetMember,
    Namespaced,
    FLEET_GROUP,
    VERSION,
    "FleetMember",
    "fleetmembers"
);

impl Trim for FleetMember {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
    }
}

record! {
    /// Who this cluster is.
    pub struct FleetMemberSpec {
        /// Its name in the fleet.
        pub cluster: String,
        /// Address of the hub.
        pub hub: String,
        /// UID of the kube-system namespace, to which the identity is bound.
        pub kube_system_uid: Uid,
    }
}

record! {
    /// What is stored of the hub's word.
    pub struct FleetMemberStatus {
        required
        /// Last set that was stored.
        pub fence: Fence,
        /// Hash of that set.
        pub set_hash: Option<String>,
        /// The hub's signature under the fence, which came with the set: without it a hub that was restored does not believe
        /// that it was this high (L5).
        pub fence_signature: Option<String>,
        /// What is governed.
        pub governed: Vec<GovernedSelector>,
        /// Whether the hub was ever heard.
        pub first_contact_done: bool,
        /// The last session.
        pub session: u64,
        /// The newest row of the hub's history when it was last heard, signed by it.
        pub audit_head: Option<String>,
        /// By UID of a Rollout: what its last permit ended as. It outlives the Gate; `agent::spent` bounds it.
        pub spent: BTreeMap<String, Outcome>,
        /// By `namespace/name` of a Rollout: what was last served under that name. It outlives the Gate and the Rollout, so
        /// that one made again is no first deploy (G10); `agent::spent` bounds it.
        pub served: BTreeMap<String, ServedMark>,
    }
}

record! {
    /// What was last served under a Rollout's name.
    pub struct ServedMark {
        required
        /// The content.
        pub digest: ContentDigest,
        /// Since when.
        pub at: StatusTime,
    }
}

record! {
    /// A Rollout that is governed, whether it exists or not.
    pub struct GovernedSelector {
        required
        /// By which FleetRollout.
        pub fleet_rollout: FleetRolloutName,
        required
        /// The Rollout's namespace.
        pub namespace: String,
        required
        /// The Rollout's name.
        pub name: String,
    }
}
