//! Sessions of many agents in one transaction, as after a hub's restart, when a whole fleet says Hello at once. In: what each
//! Hello says. Out: the sessions of those that come as they went. It must not open one of which there is anything to be said
//! or held: that is `session_open`'s, one by one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hub_engine::{ClusterName, Fence};
use sqlx::PgConnection;

use super::{Beginning, Begun, Hello, LOCK_FREE, LockRow, brought, edited_in, kept, raised};
use crate::cluster::{fence, number};
use crate::hint::{self, Hint};
use crate::latest::{self, Latest};
use crate::row::row;
use crate::time::from_db_opt;
use crate::{Result, Store, history, recovery};

/// Rollouts of one Hello that is opened with others; one that brings more is a transaction's work by itself.
pub const ROLLOUTS_TOGETHER: usize = 100;

pub(crate) const HASHES: &str = "select sequence, hash from history where sequence = any($1)";

row! {
    /// A row of the history.
    HashRow { sequence: i64, hash: Vec<u8> }
}

/// Of a cluster that is as it was.
struct Plain<'a> {
    /// Among the Hellos that came.
    place: usize,
    /// By its name of now.
    hello: Cow<'a, Hello>,
    desired: Fence,
}

impl<'a> Plain<'a> {
    /// Where the cluster is who it says, has what it had or more of what it should, and has joined before.
    fn of(row: LockRow, hellos: &'a [Hello]) -> Option<Self> {
        let place = usize::try_from(row.place?).ok()?.checked_sub(1)?;
        let hello = hellos.get(place)?;
        let (stored, desired) = (
            fence(row.stored_incarnation, row.stored_version),
            fence(row.incarnation, row.version),
        );
        let bound = row.kube_system_uid.as_ref() == Some(&hello.kube_system_uid);
        let joined = stored != Fence::default() && desired.version != 0;
        let whole = stored <= hello.fence && hello.fence <= desired;
        let held = row.audit_head == recovery::FORGIVEN;
        let few = hello.rollouts.len() <= ROLLOUTS_TOGETHER;
        if !bound || row.revoked == Some(true) || !joined || !whole || held || !few {
            return None;
        }
        let hello = if row.name == hello.cluster.as_str() {
            Cow::Borrowed(hello)
        } else {
            Cow::Owned(Hello {
                cluster: row.name.into(),
                ..hello.clone()
            })
        };
        Some(Self {
            place,
            hello,
            desired,
        })
    }

    /// Whether the head that it was handed, if any, is in the history.
    fn is_of(&self, history: &BTreeMap<i64, Vec<u8>>) -> bool {
        let mut handed = self.hello.handed.iter();
        handed.all(|(sequence, hash)| history.get(&number(*sequence)) == Some(hash))
    }
}

impl Store {
    /// Opens the sessions of agents that come as they went, and stores everything that they brought. None: nothing was done
    /// about this one, and `session_open` has something to say or to wait for.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses; then none is open.
    pub async fn sessions_open(&self, hellos: &[Hello]) -> Result<Vec<Option<Begun>>> {
        let mut tx = self.pool.begin().await?;
        let plain = plain(&mut tx, hellos).await?;
        let clusters: Vec<&str> = plain.iter().map(|one| one.hello.cluster.as_str()).collect();
        let mut latest = Latest::of_clusters(&mut tx, &clusters).await?;
        let whole = |one: &&Plain<'_>| {
            let hello = &one.hello;
            latest.unsaid(&hello.cluster, &hello.rollouts).is_none()
        };
        let plain: Vec<&Plain<'_>> = plain.iter().filter(whole).collect();
        let mut all: Vec<Option<Begun>> = hellos.iter().map(|_| None).collect();
        if plain.is_empty() {
            return Ok(all);
        }
        let news = opened(&mut tx, &plain, &mut latest, &mut all).await?;
        let clusters: Vec<&str> = plain.iter().map(|one| one.hello.cluster.as_str()).collect();
        latest.write(&mut tx).await?;
        latest::forget(&mut tx, &clusters).await?;
        let head = history::newest(&mut tx).await?;
        for begun in all.iter_mut().flatten() {
            begun.head.clone_from(&head);
        }
        hint::notify_of(&mut tx, news).await?;
        tx.commit().await?;
        Ok(all)
    }
}

/// Those of whom nothing is to be said by what the tables of clusters and the history have; their sessions are locked.
async fn plain<'a>(tx: &mut PgConnection, hellos: &'a [Hello]) -> Result<Vec<Plain<'a>>> {
    let names: Vec<&str> = hellos.iter().map(|one| one.cluster.as_str()).collect();
    let fingerprints: Vec<&str> = hellos.iter().map(|one| one.fingerprint.as_str()).collect();
    let rows: Vec<LockRow> = sqlx::query_as(LOCK_FREE)
        .bind(names)
        .bind(fingerprints)
        .fetch_all(&mut *tx)
        .await?;
    let plain = rows.into_iter().filter_map(|row| Plain::of(row, hellos));
    let mut plain: Vec<Plain<'_>> = plain.collect();
    // One that comes twice, by an old name and by its new one, has its sessions one after the other.
    let mut seen: BTreeSet<ClusterName> = BTreeSet::new();
    plain.retain(|one| seen.insert(one.hello.cluster.clone()));
    let handed = plain.iter().filter_map(|one| one.hello.handed.as_ref());
    let handed: BTreeSet<i64> = handed.map(|(sequence, _)| number(*sequence)).collect();
    let rows: Vec<HashRow> = sqlx::query_as(HASHES)
        .bind(handed.into_iter().collect::<Vec<_>>())
        .fetch_all(tx)
        .await?;
    let history = rows.into_iter().map(|row| (row.sequence, row.hash));
    let history: BTreeMap<i64, Vec<u8>> = history.collect();
    plain.retain(|one| one.is_of(&history));
    Ok(plain)
}

/// Raises their sessions and takes up what they brought; answers of what that is news.
async fn opened(
    tx: &mut PgConnection,
    plain: &[&Plain<'_>],
    latest: &mut Latest,
    all: &mut [Option<Begun>],
) -> Result<BTreeSet<Hint>> {
    let beginnings = plain.iter().map(|one| Beginning {
        hello: &one.hello,
        audit_head: kept(&one.hello, false),
        restored: false,
        desired: one.desired,
    });
    let beginnings: Vec<Beginning<'_>> = beginnings.collect();
    let rows = raised(tx, &beginnings).await?;
    let rows: BTreeMap<&str, _> = rows.iter().map(|row| (row.cluster.as_str(), row)).collect();
    let mut news = BTreeSet::new();
    for one in plain {
        let cluster = &one.hello.cluster;
        let Some(row) = rows.get(cluster.as_str()) else {
            continue;
        };
        let own = brought(latest, &one.hello, row.session);
        let nothing = own.is_empty().then_some(Hint::Anything);
        news.extend(own.into_iter().chain(nothing));
        if let Some(place) = all.get_mut(one.place) {
            *place = Some(Begun {
                cluster: cluster.clone(),
                session: row.session.unsigned_abs(),
                desired: one.desired,
                regressed: false,
                head: None,
                at: from_db_opt(row.at),
                rows: edited_in(latest, cluster),
            });
        }
    }
    Ok(news)
}
