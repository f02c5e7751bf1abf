//! An API server that takes no ReplicaSet.
//!
//! In: a write. Out: whether it was refused, and what the agent would remember of it. It must not write.

use agent_api::ContentDigest;
use agent_api::names::ANNOTATION_DIGEST;
use agent_engine::{Action, RefusedSet};

use super::Cluster;

impl Cluster {
    /// Refuses a ReplicaSet, and remembers it as the agent does.
    pub(super) fn refuse(&mut self, action: &Action) -> bool {
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
}
