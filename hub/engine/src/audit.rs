//! The invariants, checked on any plan. In: an observation and a plan for it. Out: what the plan breaks. It must not share
//! the planner's steps: it replays the plan and asks, before each action, whether the facts allow it.

mod alone;
mod end;
mod member;
mod paper;
mod permit;
mod tally;
mod target;
mod verb;
mod wave;
mod window;

use std::fmt;

use crate::action::{Action, ChangeFate};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::reconcile::ended;
use crate::release::{Cause, ReleasePhase};
use crate::verb::Stop;
use tally::Tallies;

/// An invariant that a plan breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, e.g. `S1` of the fault list or `G18` of the gate's rules.
    pub rule: &'static str,
    /// What breaks it.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

/// Violations so far.
#[derive(Debug, Default)]
struct Findings(Vec<Violation>);

impl Findings {
    /// A violation, unless `holds`.
    fn need(&mut self, holds: bool, rule: &'static str, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation {
                rule,
                message: message(),
            });
        }
    }
}

/// Checks a plan against the invariants. Empty: none is broken.
#[must_use]
pub fn audit(observed: &Observed, plan: &Plan) -> Vec<Violation> {
    let mut findings = Findings::default();
    let mut state = observed.clone();
    let mut tallies = Tallies::default();
    for decision in &plan.actions {
        let action = &decision.action;
        findings.need(decision.evidence.is_object(), "S22", || {
            format!("no evidence for: {action}")
        });
        if let Some(number) = action.release()
            && !matches!(action, Action::OpenRelease { .. })
            && state.release(number).is_none()
        {
            findings.need(false, "S2", || {
                format!("there is no release #{number}: {action}")
            });
            continue;
        }
        one(&mut findings, &state, &mut tallies, action);
        paper::check(&mut findings, &state, action);
        tallies.advance(&mut state, action);
        // Every property and every simulated life looks at it; where a fleet is large it would be the time that is saved.
        let right = !cfg!(debug_assertions) || tallies.are_right(&state);
        findings.need(right, "S1", || format!("miscounted after: {action}"));
        let open = state
            .releases
            .iter()
            .filter(|release| !release.phase.ended());
        let waiting = open
            .clone()
            .filter(|release| release.phase == ReleasePhase::Waiting)
            .count();
        findings.need(waiting <= 1 && open.count() <= waiting + 1, "G26", || {
            format!("more than one release at once after: {action}")
        });
    }
    for cluster in &state.clusters {
        findings.need(ended(&state, cluster).is_none(), "G17", || {
            format!(
                "the permit of {} has ended and stays in its set",
                cluster.name
            )
        });
    }
    window::held_at_steps(&mut findings, &state);
    alone::check(&mut findings, &state);
    findings.0
}

