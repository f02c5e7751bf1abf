//! What the agent records in a Gate.
//!
//! In: the Gate's status. Out: typed records, each written before its effect. Must not touch: what the hub said.

use crate::digest::{ContentDigest, DeliveryDigest};
use crate::gate::Fence;
use crate::pod_hash::PodHash;
use crate::record::{record, words};
use crate::text::ReleaseName;
use crate::time::StatusTime;

record! {
    /// What the agent recorded about one Rollout.
    pub struct GateStatus {
        /// What is served.
        pub served: Option<ServedRecord>,
        /// What waits for a permit.
        pub held: Option<HeldRecord>,
        /// The permit that took effect.
        pub effective: Option<EffectiveRecord>,
        /// How the last permit ended; it is consumed by it.
        pub outcome: Option<Outcome>,
        /// The running lease.
        pub lease: Option<LeaseRecord>,
        /// Templates kept for going back.
        pub kept: Vec<KeptTemplate>,
        /// A permit that the agent gave itself.
        pub local_permit: Option<LocalPermit>,
        /// Digest of the spec as last seen.
        pub observed_digest: Option<ContentDigest>,
        /// Every time that a person let held content start without the fleet's word, the newest last.
        pub break_glass: Vec<BreakGlassRecord>,
        /// What becomes of it if the hub is silent, or, while it is silent past the lease, what it does and why: for people,
        /// in the words of `groundswell explain` (G21).
        pub without_hub: Option<String>,
    }
}

record! {
    /// What is served: all weight and all replicas, steps and analysis done.
    pub struct ServedRecord {
        required
        /// The content.
        pub digest: ContentDigest,
        required
        /// Its ReplicaSet's hash.
        pub pod_hash: PodHash,
        /// How it was delivered.
        pub delivery_digest: DeliveryDigest,
        /// The release it came with.
        pub release: Option<ReleaseName>,
        /// The Rollout's generation at which the permit took effect.
        pub generation: i64,
        /// Since when.
        pub at: StatusTime,
    }
}

record! {
    /// What waits for a permit.
    pub struct HeldRecord {
        required
        /// The content.
        pub digest: ContentDigest,
        /// How it is to be delivered.
        pub delivery_digest: DeliveryDigest,
        /// Git revision, if known.
        pub revision: Option<String>,
        /// Its images.
        pub images: Vec<String>,
        /// The Rollout's generation.
        pub generation: i64,
        /// Since when.
        pub since: StatusTime,
    }
}

record! {
    /// A permit took effect.
    pub struct EffectiveRecord {
        required
        /// The permit's fence.
        pub fence: Fence,
        required
        /// Its content.
        pub digest: ContentDigest,
        required
        /// The Rollout's generation at that time.
        pub generation: i64,
        /// When.
        pub at: StatusTime,
        /// `spec.paused` was set when it was last looked at.
        pub paused: Option<bool>,
    }
}

words! {
    /// How a permit ended.
    pub enum OutcomeResult {
        /// Not served: aborted, stuck or its analysis failed.
        Failed,
        /// The content is served.
        Served,
        /// The spec was edited back.
        Withdrawn,
        /// There is nothing to go back to.
        NoRollbackTarget,
        /// It was under way before the Rollout was governed.
        Adopted,
        /// The permit names steps or analysis templates that are not there any more; it never took effect.
        Refused,
    }
}

record! {
    /// How a permit ended.
    pub struct Outcome {
        required
        /// The permit's fence.
        pub fence: Fence,
        required
        /// Its content.
        pub digest: ContentDigest,
        required
        /// The result.
        pub result: OutcomeResult,
        /// Its release.
        pub release: ReleaseName,
        /// Why, in words for people.
        pub message: Option<String>,
        /// The Rollout's generation at which the permit took effect.
        pub generation: i64,
        /// When.
        pub at: StatusTime,
    }
}

record! {
    /// The running lease; renewals stay in memory.
    pub struct LeaseRecord {
        required
        /// Length granted.
        pub granted_seconds: u64,
        required
        /// End by the wall clock.
        pub deadline: StatusTime,
        /// When its end was noticed; gone when the hub renews it. What has ended does not run again after a restart, whatever
        /// the wall clock says by then.
        pub ended_at: Option<StatusTime>,
    }
}

record! {
    /// A template kept for going back.
    pub struct KeptTemplate {
        required
        /// The content.
        pub digest: ContentDigest,
        required
        /// Name of the ControllerRevision that holds it.
        pub name: String,
        /// How it was delivered.
        pub delivery_digest: DeliveryDigest,
        /// When it was last served with success.
        pub last_served_at: Option<StatusTime>,
        /// When it was kept.
        pub kept_at: StatusTime,
    }
}

words! {
    /// Why the agent gave itself a permit.
    pub enum LocalPermitOrigin {
        /// It was under way when the Rollout became governed.
        Adopted,
        /// The first deploy, while the FleetRollout has no release.
        FirstDeploy,
        /// A person broke the glass for it (G16).
        BreakGlass,
    }
}

record! {
    /// A permit that the agent gave itself.
    pub struct LocalPermit {
        required
        /// Why.
        pub origin: LocalPermitOrigin,
        required
        /// The content.
        pub digest: ContentDigest,
    }
}

words! {
    /// What became of a person's word for held content (G16).
    pub enum BreakGlassEnd {
        /// The content is served.
        Served,
        /// It was aborted, or its analysis failed.
        Failed,
        /// Other content, or a newer word of the hub, took its place.
        Replaced,
        /// The content was not held: the word was spent for nothing.
        NotNeeded,
    }
}

record! {
    /// A person's word that held content may start without the fleet's (G16). It counts once.
    pub struct BreakGlassRecord {
        required
        /// The content.
        pub digest: ContentDigest,
        required
        /// Who, as the API server knew them.
        pub by: String,
        required
        /// Why.
        pub reason: String,
        /// Permits up to this one do not take it back.
        pub over: Fence,
        /// The release that it did not wait for.
        pub release: Option<ReleaseName>,
        /// When.
        pub at: StatusTime,
        /// How it ended; absent: it counts.
        pub ended: Option<BreakGlassEnd>,
    }
}
