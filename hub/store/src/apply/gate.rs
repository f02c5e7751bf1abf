//! Entries of desired sets. In: the actions that change one. Out: the entry in the cluster's new version, its permit signed.
//! It must not raise a version: that was done once for the whole plan.

use hub_engine::observed::Cluster;
use hub_engine::release::{Direction, Permit};
use hub_engine::{Action, ClusterName};

use super::Writer;
use crate::decide::UnsignedPermit;
use crate::desired::SignedPermit;

impl Writer<'_> {
    pub(super) fn write_gate(&mut self, action: &Action) {
        let Some(cluster) = action.touches().cloned() else {
            return;
        };
        if let Action::Govern { terms, .. } = action {
            self.pending.govern(cluster, terms);
        } else if let Action::SetWaiting { waiting, .. } = action {
            self.pending.waiting.insert(cluster, waiting.clone());
        } else if let Action::RevokePermit { .. } = action {
            self.pending.permits.insert(cluster, None);
        } else {
            self.grant(action);
        }
    }

    fn grant(&mut self, action: &Action) {
        let Action::GrantPermit {
            release,
            cluster,
            direction,
            digest,
            delivery,
            start_by,
            max_step,
            why,
            steps_backwards,
        } = action
        else {
            return;
        };
        let permit = Permit {
            release: self.id(*release),
            direction: *direction,
            fence: self.fences.get(cluster).copied().unwrap_or_default(),
            digest: digest.clone(),
            delivery: delivery.clone(),
            start_by: *start_by,
            max_step: *max_step,
            why: why.clone(),
            granted_at: self.observed.now,
        };
        let previous = match direction {
            Direction::Forward => self.cluster(cluster).and_then(Cluster::serves),
            Direction::Rollback => None,
        };
        let signed = self.sign(cluster, permit, *steps_backwards);
        let change = self.pending.target(*release, cluster);
        change.permit = Some(signed.permit.clone());
        change.previous = previous.or(change.previous.take());
        self.pending.permits.insert(cluster.clone(), Some(signed));
    }

    fn sign(&self, cluster: &ClusterName, permit: Permit, steps_backwards: bool) -> SignedPermit {
        let rollout = self.cluster(cluster).and_then(|one| one.rollout.as_ref());
        let rollout_uid = rollout
            .map(|rollout| rollout.uid.clone())
            .unwrap_or_default();
        let unsigned = UnsignedPermit {
            release: permit.release.clone(),
            direction: permit.direction,
            fence: permit.fence,
            digest: permit.digest.clone(),
            delivery: permit.delivery.clone(),
            start_by: permit.start_by,
            max_step: permit.max_step,
            lease_seconds: self.signer.lease_seconds(),
            why: permit.why.clone(),
            steps_backwards,
            cluster_uid: self.uids.get(cluster).cloned().unwrap_or_default(),
            rollout_uid,
        };
        SignedPermit {
            signature: self.signer.sign(&unsigned),
            traceparent: traceparent(&permit),
            permit,
            lease_seconds: unsigned.lease_seconds,
            steps_backwards: unsigned.steps_backwards,
            cluster_uid: unsigned.cluster_uid,
            rollout_uid: unsigned.rollout_uid,
        }
    }
}

/// One trace a release (W3C trace context), derived from its name: every hub and every restart says the same.
fn traceparent(permit: &Permit) -> String {
    use sha2::{Digest as _, Sha256};
    let trace = hex::encode(Sha256::digest(permit.release.to_string()));
    let span = hex::encode(Sha256::digest(format!(
        "{} {}",
        permit.release, permit.fence
    )));
    let first = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    format!("00-{}-{}-01", first(&trace, 32), first(&span, 16))
}
