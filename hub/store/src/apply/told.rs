//! What the history says of a plan. In: its decisions in their order, what this transaction added to them. Out: a row each. It
//! must not hold more of them at once than are written at once: a plan over ten thousand clusters has twenty thousand.

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::observed::Cluster;
use hub_engine::release::Direction;
use hub_engine::replay::Step;
use hub_engine::{Action, ClusterName, Decision, Fence, Observed, ReleaseId};
use sqlx::PgConnection;

use crate::history::{self, Fact};
use crate::{Epoch, Result};

/// What the rows of one plan have in common.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) epoch: Epoch,
    pub(super) observed: &'a Observed,
    /// As the plan leaves them.
    pub(super) fences: &'a BTreeMap<ClusterName, Fence>,
}

impl Told<'_> {
    pub(super) async fn write(self, tx: &mut PgConnection, decisions: &[Decision]) -> Result<()> {
        let streams: BTreeSet<String> = decisions
            .iter()
            .map(|decision| self.stream(&decision.action))
            .collect();
        let facts = decisions.iter().map(|decision| self.fact(decision));
        history::add_each(tx, streams, facts).await
    }

    fn release(self, action: &Action) -> Option<String> {
        let fleet_rollout = self.observed.fleet_rollout.name.clone();
        let id = |number| ReleaseId {
            fleet_rollout,
            number,
        };
        action.release().map(|number| id(number).to_string())
    }

    fn stream(self, action: &Action) -> String {
        let own = || format!("fleetrollout/{}", self.observed.fleet_rollout.name);
        self.release(action).unwrap_or_else(own)
    }

    fn fact(self, decision: &Decision) -> Fact {
        let Decision { action, evidence } = decision;
        let by = action.by();
        Fact {
            stream: self.stream(action),
            at: self.observed.now,
            release: self.release(action).unwrap_or_default(),
            cluster: action
                .cluster()
                .map(ToString::to_string)
                .unwrap_or_default(),
            kind: action.kind().to_owned(),
            actor: by.map_or_else(|| "hub".to_owned(), |by| by.person.to_string()),
            message: action.to_string(),
            evidence: evidence.clone(),
            action: Some(self.step(action)),
            epoch: self.epoch.0,
        }
    }

    /// The action with what this transaction added to it, so that the history alone gives the tables.
    fn step(self, action: &Action) -> Step {
        let leaves = matches!(
            action,
            Action::GrantPermit {
                direction: Direction::Forward,
                ..
            }
        );
        let served = action
            .cluster()
            .and_then(|name| self.observed.cluster(name));
        let previous = served.filter(|_| leaves).and_then(Cluster::serves);
        Step::Decided {
            action: action.clone(),
            fence: action
                .touches()
                .and_then(|one| self.fences.get(one))
                .copied(),
            previous,
        }
    }
}
