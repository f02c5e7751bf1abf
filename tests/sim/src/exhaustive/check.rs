//! What must hold in every state, and which states are at rest. In: a state. Out: what is wrong. It compares the tables with
//! what is true in the clusters; the engines' audits look at every plan beside it. It must not ask an engine.

use agent_api::OutcomeResult;
use hub_engine::release::{Direction, TargetState};
use tests_golden::agent_fixture::digest;

use super::Small;
use super::local::Facts;
use super::state::{CLUSTERS, State};
use crate::check::{At, view_differs};
use crate::store::Store;

/// As the document says of its second wave.
const AT_ONCE: usize = 1;

fn served(facts: &Facts, fence: At) -> bool {
    facts.outcome == Some((fence, OutcomeResult::Served))
}

/// What is wrong with the tables beside the truth of the clusters.
fn wrong(store: &Store, facts: &[std::rc::Rc<Facts>]) -> Option<String> {
    let new = digest("v2").to_string();
    let mut under_way = 0;
    for (cluster, own) in store.tables.clusters.iter().zip(facts) {
        let name = &cluster.name;
        let desired = (cluster.desired.incarnation, cluster.desired.version);
        if own.fence.is_some_and(|fence| fence > desired) {
            return Some(format!("S2: {name} holds {:?} of {desired:?}", own.fence));
        }
        if own.effect > own.fence {
            let (effect, fence) = (own.effect, own.fence);
            return Some(format!("S3: {name} acts on {effect:?} at {fence:?}"));
        }
        if !own.enough {
            return Some(format!("S13: {name} wants too few pods"));
        }
        let releases = store.tables.releases.iter();
        let targets = releases.filter_map(|release| Some((release, release.target(name)?)));
        let runs = own.runs.contains(&new);
        let mut touched = targets.clone().filter(|(_, target)| target.touched());
        if runs && touched.next().is_none() {
            return Some(format!("S2: {name} runs v2, and nobody has permitted it"));
        }
        for (release, target) in targets {
            let before = release.waves.iter().filter(|one| one.number < target.wave);
            let mut open = before.filter(|one| !one.phase.behind());
            if runs && open.next().is_some() {
                return Some(format!("S1: {name} runs v2 before its wave"));
            }
            let permit = target.permit.as_ref();
            let fence = permit.map(|one| (one.fence.incarnation, one.fence.version));
            let back = permit.is_some_and(|one| one.direction == Direction::Rollback);
            let proof = match target.state {
                TargetState::Succeeded => true,
                TargetState::RolledBack => back,
                TargetState::Pending
                | TargetState::WaitingForContent
                | TargetState::Held
                | TargetState::Permitted
                | TargetState::Progressing
                | TargetState::Paused
                | TargetState::Failed
                | TargetState::RollingBack
                | TargetState::Skipped
                | TargetState::Removed
                | TargetState::Behind
                | TargetState::Unknown => false,
            };
            if let (true, Some(fence)) = (proof, fence)
                && !served(own, fence)
            {
                return Some(format!("G18: {name} has not come to the end of {fence:?}"));
            }
        }
        let first_wave = cluster.labels.values().any(|wave| wave == "0");
        if own.under_way && !first_wave {
            under_way += 1;
        }
    }
    (under_way > AT_ONCE).then(|| format!("S1: {under_way} clusters of a wave are under way"))
}

impl Small {
    /// Checks a state, unless its tables and clusters were seen together before.
    pub(super) fn check(&mut self, state: &State) {
        if !self.checked.insert((state.tables, state.agents)) {
            return;
        }
        let facts: Vec<_> = state.agents.iter().map(|one| self.facts_of(*one)).collect();
        if let Some(wrong) = wrong(&self.tables.get(state.tables).store, &facts) {
            self.wrong(wrong);
        }
    }

    /// Whether the release has ended, nothing is left to decide or to say, and the hub's view is the truth.
    pub(super) fn at_rest(&mut self, state: &State) -> bool {
        if !self.decided(state.tables).plan.actions.is_empty() || state.down != [None; CLUSTERS] {
            return false;
        }
        for agent in state.agents {
            if self.facts_of(agent).says || self.acted(agent) != agent {
                return false;
            }
        }
        let store = &self.tables.get(state.tables).store;
        let mut releases = store.tables.releases.iter();
        let ended = !store.tables.releases.is_empty() && releases.all(|one| one.phase.ended());
        let open = store.rows.values().all(|row| row.open);
        let mut agents = state.agents.iter().map(|one| &self.locals.get(*one).agent);
        ended && open && agents.all(|own| view_differs(store, own).is_none())
    }
}
