//! Entries of desired sets. In: the actions that change one. Out: the entry in the cluster's new version, its permit signed.
//! It must not raise a version: that was done once for the whole plan.

use hub_engine::observed::Cluster;
use hub_engine::release::{Direction, Permit};
use hub_engine::{Action, ClusterName};

use super::Writer;
use crate::Result;
use crate::decide::UnsignedPermit;
use crate::desired::{self, At, SignedPermit};
use crate::target::{self, Of};

pub(crate) const CLUSTER_UID: &str =
    "select coalesce(kube_system_uid, '') as kube_system_uid from clusters where name = $1";
impl Writer<'_> {
    pub(super) async fn write_gate(&mut self, action: &Action) -> Result<()> {
        let Some(cluster) = action.touches() else {
            return Ok(());
        };
        let fleet_rollout = &self.observed.fleet_rollout;
        let fence = self.fences.get(cluster).copied().unwrap_or_default();
        let entry = At {
            cluster,
            rollout: &fleet_rollout.rollout,
            fleet_rollout: &fleet_rollout.name,
            fence,
        };
        if let Action::Govern { terms, .. } = action {
            return desired::set_terms(self.tx, entry, terms).await;
        }
        if let Action::SetWaiting { waiting, .. } = action {
            return desired::set_waiting(self.tx, entry, waiting.as_ref()).await;
        }
        if let Action::RevokePermit { .. } = action {
            return desired::set_permit(self.tx, entry, None).await;
        }
        self.grant(action, entry).await
    }

    async fn grant(&mut self, action: &Action, entry: At<'_>) -> Result<()> {
        let Action::GrantPermit {
            release,
            cluster,
            direction,
            digest,
            delivery,
            start_by,
            max_step,
            why,
        } = action
        else {
            return Ok(());
        };
        let id = self.id(*release);
        let permit = Permit {
            release: id.clone(),
            direction: *direction,
            fence: entry.fence,
            digest: digest.clone(),
            delivery: delivery.clone(),
            start_by: *start_by,
            max_step: *max_step,
            why: why.clone(),
            granted_at: self.observed.now,
        };
        let signed = self.sign(cluster, permit).await?;
        desired::set_permit(self.tx, entry, Some(&signed)).await?;
        let previous = match direction {
            Direction::Forward => self.cluster(cluster).and_then(Cluster::serves),
            Direction::Rollback => None,
        };
        target::set_permit(
            self.tx,
            Of {
                release: &id,
                cluster,
            },
            &signed.permit,
            previous.as_ref(),
        )
        .await
    }

    async fn sign(&mut self, cluster: &ClusterName, permit: Permit) -> Result<SignedPermit> {
        let cluster_uid: String = sqlx::query_scalar(CLUSTER_UID)
            .bind(cluster.as_str())
            .fetch_one(&mut *self.tx)
            .await?;
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
            steps_backwards: false,
            cluster_uid,
            rollout_uid,
        };
        Ok(SignedPermit {
            signature: self.signer.sign(&unsigned),
            traceparent: traceparent(&permit),
            permit,
            lease_seconds: unsigned.lease_seconds,
            steps_backwards: unsigned.steps_backwards,
            cluster_uid: unsigned.cluster_uid,
            rollout_uid: unsigned.rollout_uid,
        })
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
