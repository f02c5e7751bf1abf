//! The fixed plan of a release. In: a FleetRollout and the clusters it selects. Out: waves of named clusters under their
//! policy, and the digest of that. It must not look at what clusters run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::amount::{Amount, Seconds};
use crate::canonical;
use crate::document::{
    ApprovalSpec, Expedite, FleetRollout, Membership, OnFailure, default_max_concurrent,
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

/// The waves of a FleetRollout over these clusters. A cluster that two waves select is in the first of them only; one
/// that no wave selects is in none (`overlap` reports both before a document is stored).
#[must_use]
pub fn plan_waves(
    fleet_rollout: &FleetRollout,
    clusters: &BTreeMap<ClusterName, BTreeMap<String, String>>,
) -> ReleasePlan {
    let mut taken: BTreeSet<&ClusterName> = BTreeSet::new();
    let mut members: Vec<Vec<ClusterName>> = Vec::new();
    for wave in &fleet_rollout.waves {
        let mut own = Vec::new();
        if let Some(selector) = &wave.clusters {
            for (name, labels) in clusters {
                if fleet_rollout.clusters.selects(labels)
                    && selector.selects(labels)
                    && taken.insert(name)
                {
                    own.push(name.clone());
                }
            }
        }
        members.push(own);
    }
    let rest: Vec<ClusterName> = clusters
        .iter()
        .filter(|(name, labels)| fleet_rollout.clusters.selects(labels) && !taken.contains(name))
        .map(|(name, _)| name.clone())
        .collect();
    let waves = fleet_rollout
        .waves
        .iter()
        .zip(members)
        .map(|(wave, own)| PlannedWave {
            name: wave.name.clone(),
            clusters: if wave.clusters.is_some() {
                own
            } else {
                rest.clone()
            },
            max_concurrent: wave.max_concurrent,
            bake: wave.bake,
            approval: wave.approval.clone(),
            max_failed: wave.max_failed,
        })
        .collect();
    ReleasePlan {
        waves,
        on_failure: fleet_rollout.on_failure,
        progress_deadline: fleet_rollout.progress_deadline,
        membership: fleet_rollout.membership,
        expedite: fleet_rollout.expedite,
    }
}
