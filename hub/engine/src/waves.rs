//! The fixed plan of a release. In: a FleetRollout and the clusters it selects. Out: waves of named clusters under their
//! policy, and the digest of that. It must not look at what clusters run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::amount::{Amount, Seconds};
use crate::canonical;
use crate::document::{
    ApprovalSpec, Expedite, FleetRollout, Membership, OnFailure, WaveSpec, default_max_concurrent,
    default_max_failed,
};
use crate::name::ClusterName;

/// What a release will do, fixed when it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReleasePlan {
    /// In order; a wave may have no cluster.
    pub waves: Vec<PlannedWave>,
    /// What a failed wave leads to.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Per target.
    #[serde(default = "crate::document::default_progress_deadline")]
    pub progress_deadline: Seconds,
    /// For clusters that are silent, unchanged or without the Rollout.
    #[serde(default)]
    pub membership: Membership,
    /// Failures that the whole release survives; none: only those of its waves count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<Amount>,
    /// What it may shorten when a person expedites it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expedite: Option<Expedite>,
}

/// One wave with its clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlannedWave {
    /// As in the document.
    pub name: String,
    /// Sorted by name.
    pub clusters: Vec<ClusterName>,
    /// Clusters in flight at once.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: Amount,
    /// Watched so long after its last success.
    #[serde(default)]
    pub bake: Seconds,
    /// Asked before its first permit.
    #[serde(default)]
    pub approval: Option<ApprovalSpec>,
    /// Asked before it passes, once its bake is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_after: Option<ApprovalSpec>,
    /// Failures that it survives.
    #[serde(default = "default_max_failed")]
    pub max_failed: Amount,
}

impl ReleasePlan {
    /// A wave by its number, 1-based.
    #[must_use]
    pub fn wave(&self, number: u32) -> Option<&PlannedWave> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.waves.get(index)
    }

    /// How many waves there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.waves.len()).unwrap_or(u32::MAX)
    }

    /// Whether it has no wave; never so for a plan made from a checked document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waves.is_empty()
    }

    /// `p1:` and the SHA-256 over its canonical JSON; approvals name it.
    #[must_use]
    pub fn digest(&self) -> String {
        format!(
            "p1:{}",
            hex::encode(Sha256::digest(canonical::json(self).as_bytes()))
        )
    }
}

/// The waves of a FleetRollout over these clusters. Named clusters are kept for the wave that names them; apart from that a
/// cluster that two waves select is in the first of them only; one that no wave selects is in none (`overlap` reports both
/// before a document is stored).
#[must_use]
pub fn plan_waves(
    fleet_rollout: &FleetRollout,
    clusters: &BTreeMap<ClusterName, BTreeMap<String, String>>,
) -> ReleasePlan {
    let governed: BTreeMap<&ClusterName, &BTreeMap<String, String>> = clusters
        .iter()
        .filter(|(_, labels)| fleet_rollout.clusters.selects(labels))
        .collect();
    let named: BTreeSet<&ClusterName> = fleet_rollout
        .waves
        .iter()
        .flat_map(|wave| &wave.names)
        .collect();
    let mut taken: BTreeSet<&ClusterName> = BTreeSet::new();
    let mut members: Vec<Vec<ClusterName>> = Vec::new();
    for wave in &fleet_rollout.waves {
        let own = members_of(fleet_rollout, wave, &governed, &named, &taken);
        taken.extend(&own);
        members.push(own.into_iter().cloned().collect());
    }
    let waves = fleet_rollout
        .waves
        .iter()
        .zip(members)
        .map(|(wave, own)| PlannedWave {
            name: wave.name.clone(),
            clusters: own,
            max_concurrent: wave.max_concurrent,
            bake: wave.bake,
            approval: wave.approval.clone(),
            approval_after: wave.approval_after.clone(),
            max_failed: wave.max_failed,
        })
        .collect();
    ReleasePlan {
        waves,
        on_failure: fleet_rollout.on_failure,
        progress_deadline: fleet_rollout.progress_deadline,
        membership: fleet_rollout.membership,
        max_failed: fleet_rollout.max_failed,
        expedite: fleet_rollout.expedite,
    }
}

/// Sorted by name.
fn members_of<'a>(
    fleet_rollout: &FleetRollout,
    wave: &WaveSpec,
    governed: &BTreeMap<&'a ClusterName, &'a BTreeMap<String, String>>,
    named: &BTreeSet<&ClusterName>,
    taken: &BTreeSet<&ClusterName>,
) -> Vec<&'a ClusterName> {
    if !wave.names.is_empty() {
        let own = governed.keys().filter(|name| wave.names.contains(name));
        return own.copied().collect();
    }
    let selected = |labels: &BTreeMap<String, String>| {
        let selector = wave.clusters.as_ref();
        selector.is_none_or(|selector| selector.selects(labels))
    };
    let all = governed.iter().filter(|(_, labels)| selected(labels));
    let of = all.clone().count();
    let mut free: Vec<&ClusterName> = all
        .map(|(name, _)| *name)
        .filter(|name| !named.contains(name) && !taken.contains(name))
        .collect();
    if let Some(take) = wave.take {
        free.sort_by_key(|name| rank(fleet_rollout, name));
        free.truncate(take.rounded_up_of(of));
        free.sort();
    }
    free
}

/// The order in which waves by count or share take clusters: by hash of the FleetRollout's and the cluster's names. It is
/// the same for every release, so that approvals and experience stay comparable; it differs between FleetRollouts, so that
/// not one cluster is the first for everything.
fn rank(fleet_rollout: &FleetRollout, cluster: &ClusterName) -> [u8; 32] {
    Sha256::digest(format!("{}/{cluster}", fleet_rollout.name).as_bytes()).into()
}
