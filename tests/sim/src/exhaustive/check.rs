//! What must hold in every state, and which states are at rest. In: a state. Out: what is wrong. It compares the tables with
//! what is true in the clusters; the engines' audits look at every plan beside it. It must not ask an engine.

use agent_api::OutcomeResult;
use hub_engine::ClusterName;
use hub_engine::observed::Cluster;
use hub_engine::release::{Direction, TargetState};
use tests_golden::agent_fixture::digest;

use super::Small;
use super::local::Facts;
use super::state::{CLUSTERS, State};
use super::tables::{FLEET, Tables};
use crate::check::{At, view_differs};
use crate::store::Store;

/// As the document says of its second wave.
const AT_ONCE: usize = 1;

fn served(facts: &Facts, fence: At) -> bool {
    facts.outcome == Some((fence, OutcomeResult::Served))
}

/// What is wrong with the tables beside the truth of one cluster.
fn wrong(tables: &Tables, cluster: &Cluster, own: &Facts) -> Option<String> {
    let store = &tables.store;
    let new = digest("v2").to_string();
    let name = &cluster.name;
    let desired = (cluster.desired.incarnation, cluster.desired.version);
    if own.fence.is_some_and(|fence| fence > desired) {
        return Some(format!("S2: {name} holds {:?} of {desired:?}", own.fence));
    }
    let stored = store.rows.get(name).map(|row| row.stored);
    let stored = stored.map(|fence| (fence.incarnation, fence.version));
    if stored.is_some_and(|stored| stored.1 > 0 && own.fence < Some(stored)) {
        return Some(format!(
            "S3: {name} holds {:?} and said {stored:?}",
            own.fence
        ));
    }
    if own.effect > own.fence {
        let (effect, fence) = (own.effect, own.fence);
        return Some(format!("S3: {name} acts on {effect:?} at {fence:?}"));
    }
    if !own.enough {
        return Some(format!("S13: {name} wants too few pods"));
    }
    if own.told.as_ref() == Some(&new) && !tables.changed.contains(name) {
        return Some(format!("L3: {name} has told of v2, and that is not stored"));
    }
    not_permitted(store, name, own, &new)
}

/// What runs beside what the releases say, and what they say of it.
fn not_permitted(store: &Store, name: &ClusterName, own: &Facts, new: &str) -> Option<String> {
    let releases = store.fleets[FLEET].releases.iter();
    let targets = releases.filter_map(|release| Some((release, release.target(name)?)));
    let runs = own.runs.iter().any(|one| one == new);
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
    None
}

impl Small {
    /// Checks a state: each cluster beside the tables, once, and how many of a wave are under way.
    pub(super) fn check(&mut self, state: &State) {
        let mut under_way = 0;
        for (at, agent) in (0_u8..).zip(state.agents).take(self.size.clusters) {
            let facts = self.facts_of(agent);
            under_way += usize::from(at > 0 && facts.under_way);
            if !self.checked.insert((state.tables, at, agent)) {
                continue;
            }
            let tables = self.tables.get(state.tables);
            let cluster = tables.store.fleets[FLEET].clusters.get(usize::from(at));
            if let Some(wrong) = cluster.and_then(|own| wrong(tables, own, &facts)) {
                self.wrong(wrong);
            }
        }
        if under_way > AT_ONCE {
            self.wrong(format!("S1: {under_way} clusters of a wave are under way"));
        }
    }

    /// Whether the release has ended, nothing is left to decide or to say, and the hub's view is the truth.
    pub(super) fn at_rest(&mut self, state: &State) -> bool {
        if !self.decided(state.tables).plan.actions.is_empty() || state.down != [None; CLUSTERS] {
            return false;
        }
        let members = self.size.clusters;
        for agent in state.agents.into_iter().take(members) {
            if self.facts_of(agent).says || self.acted(agent) != agent {
                return false;
            }
        }
        let store = &self.tables.get(state.tables).store;
        let mut releases = store.fleets[FLEET].releases.iter();
        let ended =
            !store.fleets[FLEET].releases.is_empty() && releases.all(|one| one.phase.ended());
        let open = store.rows.values().all(|row| row.open);
        let agents = state.agents.iter().take(members);
        let mut agents = agents.map(|one| &self.locals.get(*one).agent);
        ended && open && agents.all(|own| view_differs(store, own).is_none())
    }
}
