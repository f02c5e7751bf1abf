//! Every group, label, annotation and name that the agent reads or writes.
//!
//! In: nothing. Out: constants. Must not touch: anything else.

/// Group of Rollout and its companions.
pub const ROLLOUTS_GROUP: &str = "argoproj.io";
/// Group of Gate and FleetMember.
pub const FLEET_GROUP: &str = "fleet.groundswell.dev";
/// The only version of both groups.
pub const VERSION: &str = "v1alpha1";

/// Label on ReplicaSets and pods: the hash of their template.
pub const LABEL_POD_HASH: &str = "rollouts-pod-template-hash";
/// Label that names the controller instance that owns an object.
pub const LABEL_INSTANCE_ID: &str = "argo-rollouts.argoproj.io/controller-instance-id";
/// Label on AnalysisRuns: what started the run.
pub const LABEL_ROLLOUT_TYPE: &str = "rollout-type";
/// Label on AnalysisRuns: the index of the step that started the run.
pub const LABEL_STEP_INDEX: &str = "step-index";
/// Value of [`LABEL_ROLLOUT_TYPE`] for a run of an analysis step.
pub const ROLLOUT_TYPE_STEP: &str = "Step";
/// Value of [`LABEL_ROLLOUT_TYPE`] for a run before the active service is switched.
pub const ROLLOUT_TYPE_PRE_PROMOTION: &str = "PrePromotion";
/// Value of [`LABEL_ROLLOUT_TYPE`] for a run after it.
pub const ROLLOUT_TYPE_POST_PROMOTION: &str = "PostPromotion";
/// Value of [`LABEL_ROLLOUT_TYPE`] for a run in the background.
pub const ROLLOUT_TYPE_BACKGROUND: &str = "Background";

/// Annotation on ReplicaSets and Rollouts: the revision number.
pub const ANNOTATION_REVISION: &str = "rollout.argoproj.io/revision";
/// Annotation on ReplicaSets: revision numbers it had before.
pub const ANNOTATION_REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
/// Annotation on ReplicaSets: the Rollout's replicas when it was last scaled.
pub const ANNOTATION_DESIRED_REPLICAS: &str = "rollout.argoproj.io/desired-replicas";
/// Annotation on ReplicaSets: metadata merged into the template beyond its hash.
pub const ANNOTATION_EPHEMERAL_METADATA: &str = "rollout.argoproj.io/ephemeral-metadata";
/// Annotation on Rollouts: generation of the workload that `workloadRef` names.
pub const ANNOTATION_WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
/// Annotation on ReplicaSets: when it is to be scaled down (RFC 3339); it has no prefix.
pub const ANNOTATION_SCALE_DOWN_DEADLINE: &str = "scale-down-deadline";
/// Annotation on ReplicaSets: the restart that its pods have seen.
pub const ANNOTATION_RESTARTED_AFTER: &str = "argo-rollouts.argoproj.io/restarted-after";
/// Annotation on Services and others: the Rollout that manages them.
pub const ANNOTATION_MANAGED_BY: &str = "argo-rollouts.argoproj.io/managed-by-rollouts";
/// Annotation on Rollouts: notifications that were sent.
pub const ANNOTATION_NOTIFIED: &str = "notified.notifications.argoproj.io";
/// Annotation on ReplicaSets of an Experiment: its name.
pub const ANNOTATION_EXPERIMENT: &str = "experiment.argoproj.io/name";
/// Annotation on ReplicaSets of an Experiment: the template that they are of.
pub const ANNOTATION_EXPERIMENT_TEMPLATE: &str = "experiment.argoproj.io/template-name";
/// Annotation that `kubectl apply` keeps; the bulkiest of all.
pub const ANNOTATION_LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotation on ReplicaSets: the content digest of the template as written.
pub const ANNOTATION_DIGEST: &str = "fleet.groundswell.dev/digest";
/// Annotation on ReplicaSets: metadata that pods may still carry from before [`ANNOTATION_EPHEMERAL_METADATA`] was
/// changed; gone when every pod has been brought up to date.
pub const ANNOTATION_EPHEMERAL_BEFORE: &str = "fleet.groundswell.dev/ephemeral-metadata-before";
/// Annotation on Rollouts: the Git revision of what is written.
pub const ANNOTATION_FLEET_REVISION: &str = "fleet.groundswell.dev/revision";
/// Annotation on Rollouts: the release that was taken back, while Git still says what it brought.
pub const ANNOTATION_RELEASE: &str = "fleet.groundswell.dev/release";
/// Annotation on ReplicaSets: `<revision> <release>`, whose permit it got its pods by under that revision. Never on Rollouts: Argo
/// Rollouts copies what those have to every ReplicaSet.
pub const ANNOTATION_PERMITTED_BY: &str = "fleet.groundswell.dev/permitted-by";
/// Annotation on Rollouts: `true` lets the stable version of a canary without a router keep all its pods until promotion.
pub const ANNOTATION_KEEP_STABLE: &str = "fleet.groundswell.dev/keep-stable";
/// Annotation on Rollouts: `<digest> <reason>`, lets one held content start without the hub.
pub const ANNOTATION_BREAK_GLASS: &str = "fleet.groundswell.dev/break-glass";

