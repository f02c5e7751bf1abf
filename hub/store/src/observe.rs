//! What a decision is made from. In: one transaction. Out: `hub_engine::Observed`. It must not read a clock, nor outside
//! this transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_engine::member::LetGo;
use hub_engine::name::{Digest, RolloutName};
use hub_engine::observed::{Change, Cluster, Gate, PastRelease, Predecessor};
use hub_engine::release::{Content, Release, ReleasePhase};
use hub_engine::{ClusterName, FleetRollout, FleetRolloutName, Observed, ReleaseId};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::changed::{self, BEFORE_ALL};
use crate::desired::{CHANGED, GateOfRow, KEYS};
use crate::member::Beside;
use crate::remembered::{Memory, Rows};
use crate::row::row;
use crate::time::from_db;
use crate::{Result, fleet_window, let_go, release, request, rollout, stop, target};

/// Changes taken up in one round; the rest waits for the next.
const CHANGES_MAX: i64 = 1_000;

/// Only of clusters that this FleetRollout settles them for: what any other agent says of its own Rollout of that name stays, and
/// must not stand in front of them.
pub(crate) const CHANGES: &str = "select id, cluster, was, now from changes \
     where namespace = $1 and rollout = $2 and cluster = any($3) and not settled order by id limit $4";
pub(crate) const BARRED: &str =
    "select digest, release from barred where fleet_rollout = $1 order by digest";

pub(crate) const NEWEST: &str = "select number, phase from releases where fleet_rollout = $1 \
     order by number desc limit 1";

row! {
    /// A FleetRollout's newest release.
    NewestRow { number: i64, phase: String }
}
row! {
    /// A change not decided yet.
    ChangeRow { id: i64, cluster: String, was: Option<Json<Content>>, now: Json<Content> }
}
row! {
    /// A digest that failed.
    BarredRow { digest: String, release: i64 }
}

/// Everything that bears on one FleetRollout. What is remembered has to be of a transaction that saw one moment, and so has
/// this one, if it is to be remembered.
pub(crate) async fn all(
    tx: &mut PgConnection,
    fleet_rollout: FleetRollout,
    memory: &mut Memory,
) -> Result<Observed> {
    let name = fleet_rollout.name.clone();
    let moment = changed::moment(tx).await?;
    let (now, listening) = (moment.now, moment.listening);
    memory.begin(&moment, &fleet_rollout);
    let since = memory.since().to_owned();
    gates(tx, &fleet_rollout.rollout, &since, &mut memory.gates).await?;
    let rollouts = &mut memory.rollouts;
    rollout::of(tx, &fleet_rollout.rollout, &since, rollouts).await?;
    let past = past(tx, &fleet_rollout, &since, memory).await?;
    let requests = request::open(tx, &name).await?;
    let mut numbers = wanted(&past);
    numbers.extend(requests.iter().filter_map(|request| request.release));
    numbers.sort_unstable();
    numbers.dedup();
    memory.releases.retain(|number, _| numbers.contains(number));
    let mut releases = Vec::new();
    for number in numbers {
        let id = ReleaseId {
            fleet_rollout: name.clone(),
            number,
        };
        let targets = memory.releases.entry(number).or_default();
        releases.extend(release::get(tx, &id, targets).await?);
    }
    let clusters = clusters(tx, &fleet_rollout, &releases, &since, memory).await?;
    let conflicts = conflicts(&fleet_rollout, &clusters, &memory.gates);
    let own = clusters.iter().map(|cluster| &cluster.name);
    let own = own.filter(|name| !conflicts.contains_key(*name));
    let changes = changes(tx, &fleet_rollout.rollout, own).await?;
    let known = past.last().map_or(0, |(past, _)| past.number);
    let told = hub_engine::observed::told(&name, &clusters, known);
    let passed = memory.outlines.passed(tx, &name, &memory.releases).await?;
    memory.end(moment);
    Ok(Observed {
        now: from_db(now),
        clusters,
        releases,
        past: past.into_iter().map(|(past, _)| past).collect(),
        changes,
        requests,
        stopped: stop::of(tx, &name).await?,
        went_on: stop::lifted(tx, &name).await?,
        listening_since: listening.map(from_db),
        told,
        barred: barred(tx, &name).await?,
        passed,
        conflicts,
        windows: fleet_window::list(tx).await?,
        before: before(tx, &fleet_rollout.after).await?,
        fleet_rollout,
    })
}

/// Outlines by number, and whether a target of each is not done; after all that has changed is learnt.
async fn past(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRollout,
    since: &str,
    memory: &mut Memory,
) -> Result<Vec<(PastRelease, bool)>> {
    let name = &fleet_rollout.name;
    memory.outlines.learn(tx, name, since).await?;
    if since != BEFORE_ALL {
        for number in target::learn(tx, name, since, &mut memory.releases).await? {
            memory.outlines.forget(number);
        }
    }
    if changed::gone(tx, since).await? {
        let rollout = &fleet_rollout.rollout;
        changed::keep(tx, rollout, KEYS, &mut memory.gates).await?;
        changed::keep(tx, rollout, rollout::KEYS, &mut memory.rollouts).await?;
        memory.outlines.keep(tx, name).await?;
        for (number, own) in &mut memory.releases {
            target::keep(tx, name, *number, &mut own.targets).await?;
        }
    }
    memory.outlines.past(tx, name, &memory.releases).await
}

