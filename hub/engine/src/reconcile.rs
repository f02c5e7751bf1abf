//! The decision. In: an observation. Out: the plan. Each step below acts on what the steps before it have planned already,
//! so one call goes as far as the facts allow. It must not read anything but `Observed`.

mod approvals;
mod catch_up;
mod departed;
mod flight;
mod gates;
mod hindrance;
mod join;
mod matching;
mod membership;
mod opening;
mod paper;
mod planner;
mod reasons;
mod restrained;
mod returned;
mod rollback;
mod spent;
mod turn;
mod turns;
mod ungovern;
mod verbs;
mod wake;
mod waves;
mod windows;

pub(crate) use flight::NOT_FINISHED;
pub(crate) use matching::{carries, same_content};
pub(crate) use opening::OVERTAKEN_MAX;
pub(crate) use restrained::restrained;
pub(crate) use spent::ended;
pub(crate) use waves::{counts_as_failed, over_release_budget};
pub(crate) use windows::{missed_at, standing};

use crate::observed::Observed;
use crate::plan::Plan;
use crate::planted::{Bug, Planted};
use crate::release::ReleasePhase;
use planner::Planner;

/// Decides what to do next about one FleetRollout. Pure, total and deterministic.
pub fn reconcile(observed: &Observed) -> Plan {
    reconcile_with(observed, Bug::default())
}

/// [`reconcile`] with a bug; for tests.
pub fn reconcile_with(observed: &Observed, bug: Bug) -> Plan {
    let mut planner = Planner::new(observed, bug);
    if crate::paper::observes(observed) && !bug.is(Planted::ObserveIgnored) {
        paper::only(&mut planner);
        return planner.finish();
    }
    opening::requests(&mut planner);
    opening::changes(&mut planner);
    let numbers: Vec<u64> = planner
        .state
        .releases
        .iter()
        .map(|release| release.id.number)
        .collect();
    for number in numbers {
        one_release(&mut planner, number);
    }
    start_the_waiting_one(&mut planner);
    catch_up::newest(&mut planner);
    membership::forget(&mut planner);
    spent::permits(&mut planner);
    gates::terms(&mut planner);
    gates::waiting(&mut planner);
    planner.finish()
}

fn one_release(planner: &mut Planner, number: u64) {
    membership::settle(planner, number);
    join::bind(planner, number);
    flight::outcomes(planner, number);
    // The last one of its wave that was in flight may just have been given up.
    returned::take_back(planner, number);
    if phase(planner, number) == Some(ReleasePhase::Progressing) {
        waves::go_on(planner, number);
    }
    if phase(planner, number) == Some(ReleasePhase::RollingBack) {
        rollback::go_on(planner, number);
    }
    if phase(planner, number) == Some(ReleasePhase::Halted) {
        flight::end_when_landed(planner, number);
    }
    if phase(planner, number) == Some(ReleasePhase::RolledBackPartially) {
        rollback::amend(planner, number);
    }
}

/// The one that waits begins as soon as nothing is before it, and goes as far as it can at once.
fn start_the_waiting_one(planner: &mut Planner) {
    if planner.state.active().is_some() {
        return;
    }
    let Some(number) = planner.state.waiting().map(|release| release.id.number) else {
        return;
    };
    opening::start(planner, number);
    one_release(planner, number);
}

fn phase(planner: &Planner, number: u64) -> Option<ReleasePhase> {
    planner.state.release(number).map(|release| release.phase)
}

/// From when on a cluster is silent that was last heard, or permitted, or waited for, at this moment: while no hub listened, none
/// was (S7).
fn silent_since(state: &Observed, last: jiff::Timestamp) -> jiff::Timestamp {
    state.listening_since.map_or(last, |since| since.max(last))
}

/// From when on the time of what is in flight counts: what a stop or a closed window holds, came out of a backup, or could be
/// heard by no hub (S7, F23), has its time anew.
fn flight_since(
    state: &Observed,
    permit: &crate::release::Permit,
    cluster: &crate::observed::Cluster,
) -> jiff::Timestamp {
    let opened = cluster
        .gate
        .as_ref()
        .and_then(|gate| gate.terms.window_opened);
    let heard = state.listening_since;
    let anew = state.went_on.max(cluster.restored).max(opened).max(heard);
    anew.map_or(permit.granted_at, |on| on.max(permit.granted_at))
}