#[allow(clippy::too_many_lines, reason = "one arm a variant")]
fn one(findings: &mut Findings, state: &Observed, tallies: &mut Tallies, action: &Action) {
    match action {
        Action::Govern { cluster, terms } => {
            let own = state.cluster(cluster);
            let selected = own.is_some_and(|own| own.selected);
            let gone = own.is_some_and(|own| own.gone.is_some());
            findings.need(!gone, "G9", || {
                format!("{cluster} is governed again without a person's word")
            });
            let governed = own.is_some_and(|own| own.gate.is_some());
            findings.need(selected || governed, "G9", || {
                format!("{cluster} is not selected")
            });
            let stopped = state.stopped.as_ref().map(Stop::message);
            findings.need(terms.stopped == stopped, "G30", || {
                format!("{cluster} is not told what a person said")
            });
            findings.need(!state.conflicts.contains_key(cluster), "G12", || {
                format!("{cluster} is governed by another FleetRollout")
            });
            let free = state.newest_number() == 0;
            findings.need(!terms.first_deploy_free || free, "G10", || {
                format!("a first deploy in {cluster} is free beside a release")
            });
        }
        Action::SetWaiting { cluster, .. } => {
            let governed = state.cluster(cluster).is_some_and(|own| own.gate.is_some());
            findings.need(governed, "G9", || format!("{cluster} has no gate"));
        }
        Action::OpenRelease {
            release,
            cause,
            phase,
            ..
        } => {
            opening(findings, state, *release, cause);
            let good = matches!(phase, ReleasePhase::Progressing | ReleasePhase::Waiting);
            findings.need(good, "G26", || {
                format!("release #{release} opens as {}", phase.as_str())
            });
        }
        Action::SettleChange { change, fate, .. } => {
            let known = state.changes.iter().find(|other| other.id == *change);
            findings.need(known.is_some(), "S2", || {
                format!("there is no change {change}")
            });
            let elsewhere = known.and_then(|known| state.conflicts.get(&known.cluster));
            findings.need(elsewhere.is_none(), "G12", || {
                format!(
                    "change {change} is for {} to settle",
                    elsewhere.map_or("", |one| one.as_str())
                )
            });
            let served = known.and_then(|known| {
                let rollout = state.cluster(&known.cluster)?.rollout.as_ref()?;
                Some(rollout.served.as_ref() == Some(&known.now.digest))
            });
            let withdrawn = *fate != ChangeFate::Withdrawn || served == Some(true);
            findings.need(withdrawn, "G19", || {
                format!("change {change} is not what the cluster serves")
            });
        }
        Action::RefuseRequest { request, .. } | Action::Unbar { request, .. } => {
            let known = state.requests.iter().any(|other| other.id == *request);
            findings.need(known, "G17", || {
                format!("nobody asked for request {request}")
            });
        }
        Action::StartRelease { release } => {
            let waiting = state
                .release(*release)
                .is_some_and(|own| own.phase == ReleasePhase::Waiting);
            findings.need(waiting && state.active().is_none(), "G26", || {
                format!("release #{release} starts out of turn")
            });
        }
        Action::JoinTarget { .. }
        | Action::BindContent { .. }
        | Action::BindDelivery { .. }
        | Action::SetTargetState { .. } => {
            target::check(findings, state, action);
        }
        Action::RequestApproval { .. }
        | Action::StartWave { .. }
        | Action::VoidApprovals { .. }
        | Action::StartBake { .. }
        | Action::PassWave { .. }
        | Action::FailWave { .. } => wave::check(findings, state, action),
        Action::GrantPermit { .. } | Action::RevokePermit { .. } => {
            permit::check(findings, state, tallies, action)
        }
        Action::HaltRelease { .. }
        | Action::StartRollback { .. }
        | Action::EndRelease { .. }
        | Action::Bar { .. } => {
            end::check(findings, state, action);
        }
        Action::Obey { .. } => verb::check(findings, state, action),
        Action::Member { .. } => member::check(findings, state, action),
    }
}

/// G24: only a change that a connected agent saw, or a person; S2: numbers rise by one.
fn opening(findings: &mut Findings, state: &Observed, release: u64, cause: &Cause) {
    findings.need(release == state.newest_number() + 1, "S2", || {
        format!("release #{release} is not the next one")
    });
    match cause {
        Cause::Change { change, cluster } => {
            let known = state
                .changes
                .iter()
                .find(|other| other.id == *change && other.cluster == *cluster);
            findings.need(known.is_some(), "G24", || {
                format!("no connected agent saw change {change} in {cluster}")
            });
            let Some(known) = known else { return };
            let newer = known
                .was
                .as_ref()
                .is_none_or(|was| known.now.generation > was.generation);
            findings.need(newer, "G24", || {
                format!("change {change} has no higher generation")
            });
            findings.need(!state.barred.contains_key(&known.now.digest), "G17", || {
                format!("{} failed before", known.now.digest)
            });
            let free = known.was.is_none() && state.newest_number() == 0;
            findings.need(!free, "G10", || {
                format!("change {change} is a free first deploy")
            });
        }
        Cause::Person {
            request, reason, ..
        } => {
            let known = state.requests.iter().any(|other| other.id == *request);
            findings.need(known && !reason.is_empty(), "G24", || {
                format!("nobody asked for request {request} with a reason")
            });
        }
    }
}
