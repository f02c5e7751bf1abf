//! Rules of blue-green: users never get fewer pods by a switch, and nobody's word is overridden.
//!
//! In: the view. Out: violations. It must not ask the engine what it would do.

use agent_api::names::{LABEL_POD_HASH, LABEL_ROLLOUT_TYPE, pause_reason};
use agent_api::{AnalysisPhase, BlueGreenStrategy, PodHash};
use jiff::SignedDuration;

use super::Violation;
use super::gate::{allowed, bound};
use super::glass;
use super::view::{Move, View, breaks};
use crate::gate::facts::{Contact, OnHubLoss, Permission, PermitKind};
use crate::plan::Action;
use crate::services;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    held(view, found);
    let strategy = view
        .running
        .as_ref()
        .and_then(|running| running.strategy.blue_green.clone());
    let Some(strategy) = strategy else { return };
    let name = strategy.active_service.clone().unwrap_or_default();
    let before = services::find(view.observed, &name).and_then(services::selects);
    let switched = switches(view).find(|(service, _)| **service == name);
    let after = switched.map(|(_, to)| to.clone()).or(before.clone());
    keeps(view, after.as_ref(), found);
    if after != before
        && let Some(to) = &after
    {
        has_pods(view, before.as_ref(), to, found);
        aborted(view, to, found);
        permitted(view, to, found);
        waited(view, &strategy, to, found);
    }
    verified(view, &strategy, found);
}

fn switches<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a String, &'a PodHash)> {
    view.plan.actions.iter().filter_map(|action| {
        let Action::SwitchService { name, to, .. } = action else {
            return None;
        };
        Some((name, to))
    })
}

fn one<'a>(view: &'a View<'_>, hash: &PodHash) -> Option<&'a Move> {
    view.moves.iter().find(|one| one.hash == *hash)
}

/// No Service, active or preview, hears of content that waits.
fn held(view: &View<'_>, found: &mut Vec<Violation>) {
    if !bound(view) {
        return;
    }
    for (service, to) in switches(view) {
        let known = services::find(view.observed, service).and_then(services::selects);
        // Marking a Service as ours changes nobody's pods.
        if known.as_ref() == Some(to) {
            continue;
        }
        if one(view, to).is_some_and(|one| !allowed(view, &one.digest)) {
            let detail = format!("{service} is switched to {to} and nobody permitted it");
            breaks(found, "held-switches-nothing", detail);
        }
    }
}

/// What users have, and what they could go back to, loses no pods.
fn keeps(view: &View<'_>, after: Option<&PodHash>, found: &mut Vec<Violation>) {
    let stable = view.plan.status.stable_rs.as_ref();
    for (rule, hash) in [("active-keeps-pods", after), ("stable-keeps-pods", stable)] {
        let Some(kept) = hash.and_then(|hash| one(view, hash)) else {
            continue;
        };
        if kept.to < kept.from.min(view.replicas()) {
            let detail = format!("{} goes from {} pods to {}", kept.name, kept.from, kept.to);
            breaks(found, rule, detail);
        }
    }
}

/// A switch goes to all the pods there have to be, or on the way back to no fewer than there are.
fn has_pods(view: &View<'_>, before: Option<&PodHash>, to: &PodHash, found: &mut Vec<Violation>) {
    let available = one(view, to).map_or(0, |one| one.available);
    let now = match before {
        None => view
            .moves
            .iter()
            .map(|one| one.available)
            .fold(0_i32, i32::saturating_add),
        Some(hash) => one(view, hash).map_or(0, |one| one.available),
    };
    let forward = view.plan.status.stable_rs.as_ref() != Some(to);
    let least = if forward {
        view.replicas()
    } else {
        now.min(view.replicas())
    };
    if available < least {
        let detail = format!("{to} has {available} pods available, users have {now}");
        breaks(found, "active-has-pods", detail);
    }
}

fn aborted(view: &View<'_>, to: &PodHash, found: &mut Vec<Violation>) {
    let status = &view.plan.status;
    let on_its_way = status.current_pod_hash != status.stable_rs && view.stable().is_some();
    if status.abort == Some(true) && on_its_way && status.current_pod_hash.as_ref() == Some(to) {
        breaks(found, "aborted-is-not-active", to.to_string());
    }
}

