//! Windows that close on what is under way (faults.md S12). In: commits, windows by the time of the decision. Out: the first cluster that
//! is not held at its step. It must not ask the engine whether a window is open.

use hub_engine::ClusterName;
use hub_engine::document::ExpediteWindows;
use hub_engine::release::{Direction, Release};
use hub_engine::window::OnWindowClose;

use crate::event::Draft;
use crate::world::World;

impl World {
    /// Whatever was decided while the window was closed has told every cluster under way that it is, where the document says so.
    pub(super) fn holds_when_closed(&mut self, draft: &Draft) {
        let before = &draft.observed;
        let calendar = &before.fleet_rollout.calendar;
        let holds = calendar.on_close == OnWindowClose::HoldAtStep;
        if !holds || calendar.windows.is_empty() || self.is_open(draft) {
            return;
        }
        let clusters = before.clusters.iter();
        let going = clusters.filter(|own| own.gone.is_none());
        let mut going = going.filter(|own| !before.conflicts.contains_key(&own.name));
        let untold = going.find(|own| self.goes_on_untold(draft, &own.name));
        if let Some(own) = untold {
            let message = format!("{} goes on in a closed window, and is not told", own.name);
            return self.fail("S12", message);
        }
        self.meets("ClosedUnderWay");
    }

    /// Whether a cluster has a permit under way, before the decision and after it, and no word of its closed window.
    fn goes_on_untold(&self, draft: &Draft, cluster: &ClusterName) -> bool {
        let going = |tables: &hub_engine::Observed| {
            let gate = tables.cluster(cluster)?.gate.as_ref()?;
            let permit = gate.permit.as_ref()?;
            let release = tables.release(permit.release.number)?;
            let target = release.target(cluster)?;
            let own = target.permit.as_ref().map(|own| own.fence) == Some(permit.fence);
            let forward = permit.direction == Direction::Forward && target.state.in_flight();
            let passes = self.passes_windows(draft.fleet, release, target.wave);
            (own && forward && !passes).then_some(gate.terms.window_closed.is_some())
        };
        going(&draft.observed).is_some() && going(&self.store.fleets[draft.fleet]) == Some(false)
    }

    /// G30: whether a person has hastened a release whose document lets that pass its windows, beyond its first wave.
    pub(super) fn passes_windows(&self, fleet: usize, release: &Release, wave: u32) -> bool {
        let pass = release.plan.expedite.map(|policy| policy.windows);
        pass == Some(ExpediteWindows::Pass) && self.is_hurried(fleet, release, wave)
    }

    /// Whether what has windows may begin something when a decision was made.
    fn is_open(&self, draft: &Draft) -> bool {
        let (_, every, open) = self.opening;
        draft.observed.now.as_second().rem_euclid(every) < i64::from(open)
    }
}
