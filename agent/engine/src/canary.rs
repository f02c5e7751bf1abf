//! The canary without a router: one version takes over from another pod by pod, along the steps.
//!
//! In: `Pass`, opened on what the gate lets run. Out: writes, events, reasons and the planned status. The order of the
//! calls in `run` is the algorithm. It must not know leases or permits beyond the gate's decision.

pub mod conditions;
pub mod current;
pub mod history;
pub mod pass;
pub mod phase;
pub mod progress;
pub mod replicas;
pub mod runs;
pub mod scale;
pub mod steps;
pub mod verbs;

use agent_api::{ContentDigest, PodHash};

use crate::plan::EventKind;
use pass::Pass;

/// What the record has to know of a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The content that ran.
    pub digest: ContentDigest,
    /// Its hash.
    pub pod_hash: PodHash,
    /// The step, from 0.
    pub step: i32,
    /// All weight and all pods are its, all steps and analyses are done.
    pub served: bool,
    /// It was aborted, and why.
    pub aborted: Option<String>,
    /// It is the stable version.
    pub stable: bool,
}

/// Does one pass.
pub fn run(pass: &mut Pass<'_>) -> Progress {
    pass.settle_current();
    pass.settle_verbs();
    pass.walk();
    pass.promote();
    let view = pass.gate_view();
    pass.settle_gate_pause(&view);
    pass.watch_deadline();
    pass.scale();
    pass.end_other_runs();
    pass.trim_history();
    pass.settle_conditions();
    pass.settle_counts();
    pass.settle_phase(&view);
    settle_release(pass);
    pass.explain_gate();
    Progress {
        digest: pass.effective.digest.clone(),
        pod_hash: pass.new.hash.clone(),
        step: pass.index,
        served: pass.complete(),
        aborted: pass
            .aborted()
            .then(|| pass.news.aborted.clone().unwrap_or_default()),
        stable: pass.at_stable(),
    }
}

/// The annotation that names the release taken back, for alerts; it goes when Git has caught up (G22).
fn settle_release(pass: &mut Pass<'_>) {
    use crate::gate::decision::Mode;
    use agent_api::names::ANNOTATION_RELEASE;
    let annotations = pass.observed.rollout.metadata.annotations.as_ref();
    let shown = annotations
        .and_then(|all| all.get(ANNOTATION_RELEASE))
        .cloned();
    let wanted = match &pass.decision.mode {
        Mode::Rollback { release, .. } if pass.decision.held.is_some() => Some(release.clone()),
        Mode::Rollback { .. } | Mode::Open | Mode::Forward { .. } | Mode::Held => None,
    };
    // In a cluster that no fleet governs the annotation is none of ours.
    if shown == wanted || pass.observed.gate.governance != crate::observed::Governance::Governed {
        return;
    }
    if let (Some(_), Mode::Rollback { release, why, .. }) = (&wanted, &pass.decision.mode) {
        let text = format!("fleet rollback of release {release}: {why}");
        pass.event(EventKind::Warning, "RolloutAborted", text, "fleet");
    }
    pass.annotate_rollout(ANNOTATION_RELEASE, wanted);
}
