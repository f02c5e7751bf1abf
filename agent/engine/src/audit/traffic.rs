//! Rules of traffic: no share without pods, no pods taken from under a share, nothing back to an aborted version; and the
//! verdict of an analysis in the background.
//!
//! In: the view. Out: violations. It must not know how the engine comes to a share.

use agent_api::names::pause_reason;
use agent_api::{AnalysisPhase, PodHash, WeightDestination, Weights};

use super::Violation;
use super::view::{Move, View, breaks};
use crate::canary::replicas::threshold;
use crate::canary::routed::Routed;
use crate::plan::Action;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    background(view, found);
    services(view, found);
    let Some(routed) = view.routed() else {
        return;
    };
    under_traffic(view, routed, found);
    promotion(view, routed, found);
    if let Some(asked) = asked(view) {
        shares(view, routed, asked, found);
        step(view, routed, asked, found);
    }
}

fn asked<'a>(view: &View<'a>) -> Option<&'a Weights> {
    view.plan.actions.iter().find_map(|action| {
        let Action::SetTraffic { traffic, .. } = action else {
            return None;
        };
        Some(&traffic.weights)
    })
}

fn sides(weights: &Weights) -> impl Iterator<Item = &WeightDestination> {
    weights.canary.iter().chain(&weights.stable)
}

fn weight_of(weights: &Weights, hash: Option<&PodHash>) -> i32 {
    sides(weights)
        .filter(|side| side.pod_template_hash.as_ref() == hash)
        .map(|side| side.weight)
        .fold(0_i32, i32::saturating_add)
}

fn set_of<'a>(view: &'a View<'_>, hash: Option<&PodHash>) -> Option<&'a Move> {
    view.moves.iter().find(|one| Some(&one.hash) == hash)
}

/// Pods apart from traffic, as the steps up to the planned one have it.
fn explicit(view: &View<'_>) -> bool {
    view.steps()
        .iter()
        .any(|step| step.set_canary_scale.is_some())
}

/// Whoever is sent requests keeps pods for them.
fn under_traffic(view: &View<'_>, routed: Routed, found: &mut Vec<Violation>) {
    let shown = view.shown();
    for side in sides(&shown).filter(|side| side.weight > 0) {
        let Some(set) = set_of(view, side.pod_template_hash.as_ref()) else {
            continue;
        };
        let current = Some(&set.hash) == view.plan.status.current_pod_hash.as_ref();
        let share = routed.pods(side.weight);
        let need = if explicit(view) && current {
            share.min(1)
        } else {
            share
        };
        if set.to < set.from && set.to < need.min(set.from) {
            breaks(
                found,
                "traffic-has-pods",
                format!(
                    "{} has {} of the traffic and goes from {} to {} pods",
                    set.name, side.weight, set.from, set.to
                ),
            );
        }
    }
}

/// A share grows only onto pods that are there, and only as far as they bear it.
fn shares(view: &View<'_>, routed: Routed, asked: &Weights, found: &mut Vec<Violation>) {
    let shown = view.shown();
    let anybody = view.moves.iter().any(|one| !one.made && one.available > 0);
    let first = view.before.stable_rs.is_none() || view.stable().is_none();
    for side in sides(asked).filter(|side| side.weight > 0) {
        let hash = side.pod_template_hash.as_ref();
        if weight_of(asked, hash) <= weight_of(&shown, hash) || first || !anybody {
            continue;
        }
        let there = set_of(view, hash).map_or(0, |set| {
            if set.made {
                0
            } else {
                set.available.min(set.from)
            }
        });
        let canary =
            asked.canary.as_ref() == Some(side) && hash != view.plan.status.stable_rs.as_ref();
        let need = if canary && !explicit(view) {
            let canary = view.running.as_ref();
            let canary = canary.and_then(|running| running.strategy.canary.as_ref());
            let enough = canary.and_then(|canary| canary.replica_progress_threshold.as_ref());
            threshold(enough, routed.pods(side.weight)).max(1)
        } else {
            1
        };
        if there < need && routed.replicas > 0 {
            breaks(
                found,
                "weight-needs-pods",
                format!(
                    "{hash:?} gets weight {} and has {there} available pods",
                    side.weight
                ),
            );
        }
    }
}