/// Annotation on Rollouts: who wrote [`ANNOTATION_BREAK_GLASS`]. Admission lets nobody write another name than its own.
pub const ANNOTATION_BREAK_GLASS_BY: &str = "fleet.groundswell.dev/break-glass-by";
/// ValidatingAdmissionPolicy, and its binding, without which no [`ANNOTATION_BREAK_GLASS`] counts.
pub const BREAK_GLASS_POLICY: &str = "groundswell-break-glass";

/// Annotation on analysis templates and runs: `true` lets NaN, infinity, null and an empty result be inconclusive, whatever
/// the conditions make of them.
pub const ANNOTATION_STRICT: &str = "analysis.groundswell.dev/strict";

/// Who wrote, in managed fields.
pub const FIELD_MANAGER: &str = "groundswell-agent";
/// Source component of the events that the agent writes; clients filter by it.
pub const EVENT_COMPONENT: &str = "rollouts-controller";
/// Lease by which one agent of several leads.
pub const LEADER_LEASE: &str = "argo-rollouts-controller-lock";

/// Condition types of a Rollout.
pub mod condition {
    /// The rollout moves, or has stopped moving.
    pub const PROGRESSING: &str = "Progressing";
    /// Enough pods are available.
    pub const AVAILABLE: &str = "Available";
    /// The rollout is paused.
    pub const PAUSED: &str = "Paused";
    /// The current version is the stable one.
    pub const COMPLETED: &str = "Completed";
    /// The rollout is healthy.
    pub const HEALTHY: &str = "Healthy";
    /// The spec cannot be acted on.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Pods could not be made or deleted.
    pub const REPLICA_FAILURE: &str = "ReplicaFailure";
    /// Of an Experiment: all its templates are available.
    pub const RUNNING: &str = "Running";
}

/// Reasons of pause conditions.
pub mod pause_reason {
    /// A pause step.
    pub const CANARY_PAUSE_STEP: &str = "CanaryPauseStep";
    /// Blue-green waits for promotion.
    pub const BLUE_GREEN_PAUSE: &str = "BlueGreenPause";
    /// An analysis had no clear outcome.
    pub const INCONCLUSIVE_ANALYSIS_RUN: &str = "InconclusiveAnalysisRun";
    /// An experiment had no clear outcome.
    pub const INCONCLUSIVE_EXPERIMENT: &str = "InconclusiveExperiment";
    /// The fleet does not permit the content yet.
    pub const FLEET_GATE: &str = "FleetGate";
}

/// Name of the Gate of a Rollout.
pub fn gate_name(namespace: &str, rollout: &str) -> String {
    format!("{namespace}.{rollout}")
}

/// Name of the ReplicaSet of a Rollout at a pod hash.
pub fn replica_set_name(rollout: &str, hash: &crate::pod_hash::PodHash) -> String {
    format!("{rollout}-{hash}")
}
