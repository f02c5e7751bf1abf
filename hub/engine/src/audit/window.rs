//! Windows (S12, G30). In: an observation. Out: whether one is open for a target, and whether every gate says what a closed
//! window makes of what is in flight. It must not read what the planner thought of either.

use super::Findings;
use super::wave::shown_before;
use crate::document::ExpediteWindows;
use crate::observed::{Cluster, Observed};
use crate::reconcile::standing;
use crate::release::{Cause, Release, Target};
use crate::window::{OnWindowClose, Standing, Windows};

/// Whether something of the release may start in the target's cluster.
pub(super) fn standing_of(state: &Observed, release: &Release, target: &Target) -> Standing {
    let asked = matches!(release.cause, Cause::Person { expedite: true, .. })
        || release.word.expedited.is_some();
    let may = release
        .plan
        .expedite
        .is_some_and(|expedite| expedite.windows == ExpediteWindows::Pass);
    match state.cluster(&target.cluster) {
        Some(cluster) if asked && may && shown_before(release, target.wave) => {
            Windows::expedited(&state.fleet_rollout, &state.windows, &cluster.labels).at(state.now)
        }
        Some(_) | None => standing(state, &target.cluster),
    }
}

/// After a plan: what is in flight where a window has closed holds at its step if the document says so, and nothing else does.
pub(super) fn held_at_steps(findings: &mut Findings, state: &Observed) {
    for cluster in &state.clusters {
        let Some(gate) = cluster.gate.as_ref().filter(|gate| gate.let_go.is_none()) else {
            continue;
        };
        if cluster.gone.is_some() || state.conflicts.contains_key(&cluster.name) {
            continue;
        }
        let held = gate.terms.window_closed.is_some();
        findings.need(held == holds(state, cluster), "S12", || {
            let said = if held { "" } else { "not " };
            format!("{} is {said}held at its step by a window", cluster.name)
        });
    }
}

fn holds(state: &Observed, cluster: &Cluster) -> bool {
    let permit = cluster.gate.as_ref().and_then(|gate| gate.permit.as_ref());
    let flying = permit.is_some_and(|permit| {
        state.releases.iter().any(|release| {
            release.target(&cluster.name).is_some_and(|target| {
                target.state.in_flight()
                    && target
                        .permit
                        .as_ref()
                        .is_some_and(|own| own.fence == permit.fence)
                    && matches!(standing_of(state, release, target), Standing::Closed { .. })
            })
        })
    });
    flying && state.fleet_rollout.calendar.on_close == OnWindowClose::HoldAtStep
}
