//! What the engine wants done.
//! In: nothing. Out: the plan's types, and their text for people and goldens. It must not decide.

use std::collections::BTreeMap;
use std::fmt;

use agent_api::object::OwnerReference;
use agent_api::{
    AnalysisRun, ContentDigest, DeliveryDigest, Experiment, GateStatus, PodHash, PodTemplate,
    ReplicaSet, RolloutStatus, SetHeaderRoute, SetMirrorRoute, Uid, Weights,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::observed::Templates;
use crate::reason::Reason;

/// What to write, in this order, and what to look at next.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Plan {
    /// Writes, in order; the first that fails ends the pass, and so does a ReplicaSet that is refused.
    pub actions: Vec<Action>,
    /// The whole status; the shell writes the difference from the observed one, after the actions.
    pub status: RolloutStatus,
    /// Why this plan and not more.
    pub reasons: Vec<Reason>,
    /// When to look again although nothing changed.
    pub wake: Option<Timestamp>,
}

impl Plan {
    /// The writes without the events.
    pub fn writes(&self) -> impl Iterator<Item = &Action> {
        self.actions
            .iter()
            .filter(|action| !matches!(action, Action::Event(_)))
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Keep content as a ControllerRevision of this name (create; there already is fine).
    KeepTemplate(Box<KeepTemplate>),
    /// Delete a ControllerRevision.
    ForgetTemplate {
        /// The content.
        digest: ContentDigest,
        /// The object.
        name: String,
    },
    /// Write the status of the Gate record, before any effect that rests on it.
    RecordGate {
        /// The whole status.
        status: Box<GateStatus>,
        /// What of it is new.
        changes: Vec<GateChange>,
    },
    /// Create a ReplicaSet; the object is complete.
    CreateReplicaSet {
        /// The object.
        replica_set: Box<ReplicaSet>,
    },
    /// Make the Rollout the controlling owner of a ReplicaSet that has none.
    ClaimReplicaSet {
        /// The object.
        name: String,
        /// All its owners from now on.
        owners: Vec<OwnerReference>,
    },
    /// Own a ReplicaSet no more.
    ReleaseReplicaSet {
        /// The object.
        name: String,
        /// All its owners from now on.
        owners: Vec<OwnerReference>,
    },
    /// Mark a ReplicaSet of somebody else's making as holding the current content.
    AdoptReplicaSet {
        /// The object.
        name: String,
        /// Annotations to set.
        annotations: BTreeMap<String, String>,
    },
    /// Set annotations of a ReplicaSet.
    AnnotateReplicaSet {
        /// The object.
        name: String,
        /// Annotations to set; `None` removes one.
        annotations: Changes,
        /// `spec.minReadySeconds`, if it is to change.
        min_ready_seconds: Option<i32>,
    },
    /// Change the metadata of a ReplicaSet's template, and the annotations that remember what of it is no content.
    ChangeTemplateMetadata {
        /// The object.
        name: String,
        /// Labels of the template.
        labels: Changes,
        /// Annotations of the template.
        annotations: Changes,
        /// Annotations of the ReplicaSet itself.
        notes: Changes,
    },
    /// Change the metadata of pods that are there; one that has gone meanwhile is fine.
    ChangePods {
        /// Their ReplicaSet.
        set: String,
        /// Each pod with its changes.
        pods: Vec<PodChange>,
    },
    /// Evict a pod through the Eviction API; a refusal is observed in the next pass.
    EvictPod {
        /// The pod.
        name: String,
        /// Which one of that name.
        uid: Uid,
        /// Its ReplicaSet, whose numbers change by it.
        set: String,
    },
    /// Change `spec.replicas`, and the desired-replicas annotation with it.
    ScaleReplicaSet {
        /// The object.
        name: String,
        /// What it is.
        from: i32,
        /// What it shall be.
        to: i32,
        /// The Rollout's replicas, for the annotation.
        desired: i32,
        /// Why.
        because: Reason,
    },
    /// Delete a ReplicaSet with no pods that history no longer needs.
    DeleteReplicaSet {
        /// The object.
        name: String,
    },
    /// Create an AnalysisRun.
    CreateAnalysisRun {
        /// The object.
        run: Box<AnalysisRun>,
    },
    /// Set `spec.terminate`.
    TerminateAnalysisRun {
        /// The object.
        name: String,
    },
    /// Delete an AnalysisRun that history no longer needs.
    DeleteAnalysisRun {
        /// The object.
        name: String,
    },
    /// Create an Experiment.
    CreateExperiment {
        /// The object.
        experiment: Box<Experiment>,
    },
    /// Set `spec.terminate` of an Experiment.
    TerminateExperiment {
        /// The object.
        name: String,
    },
    /// Delete an Experiment that history no longer needs.
    DeleteExperiment {
        /// The object.
        name: String,
    },
    /// Change `spec.replicas` of the Deployment that the Rollout names.
    ScaleWorkload {
        /// The object.
        name: String,
        /// What it is.
        from: i32,
        /// What it shall be.
        to: i32,
        /// Why.
        because: Reason,
    },
    /// Let a Service select the pods of one version, and mark it as managed by the Rollout.
    SwitchService {
        /// The object.
        name: String,
        /// The version that it selects; `None` when it selects all.
        from: Option<PodHash>,
        /// The version that it shall select.
        to: PodHash,
    },
    /// Take version and mark off a Service that the strategy does not name any more.
    ReleaseService {
        /// The object.
        name: String,
    },
    /// Ask the routers for a split of the requests and for routes by header.
    SetTraffic {
        /// All of it.
        traffic: Box<Traffic>,
        /// Why.
        because: Reason,
    },
    /// Set annotations of the Rollout; `None` removes one.
    PatchRollout {
        /// By key.
        annotations: Changes,
    },
    /// Tell people.
    Event(Event),
}

/// Keys of a map with what they shall be; `None` removes one.
pub type Changes = BTreeMap<String, Option<String>>;

/// What changes in the metadata of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodChange {
    /// The pod.
    pub name: String,
    /// Which one of that name.
    pub uid: Uid,
    /// Labels.
    pub labels: Changes,
    /// Annotations.
    pub annotations: Changes,
}

