//! The blue-green strategy and its status.
//!
//! In: the strategy's JSON. Out: typed fields. Must not touch: what is done with them.

use crate::intstr::IntOrString;
use crate::record::record;
use crate::rollout_status::AnalysisRunRef;
use crate::strategy::{AntiAffinity, PodMetadata, StepAnalysis};

record! {
    /// All at once, after a preview.
    pub struct BlueGreenStrategy {
        /// Service of the version that users get; required.
        pub active_service: Option<String>,
        /// Service of the newest version.
        pub preview_service: Option<String>,
        /// Pods of the preview until it is promoted; all of them when absent.
        pub preview_replica_count: Option<i32>,
        /// Promote without a person; true by default.
        pub auto_promotion_enabled: Option<bool>,
        /// Without a person, promote only after this many seconds.
        pub auto_promotion_seconds: Option<i32>,
        /// Pods that may be missing during a restart.
        pub max_unavailable: Option<IntOrString>,
        /// Seconds for which the old version stays after the switch; 30 by default.
        pub scale_down_delay_seconds: Option<i32>,
        /// How many old versions stay during that delay.
        pub scale_down_delay_revision_limit: Option<i32>,
        /// Seconds for which the preview stays after an abort; 30 by default, 0 for ever.
        pub abort_scale_down_delay_seconds: Option<i32>,
        /// Analysis before the switch.
        pub pre_promotion_analysis: Option<StepAnalysis>,
        /// Analysis after the switch.
        pub post_promotion_analysis: Option<StepAnalysis>,
        /// Keep pods of two versions off one node.
        pub anti_affinity: Option<AntiAffinity>,
        /// Metadata of pods that are previewed.
        pub preview_metadata: Option<PodMetadata>,
        /// Metadata of pods that users get.
        pub active_metadata: Option<PodMetadata>,
    }
}

record! {
    /// State of a blue-green rollout.
    pub struct BlueGreenStatus {
        /// Pod hash that the preview service selects.
        pub preview_selector: Option<String>,
        /// Pod hash that the active service selects.
        pub active_selector: Option<String>,
        /// The preview was scaled up to all its pods once, and stays so.
        pub scale_up_preview_check_point: Option<bool>,
        /// The run before the switch.
        pub pre_promotion_analysis_run_status: Option<AnalysisRunRef>,
        /// The run after the switch.
        pub post_promotion_analysis_run_status: Option<AnalysisRunRef>,
    }
}