/// The newest release of each FleetRollout that this one comes after.
async fn before(tx: &mut PgConnection, after: &[FleetRolloutName]) -> Result<Vec<Predecessor>> {
    let mut all = Vec::new();
    for name in after {
        let row: Option<NewestRow> = sqlx::query_as(NEWEST)
            .bind(name.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        let newest = match row {
            None => None,
            Some(row) => {
                let id = ReleaseId {
                    fleet_rollout: name.clone(),
                    number: row.number.unsigned_abs(),
                };
                let phase = release::named::<ReleasePhase>("the phase of a release", &row.phase)?;
                Some((id, phase))
            }
        };
        all.push(Predecessor {
            name: name.clone(),
            newest,
        });
    }
    Ok(all)
}

/// Whose each is.
type Gates = Rows<String, (FleetRolloutName, Arc<Gate>)>;

async fn gates(
    tx: &mut PgConnection,
    rollout: &RolloutName,
    since: &str,
    memory: &mut Gates,
) -> Result<()> {
    let rows: Vec<GateOfRow> = sqlx::query_as(CHANGED)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .bind(since)
        .fetch_all(tx)
        .await?;
    for row in rows {
        let let_go = match row.governance.as_str() {
            "Governed" => None,
            other => Some(release::named::<LetGo>("governance of a gate", other)?),
        };
        let gate = Gate {
            terms: row.terms.0,
            waiting: row.waiting.map(|json| json.0),
            permit: row.permit.map(|json| json.0),
            let_go,
        };
        let own = (FleetRolloutName(row.fleet_rollout), Arc::new(gate));
        memory.learn(row.cluster, own);
    }
    Ok(())
}

/// Every cluster that it selects, every one whose gate it still holds, and every one that takes part in what is read.
async fn clusters(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRollout,
    releases: &[Release],
    since: &str,
    memory: &mut Memory,
) -> Result<Vec<Arc<Cluster>>> {
    let let_go = let_go::of(tx, &fleet_rollout.name).await?;
    let governed = memory.gates.seen().iter();
    let governed = governed.filter(|(_, (owner, _))| *owner == fleet_rollout.name);
    let targets = releases.iter().flat_map(|release| &release.targets);
    let mut named: Vec<&str> = governed.map(|(name, _)| name.as_str()).collect();
    named.extend(targets.map(|target| target.cluster.as_str()));
    named.extend(let_go.keys().map(ClusterName::as_str));
    // Runs that are in order already, as a rule.
    named.sort();
    named.dedup();
    let beside = Beside {
        fleet_rollout,
        gates: &memory.gates,
        rollouts: &memory.rollouts,
    };
    let members = &mut memory.members;
    members.all(tx, since, &named, &let_go, beside).await
}

/// Also where this one let the cluster go: what is said there is for the one that governs it now.
fn conflicts(
    fleet_rollout: &FleetRollout,
    clusters: &[Arc<Cluster>],
    gates: &Gates,
) -> BTreeMap<ClusterName, FleetRolloutName> {
    let of_others = gates
        .seen()
        .iter()
        .filter(|(_, (owner, gate))| *owner != fleet_rollout.name && gate.let_go.is_none());
    let known = |name: &String| {
        let place = clusters.binary_search_by_key(&name.as_str(), |one| one.name.as_str());
        place.is_ok()
    };
    of_others
        .filter(|(name, _)| known(name))
        .map(|(name, (owner, _))| (name.clone().into(), owner.clone()))
        .collect()
}

/// Open ones, the newest ended one, and every other one with a target that is not done.
fn wanted(past: &[(PastRelease, bool)]) -> Vec<u64> {
    let newest_ended = past
        .iter()
        .rev()
        .find(|(past, _)| past.phase.ended())
        .map(|(past, _)| past.number);
    past.iter()
        .filter(|(past, unfinished)| {
            !past.phase.ended() || *unfinished || Some(past.number) == newest_ended
        })
        .map(|(past, _)| past.number)
        .collect()
}

async fn changes(
    tx: &mut PgConnection,
    rollout: &RolloutName,
    own: impl Iterator<Item = &ClusterName>,
) -> Result<Vec<Change>> {
    let rows: Vec<ChangeRow> = sqlx::query_as(CHANGES)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .bind(own.map(ClusterName::as_str).collect::<Vec<_>>())
        .bind(CHANGES_MAX)
        .fetch_all(tx)
        .await?;
    let change = |row: ChangeRow| Change {
        id: row.id.unsigned_abs(),
        cluster: row.cluster.into(),
        was: row.was.map(|json| json.0),
        now: row.now.0,
    };
    Ok(rows.into_iter().map(change).collect())
}

async fn barred(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
) -> Result<BTreeMap<Digest, ReleaseId>> {
    let rows: Vec<BarredRow> = sqlx::query_as(BARRED)
        .bind(name.as_str())
        .fetch_all(tx)
        .await?;
    let entry = |row: BarredRow| {
        (
            Digest(row.digest),
            ReleaseId {
                fleet_rollout: name.clone(),
                number: row.release.unsigned_abs(),
            },
        )
    };
    Ok(rows.into_iter().map(entry).collect())
}
