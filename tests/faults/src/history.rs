//! The history checker: what the simulation checks after every step, here on what a real fleet recorded. In: a world at rest.
//! Out: the first rule of faults.md section 4 that does not hold. It reads the database and the agents' own scripts, and
//! asks no hub.
//!
//! | Invariant | Here |
//! |---|---|
//! | S1 | `waves`: a permit forward only after every earlier wave was passed or passed over, with its approvals, beside no more than may move at once; none in a release that has ended badly; no wave passes above its budget |
//! | S2 | `tables`: the history alone gives the tables; `told`: what an agent was permitted has its committed row |
//! | S4 | `once`: one grant a fence, one success a permit; `told`: one end a permit |
//! | S5 | `epochs`: decisions of an older epoch never follow those of a newer one |
//! | S9, L2 | `views`: what the hub has of a cluster is the cluster's truth, and it holds what it should |
//! | S12 | `waves`: no bake is shorter than the plan says, from the wave's last success, by the database's time |
//! | S19 | `waves`: nothing goes forward in a release that is paused |
//! | S20 | `waves`: back only where it had gone forward, to what was served there |
//! | S22 | `evidence`: every decision has its evidence; `chain`: every chain is whole, and so is what agents were handed |

mod waves;

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::chain::{Anchor, Row, Verifier};
use hub_engine::release::TargetState;
use hub_engine::replay::Step;
use hub_engine::{Action, ClusterName, Fence, FleetRolloutName, Observed};
use hub_store::Store;
use proto::head::Head;
use tests_bench::fleet::agent::Agent;
use tests_bench::fleet::rollout::digest;
use tests_bench::fleet::script::{Script, Seen};
use tests_fleet::eventually;

use crate::agents::ROLLOUT;
use crate::history::waves::{Done, Entry};
use crate::world::{NAME, SOON, World};

/// Rows a reading.
const PAGE: u32 = 500;

/// A row that decided something.
pub(crate) struct Decided {
    pub(crate) row: Row,
    pub(crate) action: Action,
    pub(crate) fence: Option<Fence>,
}

impl World {
    /// Waits until everybody is at rest, ends the agents and holds what was recorded against the rules.
    pub async fn check(&mut self) {
        self.at_rest().await;
        Self::check_store(&self.store).await;
        let decided = decided(&rows(&self.store).await);
        let mut agents = Vec::new();
        // What was decided before a restore is lost, and says so in its number.
        let fences = self.store.desired_fences().await.expect("the fences");
        let incarnation = fences.iter().map(|(_, fence)| fence.incarnation).max();
        let incarnation = incarnation.unwrap_or_default();
        for player in &mut self.agents {
            told(&player.cluster, &player.script, &decided, incarnation);
            agents.extend(player.stop().await);
        }
        views(&self.store, &agents).await;
        // Not by their values' end, which waits without the proxies that they would say goodbye through.
        for station in &mut self.hubs {
            station.hub.process().kill().await.expect("killed");
            station.hub.assert_no_fault().expect("every plan is sound");
        }
    }

    /// The part of it that only the database is asked for.
    pub async fn check_store(store: &Store) {
        let rows = rows(store).await;
        chain(store, &rows).await;
        let decided = decided(&rows);
        evidence(&decided);
        epochs(&decided);
        if let Err(why) = waves::check(&entries(&rows)) {
            panic!("{why}");
        }
        once(&decided);
        tables(store).await;
    }

    /// L2: every agent that runs is connected and holds what it should.
    async fn at_rest(&self) {
        let rest = eventually("the fleet is at rest", SOON, async || {
            let clusters = self.store.cluster_list().await;
            let clusters = clusters.map_err(|error| error.to_string())?;
            let behind: Vec<String> = clusters
                .iter()
                .filter(|one| !one.connected || one.stored != one.desired)
                .map(|one| format!("{}: {} of {}", one.name, one.stored, one.desired))
                .collect();
            if behind.is_empty() {
                Ok(())
            } else {
                Err(behind.join(", "))
            }
        });
        rest.await.expect("L2");
    }
}

