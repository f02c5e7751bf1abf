//! Clusters. In: names and labels. Out: what is known of each. It must not touch sessions' or sets' numbers.

use std::collections::BTreeMap;

use hub_engine::overlap::Labels;
use hub_engine::{ClusterName, Fence};
use jiff::Timestamp;

use crate::Store;
use crate::error::Error;

/// One cluster as `groundswell get clusters` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRow {
    /// Its name.
    pub name: ClusterName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// UID of its kube-system namespace; none: nobody joined yet.
    pub kube_system_uid: Option<String>,
    /// Heard within `session::CONNECTED_SECONDS`.
    pub connected: bool,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
    /// As its agent said at Hello.
    pub agent_version: String,
    /// What it should hold.
    pub desired: Fence,
    /// What it said that it holds.
    pub stored: Fence,
    /// Its fence was lower than one it had.
    pub regressed: bool,
    /// How many Rollouts it reported.
    pub rollouts: u32,
    /// One sentence: regressed, another identity seen, waiting for its join.
    pub note: String,
}

impl Store {
    /// Every cluster, by name.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn cluster_list(&self) -> Result<Vec<ClusterRow>, Error> {
        Err(crate::store::later())
    }

    /// The labels of every cluster.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn cluster_labels(&self) -> Result<Labels, Error> {
        Err(crate::store::later())
    }
}
