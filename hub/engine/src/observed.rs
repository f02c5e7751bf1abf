//! Everything a decision is made from. In: one consistent snapshot of the database. Out: plain values. It must not hold
//! anything that was not committed, nor a time that the database did not give.

mod terms;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use told::told;

use crate::document::FleetRollout;
use crate::member::{Gone, LetGo};
use crate::name::{ClusterName, Digest, Fence, FleetRolloutName, Person, ReleaseId, Revision};
use crate::place;
use crate::release::{Content, Permit, Previous, Release, ReleasePhase};
use crate::verb::{Stop, Verb};
use crate::window::FleetWindow;

pub use terms::Terms;

/// One FleetRollout and all that bears on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// The database's time in this snapshot.
    pub now: Timestamp,
    /// The declared intent.
    pub fleet_rollout: FleetRollout,
    /// Every cluster that it selects, and every one whose gate it still holds; by name. Shared until it is changed: a plan is
    /// worked out on copies.
    #[serde(default)]
    pub clusters: Vec<Arc<Cluster>>,
    /// Open ones, the newest ended one and every other one with a target that is not done, by number.
    #[serde(default)]
    pub releases: Vec<Release>,
    /// What is remembered of every release, by number: joining and opening ask for it.
    #[serde(default)]
    pub past: Vec<PastRelease>,
    /// Content changes seen by connected agents and not decided yet, by id.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// What persons asked for, not decided yet, by id.
    #[serde(default)]
    pub requests: Vec<Request>,
    /// Digests that failed, and in which release.
    #[serde(default)]
    pub barred: BTreeMap<Digest, ReleaseId>,
    /// Digests that a passed release served, newest last, at most `PASSED_MAX`.
    #[serde(default)]
    pub passed: Vec<Digest>,
    /// Clusters where another FleetRollout governs the same Rollout (gate.md G12), selected or let go.
    #[serde(default)]
    pub conflicts: BTreeMap<ClusterName, FleetRolloutName>,
    /// Every FleetWindow, by name.
    #[serde(default)]
    pub windows: Vec<FleetWindow>,
    /// The newest release of every FleetRollout that this one comes after, in the document's order.
    #[serde(default)]
    pub before: Vec<Predecessor>,
    /// A person stopped it, or the whole fleet (gate.md G30).
    #[serde(default)]
    pub stopped: Option<Stop>,
    /// When the newest stop that held it was lifted: deadlines of what it held count from then.
    #[serde(default)]
    pub went_on: Option<Timestamp>,
    /// Since when a hub listens without a gap: nobody is silent, and nothing is late, for what came before. None: it was always.
    #[serde(default)]
    pub listening_since: Option<Timestamp>,
    /// The highest release number that an agent has an outcome of ([`told`]): numbers go on above it (gate.md L5).
    #[serde(default)]
    pub told: u64,
}

/// A FleetRollout that another one comes after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// Its name.
    pub name: FleetRolloutName,
    /// Its newest release and where that stands; none: it has none yet.
    #[serde(default)]
    pub newest: Option<(ReleaseId, ReleasePhase)>,
}

impl Predecessor {
    /// The release that has to pass first: the newest one, while it is open or after it ended badly.
    #[must_use]
    pub fn waits_for(&self) -> Option<(&ReleaseId, ReleasePhase)> {
        let (release, phase) = self.newest.as_ref()?;
        match phase {
            ReleasePhase::Succeeded | ReleasePhase::Withdrawn => None,
            ReleasePhase::Waiting
            | ReleasePhase::Progressing
            | ReleasePhase::Halted
            | ReleasePhase::RollingBack
            | ReleasePhase::Failed
            | ReleasePhase::RolledBack
            | ReleasePhase::RolledBackPartially
            | ReleasePhase::Superseded
            | ReleasePhase::Aborted => Some((release, *phase)),
        }
    }
}

/// A first deploy of an older digest than these waits for a person: a fleet's sets stay small.
pub const PASSED_MAX: usize = 32;

/// A release of which only the outline is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastRelease {
    /// Its number.
    pub number: u64,
    /// Its revision, if known.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// How it ended.
    pub phase: ReleasePhase,
    /// Every digest bound in it, sorted.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// Its count of overtaken releases (gate.md G26).
    #[serde(default)]
    pub overtook: u32,
    /// Whether it ever permitted a cluster to start.
    #[serde(default)]
    pub touched: bool,
}

