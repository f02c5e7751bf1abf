//! Sessions of agents. In: what Hello says, and that a stream ended. Out: the session's number, or why there is none. It must not
//! open a release or change a set (gate.md G24, L1).

pub mod together;

use std::collections::BTreeSet;

use ::time::OffsetDateTime;
use hub_engine::observed::Rollout;
use hub_engine::{ClusterName, Fence, RolloutName};

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::cluster::{fence, number};
use crate::hint::{self, Hint};
use crate::history::{self, Fact};
use crate::latest::{self, Latest, Said};
use crate::row::row;
use crate::time::from_db_opt;
use crate::{Result, Store, certificate, claim, recovery};

/// Under its name of now: the certificate keeps the name of its day. In one order by all transactions.
macro_rules! known {
    () => {
        "select said.place, c.name, c.kube_system_uid, \
         case when f.fingerprint is null then c.revoked_at is not null else f.revoked_at is not null end as revoked, \
         s.stored_incarnation, s.stored_version, s.audit_head, d.incarnation, d.version \
         from unnest($1::text[], $2::text[]) with ordinality as said (cluster, fingerprint, place) \
         left join certificates f on f.fingerprint = said.fingerprint \
         join clusters c on c.name = coalesce(f.cluster, said.cluster) \
         join cluster_sessions s on s.cluster = c.name join cluster_sets d on d.cluster = c.name \
         order by c.name for update of s"
    };
}
pub(crate) const LOCK: &str = known!();
pub(crate) const LOCK_FREE: &str = concat!(known!(), " skip locked");
/// The millisecond in which it opened, so that no copy of the database gives a number again that a stream has got since: its
/// words would be taken for the new one's.
pub(crate) const OPEN: &str = "with said as (select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], \
     $6::text[], $7::text[], $8::bool[], $9::bool[], $10::bool[]) as said (cluster, agent_version, hub, incarnation, version, \
     set_hash, audit_head, restored, regressed, unproven)), \
     kept as (update clusters c set note = '' from said where c.name = said.cluster and not said.unproven \
     and c.note like 'UnprovenFence:%') \
     update cluster_sessions s set session = greatest(s.session + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint), \
     open = true, last_seen_at = now(), agent_version = said.agent_version, stored_incarnation = said.incarnation, \
     stored_version = said.version, set_hash = said.set_hash, regressed = said.regressed, reported = 0, \
     hub = said.hub, audit_head = said.audit_head, \
     restored_at = case when said.restored then now() else s.restored_at end, \
     claimed_incarnation = case when said.unproven then s.claimed_incarnation end, \
     claimed_version = case when said.unproven then s.claimed_version end from said where s.cluster = said.cluster \
     returning s.cluster, s.session, clock_timestamp() as at";
pub(crate) const CLOSE: &str =
    "update cluster_sessions set open = false where cluster = $1 and session = $2";
pub(crate) const NOTE: &str = "update clusters set note = $2 where name = $1 and note <> $2";

row! {
    /// A cluster's identity, what it stored and what it should hold.
    LockRow {
        place: Option<i64>, name: String, kube_system_uid: Option<String>, revoked: Option<bool>, stored_incarnation: i64, stored_version: i64, audit_head: String,
        incarnation: i64, version: i64,
    }
}

row! {
    /// The session, and the time: not of the transaction's beginning, for it may have waited.
    OpenedRow { cluster: String, session: i64, at: Option<OffsetDateTime> }
}

/// A cluster counts as connected so long after its last word: three missed heartbeats of `HEARTBEAT_SECONDS`.
pub const CONNECTED_SECONDS: i32 = 15;
/// What Welcome asks for.
pub const HEARTBEAT_SECONDS: u32 = 5;

