//! Gate: what the hub allows for one Rollout, kept durably in the agent's own namespace.
//!
//! In: the Gate's JSON. Out: typed records; a word or a shape that is not known makes the whole Gate unreadable, which
//! means held. Must not touch: what follows from the records.

use crate::digest::{ContentDigest, DeliveryDigest};
use crate::gate_status::GateStatus;
use crate::names::{FLEET_GROUP, VERSION};
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::record::{record, words};
use crate::text::{FleetRolloutName, ReleaseName, Uid};
use crate::time::StatusTime;

record! {
    /// What the hub allows for one Rollout, and what the agent recorded about it.
    pub struct Gate {
        required
        /// What the hub said.
        pub spec: GateSpec,
        /// Always `fleet.groundswell.dev/v1alpha1`.
        pub api_version: ApiVersionOf<Gate>,
        /// Always `Gate`.
        pub kind: KindOf<Gate>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What the agent recorded; written in one patch together with the spec.
        pub status: Option<GateStatus>,
    }
}
kind!(Gate, Namespaced, FLEET_GROUP, VERSION, "Gate", "gates");

impl Trim for Gate {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
    }
}

record! {
    /// What the hub said about one Rollout.
    pub struct GateSpec {
        required
        /// The Rollout.
        pub rollout: RolloutRef,
        required
        /// Whether it is governed.
        pub governed: bool,
        required
        /// Incarnation of the hub's database.
        pub incarnation: u64,
        required
        /// Version of the set in which this entry last changed.
        pub version: u64,
        /// The FleetRollout that governs it.
        pub fleet_rollout: FleetRolloutName,
        /// The FleetRollout's policy for this cluster.
        pub policy: Policy,
        /// What held content waits for.
        pub waiting: Option<Waiting>,
        /// What may start.
        pub permit: Option<Permit>,
        /// Digests that failed and may not start again.
        pub barred: Vec<ContentDigest>,
        /// W3C trace context of the decision.
        pub traceparent: Option<String>,
    }
}

record! {
    /// A Rollout.
    pub struct RolloutRef {
        required
        /// Its namespace.
        pub namespace: String,
        required
        /// Its name.
        pub name: String,
        /// Its UID, once known.
        pub uid: Option<Uid>,
    }
}

words! {
    /// Whether held content is really held.
    pub enum Enforcement {
        /// Content waits for its permit.
        Enforce,
        /// Waves on paper only.
        Observe,
    }
}

words! {
    /// What happens to new content before the hub was ever heard.
    pub enum FirstContact {
        /// It waits.
        Hold,
        /// It starts.
        Open,
    }
}

words! {
    /// Phase shown while a version taken back is served.
    pub enum RollbackPhase {
        /// As after an abort.
        Degraded,
        /// As at a pause.
        Paused,
    }
}

words! {
    /// What happens under way when the hub stays silent past the lease.
    pub enum HubLossAction {
        /// Go on to the permitted step under local analysis.
        Finish,
        /// Stop at the next step boundary.
        Hold,
        /// Go back to the cluster's own stable version.
        Abort,
    }
}

record! {
    /// What happens under way when the hub is lost.
    pub struct HubLoss {
        required
        /// What to do.
        pub action: HubLossAction,
        /// For `Abort`: seconds after the end of the lease.
        pub after_seconds: Option<u64>,
    }
}

record! {
    /// The FleetRollout's policy for this cluster.
    pub struct Policy {
        /// What happens when the hub is lost.
        pub on_hub_loss: HubLoss,
        /// Phase shown while a version taken back is served.
        pub rollback_phase: RollbackPhase,
        /// Whether content is really held.
        pub enforcement: Enforcement,
    }
}

record! {
    /// What held content waits for, in words for people.
    pub struct Waiting {
        /// The release.
        pub release: ReleaseName,
        /// The wave, counted from 1.
        pub wave: u32,
        /// How many waves there are.
        pub waves: u32,
        /// The wave's name.
        pub wave_name: String,
        /// What it waits for.
        pub reason: String,
    }
}

words! {
    /// Which way a permit leads.
    pub enum Direction {
        /// To new content, through the steps.
        Forward,
        /// Back to kept content.
        Rollback,
    }
}

/// Order of the sets that a cluster has stored: a greater one replaces a smaller one.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Fence {
    /// Incarnation of the hub's database; raised only by a restore.
    pub incarnation: u64,
    /// Version of the set.
    pub version: u64,
}
impl crate::record::Absent for Fence {}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.version)
    }
}

record! {
    /// The hub's signed word that the Rollout may move to one content digest.
    pub struct Permit {
        required
        /// The release.
        pub release: ReleaseName,
        required
        /// Which way it leads.
        pub direction: Direction,
        required
        /// Its place in the order; only the highest counts.
        pub fence: Fence,
        required
        /// The content.
        pub digest: ContentDigest,
        required
        /// How it is delivered.
        pub delivery_digest: DeliveryDigest,
        required
        /// Length of the lease.
        pub lease_seconds: u64,
        required
        /// Signature over all of it, base64.
        pub signature: String,
        /// It starts before this time or not at all; absent: no end, as for a rollback that waits for its cluster (G23).
        pub start_by: Option<StatusTime>,
        /// The last step that may be started; absent: all.
        pub max_step: Option<i32>,
        /// Why, in words for people; for rollbacks.
        pub why: Option<String>,
        /// Whether a rollback goes through the steps backwards.
        pub steps_backwards: bool,
        /// UID of the cluster it is for.
        pub cluster_uid: Uid,
        /// UID of the Rollout it is for.
        pub rollout_uid: Uid,
        /// W3C trace context of the decision.
        pub traceparent: Option<String>,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Agents before this one wrote `firstContact` into every Gate, and none ever read it there (G8: a Gate comes after the
    /// first contact).
    #[test]
    fn a_gate_of_an_agent_before_is_read_and_the_word_that_nobody_reads_is_written_no_more() {
        let written = serde_json::to_value(Policy::default()).unwrap();
        assert_eq!(written.get("firstContact"), None, "{written}");
        for word in [json!("Hold"), json!("Open"), json!({"of": "nobody"})] {
            let before = json!({
                "onHubLoss": {"action": "Hold"}, "rollbackPhase": "Paused", "firstContact": word,
                "enforcement": "Observe",
            });
            let policy: Policy = serde_json::from_value(before.clone()).unwrap();
            assert_eq!(policy.enforcement, Enforcement::Observe);
            assert_eq!(serde_json::to_value(policy).unwrap(), before);
        }
    }
}
