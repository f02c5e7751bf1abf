//! Why a plan is as it is, in sentences.
//! In: nothing. Out: the sentences that `explain`, the dashboard, the hub and the goldens show. It must not decide.

use std::fmt;

use agent_api::ContentDigest;
use jiff::Timestamp;

use crate::claims::NamedKind;

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
        /// Of which kind.
        kind: NamedKind,
        /// The name.
        name: String,
        /// Whose it is.
        by: String,
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

impl fmt::Display for Reason {
    #[expect(
        clippy::too_many_lines,
        reason = "one sentence a variant, and the list is the vocabulary"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSpec { message } => write!(f, "the spec cannot be acted on: {message}"),
            Self::InitialDeploy => f.write_str("the first version goes out at once, without steps"),
            Self::StepWeight { step: ..=0, .. } => f.write_str("no step has set a weight yet"),
            Self::StepWeight {
                step,
                weight,
                replicas,
            } => {
                write!(
                    f,
                    "step {step} sets weight {weight} of {replicas} {}",
                    plural(*replicas, "replica")
                )
            }
            Self::StepsDone => f.write_str("all steps are done"),
            Self::Complete { revision } => write!(f, "revision {revision} is complete"),
            Self::FullPromotion => f.write_str("full promotion was requested"),
            Self::BackToStable => {
                f.write_str("the spec is back at the stable version, without steps")
            }
            Self::RollbackWindow => {
                f.write_str("the version lies within the rollback window, without steps")
            }
            Self::Intermediate => f.write_str("it is neither the stable nor the wanted version"),
            Self::Replicas { replicas } => {
                write!(f, "{replicas} {} wanted", plural(*replicas, "replica"))
            }
            Self::WorkloadReplaced { ready } => write!(
                f,
                "{ready} {} of the first version stand in for its own",
                plural(*ready, "ready pod")
            ),
            Self::PodsPending {
                name,
                available,
                wanted,
            } => {
                write!(f, "{name} has {available} of {wanted} pods available")
            }
            Self::AvailabilityGuard { available, minimum } => {
                write!(
                    f,
                    "{available} pods are available and {minimum} must be: nothing more is scaled down"
                )
            }
            Self::SurgeGuard { total, maximum } => {
                write!(
                    f,
                    "{total} pods are wanted and {maximum} are allowed: nothing more is scaled up"
                )
            }
            Self::PauseUntil {
                step,
                seconds,
                elapsed,
                ..
            } => {
                write!(f, "step {step} pause {seconds}s, {elapsed}s elapsed")
            }
            Self::PauseForPerson { step } => {
                write!(f, "step {step} pauses until somebody promotes")
            }
            Self::PausedByPerson => f.write_str("spec.paused is set"),
            Self::AnalysisRunning {
                step: Some(step),
                run,
            } => write!(f, "step {step} waits for analysis {run}"),
            Self::AnalysisRunning { step: None, run } => {
                write!(f, "analysis {run} runs in the background")
            }
            Self::AnalysisInconclusive { run } => {
                write!(f, "analysis {run} is inconclusive: somebody has to decide")
            }
            Self::FastRollback => {
                f.write_str("the version was stable a moment ago and still has its pods")
            }
            Self::Verified => f.write_str("the active service selects it"),
            Self::Switches { why } => write!(f, "the active service is switched: {why}"),
            Self::PromotionForPerson => {
                f.write_str("the active service is switched when somebody promotes")
            }
            Self::PromotionUntil {
                seconds, elapsed, ..
            } => write!(
                f,
                "the active service is switched {seconds}s after the pause began, {elapsed}s elapsed"
            ),
            Self::PromotionAnalysis { what, run } => write!(f, "analysis {run} runs {what}"),
            Self::Delayed { name, until } => write!(f, "{name} keeps its pods until {until}"),
            Self::DelayOver => f.write_str("its delay is over"),
            Self::Aborted { why } => write!(f, "aborted: {why}"),
            Self::NothingToAbort => f.write_str("abort was requested and nothing is on its way"),
            Self::DeadlineExceeded { seconds } => write!(f, "no progress for more than {seconds}s"),
            Self::Held { digest, message } => {
                write!(f, "content {} is held: {message}", short(digest))
            }
            Self::WouldHold { message } => write!(f, "not enforced, else held: {message}"),
            Self::Permitted { release } => write!(f, "permitted by release {release}"),
            Self::PermitIgnored { why } => write!(f, "the permit does not count: {why}"),
            Self::StepBoundary { step, why } => write!(f, "stops after step {step}: {why}"),
            Self::FleetRollback { release, why } => {
                write!(f, "fleet rollback of release {release}: {why}")
            }
            Self::Adopted { digest } => {
                write!(
                    f,
                    "content {} was on its way before it was governed: goes on by local policy",
                    short(digest)
                )
            }
            Self::VerbRefused { text } => write!(f, "refused: {text}"),
            Self::Restarting { left, missing, may } => write!(
                f,
                "{left} {} older than restartAt; {missing} not available, at most {may} may be missing",
                if *left == 1 { "pod is" } else { "pods are" }
            ),
            Self::RestartRefused { pod, message } => {
                write!(f, "pod {pod} is not restarted yet: {message}")
            }
            Self::SetRefused { name, message } => {
                write!(f, "{name} cannot be created, no step is walked: {message}")
            }
            Self::ClaimRefused {
                name,
                what,
                message,
            } => write!(f, "{name} cannot be {what}: {message}"),
            Self::SetGoes { name, holds } => {
                write!(
                    f,
                    "{name} is being deleted and not gone: it waits for {holds}"
                )
            }
            Self::VerbHonoured { verb, text } => write!(f, "{verb} {text}"),
            Self::NumbersWait => {
                f.write_str("pods are not counted in the status more than once in a moment")
            }
            Self::TemplateLost { digest } => {
                write!(
                    f,
                    "content {} has to be served and its template is not kept",
                    short(digest)
                )
            }
            Self::TrafficError { message } => {
                write!(f, "the router cannot be asked: {message}")
            }
            Self::NoPodsNoTraffic { name } => {
                write!(f, "{name} has no available pod and gets no traffic")
            }
            Self::TrafficWaitsForStable { weight, available } => {
                write!(
                    f,
                    "the stable version has {available} {} available: the canary keeps weight {weight}",
                    plural(*available, "pod")
                )
            }
            Self::TrafficUnconfirmed { weight } => {
                write!(f, "the router has not confirmed weight {weight}")
            }
            Self::StaysUntil { name, until } => {
                write!(f, "{name} keeps its pods without traffic until {until}")
            }
            Self::NameTaken {
                kind,
                name,
                by,
                instead,
            } => {
                write!(
                    f,
                    "{kind} {name} is there and belongs to {by}: {instead} is made instead; delete the other if nobody needs it"
                )
            }
            Self::ServiceWaits {
                service,
                name,
                available,
                wanted,
            } => {
                write!(
                    f,
                    "service {service} waits for pods of {name}: {available} of {wanted} available"
                )
            }
        }
    }
}

/// Letters of a digest that people are shown: enough to tell the few contents of one Rollout apart.
const SHORT: usize = 11;

/// The beginning of a digest.
pub fn short(digest: &ContentDigest) -> &str {
    digest.as_str().get(..SHORT).unwrap_or(digest.as_str())
}

fn plural(count: i32, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}
