//! Agents' reports. In: batches of many sessions. Out: of each, how far it is committed. It must not commit for a session
//! that is over (gate.md L3), nor into a copy that is older than the session, nor store one twice.

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::observed::{Effect, Outcome, Rollout};
use hub_engine::release::Content;
use hub_engine::{ClusterName, RolloutName};
use jiff::Timestamp;

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::broken_glass::{self, BrokenGlass};
use crate::cluster::number;
use crate::heard::Heard;
use crate::hint::{self, Hint};
use crate::history::{self, Fact};
use crate::latest::{Latest, Place, Said, ended};
use crate::older::{self, Committed};
use crate::row::{ROWS_MAX, row};
use crate::{Result, Store};

/// As `heard::SEEN`: one that is locked already is passed over.
pub(crate) const LOCK: &str = concat!(
    "select s.cluster, s.session, s.reported from cluster_sessions s \
     join unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
     as said (cluster, session, reported, had_incarnation, had_version, sent_incarnation, sent_version) using (cluster, session) \
     join cluster_sets d on d.cluster = s.cluster ",
    older::not_older!(),
    " order by s.cluster for update of s skip locked"
);
pub(crate) const WATERMARK: &str = "update cluster_sessions s set reported = said.reported, last_seen_at = now(), open = true \
     from unnest($1::text[], $2::bigint[], $3::bigint[]) as said (cluster, session, reported) \
     where s.cluster = said.cluster and s.session = said.session";
/// An agent that is gone before it has written down that it told of a change tells of it once more in its next session: the newest
/// one is not stored twice, or a release that was overtaken since then would be opened again.
pub(crate) const CHANGES: &str = "insert into changes (cluster, namespace, rollout, was, now, session, sequence) \
     select c.cluster, c.namespace, c.rollout, c.was, c.now, c.session, c.sequence from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::bigint[], $7::bigint[]) \
     with ordinality as c (cluster, namespace, rollout, was, now, session, sequence, place) \
     where not exists (select from (select o.was, o.now from changes o \
     where (o.cluster, o.namespace, o.rollout) = (c.cluster, c.namespace, c.rollout) order by o.id desc limit 1) as newest \
     where newest.was = c.was and newest.now->>'digest' = c.now->>'digest' and newest.now->'generation' = c.now->'generation' \
     and newest.now->'revision' is not distinct from c.now->'revision') \
     order by c.place on conflict (cluster, session, sequence) do nothing";
pub(crate) const VERB_TOLD: &str = "select exists (select from history \
     where kind in ('LocalVerb', 'LocalVerbHeld') and evidence->>'verb' = $1 and cluster = $2)";

/// Rollouts of one cluster that are kept (`proto::limit`); what an agent says of others is passed over.
pub const ROLLOUTS_MAX: usize = 10_000;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rising by one in its session.
    pub sequence: u64,
    /// By the agent's clock; for people only.
    pub at: Timestamp,
    /// W3C traceparent, or empty.
    pub traceparent: String,
    /// Which Rollout.
    pub rollout: RolloutName,
    /// What happened.
    pub body: Body,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The latest state.
    State(Rollout),
    /// The content changed while the agent was connected.
    Changed {
        /// What was there; none: the Rollout was new.
        was: Option<Content>,
        /// What is there.
        now: Content,
    },
    /// A permit took effect.
    Effect {
        /// The permit's release, as the agent wrote it.
        release: String,
        /// Which permit, and when.
        effect: Effect,
    },
    /// A permit ended.
    Outcome {
        /// Of the object whose permit it was; empty: not said.
        uid: String,
        /// How.
        outcome: Outcome,
    },
    /// Someone promoted, retried, aborted …
    Verb {
        /// Which.
        verb: String,
        /// Whether the gate held it.
        held: bool,
        /// The agent's sentence.
        message: String,
        /// That it was said under, or while waiting for; or empty.
        release: String,
        /// The same when it is sent again; older agents send none.
        id: String,
    },
    /// A person in the cluster did without the fleet's word (gate.md G16).
    BrokenGlass(BrokenGlass),
    /// The object is gone.
    Removed,
}

impl Body {
    /// Whether it is a row for good, whatever else it says. States take each other's place.
    fn leaves(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::Verb { .. } | Self::BrokenGlass(_) => true,
            Self::State(_) | Self::Effect { .. } | Self::Outcome { .. } | Self::Removed => false,
        }
    }
}

