//! Experiment: pods of several templates beside each other for a while, and what was measured of them.
//!
//! In: the objects' JSON, and the step of a canary that makes one. Out: typed specs and statuses. Must not touch: validity
//! (see `validate_experiment`) and what is decided.

use crate::analysis::{AnalysisPhase, Argument, DryRun, MeasurementRetention};
use crate::names::{ROLLOUTS_GROUP, VERSION};
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::pod_hash::PodHash;
use crate::pod_template::PodTemplate;
use crate::record::{record, words};
use crate::rollout_status::Condition;
use crate::selector::LabelSelector;
use crate::strategy::PodMetadata;
use crate::time::StatusTime;

record! {
    /// Pods of several templates beside each other.
    pub struct Experiment {
        /// Always `argoproj.io/v1alpha1`.
        pub api_version: ApiVersionOf<Experiment>,
        /// Always `Experiment`.
        pub kind: KindOf<Experiment>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What is wanted.
        pub spec: ExperimentSpec,
        /// What was observed.
        pub status: Option<ExperimentStatus>,
    }
}
kind!(
    Experiment,
    Namespaced,
    ROLLOUTS_GROUP,
    VERSION,
    "Experiment",
    "experiments"
);

impl Trim for Experiment {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
    }
}

record! {
    /// What is wanted of an Experiment.
    pub struct ExperimentSpec {
        /// The templates; each becomes a ReplicaSet.
        pub templates: Vec<ExperimentTemplate>,
        /// How long it runs once every pod is available; without it until its analyses end.
        pub duration: Option<String>,
        /// Seconds in which a template must become available.
        pub progress_deadline_seconds: Option<i32>,
        /// End it now.
        pub terminate: Option<bool>,
        /// What is measured meanwhile.
        pub analyses: Vec<ExperimentAnalysis>,
        /// Seconds for which pods stay after its end.
        pub scale_down_delay_seconds: Option<i32>,
        /// Metrics whose result does not count.
        pub dry_run: Vec<DryRun>,
        /// Measurements kept, by metric.
        pub measurement_retention: Vec<MeasurementRetention>,
        /// Metadata of its runs.
        pub analysis_run_metadata: Option<PodMetadata>,
    }
}

record! {
    /// One template of an Experiment.
    pub struct ExperimentTemplate {
        /// Name, unique in the Experiment.
        pub name: String,
        /// Number of pods.
        pub replicas: Option<i32>,
        /// Seconds for which a ready pod must stay so.
        pub min_ready_seconds: Option<i32>,
        /// Which pods are its.
        pub selector: LabelSelector,
        /// The pods.
        pub template: PodTemplate,
        /// A Service in front of them.
        pub service: Option<TemplateService>,
    }
}

record! {
    /// A Service in front of one template's pods.
    pub struct TemplateService {
        /// Its name; the ReplicaSet's when it is not written.
        pub name: Option<String>,
    }
}

record! {
    /// One analysis of an Experiment.
    pub struct ExperimentAnalysis {
        /// Name, unique in the Experiment.
        pub name: String,
        /// The template.
        pub template_name: String,
        /// Whether it is a ClusterAnalysisTemplate.
        pub cluster_scope: Option<bool>,
        /// Values for its arguments.
        pub args: Vec<Argument>,
        /// The Experiment is not over before it is.
        pub required_for_completion: Option<bool>,
    }
}

words! {
    /// State of one template.
    pub enum TemplatePhase {
        /// Its pods are becoming available.
        #[serde(alias = "")]
        Progressing,
        /// All are.
        Running,
        /// The Experiment is over.
        Successful,
        /// They did not become available in time.
        Failed,
        /// They cannot be made.
        Error,
    }
}

impl TemplatePhase {
    /// Whether nothing more will come.
    pub fn is_completed(self) -> bool {
        match self {
            Self::Progressing | Self::Running => false,
            Self::Successful | Self::Failed | Self::Error => true,
        }
    }
}

record! {
    /// What was observed of an Experiment.
    pub struct ExperimentStatus {
        /// Its state.
        pub phase: Option<AnalysisPhase>,
        /// Why.
        pub message: Option<String>,
        /// When every pod of every template was available; the duration counts from here.
        pub available_at: Option<StatusTime>,
        /// States of the templates.
        pub template_statuses: Vec<TemplateStatus>,
        /// Conditions.
        pub conditions: Vec<Condition>,
        /// Its runs.
        pub analysis_runs: Vec<ExperimentRunStatus>,
    }
}