/// A cluster as the hub knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its labels; shared, as gate and Rollout are, with whoever remembers them between two decisions.
    #[serde(default)]
    pub labels: Arc<BTreeMap<String, String>>,
    /// Whether the FleetRollout selects it now; one that it no longer selects stays governed (gate.md G9).
    #[serde(default = "yes")]
    pub selected: bool,
    /// Whether its agent has a current session.
    #[serde(default = "yes")]
    pub connected: bool,
    /// When it was last heard; none: never.
    #[serde(default)]
    pub last_seen: Option<Timestamp>,
    /// What it should hold.
    #[serde(default)]
    pub desired: Fence,
    /// What it said that it holds.
    #[serde(default)]
    pub stored: Fence,
    /// It came back with a lower fence than it had (gate.md L4): starts nothing until equal.
    #[serde(default)]
    pub regressed: bool,
    /// Nothing starts there any more, by a person's word; never selected then.
    #[serde(default)]
    pub gone: Option<Gone>,
    /// Since then another cluster has this name, by a person's word (gate.md L4).
    #[serde(default)]
    pub replaced: Option<Timestamp>,
    /// When it last came back with a lower fence than it had, or without the end of a permit that it told: out of a backup
    /// (gate.md L4).
    #[serde(default)]
    pub restored: Option<Timestamp>,
    /// How many seconds its clock is ahead of the database's, as far as that is proven. It starts nothing: it only keeps a
    /// permit from being given in vain.
    #[serde(default)]
    pub clock_ahead: i64,
    /// Its gate as last written.
    #[serde(default)]
    pub gate: Option<Arc<Gate>>,
    /// What its agent last said of the Rollout; none: never said anything.
    #[serde(default)]
    pub rollout: Option<Arc<Rollout>>,
}

fn yes() -> bool {
    true
}

/// A gate entry as last written: its terms, what it waits for, its permit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// What holds for it whatever is released.
    pub terms: Terms,
    /// What held content waits for.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// The newest permit, until another replaces it or it is taken away.
    #[serde(default)]
    pub permit: Option<Permit>,
    /// Governance has ended there (gate.md G9).
    #[serde(default)]
    pub let_go: Option<LetGo>,
}

/// What a held cluster shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// The release; none: none covers the content.
    #[serde(default)]
    pub release: Option<ReleaseId>,
    /// Its wave's number; 0 without a release.
    #[serde(default)]
    pub wave: u32,
    /// How many waves there are.
    #[serde(default)]
    pub waves: u32,
    /// Its wave's name.
    #[serde(default)]
    pub wave_name: String,
    /// `waiting for wave 2 of 3 (europe) of release checkout#42`.
    pub message: String,
    /// The command that tells more or helps.
    #[serde(default)]
    pub next: String,
}

/// The Rollout in one cluster, by its agent's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The object's UID.
    #[serde(default)]
    pub uid: String,
    /// What Git wants; none: the agent could not tell.
    #[serde(default)]
    pub spec: Option<Content>,
    /// Content digest that is served; none: nothing is.
    #[serde(default)]
    pub served: Option<Digest>,
    /// Its delivery digest.
    #[serde(default)]
    pub served_delivery: Option<Digest>,
    /// Content digest that is held; none: nothing is.
    #[serde(default)]
    pub held: Option<Digest>,
    /// Digests that a permit may name.
    #[serde(default)]
    pub kept: Vec<Digest>,
    /// Of these, the ones that were served here.
    #[serde(default)]
    pub healthy: Vec<Digest>,
    /// Of each kept digest, the delivery digest that it is kept with; older agents do not say.
    #[serde(default)]
    pub kept_deliveries: BTreeMap<Digest, Digest>,
    /// The Rollout's phase; shown, never decided on (gate.md G18).
    #[serde(default)]
    pub phase: String,
    /// The Rollout's message.
    #[serde(default)]
    pub message: String,
    /// Step it is at.
    #[serde(default)]
    pub step: u32,
    /// How many steps there are.
    #[serde(default)]
    pub steps: u32,
    /// Of the newest permit.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// That permit was a former Rollout's of this name, deleted since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outcome_of_former: bool,
    /// Fence of the permit that it holds.
    #[serde(default)]
    pub permit_fence: Option<Fence>,
    /// When and how its permit took effect.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// Its engine's reasons, as sentences.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Whether its lease is live.
    #[serde(default)]
    pub lease_live: bool,
    /// Its gate could not be decoded (gate.md G5).
    #[serde(default)]
    pub undecodable_gate: bool,
    /// The object was deleted.
    #[serde(default)]
    pub removed: bool,
}