/// What routers are asked for, whole: what they show beyond it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// The split.
    pub weights: Weights,
    /// The managed routes that shall be there.
    pub routes: Vec<Route>,
}

/// A managed route.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// Requests with a header go to the canary.
    Header(SetHeaderRoute),
    /// Copies of requests go to the canary.
    Mirror(SetMirrorRoute),
}

impl Route {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(route) => &route.name,
            Self::Mirror(route) => &route.name,
        }
    }
}

/// Content to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeepTemplate {
    /// The content.
    pub digest: ContentDigest,
    /// How it is delivered.
    pub delivery: DeliveryDigest,
    /// The object.
    pub name: String,
    /// The template as written.
    pub template: PodTemplate,
    /// The strategy as written.
    pub strategy: Value,
    /// The analysis templates that the strategy names.
    pub templates: Templates,
}

/// An event. Its name is made from the Rollout, the reason and the key, so that a restart repeats none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Normal or Warning.
    pub kind: EventKind,
    /// One word.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
    /// Generation, revision, step, attempt and object.
    pub key: String,
}

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// As planned.
    Normal,
    /// Look at this.
    Warning,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        })
    }
}

/// What of a Gate's status is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateChange {
    /// Content waits.
    Held(ContentDigest),
    /// Nothing waits any more.
    HoldCleared,
    /// A permit took effect.
    Effective(ContentDigest),
    /// The canary reached a step.
    Step(i32),
    /// Somebody paused what is permitted, or lets it go on.
    Paused(bool),
    /// The lease's wall deadline.
    Lease,
    /// That the lease has ended.
    LeaseEnd,
    /// Content is served.
    Served(ContentDigest),
    /// The permit ended.
    Outcome(agent_api::OutcomeResult),
    /// The list of kept templates.
    Kept,
    /// A permit of the agent's own.
    LocalPermit,
    /// The spec as last seen.
    Observed,
    /// A person did without the fleet's word, or that came to an end (G16).
    BreakGlass,
    /// What becomes of it if the hub is silent (G21).
    WithoutHub(String),
}
