//! Rollout.
//!
//! In: the objects' JSON. Out: typed specs. Must not touch: defaults (see `defaults`) and validity (see `validate`).

use crate::author::keep_authors;
use crate::blue_green::BlueGreenStrategy;
use crate::names::{ROLLOUTS_GROUP, VERSION};
use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::pod_template::PodTemplate;
use crate::record::record;
use crate::rollout_status::RolloutStatus;
use crate::selector::LabelSelector;
use crate::strategy::CanaryStrategy;
use crate::time::StatusTime;

record! {
    /// A Rollout: a set of pods and how a new version of them reaches users.
    pub struct Rollout {
        /// Always `argoproj.io/v1alpha1`.
        pub api_version: ApiVersionOf<Rollout>,
        /// Always `Rollout`.
        pub kind: KindOf<Rollout>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What is wanted.
        pub spec: RolloutSpec,
        /// What was observed.
        pub status: Option<RolloutStatus>,
    }
}
kind!(
    Rollout,
    Namespaced,
    ROLLOUTS_GROUP,
    VERSION,
    "Rollout",
    "rollouts"
);

impl Trim for Rollout {
    /// Who asked for something stays: the history tells it.
    fn trim(&mut self) {
        keep_authors(&mut self.metadata);
        let authors = self.metadata.managed_fields.take();
        trim_metadata(&mut self.metadata);
        self.metadata.managed_fields = authors;
    }
}

record! {
    /// What is wanted of a Rollout.
    pub struct RolloutSpec {
        /// Number of pods; see `defaults`.
        pub replicas: Option<i32>,
        /// Which pods belong to it; immutable.
        pub selector: LabelSelector,
        /// The pods; absent with `workload_ref`.
        pub template: Option<PodTemplate>,
        /// The workload whose template is used instead.
        pub workload_ref: Option<WorkloadRef>,
        /// Seconds for which a ready pod must stay so.
        pub min_ready_seconds: Option<i32>,
        /// Old ReplicaSets kept.
        pub revision_history_limit: Option<i32>,
        /// Paused by a person.
        pub paused: Option<bool>,
        /// Seconds without progress after which the rollout counts as stuck.
        pub progress_deadline_seconds: Option<i32>,
        /// Abort when stuck.
        pub progress_deadline_abort: Option<bool>,
        /// Pods older than this are replaced.
        pub restart_at: Option<StatusTime>,
        /// Going back to one of the last revisions skips the steps.
        pub rollback_window: Option<RollbackWindow>,
        /// How many finished runs are kept.
        pub analysis: Option<AnalysisHistory>,
        /// How a new version is brought out.
        pub strategy: RolloutStrategy,
    }
}

record! {
    /// The workload whose template a Rollout uses.
    pub struct WorkloadRef {
        /// Its group and version.
        #[serde(rename = "apiVersion")]
        pub api_version: Option<String>,
        /// Its kind.
        pub kind: Option<String>,
        /// Its name, in the same namespace.
        pub name: Option<String>,
        /// When it is scaled down.
        pub scale_down: Option<String>,
    }
}

record! {
    /// Going back to one of the last revisions skips the steps.
    pub struct RollbackWindow {
        /// How many revisions back.
        pub revisions: Option<i32>,
    }
}

record! {
    /// How many finished AnalysisRuns and Experiments are kept.
    pub struct AnalysisHistory {
        /// Successful ones.
        pub successful_run_history_limit: Option<i32>,
        /// Failed, inconclusive and in error.
        pub unsuccessful_run_history_limit: Option<i32>,
    }
}

record! {
    /// How a new version is brought out; exactly one is given.
    pub struct RolloutStrategy {
        /// Step by step beside the stable version.
        pub canary: Option<CanaryStrategy>,
        /// All at once, after a preview.
        pub blue_green: Option<BlueGreenStrategy>,
    }
}