/// The whole history, oldest first.
pub async fn rows(store: &Store) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    loop {
        let after = all.last().map_or(0, |row| row.sequence);
        let page = store.history_list("", after, PAGE).await;
        let page = page.expect("the history");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// S22 and S5 of a history whose older rows do not say what they did.
pub async fn whole(store: &Store) {
    let rows = rows(store).await;
    chain(store, &rows).await;
    let decided = decided(&rows);
    evidence(&decided);
    epochs(&decided);
}

/// How many rows of each kind a release has: the same for every run of the same story.
pub async fn kinds(store: &Store, release: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for row in rows(store).await {
        if row.release == release {
            *kinds.entry(row.kind).or_default() += 1;
        }
    }
    kinds
}

/// S22: every chain is whole, and what agents were handed is in it.
async fn chain(store: &Store, rows: &[Row]) {
    let (heads, handed) = store.history_heads().await.expect("the heads");
    let anchor = |(cluster, text): (ClusterName, String)| {
        let (head, _) = Head::parse(&text).expect("a head that the hub wrote");
        Anchor {
            cluster: cluster.to_string(),
            sequence: head.sequence,
            hash: hex::encode(&head.hash),
        }
    };
    let mut verifier = Verifier::new(handed.into_iter().map(anchor).collect());
    for row in rows {
        verifier.row(row).expect("S22");
    }
    verifier.end(&heads).expect("S22");
}

pub(crate) fn decided(rows: &[Row]) -> Vec<Decided> {
    let steps = rows.iter().filter_map(|row| {
        let step: Step = serde_json::from_value(row.action.clone()?).expect("a step");
        match step {
            Step::Decided { action, fence, .. } => Some(Decided {
                row: row.clone(),
                action,
                fence,
            }),
            Step::Applied { .. } | Step::Approved { .. } | Step::Renamed { .. } => None,
        }
    });
    steps.collect()
}

/// What the rows did to releases: decisions, and what persons approved.
fn entries(rows: &[Row]) -> Vec<Entry> {
    let entry = |row: &Row| {
        let step: Step = serde_json::from_value(row.action.clone()?).expect("a step");
        let done = match step {
            Step::Decided {
                action, previous, ..
            } => Done::Decided(action, previous.map(|previous| previous.digest.to_string())),
            Step::Approved { approval, .. } => Done::Approved(approval),
            Step::Applied { .. } | Step::Renamed { .. } => return None,
        };
        Some(Entry {
            sequence: row.sequence,
            release: row.release.clone(),
            at: row.at,
            done,
        })
    };
    rows.iter().filter_map(entry).collect()
}

/// S22.
fn evidence(decided: &[Decided]) {
    for one in decided {
        assert!(
            one.row.evidence.is_object(),
            "S22: no evidence: {}",
            one.action
        );
    }
}

/// S5: decisions are in the order of their epochs.
fn epochs(decided: &[Decided]) {
    let mut newest = 0;
    for Decided { row, action, .. } in decided {
        assert!(
            row.epoch >= newest && row.epoch > 0,
            "S5: row {} ({action}) of epoch {} follows one of {newest}",
            row.sequence,
            row.epoch
        );
        newest = row.epoch;
    }
}

/// S4.
fn once(decided: &[Decided]) {
    let mut granted = BTreeSet::new();
    let mut ended: BTreeMap<(u64, ClusterName), usize> = BTreeMap::new();
    for one in decided {
        match (&one.action, one.fence) {
            (
                Action::GrantPermit {
                    cluster, release, ..
                },
                Some(fence),
            ) => {
                assert!(
                    granted.insert((cluster.clone(), fence)),
                    "S4: {cluster} was permitted twice by {fence}"
                );
                *ended.entry((*release, cluster.clone())).or_default() += 1;
            }
            (
                Action::SetTargetState {
                    release,
                    cluster,
                    state: TargetState::Succeeded | TargetState::RolledBack,
                    ..
                },
                _,
            ) => {
                let left = ended.entry((*release, cluster.clone())).or_default();
                assert!(
                    *left > 0,
                    "S4: {cluster} ended in #{release} once too often"
                );
                *left -= 1;
            }
            (_, _) => {}
        }
    }
}

/// S2: the tables are what the history alone gives.
async fn tables(store: &Store) {
    let name = FleetRolloutName::from(NAME);
    let replayed = store.history_replay(&name).await.expect("a history");
    let replayed = replayed.expect("a document");
    let tables = store.observe(&name).await.expect("the tables");
    let tables = tables.expect("a FleetRollout");
    let passed = |state: &Observed| state.passed.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(tables.past, replayed.past, "S2");
    assert_eq!(tables.barred, replayed.barred, "S2");
    assert_eq!(passed(&tables), passed(&replayed), "S2");
    assert_eq!(tables.fleet_rollout, replayed.fleet_rollout, "S2");
    let alone = store.fleet_rollout_names().await.expect("the names").len() == 1;
    for cluster in tables.clusters.iter().filter(|one| one.gate.is_some()) {
        let other = replayed.cluster(&cluster.name).expect("S2: the cluster");
        assert_eq!(cluster.gate, other.gate, "S2: {}", cluster.name);
        // A recovery numbers every set anew, by a row of the hub; other FleetRollouts raise the number by rows of their own.
        let (desired, replayed) = (cluster.desired, other.desired);
        match desired.incarnation == replayed.incarnation && alone {
            true => assert_eq!(desired, replayed, "S2: {}", cluster.name),
            false => assert!(desired >= replayed, "S2: {}", cluster.name),
        }
    }
    for release in &replayed.releases {
        let stored = store.release_get(&release.id).await;
        assert_eq!(&stored.expect("S2: the release").release, release, "S2");
    }
}

/// S2, S4: an agent was permitted only what is committed, and each permit ended once.
fn told(cluster: &str, script: &Script, decided: &[Decided], incarnation: u64) {
    let mut granted: BTreeMap<Fence, String> = BTreeMap::new();
    for one in decided {
        if let Action::GrantPermit {
            cluster: of,
            digest,
            ..
        } = &one.action
            && of.as_str() == cluster
            && let Some(fence) = one.fence
        {
            granted.insert(fence, digest.to_string());
        }
    }
    let fence = |wire: Option<proto::v1::Fence>| {
        let wire = wire.unwrap_or_default();
        Fence {
            incarnation: wire.incarnation,
            version: wire.version,
        }
    };
    let mut ends = BTreeSet::new();
    for seen in script.seen() {
        match seen {
            Seen::Permit(permit) => {
                let fence = fence(permit.fence);
                if fence.incarnation < incarnation {
                    continue;
                }
                assert_eq!(
                    granted.get(&fence),
                    Some(&permit.digest),
                    "S2: {cluster} was told of {fence}, which nobody decided"
                );
            }
            Seen::Ended(outcome) => {
                let fence = fence(outcome.fence);
                assert!(ends.insert(fence), "S4: {cluster} ended {fence} twice");
            }
            Seen::Committed(_)
            | Seen::Session(_)
            | Seen::Stored(_)
            | Seen::Stale(_)
            | Seen::Renewed
            | Seen::Refused(_)
            | Seen::Broken => {}
        }
    }
}

/// S9, L2: what the hub has of each cluster is the cluster's truth.
async fn views(store: &Store, agents: &[Agent]) {
    let name = FleetRolloutName::from(NAME);
    let tables = store.observe(&name).await.expect("the tables");
    let tables = tables.expect("a FleetRollout");
    for agent in agents {
        let cluster = &agent.member().cluster;
        let truth = agent.rollout(ROLLOUT).expect("its Rollout");
        let known = tables.cluster(&ClusterName(cluster.clone()));
        let known = known.expect("the cluster");
        let view = known.rollout.as_ref().expect("a report");
        let served = view.served.as_ref().map(ToString::to_string);
        assert_eq!(served, Some(digest(truth.served())), "S9: {cluster}");
        let ended = |fence: Option<Fence>| fence.map(|fence| (fence.incarnation, fence.version));
        let outcome = truth.outcome().and_then(|outcome| outcome.fence);
        assert_eq!(
            ended(view.outcome.as_ref().map(|outcome| outcome.fence)),
            outcome.map(|fence| (fence.incarnation, fence.version)),
            "S9: {cluster}"
        );
        let stored = agent
            .fence()
            .map(|fence| (fence.incarnation, fence.version));
        assert_eq!(ended(Some(known.stored)), stored, "S3: {cluster}");
    }
}
