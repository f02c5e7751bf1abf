//! Clusters as decisions see them. In: what has changed in them since the last decision, their sessions and sets as they are
//! now, what is remembered of their gates and Rollouts. Out: the engine's clusters, those of the last decision wherever
//! nothing is new. It must not decide which of them take part.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::time::OffsetDateTime;
use hub_engine::member::{Departure, Gone};
use hub_engine::observed::{Cluster, Gate, Rollout};
use hub_engine::{ClusterName, Fence, FleetRollout, FleetRolloutName};
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::changed::BEFORE_ALL;
use crate::cluster::{fence, left};
use crate::desired::FencesRow;
use crate::remembered::Rows;
use crate::row::row;
use crate::session::CONNECTED_SECONDS;
use crate::time::from_db_opt;

/// The labels that a selector asks to be equal leave out most clusters when all are read; the rest is said by the engine.
pub(crate) const CHANGED: &str = "select name, labels, left_at, left_by, left_reason, replaced_at from clusters \
     where changed_in >= pg_snapshot_xmin($1::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $1::text::pg_snapshot) \
     and labels @> $2";
pub(crate) const NAMED: &str = "select name, labels, left_at, left_by, left_reason, replaced_at from clusters where name = any($1)";
pub(crate) const SETS_CHANGED: &str = "select cluster, incarnation, version from cluster_sets \
     where changed_in >= pg_snapshot_xmin($1::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $1::text::pg_snapshot)";
pub(crate) const SETS: &str =
    "select cluster, incarnation, version from cluster_sets where cluster = any($1)";
/// What changes with every heartbeat, in one row: ten thousand rows would take longer to send and to read
/// than to find.
pub(crate) const SESSIONS: &str = "select array_agg(n.place) as places, \
     array_agg(coalesce(s.open and s.last_seen_at > now() - $2 * interval '1 second', false)) as connected, \
     array_agg(s.last_seen_at) as last_seen, array_agg(s.regressed) as regressed, array_agg(s.restored_at) as restored, \
     array_agg(s.stored_incarnation) as incarnations, array_agg(s.stored_version) as versions, \
     array_agg(s.clock_ahead) as clocks \
     from unnest($1::text[]) with ordinality as n (cluster, place) join cluster_sessions s on s.cluster = n.cluster";

row! {
    /// What changes rarely in a cluster.
    FactsRow {
        name: String, labels: Json<BTreeMap<String, String>>, left_at: Option<OffsetDateTime>, left_by: String,
        left_reason: String, replaced_at: Option<OffsetDateTime>,
    }
}
row! {
    /// The rest of many clusters, a column an array.
    SessionsRow {
        places: Option<Vec<i64>>, connected: Option<Vec<bool>>, last_seen: Option<Vec<Option<OffsetDateTime>>>,
        regressed: Option<Vec<bool>>, restored: Option<Vec<Option<OffsetDateTime>>>, incarnations: Option<Vec<i64>>,
        versions: Option<Vec<i64>>, clocks: Option<Vec<i64>>,
    }
}

/// What changes rarely in a cluster, and the cluster as it was last seen.
#[derive(Debug)]
struct Member {
    labels: Arc<BTreeMap<String, String>>,
    left: Option<Gone>,
    replaced: Option<Timestamp>,
    /// What it should hold; none: not read yet.
    desired: Option<Fence>,
    view: Option<Arc<Cluster>>,
}

/// What changes all the time.
#[derive(Debug, Clone, Copy)]
struct Session {
    connected: bool,
    last_seen: Option<Timestamp>,
    regressed: bool,
    restored: Option<Timestamp>,
    clock_ahead: i64,
    stored: Fence,
}

impl Session {
    fn is_of(self, cluster: &Cluster) -> bool {
        self.connected == cluster.connected
            && self.last_seen == cluster.last_seen
            && self.regressed == cluster.regressed
            && self.restored == cluster.restored
            && self.clock_ahead == cluster.clock_ahead
            && self.stored == cluster.stored
    }

    fn set(self, cluster: &mut Cluster) {
        cluster.connected = self.connected;
        cluster.last_seen = self.last_seen;
        cluster.regressed = self.regressed;
        cluster.restored = self.restored;
        cluster.clock_ahead = self.clock_ahead;
        cluster.stored = self.stored;
    }
}

