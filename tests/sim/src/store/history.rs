//! The history, chained as `hub_store::history` and `apply::told` chain it. In: what a transaction did, and why. Out: its rows,
//! the head that agents are handed, the steps that a replay is made from; refused attempts beside it. It must not change a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_engine::chain::{ChainHead, Row};
use hub_engine::observed::Cluster;
use hub_engine::release::Direction;
use hub_engine::replay::{Recorded, Step};
use hub_engine::{Action, ClusterName, Decision, Observed, ReleaseId};
use jiff::Timestamp;
use serde_json::Value;

use super::{Fact, Store};
use crate::event::{Draft, Ms};
use crate::planted::{Bugs, Planted};
use crate::world::stamp;

/// A refused attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: Ms,
    /// What was tried.
    pub kind: &'static str,
    /// By whom.
    pub who: String,
}

/// What one row says, before it has its place.
struct Said {
    stream: String,
    at: Timestamp,
    release: String,
    cluster: String,
    kind: String,
    actor: String,
    message: String,
    evidence: Value,
    /// Of which FleetRollout's tables, and what it did to them.
    step: Option<(usize, Step)>,
    epoch: i64,
}

impl Said {
    /// Of nobody's but the hub's.
    fn of_hub(kind: &str, actor: &str, at: Timestamp) -> Self {
        Self {
            stream: "hub".to_owned(),
            at,
            release: String::new(),
            cluster: String::new(),
            kind: kind.to_owned(),
            actor: actor.to_owned(),
            message: format!("{kind} by {actor}"),
            evidence: Value::Null,
            step: None,
            epoch: 0,
        }
    }
}

/// The rows.
#[derive(Debug, Clone, Default)]
pub struct History {
    rows: Vec<Arc<Row>>,
    heads: BTreeMap<String, (u64, String)>,
    /// By FleetRollout.
    steps: BTreeMap<usize, Vec<Arc<Recorded>>>,
    /// Refused attempts.
    pub refused: Vec<Refused>,
}

impl History {
    /// In their order.
    #[must_use]
    pub fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// The newest row and its hash, which agents are handed.
    #[must_use]
    pub fn head(&self) -> (usize, String) {
        let hash = self.rows.last().map(|row| row.hash.clone());
        (self.rows.len(), hash.unwrap_or_default())
    }

    /// Where every chain ends.
    #[must_use]
    pub fn heads(&self) -> Vec<ChainHead> {
        let heads = self
            .heads
            .iter()
            .map(|(stream, (position, hash))| ChainHead {
                stream: stream.clone(),
                position: *position,
                hash: hash.clone(),
            });
        heads.collect()
    }

    /// What was done to a FleetRollout's tables.
    #[must_use]
    pub fn steps(&self, fleet: usize) -> Vec<Recorded> {
        let steps = self.steps.get(&fleet).into_iter().flatten();
        steps.map(|one| (**one).clone()).collect()
    }

    /// Whether an agent was handed a row that is not here.
    #[must_use]
    pub fn lacks(&self, at: usize, hash: &str) -> bool {
        let row = self.rows.get(at.wrapping_sub(1));
        at > 0 && row.is_none_or(|row| row.hash != hash)
    }

    fn add(&mut self, said: Said, bugs: Bugs) {
        let (position, previous_hash) = self.heads.get(&said.stream).cloned().unwrap_or_default();
        let sequence = u64::try_from(self.rows.len() + 1).unwrap_or(u64::MAX);
        let action = said
            .step
            .as_ref()
            .map(|(_, step)| serde_json::to_value(step));
        let action = action.map(|value| value.expect("a step is JSON"));
        let mut row = Row {
            sequence,
            stream: said.stream,
            position: position + 1,
            at: said.at,
            release: said.release,
            cluster: said.cluster,
            kind: said.kind,
            actor: said.actor,
            message: said.message,
            evidence: said.evidence,
            action,
            epoch: said.epoch.unsigned_abs(),
            previous_hash,
            hash: String::new(),
        };
        // The planted bug: some rows stand beside their chain.
        if bugs.has(Planted::RowUnchained) && row.kind == "PermitRevoked" {
            row.previous_hash = String::new();
        }
        row.hash = row.hash_of_content().map(hex::encode).unwrap_or_default();
        // The planted bug: what is stored of a row is not what its hash was taken over.
        if bugs.has(Planted::RowAltered) && row.kind == "TargetFailed" {
            row.message = row.kind.clone();
        }
        self.heads
            .insert(row.stream.clone(), (row.position, row.hash.clone()));
        if let Some((fleet, step)) = said.step {
            let at = row.at;
            let recorded = Recorded { sequence, at, step };
            self.steps
                .entry(fleet)
                .or_default()
                .push(Arc::new(recorded));
        }
        self.rows.push(Arc::new(row));
    }
}