/// What Hello says.
#[derive(Debug, Clone)]
pub struct Hello {
    /// From the certificate.
    pub cluster: ClusterName,
    /// UID of the kube-system namespace.
    pub kube_system_uid: String,
    /// The agent's version.
    pub agent_version: String,
    /// The fence it has stored.
    pub fence: Fence,
    /// It showed this hub's signature under that fence.
    pub proven: bool,
    /// Hash of the set that it holds at that fence.
    pub set_hash: String,
    /// Everything that it has.
    pub rollouts: Vec<(RolloutName, Rollout)>,
    /// Hex SHA-256 of the certificate.
    pub fingerprint: String,
    /// The newest history head that it was handed.
    pub audit_head: String,
    /// Sequence and hash in it, if this hub's key signed it.
    pub handed: Option<(u64, Vec<u8>)>,
    /// Which hub process has the stream, for people.
    pub hub: String,
}

/// A session that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Whose, by its name of now: its certificate may have an older one.
    pub cluster: ClusterName,
    /// Higher than any before it; older sessions of this cluster are over.
    pub session: u64,
    /// What it should hold.
    pub desired: Fence,
    /// It has less than it had, a lower fence or not the end of a permit that it told: everything is sent again, nothing
    /// starts until its fence is equal.
    pub regressed: bool,
    /// Sequence and hash of the newest row of the history.
    pub head: Option<(u64, Vec<u8>)>,
    /// The database's time.
    pub at: Option<Timestamp>,
    /// Rows of the history that its Hello left.
    pub rows: u32,
}

/// How Hello ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Go on.
    Session(Begun),
    /// Another cluster uses this certificate (gate.md L4); recorded, and the bound one keeps its session.
    DuplicateIdentity,
    /// No such cluster, or nobody has joined for it.
    UnknownCluster,
    /// The certificate is denied.
    Revoked,
    /// It claims more than this database has and shows no signature of this hub under that: nothing of it is taken.
    Unproven {
        /// For people.
        message: String,
    },
}

/// What a session begins with.
#[derive(Debug, Clone, Copy)]
struct Beginning<'a> {
    hello: &'a Hello,
    /// It keeps this head of the history.
    audit_head: &'a str,
    /// It has less than it had.
    restored: bool,
    /// What it should hold.
    desired: Fence,
}