/// The canary's share is never above its step, and never rises while it is aborted.
fn step(view: &View<'_>, routed: Routed, asked: &Weights, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    let Some(canary) = asked.canary.as_ref() else {
        return;
    };
    let hash = canary.pod_template_hash.as_ref();
    let shown = view.shown();
    let had = weight_of(&shown, hash);
    let on_its_way = hash != status.stable_rs.as_ref();
    if !on_its_way || canary.weight <= had {
        return;
    }
    if status.abort == Some(true) {
        breaks(
            found,
            "aborted-gets-no-weight",
            format!("weight {had} becomes {}", canary.weight),
        );
    }
    let most = if super::pods::at_once(view) {
        routed.most
    } else {
        view.step_weight().unwrap_or(routed.most)
    };
    if canary.weight > most {
        breaks(
            found,
            "weight-of-the-step",
            format!("weight {}, and the step has {most}", canary.weight),
        );
    }
}

/// The stable version changes only to one that has all the traffic.
fn promotion(view: &View<'_>, routed: Routed, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    let first = view.before.stable_rs.is_none() || routed.replicas == 0;
    let vanished = set_of(view, view.before.stable_rs.as_ref()).is_none();
    if status.stable_rs == view.before.stable_rs || first || vanished {
        return;
    }
    let shown = view.shown();
    let has = weight_of(&shown, status.stable_rs.as_ref());
    if has < routed.most || shown.verified == Some(false) {
        breaks(
            found,
            "promotion-needs-traffic",
            format!("a version with weight {has} becomes the stable one"),
        );
    }
}

/// A Service follows pods, never the other way round; the first time it needs them all.
fn services(view: &View<'_>, found: &mut Vec<Violation>) {
    let canary = view
        .running
        .as_ref()
        .and_then(|running| running.strategy.canary.as_ref());
    let Some(canary) = canary else {
        return;
    };
    for action in &view.plan.actions {
        let Action::SwitchService { name, to, .. } = action else {
            continue;
        };
        // Where the spec is blue-green by now, its Services go by other rules.
        let mut own = [&canary.canary_service, &canary.stable_service].into_iter();
        if !own.any(|own| own.as_deref() == Some(name)) {
            continue;
        }
        let set = set_of(view, Some(to));
        let back =
            view.plan.status.abort == Some(true) && Some(to) == view.plan.status.stable_rs.as_ref();
        let there = set.is_some_and(|set| !set.made && set.available > 0);
        if !there && !back {
            breaks(
                found,
                "service-needs-pods",
                format!("{name} selects {to}, which has no available pods"),
            );
        }
    }
}

/// A run in the background that said no is followed by an abort, one that said nothing clear by a pause.
fn background(view: &View<'_>, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    let named = status
        .canary
        .as_ref()
        .and_then(|canary| canary.current_background_analysis_run_status.as_ref());
    let Some(named) = named else { return };
    if view.does_nothing() {
        return;
    }
    let run = view
        .observed
        .analysis_runs
        .iter()
        .find(|run| run.metadata.name.as_ref() == Some(&named.name));
    let phase = run
        .and_then(|run| run.status.as_ref())
        .and_then(|status| status.phase);
    let aborted = status.abort == Some(true);
    let heard = match phase {
        Some(AnalysisPhase::Failed | AnalysisPhase::Error) => aborted,
        Some(AnalysisPhase::Inconclusive) => {
            let reason = pause_reason::INCONCLUSIVE_ANALYSIS_RUN;
            aborted || status.pause_condition(reason).is_some()
        }
        Some(AnalysisPhase::Successful | AnalysisPhase::Running | AnalysisPhase::Pending)
        | None => true,
    };
    if !heard {
        breaks(
            found,
            "background-is-heard",
            format!("{} is {phase:?} and the update goes on", named.name),
        );
    }
}