record! {
    /// State of one template.
    pub struct TemplateStatus {
        /// The template's name.
        pub name: String,
        /// Pods.
        pub replicas: i32,
        /// Pods of the template.
        pub updated_replicas: i32,
        /// Ready pods.
        pub ready_replicas: i32,
        /// Available pods.
        pub available_replicas: i32,
        /// How often a name was found taken.
        pub collision_count: Option<i32>,
        /// Its state.
        pub status: Option<TemplatePhase>,
        /// Why.
        pub message: Option<String>,
        /// When its state last changed, or more pods than ever became available.
        pub last_transition_time: Option<StatusTime>,
        /// Its Service.
        pub service_name: Option<String>,
        /// The hash that its pods carry.
        pub pod_template_hash: Option<PodHash>,
    }
}

record! {
    /// A run of an Experiment, as the Experiment last saw it.
    pub struct ExperimentRunStatus {
        /// The analysis.
        pub name: String,
        /// The AnalysisRun.
        pub analysis_run: String,
        /// Its phase.
        pub phase: Option<AnalysisPhase>,
        /// Why.
        pub message: Option<String>,
    }
}

record! {
    /// A step of a canary that makes an Experiment.
    pub struct ExperimentStep {
        /// The templates, from versions of the Rollout.
        pub templates: Vec<StepTemplate>,
        /// How long it runs once every pod is available.
        pub duration: Option<String>,
        /// What is measured meanwhile.
        pub analyses: Vec<ExperimentAnalysis>,
        /// Metrics whose result does not count.
        pub dry_run: Vec<DryRun>,
        /// Metadata of its runs.
        pub analysis_run_metadata: Option<PodMetadata>,
        /// Seconds for which pods stay after its end.
        pub scale_down_delay_seconds: Option<i32>,
    }
}

record! {
    /// One template of such a step.
    pub struct StepTemplate {
        /// Name, unique in the step.
        pub name: String,
        /// `stable` or `canary`: the version that it is.
        pub spec_ref: String,
        /// Number of pods.
        pub replicas: Option<i32>,
        /// Labels and annotations added to the pods.
        pub metadata: Option<PodMetadata>,
        /// Which pods are its; the Rollout's selector when it is not written.
        pub selector: Option<LabelSelector>,
        /// Share of the traffic that its Service gets, in percent.
        pub weight: Option<i32>,
        /// A Service in front of them.
        pub service: Option<TemplateService>,
    }
}

/// `specRef` of the stable version.
pub const SPEC_STABLE: &str = "stable";
/// `specRef` of the new version.
pub const SPEC_CANARY: &str = "canary";
/// Seconds in which a template must become available when the Experiment does not say.
const DEFAULT_PROGRESS_DEADLINE: i32 = 600;
/// Seconds for which pods stay after the end when the Experiment does not say.
const DEFAULT_SCALE_DOWN_DELAY: i32 = 30;

impl ExperimentSpec {
    /// Seconds in which a template must become available.
    pub fn deadline_seconds(&self) -> i32 {
        self.progress_deadline_seconds
            .unwrap_or(DEFAULT_PROGRESS_DEADLINE)
    }

    /// Seconds for which pods stay after the end.
    pub fn delay_seconds(&self) -> i32 {
        self.scale_down_delay_seconds
            .unwrap_or(DEFAULT_SCALE_DOWN_DELAY)
            .max(0)
    }
}

impl ExperimentTemplate {
    /// Pods wanted; 1 when it does not say.
    pub fn wanted(&self) -> i32 {
        self.replicas.unwrap_or(1).max(0)
    }
}

impl ExperimentAnalysis {
    /// The Experiment is not over before it is.
    pub fn is_required(&self) -> bool {
        self.required_for_completion == Some(true)
    }
}

impl StepTemplate {
    /// Its Service is wanted: it is written, or traffic goes to it.
    pub fn wants_service(&self) -> bool {
        self.service.is_some() || self.weight.is_some()
    }
}