/// The clusters' next sessions, in any order.
async fn raised(tx: &mut PgConnection, all: &[Beginning<'_>]) -> Result<Vec<OpenedRow>> {
    let texts = |part: fn(&Beginning<'_>) -> String| all.iter().map(part).collect::<Vec<_>>();
    let numbers = |part: fn(&Fence) -> u64| -> Vec<i64> {
        let fences = all.iter().map(|one| &one.hello.fence);
        fences.map(|fence| number(part(fence))).collect()
    };
    let flags = |part: fn(&Beginning<'_>) -> bool| all.iter().map(part).collect::<Vec<_>>();
    let opened = sqlx::query_as(OPEN)
        .bind(texts(|one| one.hello.cluster.to_string()))
        .bind(texts(|one| one.hello.agent_version.clone()))
        .bind(texts(|one| one.hello.hub.clone()))
        .bind(numbers(|fence| fence.incarnation))
        .bind(numbers(|fence| fence.version))
        .bind(texts(|one| one.hello.set_hash.clone()))
        .bind(texts(|one| one.audit_head.to_owned()))
        .bind(flags(|one| one.restored))
        .bind(flags(|one| one.restored && one.hello.fence < one.desired))
        .bind(flags(|one| {
            one.hello.fence > one.desired && !one.hello.proven
        }))
        .fetch_all(tx)
        .await?;
    Ok(opened)
}

impl Store {
    /// Opens a session and stores everything that the agent brought.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn session_open(&self, hello: &Hello) -> Result<Opened> {
        let mut tx = self.pool.begin().await?;
        let row: Option<LockRow> = sqlx::query_as(LOCK)
            .bind([hello.cluster.as_str()])
            .bind([&hello.fingerprint])
            .fetch_optional(&mut *tx)
            .await?;
        let Some(LockRow {
            name,
            kube_system_uid: Some(bound),
            revoked,
            stored_incarnation,
            stored_version,
            audit_head,
            incarnation,
            version,
            place: _,
        }) = row
        else {
            drop(tx);
            self.refusal_add(
                "Hello",
                hello.cluster.as_str(),
                "nobody has joined as this cluster",
            )
            .await?;
            return Ok(Opened::UnknownCluster);
        };
        let hello = &Hello {
            cluster: name.into(),
            ..hello.clone()
        };
        let name = &hello.cluster;
        if bound != hello.kube_system_uid {
            drop(tx);
            return self.refuse_identity(hello, &bound).await;
        }
        if revoked == Some(true) {
            drop(tx);
            self.refusal_add("Hello", name.as_str(), &certificate::revoked_message(name))
                .await?;
            return Ok(Opened::Revoked);
        }
        let (stored, desired) = (
            fence(stored_incarnation, stored_version),
            fence(incarnation, version),
        );
        if hello.fence > desired
            && !hello.proven
            && let Some(message) = claim::unbelieved(&mut tx, hello, desired).await?
        {
            tx.commit().await?;
            return self.refuse_claim(name, message).await;
        }
        let had = Had {
            stored,
            desired,
            audit_head,
        };
        let opened = begin(&mut tx, hello, &had).await?;
        tx.commit().await?;
        Ok(opened)
    }

    /// The stream ended. Without effect on a newer session.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn session_close(&self, cluster: &ClusterName, session: u64) -> Result<()> {
        sqlx::query(CLOSE)
            .bind(cluster.as_str())
            .bind(number(session))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn refuse_claim(&self, name: &ClusterName, message: String) -> Result<Opened> {
        self.refusal_add("UnprovenFence", name.as_str(), &message)
            .await?;
        sqlx::query(NOTE)
            .bind(name.as_str())
            .bind(format!("UnprovenFence: {message}"))
            .execute(&self.pool)
            .await?;
        Ok(Opened::Unproven { message })
    }

    async fn refuse_identity(&self, hello: &Hello, bound: &str) -> Result<Opened> {
        let message = format!(
            "{} is bound to the kube-system namespace {bound}; the one that came with its certificate has {}; \
             join that cluster under a name of its own, or say that it takes its place: \
             `groundswell cluster rebind {} --uid {} --reason WHY`",
            hello.cluster, hello.kube_system_uid, hello.cluster, hello.kube_system_uid
        );
        self.refusal_add("DuplicateIdentity", hello.cluster.as_str(), &message)
            .await?;
        let note = "DuplicateIdentity: another cluster came with this certificate";
        sqlx::query(NOTE)
            .bind(hello.cluster.as_str())
            .bind(note)
            .execute(&self.pool)
            .await?;
        Ok(Opened::DuplicateIdentity)
    }
}

/// What this database knows of a cluster that says Hello.
struct Had {
    stored: Fence,
    desired: Fence,
    audit_head: String,
}

async fn begin(tx: &mut PgConnection, hello: &Hello, had: &Had) -> Result<Opened> {
    let (name, desired) = (&hello.cluster, had.desired);
    let mut latest = Latest::of_clusters(tx, &[name.as_str()]).await?;
    let unsaid = latest.unsaid(name, &hello.rollouts);
    let regressed = hello.fence < had.stored || unsaid.is_some();
    let lost = lost_head(tx, hello).await?;
    let forgiven = had.audit_head == recovery::FORGIVEN;
    let kept = kept(hello, forgiven && lost.is_some());
    let beginning = Beginning {
        hello,
        audit_head: kept,
        restored: regressed,
        desired,
    };
    let opened = raised(tx, &[beginning]).await?.pop();
    let OpenedRow { session, at, .. } = opened.ok_or(sqlx::Error::RowNotFound)?;
    if regressed {
        latest::forget_outcomes(tx, name).await?;
        latest = latest.without_outcomes();
    }
    let mut news = brought(&mut latest, hello, session);
    let edited = edited_in(&latest, name);
    latest.write(tx).await?;
    latest::forget(tx, &[name.as_str()]).await?;
    remember(tx, hello, had, unsaid).await?;
    if let Some(message) = &lost
        && !forgiven
        && hello.fence.incarnation >= desired.incarnation
    {
        recovery::hold(tx, name, message).await?;
    }
    // One that joins, or is not what it was, is news for whoever selects it.
    let joins = had.stored == Fence::default() || desired.version == 0;
    if joins || news.is_empty() || regressed || hello.fence > desired || lost.is_some() {
        news = BTreeSet::from([Hint::Anything]);
    }
    let head = history::newest(tx).await?;
    hint::notify_of(tx, news).await?;
    Ok(Opened::Session(Begun {
        cluster: name.clone(),
        session: session.unsigned_abs(),
        desired,
        regressed,
        head,
        at: from_db_opt(at),
        rows: edited.saturating_add(u32::from(regressed || hello.fence > desired)),
    }))
}

/// Everything that the agent has; what it does not name is not there any more. Answers of which Rollouts that is news (also
/// that it is there again is).
fn brought(latest: &mut Latest, hello: &Hello, session: i64) -> BTreeSet<Hint> {
    let mut names = latest.names(&hello.cluster);
    let said = Said {
        session,
        sequence: 0,
    };
    for (rollout, state) in &hello.rollouts {
        latest.say(&(hello.cluster.clone(), rollout.clone()), said, state);
        names.insert(rollout.clone());
    }
    latest.remove_others(&hello.cluster, said);
    names.into_iter().map(Hint::Rollout).collect()
}

/// How many strategies of a cluster were edited.
fn edited_in(latest: &Latest, cluster: &ClusterName) -> u32 {
    let all = latest.edited().filter(|one| *one == cluster);
    u32::try_from(all.count()).unwrap_or(u32::MAX)
}

/// Says in the history and beside the cluster when it is not what it was (gate.md L4, L5).
async fn remember(
    tx: &mut PgConnection,
    hello: &Hello,
    had: &Had,
    unsaid: Option<&RolloutName>,
) -> Result<()> {
    let (name, stored, desired) = (&hello.cluster, had.stored, had.desired);
    let (kind, message) = if hello.fence < stored {
        (
            "ClusterRegressed",
            format!(
                "{name} came back with {} after it had {stored}; it starts nothing until it has caught up",
                hello.fence
            ),
        )
    } else if hello.fence > desired {
        ("ClusterAhead", ahead(name, hello.fence, desired))
    } else if let Some(rollout) = unsaid {
        (
            "ClusterRegressed",
            format!(
                "{name} came back with {} and without the end of a permit of {rollout} that it had told: it was put back from a \
                 copy, and what it had reached counts again by its agent's word alone",
                hello.fence
            ),
        )
    } else {
        return Ok(());
    };
    sqlx::query(NOTE)
        .bind(name.as_str())
        .bind(format!("{kind}: {message}"))
        .execute(&mut *tx)
        .await?;
    if hello.fence > desired {
        recovery::hold(&mut *tx, name, &message).await?;
    }
    history::add_now(
        tx,
        Fact::of_hub(Some(name), kind, &format!("agent:{name}"), message),
    )
    .await
}

pub(crate) fn ahead(cluster: &ClusterName, fence: Fence, desired: Fence) -> String {
    format!(
        "{cluster} holds {fence}, more than the {desired} of this database: it was restored from a backup"
    )
}

/// Until it brings a head that it was handed since a recovery, it stays forgiven. One that this hub has not signed is no head of
/// this history.
fn kept(hello: &Hello, forgiven: bool) -> &str {
    if forgiven {
        return recovery::FORGIVEN;
    }
    if hello.handed.is_some() {
        return &hello.audit_head;
    }
    if !hello.audit_head.is_empty() {
        tracing::warn!(cluster = %hello.cluster, "its agent keeps a history head that this hub has not signed: it is not taken");
    }
    ""
}

/// What the agent was handed is not in the history: that is another one (gate.md L5).
async fn lost_head(tx: &mut PgConnection, hello: &Hello) -> Result<Option<String>> {
    let Some((sequence, handed)) = &hello.handed else {
        return Ok(None);
    };
    let hash: Option<Vec<u8>> = sqlx::query_scalar(history::HASH)
        .bind(number(*sequence))
        .fetch_optional(&mut *tx)
        .await?;
    let what = match hash {
        Some(hash) if hash == *handed => return Ok(None),
        Some(_) => "is another row there",
        None => "is not there",
    };
    let name = &hello.cluster;
    Ok(Some(format!(
        "row {sequence} of the history, which the agent of {name} was handed, {what}: the database was restored from a \
         backup or its history rewritten"
    )))
}
