//! The canary strategy and its steps.
//!
//! In: the strategy's JSON. Out: typed steps, each with exactly one kind. Must not touch: what a step does.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analysis::{Argument, DryRun, MeasurementRetention, TemplateRef};
use crate::experiment::ExperimentStep;
use crate::intstr::IntOrString;
use crate::record::record;
use crate::traffic::{SetCanaryScale, SetHeaderRoute, SetMirrorRoute, TrafficRouting};

record! {
    /// Step by step beside the stable version.
    pub struct CanaryStrategy {
        /// Pods above the wanted number.
        pub max_surge: Option<IntOrString>,
        /// Pods that may be missing.
        pub max_unavailable: Option<IntOrString>,
        /// The steps, in order.
        pub steps: Vec<CanaryStep>,
        /// Analysis in the background.
        pub analysis: Option<StepAnalysis>,
        /// Traffic routers.
        pub traffic_routing: Option<TrafficRouting>,
        /// Metadata of canary pods.
        pub canary_metadata: Option<PodMetadata>,
        /// Metadata of stable pods.
        pub stable_metadata: Option<PodMetadata>,
        /// Seconds for which old pods stay after a switch of traffic.
        pub scale_down_delay_seconds: Option<i32>,
        /// How many old versions stay during that delay.
        pub scale_down_delay_revision_limit: Option<i32>,
        /// Seconds for which canary pods stay after an abort; 0 for ever.
        pub abort_scale_down_delay_seconds: Option<i32>,
        /// The stable version shrinks as its traffic does.
        pub dynamic_stable_scale: Option<bool>,
        /// Least pods of a version that has any, with traffic routing.
        pub min_pods_per_replica_set: Option<i32>,
        /// How many pods have to be there for a step to count as reached.
        pub replica_progress_threshold: Option<ReplicaProgressThreshold>,
        /// Keep pods of two versions off one node.
        pub anti_affinity: Option<AntiAffinity>,
        /// Two services that take turns at being stable.
        pub ping_pong: Option<Value>,
        /// Service of the canary.
        pub canary_service: Option<String>,
        /// Service of the stable version.
        pub stable_service: Option<String>,
    }
}

record! {
    /// How many pods have to be there for a step to count as reached.
    pub struct ReplicaProgressThreshold {
        /// `Percent` or `Pods`.
        pub r#type: Option<String>,
        /// How many of them.
        pub value: Option<i32>,
    }
}

record! {
    /// Keeps pods of the new version off the nodes of the stable one; one of the two is given.
    pub struct AntiAffinity {
        /// Never on one node.
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        pub required: Option<Value>,
        /// Rather not on one node.
        #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
        pub preferred: Option<PreferredAntiAffinity>,
    }
}

record! {
    /// How much it is preferred.
    pub struct PreferredAntiAffinity {
        /// From 1 to 100.
        pub weight: Option<i32>,
    }
}

record! {
    /// Labels and annotations added to pods beyond their template.
    pub struct PodMetadata {
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Annotations.
        pub annotations: BTreeMap<String, String>,
    }
}

record! {
    /// One step; exactly one key is given.
    pub struct CanaryStep {
        /// Share of the new version, in percent.
        pub set_weight: Option<i32>,
        /// Wait.
        pub pause: Option<PauseStep>,
        /// Versions beside each other for a while.
        pub experiment: Option<ExperimentStep>,
        /// Measure and judge.
        pub analysis: Option<StepAnalysis>,
        /// Pods of the canary apart from its traffic.
        pub set_canary_scale: Option<SetCanaryScale>,
        /// Requests with a header go to the canary.
        pub set_header_route: Option<SetHeaderRoute>,
        /// Copies of requests go to the canary.
        pub set_mirror_route: Option<SetMirrorRoute>,
    }
}

record! {
    /// A wait: for a while, or without `duration` until somebody promotes.
    pub struct PauseStep {
        /// Seconds, or text such as `1h`.
        pub duration: Option<IntOrString>,
    }
}

record! {
    /// An analysis named by a step or run in the background.
    pub struct StepAnalysis {
        /// The templates, together one run.
        pub templates: Vec<TemplateRef>,
        /// Values for the templates' arguments.
        pub args: Vec<Argument>,
        /// Metrics whose result does not count.
        pub dry_run: Vec<DryRun>,
        /// Measurements kept, by metric.
        pub measurement_retention: Vec<MeasurementRetention>,
        /// Metadata of the run.
        pub analysis_run_metadata: Option<PodMetadata>,
        /// The step at which a background analysis starts.
        pub starting_step: Option<i32>,
    }
}

/// What a step is.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind<'a> {
    /// Bring the new version to this share, in percent.
    SetWeight(i32),
    /// Wait.
    Pause(&'a PauseStep),
    /// Versions beside each other for a while.
    Experiment(&'a ExperimentStep),
    /// Measure and judge.
    Analysis(&'a StepAnalysis),
    /// Pods of the canary apart from its traffic.
    CanaryScale(&'a SetCanaryScale),
    /// Requests with a header go to the canary.
    HeaderRoute(&'a SetHeaderRoute),
    /// Copies of requests go to the canary.
    MirrorRoute(&'a SetMirrorRoute),
    /// A step that this version knows only by name.
    Unsupported(String),
    /// Not exactly one key; the text says what is wrong.
    Invalid(String),
}

/// Step keys of the API that this version does not carry out.
pub const UNSUPPORTED_STEPS: [&str; 1] = ["plugin"];

/// Step keys that this version carries out, for messages.
const STEPS: &str =
    "setWeight, pause, experiment, analysis, setCanaryScale, setHeaderRoute or setMirrorRoute";

impl CanaryStep {
    /// What this step is.
    pub fn kind(&self) -> StepKind<'_> {
        let mut found = Vec::new();
        if let Some(weight) = self.set_weight {
            found.push(("setWeight", StepKind::SetWeight(weight)));
        }
        if let Some(pause) = &self.pause {
            found.push(("pause", StepKind::Pause(pause)));
        }
        if let Some(experiment) = &self.experiment {
            found.push(("experiment", StepKind::Experiment(experiment)));
        }
        if let Some(analysis) = &self.analysis {
            found.push(("analysis", StepKind::Analysis(analysis)));
        }
        if let Some(scale) = &self.set_canary_scale {
            found.push(("setCanaryScale", StepKind::CanaryScale(scale)));
        }
        if let Some(route) = &self.set_header_route {
            found.push(("setHeaderRoute", StepKind::HeaderRoute(route)));
        }
        if let Some(route) = &self.set_mirror_route {
            found.push(("setMirrorRoute", StepKind::MirrorRoute(route)));
        }
        for (key, value) in &self.rest {
            if !value.is_null() {
                found.push((key, StepKind::Unsupported(key.clone())));
            }
        }
        let keys: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
        if keys.len() > 1 {
            let mut keys = keys;
            keys.sort_unstable();
            return StepKind::Invalid(format!(
                "has {} ({}): write them as separate steps",
                keys.len(),
                keys.join(", ")
            ));
        }
        match found.pop() {
            Some((_, StepKind::Unsupported(key))) if !UNSUPPORTED_STEPS.contains(&key.as_str()) => {
                StepKind::Invalid(format!("has the unknown key {key}: use {STEPS}"))
            }
            Some((_, kind)) => kind,
            None => StepKind::Invalid(format!("is empty: give it {STEPS}")),
        }
    }
}