/// The switch is step 1: a permit that ends at step 0, or a lease that ended before, does not reach it.
fn permitted(view: &View<'_>, to: &PodHash, found: &mut Vec<Violation>) {
    let Some(canary) = view.canary().filter(|canary| canary.hash == *to) else {
        return;
    };
    let flight = view
        .facts
        .in_flight
        .as_ref()
        .filter(|flight| flight.digest == canary.digest);
    let (Some(flight), true) = (flight, bound(view) && view.stable().is_some()) else {
        return;
    };
    let permit = view
        .facts
        .permit
        .as_ref()
        .filter(|permit| permit.content == canary.digest && permit.kind == PermitKind::Forward);
    let short = permit
        .and_then(|permit| permit.max_step)
        .is_some_and(|max| max < 1);
    let finish =
        view.facts.on_hub_loss == OnHubLoss::Finish && view.facts.contact != Contact::Connected;
    let recorded = view.facts.succeeded.as_ref() == Some(&flight.digest);
    let over = permit.is_some()
        && flight.permission == Permission::Fleet
        && !view.facts.lease_live
        && !finish
        && !recorded;
    let by_word = glass::lets(view, &flight.digest);
    if flight.step < 1 && (short || over) && !by_word {
        let detail = format!("{to} becomes active beyond what was permitted");
        breaks(found, "switch-is-permitted", detail);
    }
}

/// Without a word to hurry, the analysis before it is good and the pause is over.
fn waited(view: &View<'_>, strategy: &BlueGreenStrategy, to: &PodHash, found: &mut Vec<Violation>) {
    let forward = view.canary().is_some_and(|canary| canary.hash == *to);
    if !forward || hurries(view, to) {
        return;
    }
    let pre = strategy.pre_promotion_analysis.is_some();
    if pre && !analysed(view, "PrePromotion", to) {
        let detail = format!("{to} becomes active without a good analysis");
        breaks(found, "promotion-was-waited-for", detail);
    }
    let seconds = strategy.auto_promotion_seconds.unwrap_or(0);
    let automatic = strategy.auto_promotion_enabled != Some(false);
    if automatic && seconds == 0 {
        return;
    }
    let pause = view.before.pause_condition(pause_reason::BLUE_GREEN_PAUSE);
    let over = match pause {
        None => {
            let state = view.before.blue_green.as_ref();
            view.before.controller_pause == Some(true)
                || state.is_some_and(|state| state.scale_up_preview_check_point == Some(true))
        }
        Some(pause) => {
            let length = SignedDuration::from_secs(i64::from(seconds));
            let begun = view.observed.begun(pause);
            automatic && begun.saturating_add(length) <= view.observed.now
        }
    };
    if !over || view.observed.rollout.spec.paused == Some(true) {
        let detail = format!("{to} becomes active in a pause");
        breaks(found, "promotion-was-waited-for", detail);
    }
}

/// The stable version changes only after the analysis after the switch.
fn verified(view: &View<'_>, strategy: &BlueGreenStrategy, found: &mut Vec<Violation>) {
    let now = view.plan.status.stable_rs.as_ref();
    let Some(now) = now.filter(|_| view.before.stable_rs.is_some()) else {
        return;
    };
    let changed = view.before.stable_rs.as_ref() != Some(now);
    let post = strategy.post_promotion_analysis.is_some();
    if changed && post && !hurries(view, now) && !analysed(view, "PostPromotion", now) {
        let detail = format!("{now} becomes stable without a good analysis");
        breaks(found, "promotion-was-waited-for", detail);
    }
}

/// A first deploy, a full promotion, the fleet's rollback, or a version that still has its pods.
fn hurries(view: &View<'_>, hash: &PodHash) -> bool {
    let set = view.sets.iter().find(|set| set.hash == *hash);
    let returns = set.is_some_and(|set| set.scale_down_at.is_some() && !set.taken_back);
    let first = view
        .before
        .stable_rs
        .as_ref()
        .is_none_or(|stable| !view.sets.iter().any(|set| set.hash == *stable));
    let back = matches!(
        view.facts.permit.as_ref().map(|permit| &permit.kind),
        Some(PermitKind::Rollback { .. })
    );
    returns
        || first
        || back
        || view.within_rollback_window()
        || view.before.promote_full == Some(true)
}

fn analysed(view: &View<'_>, kind: &str, hash: &PodHash) -> bool {
    let known = view.before.blue_green.as_ref().and_then(|state| {
        let run = if kind == "PrePromotion" {
            state.pre_promotion_analysis_run_status.as_ref()
        } else {
            state.post_promotion_analysis_run_status.as_ref()
        };
        run?.status
    });
    let run = view.observed.analysis_runs.iter().any(|run| {
        let label = |key: &str| {
            let labels = run.metadata.labels.as_ref();
            labels
                .and_then(|labels| labels.get(key))
                .map(String::as_str)
        };
        let of_kind = label(LABEL_ROLLOUT_TYPE).is_none_or(|found| found == kind);
        let phase = run.status.as_ref().and_then(|status| status.phase);
        of_kind
            && label(LABEL_POD_HASH) == Some(hash.as_str())
            && phase == Some(AnalysisPhase::Successful)
    });
    run || known == Some(AnalysisPhase::Successful)
}
