//! The database of the small world, and its time. In: what hubs do with it. Out: the same database afterwards. Every method
//! is one transaction of the model store. It must not keep what only tells one transaction from another.

use std::collections::BTreeSet;
use std::sync::Arc;

use agent_api::Fence as AgentFence;
use hub_engine::observed::Rollout;
use hub_engine::release::{Cause, Release, WavePhase};
use hub_engine::{ClusterName, Fence, Observed, Plan, audit};
use hub_store::older::Committed;
use hub_store::report::Report;
use proto::v1;

use crate::event::{Draft, Ms};
use crate::hub as process;
use crate::keys::Keys;
use crate::planted::{Bugs, Planted};
use crate::store::{Error, Opened, Store};
use crate::world::millis;

/// Epochs are all alike but for being the newest one.
const EPOCH: i64 = 2;

/// There is one FleetRollout.
pub(super) const FLEET: usize = 0;

/// The session of every stream, and the one before it: sessions are all alike but for being the newest one.
pub(super) const SESSION: u64 = 2;
/// Of words of a stream that broke, once there is a newer one.
pub(super) const SESSION_BEFORE: u64 = 1;

/// The database at one moment.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) store: Store,
    pub(super) now: Ms,
    /// Clusters whose change was ever stored.
    pub(super) changed: BTreeSet<ClusterName>,
}

/// What a hub makes of them.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) observed: Observed,
    pub(super) plan: Plan,
    /// The next deadline, and whether it is the end of a bake.
    pub(super) wake: Option<(Ms, bool)>,
    pub(super) wrong: Option<String>,
}

/// What an agent says of its Rollout for people alone: no decision is made from it, and the next state replaces it whole.
fn only_shown(state: &mut Rollout) {
    state.message.clear();
    state.reasons.clear();
    (state.step, state.steps) = (0, 0);
    state.lease_live = false;
    state.permit_fence = None;
}

/// A release without what only tells how it came to be.
fn untold(release: &Release) -> Release {
    let mut release = release.clone();
    Arc::make_mut(&mut release.plan).waves.clear();
    if let Cause::Change { cluster, change } = &mut release.cause {
        *cluster = ClusterName::default();
        *change = 0;
    }
    release
}

impl Tables {
    /// A database that nobody has decided in.
    pub(super) fn of(store: Store) -> Self {
        let tables = Self {
            store,
            now: 0,
            changed: BTreeSet::new(),
        };
        tables.plain()
    }

    /// What no decision is made from has no part in it: whose change opened a release, and moments and words that are only
    /// shown. Nor has the document, which never changes; a release's plan is told by its digest.
    pub(super) fn text(&self) -> String {
        let Observed {
            clusters,
            releases,
            past,
            changes,
            requests,
            barred,
            passed,
            conflicts,
            before,
            ..
        } = &self.store.fleets[FLEET];
        let clusters = clusters
            .iter()
            .map(|own| (&own.name, own.desired, &own.gate));
        let clusters: Vec<_> = clusters.collect();
        let releases: Vec<Release> = releases.iter().map(untold).collect();
        let mut rows = self.store.rows.clone();
        for row in rows.values_mut() {
            for latest in row.rollouts.values_mut() {
                if let Some(state) = &mut latest.state {
                    only_shown(state);
                }
            }
        }
        format!(
            "{} {:?} {clusters:?} {releases:?} {past:?} {changes:?} {requests:?} {barred:?} {passed:?} {conflicts:?} {before:?} {rows:?}",
            self.now, self.changed
        )
    }

    /// Back to what every database of this content has: numbers of transactions, sequences and rows.
    fn plain(mut self) -> Self {
        let store = &mut self.store;
        (store.epoch, store.commits[FLEET]) = (EPOCH, 0);
        store.history.clear();
        store.chain = crate::store::History::default();
        for row in store.rows.values_mut() {
            row.reported = 0;
            for latest in row.rollouts.values_mut() {
                latest.key.1 = 0;
            }
        }
        store.serial = 0;
        let names: Vec<ClusterName> = store.rows.keys().cloned().collect();
        let changes = &mut store.fleets[FLEET].changes;
        let seen = changes.iter().map(|one| one.cluster.clone());
        self.changed.extend(seen);
        changes.sort_by(|one, other| one.cluster.cmp(&other.cluster));
        for (name, first) in names.iter().zip((1_u64..).step_by(10)) {
            let own = changes.iter_mut().filter(|one| one.cluster == *name);
            for (change, id) in own.zip(first..) {
                change.id = id;
            }
        }
        self
    }

