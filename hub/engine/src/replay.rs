//! The tables out of the history (S2). In: what the rows of one FleetRollout recorded, oldest first. Out: the observation
//! that the tables would show, releases complete. It must not choose: `advance` says what each action does.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::document::FleetRollout;
use crate::name::{ClusterName, Fence};
use crate::observed::{Cluster, Observed};
use crate::release::{Approval, Previous};

/// What one row of the history did to the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// A document was stored.
    Applied {
        /// As stored.
        document: Box<FleetRollout>,
    },
    /// A hub decided.
    Decided {
        /// What.
        action: Action,
        /// The set's number that it was written in, if it touches a set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence: Option<Fence>,
        /// What the cluster served when it was permitted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<Previous>,
    },
    /// A person approved a wave.
    Approved {
        /// Of which release.
        release: u64,
        /// As stored.
        approval: Approval,
    },
    /// A cluster has another name; what was written before keeps the old one.
    Renamed {
        /// It had.
        from: ClusterName,
        /// It has.
        to: ClusterName,
    },
}

/// A step and the database's time of its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Of the row.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub step: Step,
}

/// Why a history cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first row must be the document.
    #[error(
        "row {sequence} decides before any FleetRollout was applied; replay from the first row of its history"
    )]
    NoDocument {
        /// Of the row.
        sequence: u64,
    },
}

/// From nothing to the newest row; none: no row at all. `now` is the newest row's time. Not in it is what no row of this
/// FleetRollout did: what agents say, FleetWindows, the releases that it comes after, stops; what a stop does to gates is.
///
/// # Errors
/// The rows do not begin with a document.
pub fn replay(rows: impl IntoIterator<Item = Recorded>) -> Result<Option<Observed>, Error> {
    let mut state: Option<Observed> = None;
    for Recorded { sequence, at, step } in rows {
        if let Step::Applied { document } = step {
            match &mut state {
                Some(state) => state.fleet_rollout = *document,
                None => state = Some(Observed::new(*document, at)),
            }
            continue;
        }
        let state = state.as_mut().ok_or(Error::NoDocument { sequence })?;
        state.now = at;
        state.step(step);
    }
    Ok(state)
}

impl Observed {
    fn step(&mut self, step: Step) {
        match step {
            Step::Applied { .. } => {}
            Step::Renamed { from, to } => self.rename(&from, &to),
            Step::Approved { release, approval } => {
                let release = self
                    .releases
                    .iter_mut()
                    .find(|one| one.id.number == release);
                if let Some(release) = release {
                    release.approvals.push(approval);
                }
            }
            Step::Decided {
                action,
                fence,
                previous,
            } => {
                if let (Some(name), Some(fence)) = (action.touches(), fence) {
                    self.met(name.clone(), fence);
                }
                match (&action, fence) {
                    (Action::GrantPermit { .. }, Some(fence)) => {
                        self.grant(&action, fence, previous);
                    }
                    _ => self.advance(&action),
                }
            }
        }
    }

    fn rename(&mut self, from: &ClusterName, to: &ClusterName) {
        let clusters = self.clusters.iter_mut();
        for cluster in clusters.filter(|one| one.name == *from) {
            Arc::make_mut(cluster).name.clone_from(to);
        }
        let targets = self.releases.iter_mut().flat_map(|one| &mut one.targets);
        for target in targets.filter(|one| one.cluster == *from) {
            Arc::make_mut(target).cluster.clone_from(to);
        }
        self.clusters.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// A cluster is known from the first action that touches its set.
    fn met(&mut self, name: ClusterName, desired: Fence) {
        let place = self.clusters.binary_search_by(|one| one.name.cmp(&name));
        match place {
            Ok(place) => {
                if let Some(cluster) = self.clusters.get_mut(place) {
                    Arc::make_mut(cluster).desired = desired;
                }
            }
            Err(place) => self.clusters.insert(
                place,
                Arc::new(Cluster {
                    name,
                    labels: Arc::default(),
                    selected: true,
                    connected: false,
                    last_seen: None,
                    desired,
                    stored: Fence::default(),
                    regressed: false,
                    gone: None,
                    replaced: None,
                    restored: None,
                    clock_ahead: 0,
                    gate: None,
                    rollout: None,
                }),
            ),
        }
    }
}
