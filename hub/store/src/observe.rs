//! What a decision is made from. In: one transaction. Out: `hub_engine::Observed`. It must not read a clock, nor outside
//! this transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::time::OffsetDateTime;
use hub_engine::member::LetGo;
use hub_engine::name::{Digest, RolloutName};
use hub_engine::observed::{Change, Cluster, Gate, PASSED_MAX, PastRelease, Predecessor};
use hub_engine::release::{Content, Release, ReleasePhase};
use hub_engine::{ClusterName, FleetRollout, FleetRolloutName, Observed, ReleaseId};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::{self, MemberRow};
use crate::desired::{GateOfRow, OF_ROLLOUT, VERSIONS};
use crate::remembered::{Memory, Rows, VersionRow};
use crate::row::row;
use crate::time::{from_db, from_db_opt};
use crate::{Result, fleet_window, let_go, release, request, rollout, stop};

/// Releases whose outline is remembered when content is compared: a digest older than all of these opens a new one.
const PAST_MAX: i64 = 200;
/// Changes taken up in one round; the rest waits for the next.
const CHANGES_MAX: i64 = 1_000;

pub(crate) const PAST: &str = "select r.number, r.revision, r.phase, r.overtook, \
     coalesce((select jsonb_agg(distinct t.content->>'digest') from targets t where t.fleet_rollout = r.fleet_rollout \
     and t.release = r.number and t.content is not null), '[]') as digests, \
     exists (select 1 from targets t where t.fleet_rollout = r.fleet_rollout and t.release = r.number \
     and t.state in ('RollingBack', 'Permitted', 'Progressing', 'Paused', 'Unknown')) as unfinished, \
     exists (select 1 from targets t where t.fleet_rollout = r.fleet_rollout and t.release = r.number \
     and t.permit is not null) as touched \
     from releases r where r.fleet_rollout = $1 order by r.number desc limit $2";
pub(crate) const PASSED: &str = "select t.content->>'digest' as digest from targets t \
     join releases r on r.fleet_rollout = t.fleet_rollout and r.number = t.release \
     where t.fleet_rollout = $1 and t.state = 'Succeeded' and r.phase = 'Succeeded' and t.content is not null \
     group by t.content->>'digest' order by max(t.release) desc, 1 limit $2";
pub(crate) const CHANGES: &str = "select id, cluster, was, now from changes \
     where namespace = $1 and rollout = $2 and not settled order by id limit $3";
pub(crate) const BARRED: &str =
    "select digest, release from barred where fleet_rollout = $1 order by digest";

pub(crate) const NEWEST: &str = "select number, phase from releases where fleet_rollout = $1 \
     order by number desc limit 1";

row! {
    /// A FleetRollout's newest release.
    NewestRow { number: i64, phase: String }
}
row! {
    /// A release's outline.
    PastRow {
        number: i64, revision: Option<String>, phase: String, overtook: i32, digests: Option<Json<Vec<Digest>>>,
        unfinished: Option<bool>, touched: Option<bool>,
    }
}
row! {
    /// A digest that a passed release served.
    PassedRow { digest: Option<String> }
}
row! {
    /// A change not decided yet.
    ChangeRow { id: i64, cluster: String, was: Option<Json<Content>>, now: Json<Content> }
}
row! {
    /// A digest that failed.
    BarredRow { digest: String, release: i64 }
}

/// Everything that bears on one FleetRollout.
pub(crate) async fn all(
    tx: &mut PgConnection,
    fleet_rollout: FleetRollout,
    memory: &mut Memory,
) -> Result<Observed> {
    let name = fleet_rollout.name.clone();
    let now: OffsetDateTime = sqlx::query_scalar(crate::connection::NOW)
        .fetch_one(&mut *tx)
        .await?;
    gates(tx, &fleet_rollout.rollout, &mut memory.gates).await?;
    rollout::of(tx, &fleet_rollout, &mut memory.rollouts).await?;
    let past = past(tx, &name).await?;
    let mut releases = Vec::new();
    let requests = request::open(tx, &name).await?;
    let mut numbers = wanted(&past);
    numbers.extend(requests.iter().filter_map(|request| request.release));
    numbers.sort_unstable();
    numbers.dedup();
    memory.targets.retain(|number, _| numbers.contains(number));
    for number in numbers {
        let id = ReleaseId {
            fleet_rollout: name.clone(),
            number,
        };
        let targets = memory.targets.entry(number).or_default();
        releases.extend(release::get(tx, &id, targets).await?);
    }
    let clusters = clusters(tx, &fleet_rollout, &releases, memory).await?;
    let changes = changes(tx, &fleet_rollout.rollout).await?;
    let conflicts = conflicts(&fleet_rollout, &clusters, &memory.gates);
    let known = past.last().map_or(0, |(past, _)| past.number);
    let told = hub_engine::observed::told(&name, &clusters, known);
    Ok(Observed {
        now: from_db(now),
        clusters,
        releases: sorted(releases),
        past: past.into_iter().map(|(past, _)| past).collect(),
        changes,
        requests,
        stopped: stop::of(tx, &name).await?,
        went_on: stop::lifted(tx, &name).await?,
        told,
        barred: barred(tx, &name).await?,
        passed: passed(tx, &name).await?,
        conflicts,
        windows: fleet_window::list(tx).await?,
        before: before(tx, &fleet_rollout.after).await?,
        fleet_rollout,
    })
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
type Gates = Rows<(FleetRolloutName, Gate)>;

async fn gates(tx: &mut PgConnection, rollout: &RolloutName, memory: &mut Gates) -> Result<()> {
    let versions: Vec<VersionRow> = sqlx::query_as(VERSIONS)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .fetch_all(&mut *tx)
        .await?;
    let stale = memory.stale(&versions);
    if stale.is_empty() {
        return Ok(());
    }
    let rows: Vec<GateOfRow> = sqlx::query_as(OF_ROLLOUT)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
        .bind(&stale)
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
        let own = (FleetRolloutName(row.fleet_rollout), gate);
        memory.learn(row.cluster, own);
    }
    Ok(())
}