/// What one session brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose session.
    pub cluster: ClusterName,
    /// Which.
    pub session: u64,
    /// What it has seen committed.
    pub committed: Committed,
    /// Rising.
    pub reports: Vec<Report>,
}

impl Batch {
    fn word(&self) -> older::Word<'_> {
        (&self.cluster, self.session, &self.committed)
    }
}

/// How storing a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Everything up to this sequence is committed.
    UpTo(u64),
    /// The session is over, or has seen more than there is; nothing was stored, end its stream.
    SessionOver,
    /// Another transaction has locked the session; nothing was stored, try again.
    Locked,
}

/// How a batch was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How far it is stored.
    pub stored: Stored,
    /// Rows that it left for good: of the history, and content changes. What was stored before counts as well; it costs as
    /// much.
    pub rows: u32,
}

row! {
    /// A current session, and how far its reports are committed.
    ReportedRow { cluster: String, session: i64, reported: i64 }
}

/// A current session.
type Session<'a> = (&'a str, i64);

/// One report that is not stored yet.
struct Fresh<'a> {
    session: Session<'a>,
    place: Place,
    report: &'a Report,
}

impl Fresh<'_> {
    fn said(&self) -> Said {
        Said {
            session: self.session.1,
            sequence: number(self.report.sequence),
        }
    }
}

impl Store {
    /// Stores the batches of many sessions in one transaction; reports that are stored already are passed over. With what
    /// each of them left for good.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses; then none is known to be stored.
    pub async fn reports_store(&self, batches: &[Batch]) -> Result<Vec<Taken>> {
        let mut tx = self.pool.begin().await?;
        let locked = lock(&mut tx, batches).await?;
        let mut reported: BTreeMap<Session<'_>, u64> = locked
            .iter()
            .map(|row| {
                (
                    (row.cluster.as_str(), row.session),
                    row.reported.unsigned_abs(),
                )
            })
            .collect();
        let (mut fresh, mut over) = (Vec::new(), Vec::new());
        for batch in batches {
            let session = (batch.cluster.as_str(), number(batch.session));
            let Some(highest) = reported.get_mut(&session) else {
                over.push(batch.word());
                continue;
            };
            for report in &batch.reports {
                if report.sequence > *highest {
                    *highest = report.sequence;
                    let place = (batch.cluster.clone(), report.rollout.clone());
                    fresh.push(Fresh {
                        session,
                        place,
                        report,
                    });
                }
            }
        }
        let (news, left) = store(&mut tx, &fresh).await?;
        watermark(&mut tx, &reported).await?;
        let looked = older::look(&mut tx, &over).await?;
        hint::notify_of(&mut tx, news.into_iter().map(Hint::Rollout).collect()).await?;
        tx.commit().await?;
        let stored = |batch: &Batch| {
            let session = (batch.cluster.as_str(), number(batch.session));
            let rows = left.get(&batch.cluster).copied().unwrap_or_default();
            match reported.get(&session) {
                Some(highest) => Taken {
                    stored: Stored::UpTo(*highest),
                    rows,
                },
                None => Taken {
                    stored: match looked.answer(&batch.cluster, batch.session) {
                        Heard::Locked => Stored::Locked,
                        Heard::Current | Heard::Over => Stored::SessionOver,
                    },
                    rows: 0,
                },
            }
        };
        Ok(batches.iter().map(stored).collect())
    }

    /// Stores one session's batch, of one that has seen nothing yet.
    ///
    /// # Errors
    /// As `reports_store`.
    pub async fn report_store(
        &self,
        cluster: &ClusterName,
        session: u64,
        reports: &[Report],
    ) -> Result<Stored> {
        let batch = Batch {
            cluster: cluster.clone(),
            session,
            committed: Committed::default(),
            reports: reports.to_vec(),
        };
        let taken = self.reports_store(&[batch]).await?;
        Ok(taken.first().map_or(Stored::SessionOver, |one| one.stored))
    }
}

async fn lock(tx: &mut PgConnection, batches: &[Batch]) -> Result<Vec<ReportedRow>> {
    let rows = older::asked(LOCK, batches.iter().map(Batch::word));
    Ok(rows.fetch_all(tx).await?)
}

