//! Why a plan is as it is, in sentences.
//! In: nothing. Out: the reasons; `explain`, the dashboard, the hub and the goldens show their sentences (`text`). It must
//! not decide.

mod text;

use agent_api::ContentDigest;
use jiff::Timestamp;

use crate::claims::Taken;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The spec cannot be acted on.
    InvalidSpec {
        /// Path and fault.
        message: String,
    },
    /// The first version goes out at once.
    InitialDeploy,
    /// A step sets the share.
    StepWeight {
        /// Counted from 1.
        step: i32,
        /// In percent.
        weight: i32,
        /// Out of so many.
        replicas: i32,
    },
    /// All steps are done: everything moves over.
    StepsDone,
    /// Everything that was asked for is there.
    Complete {
        /// Of this revision.
        revision: i64,
    },
    /// Somebody asked for the rest at once.
    FullPromotion,
    /// The spec went back to the stable version.
    BackToStable,
    /// The version was served before, not long ago.
    RollbackWindow,
    /// A version between stable and newest is not wanted any more.
    Intermediate,
    /// The present number of replicas is wanted in this version.
    Replicas {
        /// Out of so many.
        replicas: i32,
    },
    /// Pods of the first version stand in for those of the workload that the Rollout names.
    WorkloadReplaced {
        /// Ready now.
        ready: i32,
    },
    /// Pods of a version are still becoming available.
    PodsPending {
        /// The ReplicaSet.
        name: String,
        /// Available now.
        available: i32,
        /// Wanted.
        wanted: i32,
    },
    /// Scaling down would leave too few available pods.
    AvailabilityGuard {
        /// Available now.
        available: i32,
        /// The least allowed.
        minimum: i32,
    },
    /// Scaling up would make too many pods.
    SurgeGuard {
        /// Pods wanted now, of all versions.
        total: i32,
        /// The most allowed.
        maximum: i32,
    },
    /// A timed pause runs.
    PauseUntil {
        /// Counted from 1.
        step: i32,
        /// Its length in seconds.
        seconds: i64,
        /// Seconds of it that have passed.
        elapsed: i64,
        /// Its end.
        until: Timestamp,
    },
    /// A pause without end.
    PauseForPerson {
        /// Counted from 1.
        step: i32,
    },
    /// `spec.paused` is set.
    PausedByPerson,
    /// An analysis is under way.
    AnalysisRunning {
        /// Counted from 1; `None` in the background.
        step: Option<i32>,
        /// The run.
        run: String,
    },
    /// An analysis said neither good nor bad: a person decides.
    AnalysisInconclusive {
        /// The run.
        run: String,
    },
    /// An Experiment is under way.
    ExperimentRunning {
        /// Counted from 1.
        step: i32,
        /// The Experiment.
        experiment: String,
    },
    /// An Experiment said neither good nor bad: a person decides.
    ExperimentInconclusive {
        /// The Experiment.
        experiment: String,
    },
    /// An Experiment is not made yet.
    ExperimentWaits {
        /// The Experiment.
        name: String,
        /// For what.
        why: String,
    },
    /// The version was stable a moment ago and still has its pods.
    FastRollback,
    /// The active Service selects the version, and nothing speaks against it.
    Verified,
    /// The active Service is switched to the new version.
    Switches {
        /// What was waited for.
        why: String,
    },
    /// Blue-green waits for somebody to promote.
    PromotionForPerson,
    /// Blue-green promotes by itself after a while.
    PromotionUntil {
        /// The length in seconds.
        seconds: i64,
        /// Seconds of it that have passed.
        elapsed: i64,
        /// Its end.
        until: Timestamp,
    },
    /// An analysis beside the switch is under way.
    PromotionAnalysis {
        /// Before or after it.
        what: &'static str,
        /// The run.
        run: String,
    },
    /// A version without users keeps its pods for a while.
    Delayed {
        /// The ReplicaSet.
        name: String,
        /// Until then.
        until: Timestamp,
    },
    /// That while is over.
    DelayOver,
    /// The version was taken back.
    Aborted {
        /// Why.
        why: String,
    },
    /// There is nothing to abort.
    NothingToAbort,
    /// No progress for too long.
    DeadlineExceeded {
        /// Seconds allowed.
        seconds: i64,
    },
    /// The fleet holds the spec.
    Held {
        /// The content.
        digest: ContentDigest,
        /// What it waits for.
        message: String,
    },
    /// The fleet would hold the spec, were it enforced.
    WouldHold {
        /// What it would wait for.
        message: String,
    },
    /// A permit is carried out.
    Permitted {
        /// The release.
        release: String,
    },
    /// A permit does not count.
    PermitIgnored {
        /// Why.
        why: String,
    },
    /// The permit, the lease or the hub's silence stops the canary here.
    StepBoundary {
        /// The last step that may run, counted from 1.
        step: i32,
        /// Why.
        why: String,
    },
    /// The fleet takes the version back.
    FleetRollback {
        /// The release.
        release: String,
        /// Why.
        why: String,
    },
    /// What was on its way when the fleet took over goes on by local policy.
    Adopted {
        /// The content.
        digest: ContentDigest,
    },
    /// A request from inside the cluster is not honoured.
    VerbRefused {
        /// What, and who may.
        text: String,
    },
    /// A person did without the fleet's word, or tried to (G16).
    BreakGlass {
        /// Who, or why it does not count.
        text: String,
    },
    /// A restart is under way.
    Restarting {
        /// Pods that are older than it.
        left: i32,
        /// Pods that are not available now.
        missing: i32,
        /// Pods that may be missing.
        may: i32,
    },
    /// The API server refuses to evict a pod.
    RestartRefused {
        /// The pod.
        pod: String,
        /// Its words.
        message: String,
    },
    /// The API server refuses to make the ReplicaSet of the version.
    SetRefused {
        /// The ReplicaSet.
        name: String,
        /// Its words.
        message: String,
    },
    /// The API server refuses to change the owner of a ReplicaSet.
    ClaimRefused {
        /// The ReplicaSet.
        name: String,
        /// What cannot be done to it, in words.
        what: &'static str,
        /// The API server's words.
        message: String,
    },
    /// A ReplicaSet is being deleted and not gone.
    SetGoes {
        /// The ReplicaSet.
        name: String,
        /// What it waits for.
        holds: String,
    },
    /// A request from inside the cluster is honoured.
    VerbHonoured {
        /// Which, and more about it.
        verb: &'static str,
        /// At which step, by whom.
        text: String,
    },
    /// Only numbers of pods would be written, and some were just now.
    NumbersWait,
    /// Content has to be served again, and its template is not kept.
    TemplateLost {
        /// The content.
        digest: ContentDigest,
    },
    /// The routers cannot be asked.
    TrafficError {
        /// Why.
        message: String,
    },
    /// A version without available pods gets no traffic.
    NoPodsNoTraffic {
        /// The ReplicaSet.
        name: String,
    },
    /// The stable version has too few pods to take its traffic back.
    TrafficWaitsForStable {
        /// What the canary keeps meanwhile.
        weight: i32,
        /// Available pods of the stable version.
        available: i32,
    },
    /// The router has not confirmed what it shows.
    TrafficUnconfirmed {
        /// The canary's share.
        weight: i32,
    },
    /// A version without traffic keeps its pods for a while.
    StaysUntil {
        /// The ReplicaSet.
        name: String,
        /// How long.
        until: Timestamp,
    },
    /// A name is another's.
    NameTaken {
        /// The name, and whose it is.
        taken: Taken,
        /// What is made in its place.
        instead: String,
    },
    /// A Service is not switched yet.
    ServiceWaits {
        /// The Service.
        service: String,
        /// The ReplicaSet.
        name: String,
        /// Its available pods.
        available: i32,
        /// Pods that it needs first.
        wanted: i32,
    },
}

/// Letters of a digest that people are shown: enough to tell the few contents of one Rollout apart.
const SHORT: usize = 11;

/// The beginning of a digest.
pub fn short(digest: &ContentDigest) -> &str {
    digest.as_str().get(..SHORT).unwrap_or(digest.as_str())
}