/// Every cluster that it selects, every one whose gate it still holds, and every one that takes part in what is read.
async fn clusters(
    tx: &mut PgConnection,
    fleet_rollout: &FleetRollout,
    releases: &[Release],
    memory: &mut Memory,
) -> Result<Vec<Arc<Cluster>>> {
    let let_go = let_go::of(tx, &fleet_rollout.name).await?;
    let governed = memory.gates.iter();
    let governed = governed.filter(|(_, (owner, _))| *owner == fleet_rollout.name);
    let targets = releases.iter().flat_map(|release| &release.targets);
    let mut named: BTreeSet<&str> = governed.map(|(name, _)| name).collect();
    named.extend(targets.map(|target| target.cluster.as_str()));
    named.extend(let_go.keys().map(ClusterName::as_str));
    let names: Vec<&str> = named.iter().copied().collect();
    let labels = &fleet_rollout.clusters.match_labels;
    let mut clusters = Vec::new();
    for row in cluster::members(tx, labels, &names, &mut memory.labels).await? {
        let labels = memory.labels.get(&row.name).cloned().unwrap_or_default();
        let gone = row.gone();
        let gone = gone.or_else(|| let_go.get(&ClusterName(row.name.clone())).cloned());
        let selected = gone.is_none() && fleet_rollout.clusters.selects(&labels);
        let gate = memory.gates.get(&row.name);
        let gate = gate.filter(|(owner, _)| *owner == fleet_rollout.name);
        if selected || named.contains(row.name.as_str()) {
            clusters.push(Arc::new(Cluster {
                labels,
                selected,
                gone,
                gate: gate.map(|(_, gate)| gate.clone()),
                rollout: memory.rollouts.get(&row.name).cloned(),
                ..view(row)
            }));
        }
    }
    Ok(clusters)
}

/// As its session is; what its labels, gate and Rollout say comes from elsewhere.
fn view(row: MemberRow) -> Cluster {
    Cluster {
        name: row.name.into(),
        labels: BTreeMap::new(),
        selected: false,
        connected: row.connected == Some(true),
        last_seen: from_db_opt(row.last_seen_at),
        desired: cluster::fence(row.incarnation, row.version),
        stored: cluster::fence(row.stored_incarnation, row.stored_version),
        regressed: row.regressed,
        gone: None,
        replaced: from_db_opt(row.replaced_at),
        restored: from_db_opt(row.restored_at),
        gate: None,
        rollout: None,
    }
}

fn conflicts(
    fleet_rollout: &FleetRollout,
    clusters: &[Arc<Cluster>],
    gates: &Gates,
) -> BTreeMap<ClusterName, FleetRolloutName> {
    let other = |cluster: &Arc<Cluster>| {
        let (owner, gate) = gates.get(cluster.name.as_str())?;
        (owner != &fleet_rollout.name && gate.let_go.is_none())
            .then(|| (cluster.name.clone(), owner.clone()))
    };
    clusters
        .iter()
        .filter(|cluster| cluster.selected)
        .filter_map(other)
        .collect()
}

/// Outlines by number, and whether a target of each is not done.
async fn past(tx: &mut PgConnection, name: &FleetRolloutName) -> Result<Vec<(PastRelease, bool)>> {
    let rows: Vec<PastRow> = sqlx::query_as(PAST)
        .bind(name.as_str())
        .bind(PAST_MAX)
        .fetch_all(tx)
        .await?;
    let mut past = Vec::new();
    for row in rows.into_iter().rev() {
        let mut digests = row.digests.map(|json| json.0).unwrap_or_default();
        digests.sort();
        let outline = PastRelease {
            number: row.number.unsigned_abs(),
            revision: row.revision.map(Into::into),
            phase: release::named::<ReleasePhase>("the phase of a release", &row.phase)?,
            digests,
            overtook: row.overtook.unsigned_abs(),
            touched: row.touched == Some(true),
        };
        past.push((outline, row.unfinished == Some(true)));
    }
    Ok(past)
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

fn sorted(mut releases: Vec<Release>) -> Vec<Release> {
    releases.sort_by_key(|release| release.id.number);
    releases
}

async fn passed(tx: &mut PgConnection, name: &FleetRolloutName) -> Result<Vec<Digest>> {
    let most = i64::try_from(PASSED_MAX).unwrap_or(i64::MAX);
    let rows: Vec<PassedRow> = sqlx::query_as(PASSED)
        .bind(name.as_str())
        .bind(most)
        .fetch_all(tx)
        .await?;
    Ok(rows
        .into_iter()
        .rev()
        .filter_map(|row| row.digest)
        .map(Digest)
        .collect())
}

async fn changes(tx: &mut PgConnection, rollout: &RolloutName) -> Result<Vec<Change>> {
    let rows: Vec<ChangeRow> = sqlx::query_as(CHANGES)
        .bind(&rollout.namespace)
        .bind(&rollout.name)
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
