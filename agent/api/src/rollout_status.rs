//! The status of a Rollout.
//!
//! In: the status' JSON, also as another controller or a client left it. Out: typed fields. Must not touch: what is
//! decided from them.

use serde_json::Value;

use crate::analysis::AnalysisPhase;
use crate::blue_green::BlueGreenStatus;
use crate::pod_hash::PodHash;
use crate::record::{record, words};
use crate::time::StatusTime;

words! {
    /// The state of a Rollout in one word; clients show it as it is.
    pub enum Phase {
        /// On its way.
        Progressing,
        /// All there is to do is done.
        Healthy,
        /// Aborted, stuck or invalid.
        Degraded,
        /// Waits for a person, for time or for the fleet.
        Paused,
    }
}

record! {
    /// What was observed of a Rollout.
    pub struct RolloutStatus {
        /// Aborted; stays until retried or changed.
        pub abort: Option<bool>,
        /// When it was aborted.
        pub aborted_at: Option<StatusTime>,
        /// Why it is paused.
        pub pause_conditions: Vec<PauseCondition>,
        /// The pause was made here, not by a person.
        pub controller_pause: Option<bool>,
        /// Hash of the newest template acted on.
        pub current_pod_hash: Option<PodHash>,
        /// Hash of the steps.
        pub current_step_hash: Option<String>,
        /// Pods.
        pub replicas: Option<i32>,
        /// Pods of the newest version.
        pub updated_replicas: Option<i32>,
        /// Ready pods.
        pub ready_replicas: Option<i32>,
        /// Available pods.
        pub available_replicas: Option<i32>,
        /// The step that is being worked on.
        pub current_step_index: Option<i32>,
        /// How often a hash was found taken.
        pub collision_count: Option<i32>,
        /// Generation this status speaks of; text, as clients expect.
        pub observed_generation: Option<String>,
        /// Conditions.
        pub conditions: Vec<Condition>,
        /// State of the canary.
        pub canary: Option<CanaryStatus>,
        /// State of a blue-green rollout.
        pub blue_green: Option<BlueGreenStatus>,
        /// Pods that an autoscaler counts.
        #[serde(rename = "HPAReplicas")]
        pub hpa_replicas: Option<i32>,
        /// The selector as text, for autoscalers.
        pub selector: Option<String>,
        /// Hash of the stable version.
        #[serde(rename = "stableRS")]
        pub stable_rs: Option<PodHash>,
        /// Restart that all pods have seen.
        pub restarted_at: Option<StatusTime>,
        /// Skip all steps that are left.
        pub promote_full: Option<bool>,
        /// State in one word.
        pub phase: Option<Phase>,
        /// State in one sentence.
        pub message: Option<String>,
        /// Generation of the workload that `workloadRef` names.
        pub workload_observed_generation: Option<String>,
        /// How long the present update takes.
        pub duration: Option<RolloutDuration>,
    }
}

record! {
    /// How long an update takes, and how it ended.
    pub struct RolloutDuration {
        /// When it began.
        pub rollout_started_at: Option<StatusTime>,
        /// When the present pause that waits for a person began.
        pub manual_pause_started_at: Option<StatusTime>,
        /// Seconds of such pauses that are over.
        pub total_manual_pause_duration_seconds: Option<i64>,
        /// When it ended.
        pub finished_at: Option<StatusTime>,
        /// How: Promoted, FastPromoted, Aborted, Superseded, RolledBack, FastRolledBack.
        pub completion_status: Option<String>,
    }
}

record! {
    /// One reason to be paused.
    pub struct PauseCondition {
        /// The reason; see `names::pause_reason`.
        pub reason: String,
        /// Since when.
        pub start_time: StatusTime,
    }
}

record! {
    /// One condition.
    pub struct Condition {
        /// Type; see `names::condition`.
        pub r#type: String,
        /// `True`, `False` or `Unknown`.
        pub status: String,
        /// Reason in one word.
        pub reason: Option<String>,
        /// Message.
        pub message: Option<String>,
        /// When anything of it last changed.
        pub last_update_time: Option<StatusTime>,
        /// When its status last changed.
        pub last_transition_time: Option<StatusTime>,
    }
}

record! {
    /// State of the canary.
    pub struct CanaryStatus {
        /// Weights as they are.
        pub weights: Option<Weights>,
        /// The run of the present analysis step.
        pub current_step_analysis_run_status: Option<AnalysisRunRef>,
        /// The run in the background.
        pub current_background_analysis_run_status: Option<AnalysisRunRef>,
        /// The present experiment.
        pub current_experiment: Option<String>,
        /// Which of two services is stable.
        pub stable_ping_pong: Option<String>,
        /// States of step plugins.
        pub step_plugin_statuses: Vec<Value>,
    }
}

record! {
    /// Shares of traffic.
    pub struct Weights {
        /// Of the canary.
        pub canary: Option<WeightDestination>,
        /// Of the stable version.
        pub stable: Option<WeightDestination>,
        /// Of experiments.
        pub additional: Vec<WeightDestination>,
        /// Whether the router confirmed them.
        pub verified: Option<bool>,
    }
}

record! {
    /// Share of one destination.
    pub struct WeightDestination {
        /// Share in percent.
        pub weight: i32,
        /// Its service.
        pub service_name: Option<String>,
        /// Its pod hash.
        pub pod_template_hash: Option<PodHash>,
    }
}

record! {
    /// An AnalysisRun of the Rollout, as the Rollout last saw it.
    pub struct AnalysisRunRef {
        /// Its name.
        pub name: String,
        /// Its phase.
        pub status: Option<AnalysisPhase>,
        /// Its message.
        pub message: Option<String>,
    }
}

impl RolloutStatus {
    /// The condition of a type.
    pub fn condition(&self, wanted: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.r#type == wanted)
    }

    /// The pause condition with a reason.
    pub fn pause_condition(&self, reason: &str) -> Option<&PauseCondition> {
        self.pause_conditions
            .iter()
            .find(|pause| pause.reason == reason)
    }
}
