//! What a wave leaves behind it when it passes (faults.md S1, S12; gate.md G27, G30). In: commits, the ends of permits as they really
//! were. Out: the first wave that passes too early. It must not ask the engine: that nothing is known of a cluster is no success.

use agent_api::OutcomeResult;
use hub_engine::document::{Missing, Unchanged};
use hub_engine::observed::Cluster;
use hub_engine::release::{Release, Stage, Target, TargetState};
use hub_engine::{Action, ClusterName, Observed, Plan};
use jiff::Timestamp;

use super::spread::told;
use crate::event::Draft;
use crate::world::{World, stamp};

/// The tables as a plan has them right before one of its actions: what passed may go on in the same plan.
fn until(draft: &Draft, action: &Action) -> Observed {
    let actions = draft.plan.actions.iter();
    let before = actions.take_while(|one| !std::ptr::eq(&one.action, action));
    let mut tables = draft.observed.clone();
    tables.apply(&Plan {
        actions: before.cloned().collect(),
        ..draft.plan.clone()
    });
    tables
}

impl World {
    /// A wave passes.
    pub(super) fn passes(&mut self, draft: &Draft, action: &Action, number: u64, wave: u32) {
        self.baked(draft, number, wave);
        self.agreed(draft, number, wave, Stage::After);
        let Some(release) = until(draft, action).release(number).cloned() else {
            return;
        };
        self.landed(draft, &release, wave);
        self.somebody_is_left(draft.fleet, &release, wave);
        self.there_enough(&release, wave);
    }

    /// S1: each of its clusters has come to an end that the decision knew, or a person or a policy has ended it.
    fn landed(&mut self, draft: &Draft, release: &Release, wave: u32) {
        let open = release.targets_of(wave).find(|target| {
            let fence = target.permit.as_ref().map(|permit| permit.fence);
            let known = told(&draft.observed, &target.cluster);
            let under_way = target.state.in_flight() && (fence.is_none() || known != fence);
            under_way || target.state.before_permit()
        });
        if let Some(target) = open {
            let (id, name, state) = (&release.id, &target.cluster, target.state);
            let message = format!("wave {wave} of {id} passes, and {name} is {state:?}");
            self.fail("S1", message);
        }
    }

    /// S1: where every cluster of it was let go, and none had come to an end, nothing speaks for it; one that was let go on its way
    /// is a failure, of which the wave may have some.
    fn somebody_is_left(&mut self, fleet: usize, release: &Release, wave: u32) {
        let part = self.part_of(fleet);
        let mut targets = release.targets_of(wave).peekable();
        let any = targets.peek().is_some();
        let gone = |target: &Target| {
            let of = (target.cluster.clone(), part);
            let permit = target.permit.as_ref();
            let ended = permit.is_some_and(|permit| {
                let fence = (permit.fence.incarnation, permit.fence.version);
                let key = (target.cluster.clone(), part, fence);
                self.ghost.outcomes.contains_key(&key)
            });
            let failed = target.state == TargetState::Failed;
            // A policy's word, which does not ask who governs it.
            let unchanged = release.plan.membership.unchanged == Unchanged::Skip
                && target.state == TargetState::Skipped
                && target.permit.is_none();
            self.ghost.governor(&of).is_none() && !ended && !failed && !unchanged
        };
        if any && targets.all(gone) {
            let id = &release.id;
            let message = format!("wave {wave} of {id} passes, and all its clusters were let go");
            self.fail("S1", message);
        }
    }

    /// G27: Rollouts that are not there count as failed where the document says so.
    fn there_enough(&mut self, release: &Release, wave: u32) {
        let Some(planned) = release.plan.wave(wave) else {
            return;
        };
        let fails = release.plan.membership.missing == Missing::Fail;
        let removed = release.targets_of(wave);
        let removed = removed.filter(|target| target.state == TargetState::Removed);
        let removed = removed.count();
        let most = planned.max_failed.of(release.targets_of(wave).count());
        if fails && removed > most {
            let id = &release.id;
            let message =
                format!("wave {wave} of {id} passes without {removed} Rollouts, {most} may fail");
            self.fail("G27", message);
        }
    }

    /// S1, S12: the whole bake lies between the last real success and now; only what comes after another wave bakes shorter (G30).
    fn baked(&mut self, draft: &Draft, number: u64, wave: u32) {
        let fleet = draft.fleet;
        let part = self.part_of(fleet);
        let Some(release) = self.store.fleets[fleet].release(number) else {
            return;
        };
        let Some(planned) = release.plan.wave(wave) else {
            return;
        };
        let good = release
            .targets_of(wave)
            .filter(|target| target.state == TargetState::Succeeded);
        let before = &draft.observed;
        let last = good
            .filter_map(|target| self.served_at(part, target, before))
            .max();
        let promoted = release.wave(wave).is_some_and(|wave| wave.promoted);
        let shorter = release.plan.expedite.map(|expedite| expedite.bake);
        let shorter = shorter.filter(|_| self.is_hurried(fleet, release, wave));
        let bake = shorter.map_or(planned.bake, |shorter| shorter.min(planned.bake));
        let bake = i64::from(bake.0);
        let passed = promoted
            || last.is_none_or(|last| {
                let since = last.duration_until(stamp(self.now));
                since.as_secs() >= bake
            });
        let rule = if release.expedited() { "G30" } else { "S12" };
        if shorter.is_some_and(|shorter| shorter < planned.bake) {
            self.meets("BakeShortened");
        }
        if !promoted {
            self.failed_enough(draft, number, wave, "it passes");
        }
        if !passed {
            let message = format!("wave {wave} of #{number} passed before {bake} s were over");
            self.fail(rule, message);
        }
    }

    /// When a target's permit really came to its end well, as far as a decision could know.
    pub(super) fn served_at(
        &self,
        part: usize,
        target: &Target,
        before: &Observed,
    ) -> Option<Timestamp> {
        let permit = target.permit.as_ref()?;
        let fence = (permit.fence.incarnation, permit.fence.version);
        let key = (target.cluster.clone(), part, fence);
        // A cluster that was put back may come to the same end once more: the first one counts until the hub has heard that
        // it was, and also where it is at that end again by then.
        let restored = before.cluster(&target.cluster).and_then(|own| own.restored);
        let again = self.ghost.outcomes.get(&key).map(|(_, at)| stamp(*at));
        let told = self.ghost.told.get(&key);
        let told = told.filter(|(_, at)| {
            let counts = |when| when < stamp(*at) || again.is_some_and(|again| again <= when);
            restored.is_none_or(counts)
        });
        let (result, at) = told.or_else(|| self.ghost.outcomes.get(&key))?;
        (*result == OutcomeResult::Served).then(|| stamp(*at))
    }

    /// G27: whoever is taken for one whose Rollout is not there has really lost it, as far as the decision could know.
    pub(super) fn is_missing(&mut self, draft: &Draft, number: u64, cluster: &ClusterName) {
        let own = draft.observed.cluster(cluster);
        let rollout = own.and_then(|own| own.rollout.as_ref());
        let after = self.store.fleets[draft.fleet].cluster(cluster);
        let left = |own: Option<&Cluster>| own.is_some_and(|own| own.gone.is_some());
        let left = left(own) || left(after);
        if rollout.is_some_and(|rollout| !rollout.removed) && !left {
            let message = format!("{cluster} in #{number} has its Rollout, and is Removed");
            return self.fail("G27", message);
        }
        self.meets("RolloutMissed");
    }
}
