//! What content is, and which revision it is of (gate.md G1, G3). In: ReplicaSets that an agent has made, what hubs have been told.
//! Out: the first digest, or revision, that no Rollout had. It must not ask the agent what it takes the content for.

use agent_api::digest::content_digest;
use agent_api::names::{ANNOTATION_FLEET_REVISION, LABEL_POD_HASH};
use hub_engine::ClusterName;

use super::carried;
use crate::agent::Part;
use crate::event::Place;
use crate::world::World;

/// What a Rollout said of a content: which revision, or none.
pub(super) type Revision = (Place, String, Option<String>);

/// What a Rollout says of its content now.
fn said(place: Place, own: &Part) -> Option<Revision> {
    let rollout = &own.cluster.observed.rollout;
    let digest = content_digest(rollout.spec.template.as_ref()?).to_string();
    let annotations = rollout.metadata.annotations.as_ref();
    let revision = annotations.and_then(|all| all.get(ANNOTATION_FLEET_REVISION));
    Some((place, digest, revision.cloned()))
}

impl World {
    /// Somebody has written a Rollout: what it says counts from now on.
    pub(super) fn revision_said(&mut self, place: Place) {
        if let Some(said) = said(place, self.part(place)) {
            self.ghost.revisions.insert(said);
        }
    }

    /// G1: a ReplicaSet carries the digest of what its Rollout had when it was admitted, and has its images.
    pub(super) fn is_as_admitted(&mut self, place: Place) {
        let had = self.ghost.had.get(&place);
        let sets = self.part(place).cluster.observed.replica_sets.iter();
        let strange = sets.clone().find(|set| {
            let digest = carried(set);
            let content = digest.as_ref().and_then(|one| self.ghost.contents.get(one));
            let known = digest.is_some_and(|one| had.is_some_and(|all| all.contains(&one)));
            let labels = set.metadata.labels.as_ref();
            let hash = labels.and_then(|all| all.get(LABEL_POD_HASH));
            let same = content.is_some_and(|content| {
                content.images == set.spec.template.images() && Some(&content.hash) == hash
            });
            !(known && same)
        });
        if let Some(set) = strange {
            let (name, digest) = (self.name_of(place), carried(set));
            let images = set.spec.template.images();
            let message = format!("{name} has made {digest:?} of {images:?}, which it never had");
            self.fail("G1", message);
        }
    }

    /// G3: whatever a hub has been told of a revision is what the Rollout's annotation said; where that said nothing, nothing.
    pub(crate) fn revisions_are_said(&mut self, cluster: &ClusterName) {
        let Some(agent) = self.agents.iter().position(|own| own.name == *cluster) else {
            return;
        };
        let Some(row) = self.store.rows.get(cluster) else {
            return;
        };
        let wrong = self.places(agent).find_map(|place| {
            let state = row.state(&self.rollouts[place.part])?;
            let spec = state.spec.as_ref()?;
            let revision = spec.revision.as_ref().map(ToString::to_string);
            let told = (place, spec.digest.to_string(), revision);
            let had = self.ghost.had.get(&place);
            let known = had.is_some_and(|all| all.contains(&told.1));
            (known && !self.ghost.revisions.contains(&told)).then_some(told)
        });
        if let Some((place, digest, revision)) = wrong {
            let name = self.name_of(place);
            let message = format!("{name} has told {revision:?} of {digest}, and never said so");
            self.fail("G3", message);
        }
    }
}
