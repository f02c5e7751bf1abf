//! Analysis: templates, what they measure, and runs' specs.
//!
//! In: the objects' JSON. Out: typed metrics. Must not touch: measuring and judging.

pub use crate::analysis_run::{
    AnalysisPhase, AnalysisRun, AnalysisRunSpec, AnalysisRunStatus, Measurement, MetricResult,
    RunSummary, TtlStrategy,
};
use crate::intstr::IntOrString;
use crate::names::{ANNOTATION_STRICT, ROLLOUTS_GROUP, VERSION};
use crate::object::{
    ApiVersionOf, ClusterWide, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata,
};
use crate::provider::MetricProvider;
use crate::record::record;

record! {
    /// Metrics under a name, in a namespace.
    pub struct AnalysisTemplate {
        /// Always `argoproj.io/v1alpha1`.
        pub api_version: ApiVersionOf<AnalysisTemplate>,
        /// Always `AnalysisTemplate`.
        pub kind: KindOf<AnalysisTemplate>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// The metrics.
        pub spec: AnalysisTemplateSpec,
    }
}
kind!(
    AnalysisTemplate,
    Namespaced,
    ROLLOUTS_GROUP,
    VERSION,
    "AnalysisTemplate",
    "analysistemplates"
);

record! {
    /// Metrics under a name, for the whole cluster.
    pub struct ClusterAnalysisTemplate {
        /// Always `argoproj.io/v1alpha1`.
        pub api_version: ApiVersionOf<ClusterAnalysisTemplate>,
        /// Always `ClusterAnalysisTemplate`.
        pub kind: KindOf<ClusterAnalysisTemplate>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// The metrics.
        pub spec: AnalysisTemplateSpec,
    }
}
kind!(
    ClusterAnalysisTemplate,
    ClusterWide,
    ROLLOUTS_GROUP,
    VERSION,
    "ClusterAnalysisTemplate",
    "clusteranalysistemplates"
);

impl Trim for AnalysisTemplate {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
    }
}
impl Trim for ClusterAnalysisTemplate {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
    }
}

record! {
    /// What a template holds.
    pub struct AnalysisTemplateSpec {
        /// The metrics.
        pub metrics: Vec<Metric>,
        /// Arguments, some with values.
        pub args: Vec<Argument>,
        /// Metrics whose result does not count.
        pub dry_run: Vec<DryRun>,
        /// Measurements kept, by metric.
        pub measurement_retention: Vec<MeasurementRetention>,
        /// Further templates whose metrics are added.
        pub templates: Vec<TemplateRef>,
        /// Whether the template is strict. No field of the API: whoever reads a template takes it from its annotation, see
        /// [`Self::of`], so that it is kept with what is kept of a template.
        pub strict: Option<bool>,
    }
}

impl AnalysisTemplateSpec {
    /// The spec of a template with these metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta, spec: &Self) -> Self {
        Self {
            strict: is_strict(metadata).then_some(true),
            ..spec.clone()
        }
    }
}

/// An analysis template or run asks for strict judgements.
#[must_use]
pub fn is_strict(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(ANNOTATION_STRICT))
        .is_some_and(|value| value == "true")
}

record! {
    /// A template by name.
    pub struct TemplateRef {
        /// Its name.
        pub template_name: String,
        /// Whether it is a ClusterAnalysisTemplate.
        pub cluster_scope: Option<bool>,
    }
}

record! {
    /// An argument, with its value or where the value comes from.
    pub struct Argument {
        /// Name, used as `{{args.<name>}}`.
        pub name: String,
        /// Value as text.
        pub value: Option<String>,
        /// Where the value comes from.
        pub value_from: Option<ValueFrom>,
    }
}
/// An argument as a Rollout's analysis gives it.
pub type ArgumentWithSource = Argument;

record! {
    /// Where an argument's value comes from.
    pub struct ValueFrom {
        /// `Stable` or `Latest`: the pod hash of that version.
        pub pod_template_hash_value: Option<String>,
        /// A field of the Rollout.
        pub field_ref: Option<FieldRef>,
        /// A key of a Secret.
        pub secret_key_ref: Option<SecretKeyRef>,
    }
}

record! {
    /// A field of the Rollout.
    pub struct FieldRef {
        /// Its path, such as `metadata.labels['region']`.
        pub field_path: String,
    }
}

record! {
    /// A key of a Secret.
    pub struct SecretKeyRef {
        /// The Secret's name.
        pub name: String,
        /// The key.
        pub key: String,
    }
}

record! {
    /// Metrics whose result does not count.
    pub struct DryRun {
        /// Regular expression over metric names.
        pub metric_name: String,
    }
}

record! {
    /// Measurements kept for a metric.
    pub struct MeasurementRetention {
        /// Regular expression over metric names.
        pub metric_name: String,
        /// How many.
        pub limit: i32,
    }
}

record! {
    /// One metric: what is asked, how often, and what is good.
    pub struct Metric {
        /// Name, unique in a run.
        pub name: String,
        /// Time between measurements.
        pub interval: Option<String>,
        /// Time before the first.
        pub initial_delay: Option<String>,
        /// How many measurements.
        pub count: Option<IntOrString>,
        /// Expression that makes a measurement a success.
        pub success_condition: Option<String>,
        /// Expression that makes a measurement a failure.
        pub failure_condition: Option<String>,
        /// Failures borne.
        pub failure_limit: Option<IntOrString>,
        /// Inconclusive measurements borne.
        pub inconclusive_limit: Option<IntOrString>,
        /// Errors in a row borne.
        pub consecutive_error_limit: Option<IntOrString>,
        /// Successes in a row that are enough.
        pub consecutive_success_limit: Option<IntOrString>,
        /// Whom to ask.
        pub provider: MetricProvider,
        /// Whether it is judged strictly. No field of the API: the engine sets it on what it hands out to be measured, by
        /// the annotation of the run.
        pub strict: Option<bool>,
    }
}
