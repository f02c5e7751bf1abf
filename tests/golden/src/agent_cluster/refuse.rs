//! An API server that takes no ReplicaSet, and no other owner of one.
//!
//! In: a write. Out: whether it was refused, and what the agent would remember of it. It must not write.

use agent_api::names::ANNOTATION_DIGEST;
use agent_api::{ContentDigest, Uid};
use agent_engine::{Action, RefusedClaim, RefusedSet};

use super::Cluster;

impl Cluster {
    /// Refuses a ReplicaSet or its owner, and remembers it as the agent does.
    pub(super) fn refuse(&mut self, action: &Action) -> bool {
        if let Action::ClaimReplicaSet { name, .. } | Action::ReleaseReplicaSet { name, .. } =
            action
        {
            self.refuse_owner(name);
            return true;
        }
        let Action::CreateReplicaSet { replica_set } = action else {
            return false;
        };
        let annotations = replica_set.metadata.annotations.as_ref();
        let digest = annotations.and_then(|all| all.get(ANNOTATION_DIGEST));
        let digest = ContentDigest(digest.cloned().unwrap_or_default());
        let before = self.observed.refused_set.as_ref();
        let before = before.filter(|before| before.digest == digest);
        self.observed.refused_set = Some(RefusedSet {
            times: before.map_or(1, |before| before.times + 1),
            message: "exceeded quota".to_owned(),
            invalid: digest.as_str().len().is_multiple_of(2),
            at: self.observed.now,
            digest,
        });
        true
    }

    fn refuse_owner(&mut self, name: &str) {
        let mut sets = self.observed.replica_sets.iter();
        let set = sets.find(|set| set.metadata.name.as_deref() == Some(name));
        let uid = set.and_then(|set| set.metadata.uid.clone());
        let uid = Uid(uid.unwrap_or_default());
        let all = &mut self.observed.refused_claims;
        let before = all.iter().find(|one| one.uid == uid).map(|one| one.times);
        all.retain(|one| one.uid != uid);
        all.push(RefusedClaim {
            name: name.to_owned(),
            uid,
            message: "the owner's finalizers are not yours".to_owned(),
            at: self.observed.now,
            times: before.unwrap_or(0) + 1,
        });
    }
}
