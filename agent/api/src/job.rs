//! A slim Job: its metadata, and how it stands.
//!
//! In: a `batch/v1` Job's metadata and status. Out: conditions and counts of pods. Must not touch: the Job's spec.

use crate::object::{ApiVersionOf, KindOf, Namespaced, ObjectMeta, Trim, kind, trim_metadata};
use crate::record::record;

record! {
    /// A Job.
    pub struct Job {
        /// Always `batch/v1`.
        pub api_version: ApiVersionOf<Job>,
        /// Always `Job`.
        pub kind: KindOf<Job>,
        /// Metadata.
        pub metadata: ObjectMeta,
        /// What was observed.
        pub status: Option<JobStatus>,
    }
}
kind!(Job, Namespaced, "batch", "v1", "Job", "jobs");

record! {
    /// What was observed of a Job.
    pub struct JobStatus {
        /// Conditions.
        pub conditions: Vec<JobCondition>,
        /// Pods that are pending or running.
        pub active: Option<i32>,
        /// Those of them that are ready.
        pub ready: Option<i32>,
    }
}

record! {
    /// One condition of a Job.
    pub struct JobCondition {
        /// Its type, such as `Complete` or `Failed`.
        pub r#type: String,
        /// `True`, `False` or `Unknown`.
        pub status: String,
        /// Why, in a word.
        pub reason: Option<String>,
        /// Why, in a sentence.
        pub message: Option<String>,
    }
}

impl Trim for Job {
    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        // The template's own, of any size; the run and the metric are known by the name and the owner.
        self.metadata.annotations = None;
        self.rest.clear();
        if let Some(status) = &mut self.status {
            status.rest.clear();
            for condition in &mut status.conditions {
                condition.rest.clear();
            }
        }
    }
}
