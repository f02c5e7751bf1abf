//! What persons keep a release or a FleetRollout from. In: the state that the plan leads to. Out: reasons with the command
//! that lifts each. It must not act.

use super::List;
use crate::observed::Observed;
use crate::reason::Why;
use crate::release::Release;

/// Why nothing of a release starts, if a person said so.
pub(super) fn held_back(state: &Observed, release: &Release) -> Option<Why> {
    stopped(state).or_else(|| paused(release))
}

fn stopped(state: &Observed) -> Option<Why> {
    let message = state.stopped.as_ref()?.message();
    Some(Why::Stopped { message })
}

/// What `unstop` names.
fn whom(state: &Observed) -> String {
    match &state.stopped {
        Some(stop) if stop.all => "--all".to_owned(),
        Some(_) | None => format!("--fleetrollout {}", state.fleet_rollout.name),
    }
}

fn paused(release: &Release) -> Option<Why> {
    // Of what has ended it holds nobody.
    let paused = release.word.paused.as_ref();
    let paused = paused.filter(|_| !release.phase.ended())?;
    Some(Why::Paused {
        by: paused.person.clone(),
        reason: paused.reason.clone(),
    })
}

impl List<'_> {
    /// A stop, when there is no open release to show it beside.
    pub(super) fn stop(&mut self) {
        let open = self
            .state
            .releases
            .iter()
            .any(|release| !release.phase.ended());
        if let Some(why) = stopped(self.state).filter(|_| !open) {
            let next = format!("groundswell unstop {} --reason TEXT", whom(self.state));
            self.add(None, None, None, why, next);
        }
    }

    /// What persons keep it from.
    pub(super) fn word(&mut self, release: &Release) {
        if release.phase.ended() {
            return;
        }
        if let Some(why) = stopped(self.state) {
            let next = format!("groundswell unstop {} --reason TEXT", whom(self.state));
            self.add(Some(release), None, None, why, next);
        }
        if let Some(why) = paused(release) {
            let next = format!("groundswell release resume {} --reason TEXT", release.id);
            self.add(Some(release), None, None, why, next);
        }
    }
}
