//! The plan under way. In: actions with their evidence. Out: the state that they lead to, and at the end the plan. It must
//! not choose actions.

use std::sync::Arc;

use serde_json::Value;

use super::reasons;
use crate::action::{Action, Decision};
use crate::name::ClusterName;
use crate::observed::{Cluster, Observed};
use crate::place::{self, Near};
use crate::plan::{FleetRolloutStatus, Plan};
use crate::planted::Bug;
use crate::reason::Reason;
use crate::release::{Release, Target, TargetState};

/// What is planned so far, and how things stand after it.
pub(super) struct Planner {
    pub state: Observed,
    pub actions: Vec<Decision>,
    pub bug: Bug,
}

impl Planner {
    pub(super) fn new(observed: &Observed, bug: Bug) -> Self {
        Self {
            state: observed.clone(),
            actions: Vec::new(),
            bug,
        }
    }

    pub(super) fn act(&mut self, action: Action, evidence: Value) {
        self.state.advance(&action);
        self.actions.push(Decision { action, evidence });
    }

    /// Only what changes something is planned: reconciling again plans nothing.
    pub(super) fn set_target(
        &mut self,
        release: u64,
        cluster: &ClusterName,
        state: TargetState,
        message: impl Into<String>,
        evidence: Value,
    ) {
        let message = message.into();
        let same = self
            .state
            .release(release)
            .and_then(|release| release.target(cluster))
            .is_some_and(|target| target.state == state && target.message == message);
        if !same {
            self.act(
                Action::SetTargetState {
                    release,
                    cluster: cluster.clone(),
                    state,
                    message,
                },
                evidence,
            );
        }
    }

    /// A copy to look at while acting.
    pub(super) fn release(&self, number: u64) -> Option<Release> {
        self.state.release(number).cloned()
    }

    /// A copy of a target to look at while acting.
    pub(super) fn target(&self, number: u64, cluster: &ClusterName) -> Option<Arc<Target>> {
        let targets = &self.state.release(number)?.targets;
        targets.get(place::of_target(targets, cluster)?).cloned()
    }

    pub(super) fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.state.cluster(name)
    }

    /// A copy of a cluster to look at while acting.
    pub(super) fn shared(&self, name: &ClusterName) -> Option<Arc<Cluster>> {
        let clusters = &self.state.clusters;
        clusters.get(place::of_cluster(clusters, name)?).cloned()
    }

    /// The same for whoever asks for many in order.
    pub(super) fn near(&self, near: &mut Near, name: &ClusterName) -> Option<&Arc<Cluster>> {
        near.cluster(&self.state.clusters, name)
    }

    pub(super) fn finish(self) -> Plan {
        let status = self.status();
        let reasons = reasons::all(&self.state);
        let wake = super::wake::wake(&self.state);
        Plan {
            actions: self.actions,
            status,
            reasons,
            wake,
        }
    }

    /// The same with these reasons alone, and nothing that time changes.
    pub(super) fn finish_saying(self, reasons: Vec<Reason>) -> Plan {
        let status = self.status();
        Plan {
            actions: self.actions,
            status,
            reasons,
            wake: None,
        }
    }

    fn status(&self) -> FleetRolloutStatus {
        let newest = self
            .state
            .releases
            .iter()
            .max_by_key(|release| release.id.number);
        let selected = || {
            self.state
                .clusters
                .iter()
                .filter(|cluster| cluster.selected)
        };
        FleetRolloutStatus {
            release: newest.map(|release| release.id.clone()),
            phase: newest.map(|release| release.phase),
            clusters: u32::try_from(selected().count()).unwrap_or(u32::MAX),
            connected: u32::try_from(selected().filter(|cluster| cluster.connected).count())
                .unwrap_or(u32::MAX),
        }
    }
}