/// What else there is to say of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside<'a> {
    pub(crate) fleet_rollout: &'a FleetRollout,
    /// And whose each is.
    pub(crate) gates: &'a Rows<String, (FleetRolloutName, Arc<Gate>)>,
    pub(crate) rollouts: &'a Rows<String, Arc<Rollout>>,
}

/// The clusters of one FleetRollout.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// By the bytes of its name, as decisions look it up.
    rows: BTreeMap<String, Member>,
    /// Where governance has ended.
    let_go: BTreeMap<ClusterName, Gone>,
}

impl Members {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Every cluster that is selected and every one that is named (sorted), by name.
    pub(crate) async fn all(
        &mut self,
        tx: &mut PgConnection,
        since: &str,
        named: &[&str],
        let_go: &BTreeMap<ClusterName, Gone>,
        beside: Beside<'_>,
    ) -> Result<Vec<Arc<Cluster>>> {
        self.learn(tx, since, named, beside.fleet_rollout).await?;
        let changed = beside.gates.fresh().iter().chain(beside.rollouts.fresh());
        for name in changed {
            self.outdate(name);
        }
        self.let_go(let_go);
        self.sets(tx, since).await?;
        let sessions = self.sessions(tx).await?;
        let mut sessions = sessions.into_iter();
        let mut named = named.iter().peekable();
        let mut all = Vec::with_capacity(self.rows.len());
        // One without a session has not been there since it was renamed.
        self.rows.retain(|name, member| {
            let Some(session) = sessions.next().flatten() else {
                return false;
            };
            while named.next_if(|one| **one < name.as_str()).is_some() {}
            let is_named = named.peek().is_some_and(|one| **one == name.as_str());
            let view = match member.view.take() {
                Some(mut view) => {
                    if !session.is_of(&view) {
                        // The last decision is over, as a rule: then nothing is copied.
                        session.set(Arc::make_mut(&mut view));
                    }
                    view
                }
                None => Arc::new(member.view(name, session, let_go, beside)),
            };
            if view.selected || is_named {
                all.push(Arc::clone(&view));
            }
            member.view = Some(view);
            true
        });
        Ok(all)
    }

    /// What has changed, and what is named for the first time.
    async fn learn(
        &mut self,
        tx: &mut PgConnection,
        since: &str,
        named: &[&str],
        fleet_rollout: &FleetRollout,
    ) -> Result<()> {
        let wanted = &fleet_rollout.clusters.match_labels;
        let none = BTreeMap::new();
        // A cluster that is relabelled is read whatever it has now.
        let equal = if since == BEFORE_ALL { wanted } else { &none };
        let rows: Vec<FactsRow> = sqlx::query_as(CHANGED)
            .bind(since)
            .bind(Json(equal))
            .fetch_all(&mut *tx)
            .await?;
        let own = |name: &str| named.binary_search(&name).is_ok();
        for row in rows {
            let has = |(key, value)| row.labels.0.get(key) == Some(value);
            if wanted.iter().all(has) || own(&row.name) {
                self.insert(row);
            } else {
                self.rows.remove(&row.name);
            }
        }
        let unknown = named.iter().filter(|name| !self.rows.contains_key(**name));
        let unknown: Vec<&str> = unknown.copied().collect();
        if !unknown.is_empty() {
            let rows: Vec<FactsRow> = sqlx::query_as(NAMED).bind(&unknown).fetch_all(tx).await?;
            rows.into_iter().for_each(|row| self.insert(row));
        }
        Ok(())
    }

    fn insert(&mut self, row: FactsRow) {
        let by = left(row.left_at, &row.left_by, &row.left_reason);
        let how = Departure::Left;
        let member = Member {
            labels: Arc::new(row.labels.0),
            left: by.map(|by| Gone { how, by }),
            replaced: from_db_opt(row.replaced_at),
            desired: self.rows.get(&row.name).and_then(|known| known.desired),
            view: None,
        };
        self.rows.insert(row.name, member);
    }

    /// Something else there is to say of it.
    fn outdate(&mut self, name: &str) {
        if let Some(member) = self.rows.get_mut(name) {
            member.view = None;
        }
    }