    pub(super) fn decide(&self, bugs: Bugs) -> Decided {
        let decided = process::decide(&self.store, FLEET, self.now, self.now, bugs.hub);
        let (observed, plan) = decided.expect("the database answers");
        let wrong = audit(&observed, &plan);
        let wrong = wrong.first().map(ToString::to_string);
        let bakes = observed.releases.iter().flat_map(|release| &release.waves);
        let bakes = bakes.filter(|wave| wave.phase == WavePhase::Baking);
        let bakes: Vec<_> = bakes.filter_map(|wave| wave.bake_until).collect();
        let wake = plan.wake.map(|wake| (millis(wake), bakes.contains(&wake)));
        Decided {
            observed,
            plan,
            wake,
            wrong,
        }
    }

    /// A decision reaches its commit; `once`: the epoch is another hub's by now.
    pub(super) fn commit(
        &self,
        decided: &Decided,
        once: bool,
        keys: &Keys,
        bugs: Bugs,
    ) -> Result<Self, Error> {
        let mut next = self.clone();
        let draft = Draft {
            fleet: FLEET,
            epoch: if once { EPOCH - 1 } else { EPOCH },
            snapshot: next.store.commits[FLEET],
            observed: decided.observed.clone(),
            plan: decided.plan.clone(),
        };
        let guarded = !bugs.has(Planted::EpochUnchecked);
        next.store.commit(&draft, keys, guarded)?;
        Ok(next.plain())
    }

    /// A session opens.
    pub(super) fn open(&self, cluster: &ClusterName, hello: v1::Hello) -> Option<Self> {
        let mut next = self.clone();
        let brought = hello.rollouts.into_iter();
        let brought = brought.filter_map(|state| hub::wire::report::rollout_state(state).ok());
        let brought = brought.collect();
        let fence = hub::wire::fence(hello.fence.as_ref());
        let uid = &hello.kube_system_uid;
        let opened = next
            .store
            .session_open(cluster, uid, fence, brought, None, self.now);
        match opened {
            Ok(Opened::Session(..)) => {
                if let Some(row) = next.store.rows.get_mut(cluster) {
                    row.session = SESSION;
                    for latest in row.rollouts.values_mut() {
                        latest.key.0 = SESSION;
                    }
                }
                Some(next.plain())
            }
            Ok(Opened::Duplicate) | Err(_) => None,
        }
    }

    /// The stream of a session is over.
    pub(super) fn close(&self, cluster: &ClusterName) -> Self {
        let mut next = self.clone();
        if let Some(row) = next.store.rows.get_mut(cluster) {
            row.open = false;
        }
        next
    }

    /// Reports are committed, if their session is current or nobody asks. Whether they were.
    pub(super) fn report(
        &self,
        cluster: &ClusterName,
        session: u64,
        reports: &[Report],
        bugs: Bugs,
    ) -> (Self, bool) {
        let mut next = self.clone();
        let checked = !bugs.has(Planted::OldSessionStored);
        let said = (session, &Committed::default());
        let stored = next
            .store
            .report_store(cluster, said, reports, self.now, checked);
        (next.plain(), matches!(stored, Ok(Some(_))))
    }

    /// A set is stored, by the agent's word.
    pub(super) fn ack(&self, cluster: &ClusterName, session: u64, fence: AgentFence) -> Self {
        let mut next = self.clone();
        let fence = Fence {
            incarnation: fence.incarnation,
            version: fence.version,
        };
        let said = (session, &Committed::default());
        let stored = next.store.session_ack(cluster, said, fence, self.now);
        assert!(stored.is_ok(), "the database answers");
        next.plain()
    }

    /// Time goes on to a deadline; whoever has a stream was heard until then.
    pub(super) fn later(&self, now: Ms, heard: &[(ClusterName, u64)]) -> Self {
        let mut next = self.clone();
        next.now = now;
        for (cluster, session) in heard {
            let said = (*session, &Committed::default());
            let seen = next.store.session_seen(cluster, said, now);
            assert!(seen.is_ok(), "the database answers");
        }
        next.plain()
    }

    /// The committed set of a cluster, above what was sent in its session.
    pub(super) fn set(&self, cluster: &ClusterName, sent: Option<u16>) -> Option<v1::DesiredSet> {
        let row = self.store.rows.get(cluster)?;
        let first = sent.is_none() && row.stored == Fence::default();
        if first && !self.store.first_word(cluster).ok()?.is_empty() {
            return None;
        }
        let sent = sent.map(u64::from);
        let set = self.store.desired_set(cluster).ok()?;
        if sent.is_some_and(|sent| sent >= set.fence.version) {
            return None;
        }
        let base = sent.map(|version| Fence {
            version,
            ..set.fence
        });
        Some(hub::wire::set::desired(&set, base))
    }
}
