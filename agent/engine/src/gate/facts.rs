//! The facts the gate decides from, already reduced to plain values.
//! In: nothing but data that `gate::observe` takes from `Observed`. Out: `Facts`. It must not hold a template or a ReplicaSet:
//! the table speaks of digests only, so that every row of it can be read.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::{ContentDigest, DeliveryDigest, Enforcement, Fence, RollbackPhase};

use super::glass::Glass;
use crate::observed::Governance;

/// What the hub has said so far about what is governed (G8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstWord {
    /// The hub has spoken once, or there is no hub.
    Done,
    /// Nothing was ever stored: nothing new is started.
    Hold,
    /// Nothing was ever stored, and the operator said that this means open.
    Open,
}

/// The state of the Gate record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Read and understood.
    Present,
    /// Not there (G6).
    Missing,
    /// There, and not understood (G5).
    Undecodable,
}

/// Contact with the hub, as a duration so that a row of the table needs no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// The stream is up.
    Connected,
    /// No word for this long, counted from the end of the lease.
    Lost {
        /// Seconds of silence past the lease.
        seconds: i64,
    },
}

/// What an unfinished canary does when the hub is silent and the lease has ended (G21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHubLoss {
    /// On to the permitted step under local analysis.
    Finish,
    /// Stop at the next step boundary.
    Hold,
    /// Back to the cluster's own stable after this much silence.
    Abort {
        /// Seconds of silence past the lease.
        after: i64,
    },
}

/// Content that is neither all of what is served nor gone: a canary on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Its digest.
    pub digest: ContentDigest,
    /// The step that it is at.
    pub step: i32,
    /// Its abort is latched.
    pub aborted: bool,
    /// Who let it start.
    pub permission: Permission,
}

/// Who let content start, according to the record; where that has no word of it, to what its ReplicaSet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nobody: it was on its way before anybody governed it.
    Nobody,
    /// The agent itself: adopted, or a free first deploy.
    Local,
    /// A permit of the fleet.
    Fleet,
}

/// What a permit is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermitKind {
    /// Move to new content.
    Forward,
    /// Go back to content that was healthy here (G22).
    Rollback {
        /// Why, for the phase message.
        why: String,
        /// The phase to show while Git is ahead.
        phase: RollbackPhase,
        /// Whether the canary is walked backwards instead of skipped.
        steps_backwards: bool,
    },
}

/// Whether a start-by has passed. The hub's time is never too late here, and nothing starts past either clock: one that is set
/// back shortens no wait, one that is set forward makes one longer (S12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartBy {
    /// By neither clock, or it has none.
    InTime,
    /// It has passed, and the clocks agree, or one alone is known.
    Passed,
    /// By this cluster's clock alone, which is ahead of the hub's.
    PassedHere {
        /// By so many seconds.
        ahead: i64,
    },
    /// By the hub's time alone: this cluster's clock is behind it.
    PassedThere {
        /// By so many seconds.
        behind: i64,
    },
}

/// The permit in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitFacts {
    /// The release, `checkout#42`.
    pub release: String,
    /// The content that it is for.
    pub content: ContentDigest,
    /// The steps and templates that it is for.
    pub delivery: DeliveryDigest,
    /// Its place in the order of the hub's words.
    pub fence: Fence,
    /// The last step that it allows.
    pub max_step: Option<i32>,
    /// Whether its start-by lies in the past.
    pub start_by: StartBy,
    /// It has already taken effect in this cluster.
    pub started: bool,
    /// Why it cannot be trusted: signature, another cluster, another Rollout (G17).
    pub distrust: Option<String>,
    /// Forward or back.
    pub kind: PermitKind,
}

/// What somebody in the cluster asked for through the status or the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `retry`: the abort was cleared.
    Retry,
    /// `promote --full`.
    PromoteFull,
    /// `promote` or skip: the step index was moved.
    StepTo(i32),
}

/// Everything the gate decides from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who has a say.
    pub governance: Governance,
    /// Whether the hub has ever spoken.
    pub first_word: FirstWord,
    /// Whether waves bind.
    pub enforcement: Enforcement,
    /// The Gate record.
    pub record: Record,
    /// The FleetRollout, for messages.
    pub fleet_rollout: String,
    /// The hub.
    pub contact: Contact,
    /// The policy for its silence.
    pub on_hub_loss: OnHubLoss,
    /// The lease of the permit runs.
    pub lease_live: bool,
    /// What Git wants.
    pub spec: ContentDigest,
    /// How Git wants it delivered.
    pub spec_delivery: DeliveryDigest,
    /// What users get.
    pub served: Option<ContentDigest>,
    /// The canary on its way.
    pub in_flight: Option<InFlight>,
    /// What last succeeded in this cluster, according to the record (it outlives the Rollout).
    pub succeeded: Option<ContentDigest>,
    /// The permit.
    pub permit: Option<PermitFacts>,
    /// The fence of the last permit that an outcome consumed.
    pub consumed: Option<Fence>,
    /// The highest fence of a permit that took effect here.
    pub effective: Option<Fence>,
    /// Digests that the hub bars.
    pub barred: BTreeSet<ContentDigest>,
    /// The digest that failed under the consumed permit.
    pub failed: Option<ContentDigest>,
    /// Kept content with the delivery that it was kept with.
    pub kept: BTreeMap<ContentDigest, DeliveryDigest>,
    /// Kept content that was served here.
    pub healthy: BTreeSet<ContentDigest>,
    /// Kept content that names a ConfigMap or Secret which is gone (G23).
    pub gone: BTreeSet<ContentDigest>,
    /// The FleetRollout has no release (G10).
    pub first_deploy_free: bool,
    /// Digests whose release has passed (G10).
    pub passed: BTreeSet<ContentDigest>,
    /// A person stopped the fleet: what is shown (G30).
    pub stopped: Option<String>,
    /// Git has moved on since the permit's release: the hub speaks of another one.
    pub moved_on: bool,
    /// What somebody asked for.
    pub verb: Option<Verb>,
    /// The hub's words for what the target waits for.
    pub waits_for: Option<String>,
    /// A person's word to do without the fleet's (G16).
    pub glass: Glass,
}
