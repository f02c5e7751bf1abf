//! What no plan for an Experiment may do.
//!
//! In: what was observed and planned. Out: violations. It must not share code with the engine it checks.

use agent_api::names::{LABEL_POD_HASH, condition};
use agent_api::pod_hash::pod_hash;
use agent_api::{AnalysisPhase, duration};
use jiff::Timestamp;

use super::{Action, Leave, Observed, Plan};
use crate::audit::Violation;

/// Every rule, for tests that have to break each.
pub const RULES: [&str; 11] = [
    "verdict-is-final",
    "no-success-over-a-run",
    "no-success-without-a-required-run",
    "nothing-is-made-after-the-end",
    "nothing-is-made-of-an-invalid-spec",
    "names-are-new",
    "hash-is-its-own",
    "available-once",
    "owner-lets-it-begin",
    "no-success-of-nothing",
    "lasts-its-duration",
];

/// Checks a plan against the invariants.
pub fn audit(observed: &Observed, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    verdict(observed, plan, &mut found);
    made(observed, plan, &mut found);
    found
}

fn verdict(observed: &Observed, plan: &Plan, found: &mut Vec<Violation>) {
    let mut breaks = |rule: &'static str, detail: String| found.push(Violation { rule, detail });
    let before = observed.experiment.status.as_ref();
    let was = before.and_then(|status| status.phase);
    if was.is_some_and(AnalysisPhase::is_completed) && plan.status.phase != was {
        breaks(
            "verdict-is-final",
            format!("{was:?} became {:?}", plan.status.phase),
        );
    }
    if let Some(at) = before.and_then(|status| status.available_at)
        && plan.status.available_at != Some(at)
    {
        breaks(
            "available-once",
            format!("{at} became {:?}", plan.status.available_at),
        );
    }
    let succeeds = plan.status.phase == Some(AnalysisPhase::Successful);
    if !succeeds || was.is_some_and(AnalysisPhase::is_completed) {
        return;
    }
    if let Some(until) = lasts_until(observed).filter(|until| *until > observed.now) {
        breaks("lasts-its-duration", format!("it has until {until}"));
    }
    for run in &observed.analysis_runs {
        let name = run.metadata.name.clone().unwrap_or_default();
        let mut named = plan.status.analysis_runs.iter();
        if !named.any(|one| one.analysis_run == name) {
            continue;
        }
        let phase = run.status.as_ref().and_then(|status| status.phase);
        if phase != Some(AnalysisPhase::Successful) {
            breaks("no-success-over-a-run", format!("{name} is {phase:?}"));
        }
    }
    let unread = observed.unread_runs.keys();
    for name in unread.filter(|name| !known_good(observed, name)) {
        let mut named = plan.status.analysis_runs.iter();
        if named.any(|one| one.analysis_run == *name) {
            breaks("no-success-over-a-run", format!("{name} cannot be read"));
        }
    }
    let owned = observed.experiment.metadata.owner_references.is_some();
    if owned && plan.status.available_at.is_none() {
        breaks("no-success-of-nothing", "its pods never were".to_owned());
    }
    for analysis in &observed.experiment.spec.analyses {
        let mut runs = plan.status.analysis_runs.iter();
        let good = runs
            .any(|one| one.name == analysis.name && one.phase == Some(AnalysisPhase::Successful));
        let measured = |name: &str| plan.status.analysis_runs.iter().any(|one| one.name == name);
        let ended = observed.experiment.spec.terminate == Some(true);
        let mut all = observed.experiment.spec.analyses.iter();
        if ended && !all.any(|one| measured(&one.name)) {
            breaks("no-success-of-nothing", analysis.name.clone());
        }
        if analysis.required_for_completion == Some(true) && !good {
            breaks("no-success-without-a-required-run", analysis.name.clone());
        }
    }
}

/// The end of what nobody has ended, by the clock as it is set now; one whose pods were not known to be there has its whole
/// duration before it.
fn lasts_until(observed: &Observed) -> Option<Timestamp> {
    let experiment = &observed.experiment;
    let written = experiment.spec.duration.as_deref();
    let written = written.filter(|_| experiment.spec.terminate != Some(true))?;
    let length = duration::parse(written).ok()?;
    let begun = experiment.status.as_ref()?.available_at?;
    Some(observed.clock_set.shifted(begun).saturating_add(length))
}

/// The run was successful when it could still be read.
fn known_good(observed: &Observed, run: &str) -> bool {
    let status = observed.experiment.status.as_ref();
    let mut runs = status
        .into_iter()
        .flat_map(|status| &status.analysis_runs)
        .filter(|one| one.phase == Some(AnalysisPhase::Successful));
    runs.any(|one| one.analysis_run == run)
}

fn made(observed: &Observed, plan: &Plan, found: &mut Vec<Violation>) {
    let mut breaks = |rule: &'static str, detail: String| found.push(Violation { rule, detail });
    let over = plan.status.phase.is_some_and(AnalysisPhase::is_completed);
    let was = observed.experiment.status.as_ref();
    let was_over = was.and_then(|status| status.phase);
    let was_over = was_over.is_some_and(AnalysisPhase::is_completed);
    // By what is written: no template was known, nothing was available, and it was at most waiting.
    let fresh = was.is_none_or(|was| {
        was.template_statuses.is_empty()
            && was.available_at.is_none()
            && was
                .phase
                .is_none_or(|phase| phase == AnalysisPhase::Pending)
    });
    let withheld = fresh && observed.leave != Leave::Given;
    let mut conditions = plan.status.conditions.iter();
    let invalid = conditions.any(|one| one.r#type == condition::INVALID_SPEC);
    for action in &plan.actions {
        let name = match action {
            Action::CreateReplicaSet { replica_set, .. } => {
                let labels = replica_set.metadata.labels.as_ref();
                let hash = labels.and_then(|all| all.get(LABEL_POD_HASH));
                let content = replica_set.spec.template.without_label(LABEL_POD_HASH);
                if hash.is_none_or(|hash| *hash == pod_hash(&content, None).to_string()) {
                    breaks("hash-is-its-own", format!("{hash:?}"));
                }
                let name = replica_set.metadata.name.clone().unwrap_or_default();
                let mut all = observed.replica_sets.iter();
                if all.any(|one| one.metadata.name.as_ref() == Some(&name)) {
                    breaks("names-are-new", name.clone());
                }
                name
            }
            Action::CreateAnalysisRun { run } => {
                let name = run.metadata.name.clone().unwrap_or_default();
                let mut all = observed.analysis_runs.iter();
                if all.any(|one| one.metadata.name.as_ref() == Some(&name)) {
                    breaks("names-are-new", name.clone());
                }
                name
            }
            Action::CreateService { service } => service.metadata.name.clone().unwrap_or_default(),
            Action::ScaleReplicaSet { name, to, .. } if *to > 0 => name.clone(),
            Action::ScaleReplicaSet { .. }
            | Action::DeleteService { .. }
            | Action::TerminateAnalysisRun { .. }
            | Action::Event(_) => continue,
        };
        if was_over {
            breaks("nothing-is-made-after-the-end", name.clone());
        }
        if withheld {
            breaks("owner-lets-it-begin", name.clone());
        }
        if invalid && over {
            breaks("nothing-is-made-of-an-invalid-spec", name);
        }
    }
}
