//! The words of the agent: `argoproj.io/v1alpha1`, the Gate and a slim ReplicaSet, as serde types.
//!
//! In: JSON as the API server sends it. Out: the same JSON, with every field that no type here names kept in `rest`.
//! Beside the types: digests, pod hashes, defaults, validation and the CRDs. Must not touch: network, clock, files
//! (only the `crdgen` program writes files).

pub mod analysis;
pub mod analysis_run;
pub mod anti_affinity;
pub mod author;
pub mod blue_green;
pub mod canonical;
pub mod crd;
pub mod defaults;
pub mod digest;
pub mod duration;
pub mod experiment;
pub mod gate;
pub mod gate_status;
pub mod intstr;
pub mod job;
pub mod member;
pub mod names;
pub mod object;
pub mod pod;
pub mod pod_hash;
pub mod pod_template;
pub mod provider;
pub mod record;
pub mod replica_set;
pub mod rollout;
pub mod rollout_status;
pub mod selector;
pub mod service;
pub mod strategy;
pub mod text;
pub mod time;
pub mod traffic;
pub mod validate;
pub mod validate_analysis;
mod validate_blue_green;
pub mod validate_experiment;
mod validate_pods;
mod validate_provider;
mod validate_steps;
mod validate_traffic;
pub mod workload;

pub use analysis::{
    AnalysisPhase, AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, AnalysisTemplate,
    AnalysisTemplateSpec, ClusterAnalysisTemplate, Measurement, Metric, MetricResult, RunSummary,
};
pub use blue_green::{BlueGreenStatus, BlueGreenStrategy};
pub use digest::{ContentDigest, DeliveryDigest};
pub use experiment::{
    Experiment, ExperimentAnalysis, ExperimentRunStatus, ExperimentSpec, ExperimentStatus,
    ExperimentStep, ExperimentTemplate, StepTemplate, TemplatePhase, TemplateService,
    TemplateStatus,
};
pub use gate::{
    Direction, Enforcement, Fence, FirstContact, Gate, GateSpec, HubLoss, HubLossAction, Permit,
    Policy, RollbackPhase, RolloutRef, Waiting,
};
pub use gate_status::{
    BreakGlassEnd, BreakGlassRecord, EffectiveRecord, GateStatus, HeldRecord, KeptTemplate,
    LeaseRecord, LocalPermit, LocalPermitOrigin, Outcome, OutcomeResult, ServedRecord,
};
pub use intstr::IntOrString;
pub use job::{Job, JobCondition, JobStatus};
pub use member::{FleetMember, FleetMemberSpec, FleetMemberStatus, GovernedSelector, ServedMark};
pub use object::{Decoded, Kind, ObjectMeta, Trim, Unread};
pub use pod::{Pod, PodCondition, PodStatus};
pub use pod_hash::PodHash;
pub use pod_template::PodTemplate;
pub use provider::{MetricProvider, PROVIDERS, PrometheusMetric};
pub use replica_set::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
pub use rollout::{Rollout, RolloutSpec, RolloutStrategy, WorkloadRef};
pub use rollout_status::{
    CanaryStatus, Condition, PauseCondition, Phase, RolloutDuration, RolloutStatus,
    WeightDestination, Weights,
};
pub use selector::LabelSelector;
pub use service::{Service, ServiceSpec};
pub use strategy::{
    AntiAffinity, CanaryStep, CanaryStrategy, PauseStep, PodMetadata, ReplicaProgressThreshold,
    StepAnalysis, StepKind,
};
pub use text::{FleetRolloutName, ReleaseName, Uid};
pub use time::StatusTime;
pub use traffic::{SetCanaryScale, SetHeaderRoute, SetMirrorRoute, TrafficRouting};
pub use workload::{ScaleDown, Workload, WorkloadKind};
