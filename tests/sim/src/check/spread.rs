//! How far a bad version spreads (S1, G17): clusters at once, failures, digests that failed before. In: commits, ends of permits as
//! they really were. Out: the first cluster that is one too many. It must not ask the engine whether a target may start.

use agent_api::OutcomeResult;
use hub_engine::release::{ReleasePhase, Target, TargetState};
use hub_engine::{ClusterName, Observed};

use crate::event::Draft;
use crate::world::World;

impl World {
    /// A cluster was permitted to go forward.
    pub(super) fn few_enough(
        &mut self,
        draft: &Draft,
        number: u64,
        cluster: &ClusterName,
        digest: &str,
    ) {
        let tables = &self.store.fleets[draft.fleet];
        if tables.barred.keys().any(|barred| barred.as_str() == digest) {
            let message = format!("{cluster} starts {digest} once more, which has failed");
            return self.fail("G17", message);
        }
        let release = tables.release(number);
        let target = release.and_then(|release| Some((release, release.target(cluster)?)));
        let Some((release, target)) = target else {
            return;
        };
        let wave = target.wave;
        let Some(planned) = release.plan.wave(wave) else {
            return;
        };
        let all = release.targets_of(wave).count();
        let going = release.targets_of(wave);
        let going = going.filter(|other| other.state.in_flight()).count();
        let most = planned.max_concurrent.at_least_one_of(all);
        // Who was left behind follows a release that has passed, whatever failed in it.
        let follows = release.phase == ReleasePhase::Succeeded;
        if going > most {
            let message = format!("{cluster} is one of {going} at once in wave {wave}, {most} may");
            return self.fail("S1", message);
        }
        if !follows {
            self.failed_enough(draft, number, wave, &format!("{cluster} starts"));
        }
    }

    /// No more clusters of a wave have really failed, as far as the decision could know, than it allows.
    pub(super) fn failed_enough(&mut self, draft: &Draft, number: u64, wave: u32, what: &str) {
        let part = self.part_of(draft.fleet);
        let Some(release) = self.store.fleets[draft.fleet].release(number) else {
            return;
        };
        let Some(planned) = release.plan.wave(wave) else {
            return;
        };
        let really = |target: &&Target| {
            let fence = target.permit.as_ref().map(|permit| permit.fence);
            let known = told(&draft.observed, &target.cluster);
            let Some(fence) = fence.filter(|fence| known == Some(*fence)) else {
                return false;
            };
            let key = (
                target.cluster.clone(),
                part,
                (fence.incarnation, fence.version),
            );
            let ended = self.ghost.outcomes.get(&key);
            // A person, or a policy, may leave one out of it; what is held by now a person has let start again.
            let out = [
                TargetState::Skipped,
                TargetState::Removed,
                TargetState::Held,
            ];
            let counts = !out.contains(&target.state);
            counts && ended.is_some_and(|(result, _)| *result == OutcomeResult::Failed)
        };
        let most = planned.max_failed.of(release.targets_of(wave).count());
        let failed = release.targets_of(wave).filter(really).count();
        let all = release.targets.iter().map(AsRef::as_ref);
        let in_all = all.filter(really).count();
        let may = release.plan.max_failed;
        let may = may.map(|may| may.of(release.targets.len()));
        if failed > most {
            let message =
                format!("{what} in wave {wave} of #{number} with {failed} failures, {most} may");
            return self.fail("S1", message);
        }
        if let Some(may) = may.filter(|may| in_all > *may) {
            let message = format!("{what} in #{number} with {in_all} failures in all, {may} may");
            self.fail("S1", message);
        }
    }
}

/// The permit whose end the decision knew of.
pub(super) fn told(before: &Observed, cluster: &ClusterName) -> Option<hub_engine::Fence> {
    let rollout = before.cluster(cluster)?.rollout.as_ref()?;
    Some(rollout.outcome.as_ref()?.fence)
}