async fn watermark(tx: &mut PgConnection, reported: &BTreeMap<Session<'_>, u64>) -> Result<()> {
    let clusters: Vec<&str> = reported.keys().map(|(cluster, _)| *cluster).collect();
    let sessions: Vec<i64> = reported.keys().map(|(_, session)| *session).collect();
    let highest: Vec<i64> = reported.values().copied().map(number).collect();
    sqlx::query(WATERMARK)
        .bind(clusters)
        .bind(sessions)
        .bind(highest)
        .execute(tx)
        .await?;
    Ok(())
}

/// Answers of which Rollouts there is news (to say again what is known is none), and how many rows each cluster's word left
/// for good.
async fn store(
    tx: &mut PgConnection,
    fresh: &[Fresh<'_>],
) -> Result<(BTreeSet<RolloutName>, BTreeMap<ClusterName, u32>)> {
    let places = fresh.iter().map(|one| one.place.clone()).collect();
    let mut latest = Latest::of(tx, &places).await?;
    let mut news = BTreeSet::new();
    let mut changes = Vec::new();
    let mut left = BTreeMap::<ClusterName, u32>::new();
    for one in fresh {
        let (place, said) = (&one.place, one.said());
        let (cluster, rollout) = place;
        if one.report.body.leaves() {
            *left.entry(cluster.clone()).or_default() += 1;
        }
        match &one.report.body {
            Body::State(state) => latest.say(place, said, state),
            Body::Changed { was, now } => {
                changes.push((one, was.as_ref(), now));
                news.insert(rollout.clone());
            }
            Body::Effect { effect, .. } => {
                latest.amend(place, said, |state| state.effect = Some(effect.clone()));
            }
            Body::Outcome { uid, outcome } => {
                latest.amend(place, said, |state| ended(state, uid, outcome));
            }
            Body::Verb { .. } => tell_verb(tx, cluster, one.report).await?,
            Body::BrokenGlass(glass) => broken_glass::tell(tx, cluster, rollout, glass).await?,
            Body::Removed => latest.amend(place, said, |state| state.removed = true),
        }
    }
    add_changes(tx, &changes).await?;
    for cluster in latest.edited() {
        *left.entry(cluster.clone()).or_default() += 1;
    }
    news.extend(latest.write(tx).await?);
    Ok((news, left))
}

async fn add_changes(
    tx: &mut PgConnection,
    changes: &[(&Fresh<'_>, Option<&Content>, &Content)],
) -> Result<()> {
    for some in changes.chunks(ROWS_MAX) {
        let rollouts = || some.iter().map(|(one, ..)| &one.report.rollout);
        let clusters: Vec<&str> = some.iter().map(|(one, ..)| one.session.0).collect();
        let namespaces: Vec<&str> = rollouts().map(|name| name.namespace.as_str()).collect();
        let names: Vec<&str> = rollouts().map(|name| name.name.as_str()).collect();
        let count = |part: fn(Said) -> i64| -> Vec<i64> {
            some.iter().map(|(one, ..)| part(one.said())).collect()
        };
        let was: Vec<_> = some.iter().map(|(_, was, _)| was.map(Json)).collect();
        let now: Vec<_> = some.iter().map(|(.., now)| Json(*now)).collect();
        sqlx::query(CHANGES)
            .bind(clusters)
            .bind(namespaces)
            .bind(names)
            .bind(was)
            .bind(now)
            .bind(count(|said| said.session))
            .bind(count(|said| said.sequence))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Once, also when a broken stream made the agent send it again.
async fn tell_verb(tx: &mut PgConnection, cluster: &ClusterName, report: &Report) -> Result<()> {
    let Body::Verb {
        verb,
        held,
        message,
        release,
        id,
    } = &report.body
    else {
        return Ok(());
    };
    if !id.is_empty() {
        let told: bool = sqlx::query_scalar(VERB_TOLD)
            .bind(id)
            .bind(cluster.as_str())
            .fetch_one(&mut *tx)
            .await?;
        if told {
            return Ok(());
        }
    }
    let kind = if *held { "LocalVerbHeld" } else { "LocalVerb" };
    let text = format!("{verb} of {} in {cluster}: {message}", report.rollout);
    let fact = Fact {
        release: release.clone(),
        evidence: serde_json::json!({"verb": id, "at": report.at}),
        ..Fact::of_hub(Some(cluster), kind, &format!("agent:{cluster}"), text)
    };
    history::add_now(tx, fact).await
}
