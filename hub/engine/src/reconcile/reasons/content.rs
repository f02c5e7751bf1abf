//! What neither a turn nor a window changes: the content that a target is bound to failed, or its cluster holds other content
//! (gate.md G17, G25). In: the state that the plan leads to. Out: reasons beside the release, so that who asks about it reads
//! them. It must not act.

use super::List;
use crate::observed::Cluster;
use crate::reason::Why;
use crate::reconcile::matching::carries;
use crate::release::{Release, Target};

impl List<'_> {
    /// A target without permit whose content is barred: when its turn comes it fails. It is said before what it waits for
    /// meanwhile.
    pub(super) fn barred_content(&mut self, release: &Release, target: &Target, cluster: &Cluster) {
        let Some(content) = &target.content else {
            return;
        };
        let Some(failed_in) = self.state.barred.get(&content.digest) else {
            return;
        };
        let held = cluster.rollout.as_ref();
        let held = held.and_then(|rollout| rollout.held.as_ref());
        // What has ended gives no turn any more: it matters as long as the cluster holds it.
        if release.phase.ended() && held != Some(&content.digest) {
            return;
        }
        let why = Why::Barred {
            digest: content.digest.clone(),
            release: failed_in.clone(),
        };
        let next = self.start();
        self.add(Some(release), Some(target.wave), Some(cluster), why, next);
        self.barred.insert(cluster.name.clone());
    }

    /// The cluster brought other content of the same revision after its target was bound, which stays as it is. Nothing but a
    /// later release takes it up.
    pub(super) fn other_content(&mut self, release: &Release, target: &Target, cluster: &Cluster) {
        let (Some(content), Some(rollout)) = (&target.content, &cluster.rollout) else {
            return;
        };
        let Some(spec) = &rollout.spec else {
            return;
        };
        let other = rollout.held.as_ref() == Some(&spec.digest) && spec.digest != content.digest;
        let newest = || {
            let mut later = self.state.releases.iter();
            !later.any(|other| other.id.number > release.id.number && carries(other, spec))
        };
        if !other || !carries(release, spec) || !newest() {
            return;
        }
        let why = Why::BoundBefore {
            digest: spec.digest.clone(),
            bound: content.digest.clone(),
            release: release.id.clone(),
        };
        let next = self.start();
        self.add(Some(release), Some(target.wave), Some(cluster), why, next);
    }
}