    fn let_go(&mut self, now: &BTreeMap<ClusterName, Gone>) {
        if self.let_go == *now {
            return;
        }
        let before = std::mem::replace(&mut self.let_go, now.clone());
        let names = before.keys().chain(now.keys());
        let changed = names.filter(|name| before.get(*name) != now.get(*name));
        let changed: Vec<ClusterName> = changed.cloned().collect();
        for name in changed {
            self.outdate(name.as_str());
        }
    }

    /// What each should hold: what has changed of it, and all of what is new.
    async fn sets(&mut self, tx: &mut PgConnection, since: &str) -> Result<()> {
        let mut sets: Vec<FencesRow> = Vec::new();
        if since != BEFORE_ALL {
            let changed = sqlx::query_as(SETS_CHANGED).bind(since);
            sets.extend(changed.fetch_all(&mut *tx).await?);
        }
        let unread = self.rows.iter().filter(|(_, own)| own.desired.is_none());
        let unread: Vec<&str> = unread.map(|(name, _)| name.as_str()).collect();
        if !unread.is_empty() {
            let read = sqlx::query_as(SETS).bind(&unread);
            sets.extend(read.fetch_all(tx).await?);
        }
        for set in sets {
            if let Some(member) = self.rows.get_mut(&set.cluster) {
                let desired = fence(set.incarnation, set.version);
                member.desired = Some(desired);
                if let Some(view) = &mut member.view {
                    Arc::make_mut(view).desired = desired;
                }
            }
        }
        Ok(())
    }

    /// Of each, in order; none where there is no cluster of that name any more.
    async fn sessions(&self, tx: &mut PgConnection) -> Result<Vec<Option<Session>>> {
        let names: Vec<&str> = self.rows.keys().map(String::as_str).collect();
        let row: SessionsRow = sqlx::query_as(SESSIONS)
            .bind(&names)
            .bind(f64::from(CONNECTED_SECONDS))
            .fetch_one(tx)
            .await?;
        let mut all = vec![None; names.len()];
        for (place, session) in row.sessions() {
            if let Some(own) = all.get_mut(place) {
                *own = Some(session);
            }
        }
        Ok(all)
    }
}

impl SessionsRow {
    /// With its place in what was asked for.
    fn sessions(self) -> impl Iterator<Item = (usize, Session)> {
        let seen = each(self.connected).zip(each(self.last_seen));
        let kept = each(self.regressed).zip(each(self.restored));
        let stored = each(self.incarnations).zip(each(self.versions));
        let stored = stored.zip(each(self.clocks));
        let session = |(
            ((connected, last_seen), (regressed, restored)),
            ((incarnation, version), clock_ahead),
        )| Session {
            connected,
            last_seen: from_db_opt(last_seen),
            regressed,
            restored: from_db_opt(restored),
            clock_ahead,
            stored: fence(incarnation, version),
        };
        // They count from one.
        let places =
            each(self.places).map(|place| usize::try_from(place - 1).unwrap_or(usize::MAX));
        places.zip(seen.zip(kept).zip(stored).map(session))
    }
}

/// An array over no rows is null.
fn each<T>(column: Option<Vec<T>>) -> std::vec::IntoIter<T> {
    column.unwrap_or_default().into_iter()
}

impl Member {
    fn view(
        &self,
        name: &str,
        session: Session,
        let_go: &BTreeMap<ClusterName, Gone>,
        beside: Beside<'_>,
    ) -> Cluster {
        let own = beside.fleet_rollout;
        let name = ClusterName::from(name);
        let gate = beside.gates.seen().get(name.as_str());
        let gate = gate.filter(|(owner, _)| *owner == own.name);
        let gone = self.left.clone().or_else(|| let_go.get(&name).cloned());
        let mut cluster = Cluster {
            labels: Arc::clone(&self.labels),
            selected: gone.is_none() && own.clusters.selects(&self.labels),
            connected: false,
            last_seen: None,
            desired: self.desired.unwrap_or_default(),
            stored: Fence::default(),
            regressed: false,
            gone,
            replaced: self.replaced,
            restored: None,
            clock_ahead: 0,
            gate: gate.map(|(_, gate)| Arc::clone(gate)),
            rollout: beside.rollouts.seen().get(name.as_str()).cloned(),
            name,
        };
        session.set(&mut cluster);
        cluster
    }
}
