//! The sentences of reasons. In: a reason. Out: what people read of it. It must not decide.

use std::fmt;

use super::{Reason, short};

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
            Self::ExperimentRunning { step, experiment } => {
                write!(f, "step {step} waits for experiment {experiment}")
            }
            Self::ExperimentInconclusive { experiment } => write!(
                f,
                "experiment {experiment} is inconclusive: somebody has to decide"
            ),
            Self::ExperimentWaits { name, why } => {
                write!(f, "experiment {name} does not begin yet: {why}")
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
            Self::BreakGlass { text } => write!(f, "break-glass: {text}"),
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
            Self::NameTaken { taken, instead } => f.write_str(&taken.sentence(instead)),
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

fn plural(count: i32, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}