/// As `Told::step`.
fn step(before: &Observed, after: &Observed, action: &Action) -> Step {
    let leaves = matches!(
        action,
        Action::GrantPermit {
            direction: Direction::Forward,
            ..
        }
    );
    let served = action.cluster().and_then(|name| before.cluster(name));
    let touched = action.touches().and_then(|name| after.cluster(name));
    Step::Decided {
        action: action.clone(),
        fence: touched.map(|own| own.desired),
        previous: served.filter(|_| leaves).and_then(Cluster::serves),
    }
}

impl Store {
    /// A decision's row, in the transaction that writes what it says.
    pub(super) fn decided(&mut self, draft: &Draft, decision: &Decision) {
        let Decision { action, evidence } = decision;
        let tables = &self.fleets[draft.fleet];
        let name = &tables.fleet_rollout.name;
        let release = action.release().map(|number| {
            let fleet_rollout = name.clone();
            let id = ReleaseId {
                fleet_rollout,
                number,
            };
            id.to_string()
        });
        let by = action.by().map(|by| by.person.to_string());
        let cluster = action.cluster().map(ToString::to_string);
        let unseen = self.bugs.has(Planted::EvidenceMissing) && action.kind() == "TargetSucceeded";
        let said = Said {
            stream: release
                .clone()
                .unwrap_or_else(|| format!("fleetrollout/{name}")),
            at: draft.observed.now,
            release: release.unwrap_or_default(),
            cluster: cluster.unwrap_or_default(),
            kind: action.kind().to_owned(),
            actor: by.unwrap_or_else(|| "hub".to_owned()),
            message: action.to_string(),
            evidence: if unseen {
                Value::Null
            } else {
                evidence.clone()
            },
            step: Some((draft.fleet, step(&draft.observed, tables, action))),
            epoch: draft.epoch,
        };
        // The planted bug: what is refused changes nothing, so that nobody needs to know.
        let silent = self.bugs.has(Planted::RowMissing) && action.kind() == "RequestRefused";
        if !silent {
            self.chain.add(said, self.bugs);
        }
        self.history.push(Fact {
            epoch: draft.epoch,
            fleet: draft.fleet,
            action: action.clone(),
        });
    }

    /// A person's or a cluster's row that changes no table of a release.
    pub(super) fn noted(&mut self, kind: &str, actor: &str, at: Ms) {
        self.chain
            .add(Said::of_hub(kind, actor, stamp(at)), self.bugs);
    }

    /// A cluster's row.
    pub(super) fn joined(&mut self, cluster: &ClusterName) {
        let actor = format!("agent:{cluster}");
        let at = self.chain.rows.last().map(|row| row.at);
        let said = Said::of_hub("ClusterJoined", &actor, at.unwrap_or_default());
        self.chain.add(said, self.bugs);
    }

    /// A document's row.
    pub(super) fn applied(&mut self, fleet: usize, at: Timestamp) {
        let document = Box::new(self.fleets[fleet].fleet_rollout.clone());
        let said = Said {
            stream: format!("fleetrollout/{}", document.name),
            step: Some((fleet, Step::Applied { document })),
            ..Said::of_hub("FleetRolloutApplied", "eve", at)
        };
        self.chain.add(said, self.bugs);
    }

    /// The row of the newest approval of a release.
    pub(super) fn approved(&mut self, fleet: usize, number: u64, at: Ms) {
        let release = self.fleets[fleet].release(number);
        let newest = release.and_then(|release| Some((release, release.approvals.last()?)));
        let Some((release, approval)) = newest else {
            return;
        };
        let id = release.id.to_string();
        let step = Step::Approved {
            release: number,
            approval: approval.clone(),
        };
        // The planted bug: the row tells of it, and nothing can be made from it.
        let told = self.bugs.has(Planted::StepUnrecorded);
        let said = Said {
            stream: id.clone(),
            release: id,
            evidence: serde_json::json!({"images": approval.images}),
            step: (!told).then_some((fleet, step)),
            ..Said::of_hub("WaveApproved", approval.person.as_str(), stamp(at))
        };
        self.chain.add(said, self.bugs);
    }

    /// A refused attempt leaves its row.
    pub(super) fn refuse(&mut self, kind: &'static str, who: &str, at: Ms) {
        if !self.bugs.has(Planted::RefusalUnrecorded) {
            let who = who.to_owned();
            self.chain.refused.push(Refused { at, kind, who });
        }
    }
}
