//! Rules of numbers: never too few, never too many, never more weight than the step has.
//!
//! In: the view. Out: violations. It must not know the fleet.

use super::Violation;
use super::view::{View, breaks};
use crate::gate::facts::PermitKind;
use crate::plan::Action;

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    // Blue-green has two whole versions side by side, and a routed canary keeps pods by shares: both have rules of their own.
    if !view.is_blue_green() && view.routed().is_none() {
        availability(view, found);
        surge(view, found);
        kept_stable(view, found);
    }
    weight(view, found);
    from(view, found);
    promotion(view, found);
    aborted(view, found);
    paused(view, found);
}

fn availability(view: &View<'_>, found: &mut Vec<Violation>) {
    let sum = |of: fn(&super::view::Move) -> i32| {
        view.moves.iter().map(of).fold(0_i32, i32::saturating_add)
    };
    let (before, after) = (sum(|one| one.sure(one.from)), sum(|one| one.sure(one.to)));
    let least = view.limits().minimum().min(before);
    if after < least {
        breaks(
            found,
            "enough-available",
            format!("{before} pods are available, {after} would be, {least} must be"),
        );
    }
}

fn surge(view: &View<'_>, found: &mut Vec<Violation>) {
    let (before, after) = view
        .moves
        .iter()
        .fold((0_i32, 0_i32), |(before, after), one| {
            (
                before.saturating_add(one.from),
                after.saturating_add(one.to),
            )
        });
    // Beside a stable version that keeps all its pods the canary's are no surge.
    let beside = view
        .canary()
        .filter(|_| view.keeps_stable() && view.stable().is_some());
    // Whatever is more than wanted already, on its way out, leaves it its own.
    let has = beside.map_or(0, |canary| canary.from);
    let beside = beside.map_or(0, |canary| canary.to.max(canary.from).min(view.replicas()));
    let others = view.replicas().max(before.saturating_sub(has));
    let most = view.limits().maximum().max(others.saturating_add(beside));
    let most = most.max(before);
    if after > most {
        breaks(
            found,
            "not-too-many",
            format!("{after} pods would be wanted, {most} are allowed"),
        );
    }
}

/// A stable version that is to keep its pods gives none to the canary.
fn kept_stable(view: &View<'_>, found: &mut Vec<Violation>) {
    let (Some(_), Some(stable), true) = (view.canary(), view.stable(), view.keeps_stable()) else {
        return;
    };
    if stable.to < stable.from.min(view.replicas()) {
        let detail = format!(
            "{} goes from {} to {} pods",
            stable.name, stable.from, stable.to
        );
        breaks(found, "kept-stable-stays", detail);
    }
}

/// Everything at once is for a first deploy, a full promotion and a rollback.
pub(super) fn at_once(view: &View<'_>) -> bool {
    let full =
        view.before.promote_full == Some(true) && view.plan.status.promote_full == Some(true);
    let back = view.facts.permit.as_ref().is_some_and(|permit| {
        let rollback = matches!(
            permit.kind,
            PermitKind::Rollback {
                steps_backwards: false,
                ..
            }
        );
        rollback
            && view
                .canary()
                .is_some_and(|canary| canary.digest == permit.content)
    });
    view.stable().is_none() || full || back || view.within_rollback_window()
}

fn weight(view: &View<'_>, found: &mut Vec<Violation>) {
    let Some(canary) = view.canary().filter(|_| !at_once(view)) else {
        return;
    };
    let index = view.plan.status.current_step_index.unwrap_or(0);
    let (Some(weight), Some(most)) = (view.weight_at(index), view.pods_at(index)) else {
        return;
    };
    if canary.to > most && canary.to > canary.from {
        breaks(
            found,
            "weight-of-the-step",
            format!(
                "{} gets {} pods at weight {weight}, {most} are its share",
                canary.name, canary.to
            ),
        );
    }
}

fn from(view: &View<'_>, found: &mut Vec<Violation>) {
    for action in &view.plan.actions {
        let Action::ScaleReplicaSet { name, from, to, .. } = action else {
            continue;
        };
        let has = view
            .moves
            .iter()
            .find(|one| one.name == *name && !one.made)
            .map(|one| one.from);
        if has != Some(*from) || from == to {
            breaks(
                found,
                "scale-from-what-is",
                format!("{name} has {has:?}, scaled {from} -> {to}"),
            );
        }
    }
}

/// The stable version changes only to one that has all its pods.
fn promotion(view: &View<'_>, found: &mut Vec<Violation>) {
    if view.plan.status.stable_rs == view.before.stable_rs {
        return;
    }
    let whole = view.stable().is_some_and(|one| {
        !one.made && one.from >= view.replicas() && one.available >= enough(view)
    });
    if !whole {
        breaks(
            found,
            "promotion-needs-pods",
            "a version without all its pods becomes the stable one",
        );
    }
}

/// Pods that have to be available for promotion: all, or what the Rollout is content with.
fn enough(view: &View<'_>) -> i32 {
    let strategy = view.running.as_ref().map(|running| &running.strategy);
    let written = strategy
        .and_then(|strategy| strategy.canary.as_ref())
        .and_then(|canary| canary.replica_progress_threshold.as_ref());
    let (kind, value) = match written {
        Some(written) => (
            written.r#type.as_deref().unwrap_or_default(),
            written.value.unwrap_or(0),
        ),
        None => ("", 0),
    };
    match kind {
        "Pods" => value.min(view.replicas()),
        // As many as make the share, of whole pods.
        "Percent" => (0..=view.replicas())
            .find(|count| {
                let (count, all) = (i64::from(*count), i64::from(view.replicas()));
                count.saturating_mul(100) >= all.saturating_mul(i64::from(value))
            })
            .unwrap_or(view.replicas()),
        _ => view.replicas(),
    }
}

/// An aborted version only loses pods.
fn aborted(view: &View<'_>, found: &mut Vec<Violation>) {
    let (Some(canary), Some(_)) = (view.canary(), view.stable()) else {
        return;
    };
    if view.plan.status.abort == Some(true) && canary.to > canary.from {
        breaks(
            found,
            "aborted-gets-no-weight",
            format!("{} gets {} pods", canary.name, canary.to),
        );
    }
}

/// While a person has paused, a new version only keeps its share of what an autoscaler asks for.
fn paused(view: &View<'_>, found: &mut Vec<Violation>) {
    let paused = view.observed.rollout.spec.paused == Some(true);
    let Some(canary) = view.canary().filter(|_| paused && !view.is_blue_green()) else {
        return;
    };
    let back = matches!(
        view.facts.permit.as_ref().map(|permit| &permit.kind),
        Some(PermitKind::Rollback { .. })
    );
    if canary.to <= canary.from || back {
        return;
    }
    let index = view.plan.status.current_step_index.unwrap_or(0);
    let share = |replicas: i32| match view.pods_out_of(index, replicas) {
        Some(pods) if !at_once(view) => pods,
        Some(_) | None => replicas,
    };
    let set = view.sets.iter().find(|set| set.name == canary.name);
    let noted = set.and_then(|set| set.desired_annotation);
    let follows = noted.is_some_and(|noted| {
        noted != view.replicas() && canary.from > 0 && canary.from >= share(noted)
    });
    if !follows || canary.to > share(view.replicas()) {
        let detail = format!(
            "{} goes from {} to {} pods",
            canary.name, canary.from, canary.to
        );
        breaks(found, "paused-starts-nothing", detail);
    }
}