/// A permit's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The permit's fence.
    pub fence: Fence,
    /// The permit's release, as the agent wrote it.
    pub release: String,
    /// The permit's digest.
    pub digest: Digest,
    /// How it ended.
    pub result: OutcomeResult,
    /// The agent's sentence.
    #[serde(default)]
    pub message: String,
    /// Generation at which the permit took effect.
    #[serde(default)]
    pub generation: i64,
}

/// How a permit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutcomeResult {
    /// All weight and all replicas, steps and analysis done (gate.md G18).
    Served,
    /// Aborted, by analysis, deadline or a person.
    Failed,
    /// The spec was edited back (gate.md G19).
    Withdrawn,
    /// Nothing to go back to (gate.md G23).
    NoRollbackTarget,
    /// The agent may not or cannot: start-by passed, signature wrong, digest unknown.
    Refused,
}

/// A permit taking effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// The permit's fence.
    pub fence: Fence,
    /// The permit's digest.
    pub digest: Digest,
    /// The Rollout's generation at that moment.
    #[serde(default)]
    pub generation: i64,
}

/// A content change that a connected agent saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The stored row.
    pub id: u64,
    /// Where.
    pub cluster: ClusterName,
    /// What was there; none: the Rollout was new.
    #[serde(default)]
    pub was: Option<Content>,
    /// What is there.
    pub now: Content,
}

/// A person's word: a release of what the clusters hold, or something about a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The stored row.
    pub id: u64,
    /// Who, by certificate.
    pub person: Person,
    /// Why.
    pub reason: String,
    /// What.
    #[serde(default)]
    pub verb: Verb,
    /// Which release it is about; none for a start.
    #[serde(default)]
    pub release: Option<u64>,
}

impl Rollout {
    /// How its agent would deliver content now (gate.md G2); none: it did not say.
    #[must_use]
    pub fn delivery_of(&self, content: &Digest) -> Option<&Digest> {
        let spec = self.spec.as_ref().filter(|spec| spec.digest == *content);
        spec.map(|spec| &spec.delivery)
            .or_else(|| self.kept_deliveries.get(content))
            .filter(|delivery| !delivery.as_str().is_empty())
    }
}

impl Cluster {
    /// What it serves, by its agent's last word: where a rollback of what it is permitted next would go.
    #[must_use]
    pub fn serves(&self) -> Option<Previous> {
        let rollout = self.rollout.as_ref()?;
        Some(Previous {
            digest: rollout.served.clone()?,
            delivery: rollout.served_delivery.clone().unwrap_or_default(),
        })
    }
}

impl Observed {
    /// A FleetRollout of which nothing is known yet.
    #[must_use]
    pub fn new(fleet_rollout: FleetRollout, now: Timestamp) -> Self {
        Self {
            now,
            fleet_rollout,
            clusters: Vec::new(),
            releases: Vec::new(),
            past: Vec::new(),
            changes: Vec::new(),
            requests: Vec::new(),
            barred: BTreeMap::new(),
            passed: Vec::new(),
            conflicts: BTreeMap::new(),
            windows: Vec::new(),
            before: Vec::new(),
            stopped: None,
            went_on: None,
            listening_since: None,
            told: 0,
        }
    }

    /// A cluster by name.
    #[must_use]
    pub fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters
            .get(place::of_cluster(&self.clusters, name)?)
            .map(Arc::as_ref)
    }

    /// A release by number.
    #[must_use]
    pub fn release(&self, number: u64) -> Option<&Release> {
        self.releases
            .iter()
            .find(|release| release.id.number == number)
    }

    /// The release whose waves go on, halt or go back; at most one.
    #[must_use]
    pub fn active(&self) -> Option<&Release> {
        self.releases
            .iter()
            .find(|release| !release.phase.ended() && release.phase != ReleasePhase::Waiting)
    }

    /// The release that waits for the active one; at most one (gate.md G26).
    #[must_use]
    pub fn waiting(&self) -> Option<&Release> {
        self.releases
            .iter()
            .find(|release| release.phase == ReleasePhase::Waiting)
    }

    /// The highest release number so far.
    #[must_use]
    pub fn newest_number(&self) -> u64 {
        let open = self.releases.iter().map(|release| release.id.number);
        open.chain(self.past.iter().map(|past| past.number))
            .chain([self.told])
            .max()
            .unwrap_or(0)
    }
}
