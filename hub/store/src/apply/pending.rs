//! What a plan changes, gathered while its actions are gone through. In: the last word on each gate and target. Out: a few statements, however many clusters there are. It must not be read back: what an action depends on
//! is in what was observed.

use std::collections::BTreeMap;

use hub_engine::member::LetGo;
use hub_engine::observed::{Terms, Waiting};
use hub_engine::release::Target;
use hub_engine::{ClusterName, Fence, Observed};
use sqlx::PgConnection;

use super::CHANGES_SETTLE;
use crate::cluster::number;
use crate::desired::{self, GateChange, Of, PermitColumns, SignedPermit, TermsOf};
use crate::{Result, target};

/// Everything that is not written yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    terms: BTreeMap<ClusterName, Terms>,
    /// None takes it away.
    pub(super) waiting: BTreeMap<ClusterName, Option<Waiting>>,
    /// None takes it away.
    pub(super) permits: BTreeMap<ClusterName, Option<SignedPermit>>,
    /// Governance that ends.
    let_go: BTreeMap<ClusterName, LetGo>,
    pub(super) joined: Vec<target::New>,
    /// Whole targets that begin again; what changes in them after that is in `targets`.
    rewritten: BTreeMap<(u64, ClusterName), Target>,
    pub(super) targets: target::Changes,
    pub(super) settled: Vec<u64>,
}

impl Pending {
    /// What changes in a target, from nothing or from what was said before.
    pub(super) fn target(&mut self, release: u64, cluster: &ClusterName) -> &mut target::Change {
        self.targets.entry((release, cluster.clone())).or_default()
    }

    /// No permit, and nothing to wait for.
    pub(super) fn let_go(&mut self, cluster: &ClusterName, mode: LetGo) {
        self.let_go.insert(cluster.clone(), mode);
        self.waiting.insert(cluster.clone(), None);
        self.permits.insert(cluster.clone(), None);
    }

    pub(super) fn govern(&mut self, cluster: ClusterName, terms: &Terms) {
        self.let_go.remove(&cluster);
        self.terms.insert(cluster, terms.clone());
    }

    pub(super) fn rewrite(&mut self, release: u64, target: &Target) {
        let key = (release, target.cluster.clone());
        self.targets.remove(&key);
        self.rewritten.insert(key, target.clone());
    }

    /// Gates before what changes in them, targets before their states: a plan may do both.
    pub(super) async fn write(
        self,
        tx: &mut PgConnection,
        observed: &Observed,
        fences: &BTreeMap<ClusterName, Fence>,
    ) -> Result<()> {
        let name = &observed.fleet_rollout.name;
        let of = Of {
            rollout: &observed.fleet_rollout.rollout,
            fleet_rollout: name,
        };
        desired::set_terms(tx, of, &self.terms_of(fences)).await?;
        desired::change(tx, of, &self.gates(fences)).await?;
        target::insert(tx, name, &self.joined, observed.now).await?;
        target::rewrite(tx, name, &self.rewritten).await?;
        target::change(tx, name, &self.targets, observed.now).await?;
        if !self.settled.is_empty() {
            let ids: Vec<i64> = self.settled.iter().copied().map(number).collect();
            sqlx::query(CHANGES_SETTLE)
                .bind(ids)
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }

    fn terms_of<'a>(&'a self, fences: &BTreeMap<ClusterName, Fence>) -> Vec<TermsOf<'a>> {
        let one = |(cluster, terms): (&'a ClusterName, &'a Terms)| TermsOf {
            cluster,
            version: version(fences, cluster),
            terms,
        };
        self.terms.iter().map(one).collect()
    }

    fn gates<'a>(&'a self, fences: &BTreeMap<ClusterName, Fence>) -> Vec<GateChange<'a>> {
        let mut clusters: Vec<_> = self.waiting.keys().chain(self.permits.keys()).collect();
        clusters.sort();
        clusters.dedup();
        let one = |cluster: &'a ClusterName| {
            let (waiting, permit) = (self.waiting.get(cluster), self.permits.get(cluster));
            GateChange {
                cluster,
                version: version(fences, cluster),
                governance: self.let_go.get(cluster).copied(),
                waits: waiting.is_some(),
                waiting: waiting.and_then(Option::as_ref),
                permits: permit.is_some(),
                permit: permit
                    .and_then(Option::as_ref)
                    .map(PermitColumns::from)
                    .unwrap_or_default(),
            }
        };
        clusters.into_iter().map(one).collect()
    }
}

fn version(fences: &BTreeMap<ClusterName, Fence>, cluster: &ClusterName) -> u64 {
    fences.get(cluster).map_or(0, |fence| fence.version)
}
