//! Outlines of releases: what joining, opening and first deploys ask of those long ended. In: rows of `releases`, what is
//! remembered of their targets. Out: the engine's outlines, the digests that passed. It must not read the targets of a release
//! again of which nothing has changed: a fleet has millions of them.

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::FleetRolloutName;
use hub_engine::name::{Digest, Revision};
use hub_engine::observed::{PASSED_MAX, PastRelease};
use hub_engine::release::{ReleasePhase, Target, TargetState};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::cluster::number;
use crate::release::named;
use crate::remembered::Rows;
use crate::row::row;
use crate::target::Targets;

/// Releases whose outline is remembered when content is compared: a digest older than all of these opens a new one.
const PAST_MAX: usize = 200;
/// Releases whose targets are read by one statement: of ten thousand clusters they take it well below a second.
const OUTLINES_AT_ONCE: usize = 8;

pub(crate) const HEADS: &str = "select number, revision, phase, overtook from releases where fleet_rollout = $1 \
     and changed_in >= pg_snapshot_xmin($2::text::pg_snapshot) and not pg_visible_in_snapshot(changed_in, $2::text::pg_snapshot)";
pub(crate) const COUNT: &str = "select count(*) from releases where fleet_rollout = $1";
pub(crate) const KEYS: &str = "select number from releases where fleet_rollout = $1";
pub(crate) const OUTLINES: &str = "select release, \
     coalesce(jsonb_agg(distinct content->>'digest') filter (where content is not null), '[]') as digests, \
     coalesce(jsonb_agg(distinct content->>'digest') filter (where content is not null and state = 'Succeeded'), '[]') as served, \
     bool_or(state in ('RollingBack', 'Permitted', 'Progressing', 'Paused', 'Unknown')) as unfinished, \
     bool_or(permit is not null) as touched from targets where fleet_rollout = $1 and release = any($2) group by release";

row! {
    /// A release alone.
    HeadRow { number: i64, revision: Option<String>, phase: String, overtook: i32 }
}
row! {
    /// What its targets come to.
    OutlineRow {
        release: i64, digests: Option<Json<BTreeSet<Digest>>>, served: Option<Json<BTreeSet<Digest>>>, unfinished: Option<bool>,
        touched: Option<bool>,
    }
}

/// A release alone.
#[derive(Debug)]
struct Head {
    revision: Option<Revision>,
    phase: ReleasePhase,
    overtook: u32,
}

/// What the targets of a release come to.
#[derive(Debug, Default)]
struct Outline {
    /// Every digest bound.
    digests: BTreeSet<Digest>,
    /// Those of targets that succeeded.
    served: BTreeSet<Digest>,
    /// A target is not done.
    unfinished: bool,
    /// A target was permitted to start.
    touched: bool,
}

impl Outline {
    fn of<'a>(targets: impl Iterator<Item = &'a Target>) -> Self {
        let mut own = Self::default();
        for target in targets {
            if let Some(content) = &target.content {
                if !own.digests.contains(&content.digest) {
                    own.digests.insert(content.digest.clone());
                }
                if target.state == TargetState::Succeeded && !own.served.contains(&content.digest) {
                    own.served.insert(content.digest.clone());
                }
            }
            own.unfinished |= unfinished(target.state);
            own.touched |= target.permit.is_some();
        }
        own
    }
}

/// As `OUTLINES` has it.
fn unfinished(state: TargetState) -> bool {
    match state {
        TargetState::RollingBack
        | TargetState::Permitted
        | TargetState::Progressing
        | TargetState::Paused
        | TargetState::Unknown => true,
        TargetState::Pending
        | TargetState::WaitingForContent
        | TargetState::Held
        | TargetState::Succeeded
        | TargetState::Failed
        | TargetState::RolledBack
        | TargetState::Skipped
        | TargetState::Removed
        | TargetState::Behind => false,
    }
}

/// Of every release of a FleetRollout, as far as it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Outlines {
    heads: Rows<u64, Head>,
    outlines: BTreeMap<u64, Outline>,
}

impl Outlines {
    pub(crate) fn len(&self) -> usize {
        self.heads.seen().len() + self.outlines.len()
    }

    /// A target of it is not what it was.
    pub(crate) fn forget(&mut self, release: u64) {
        self.outlines.remove(&release);
    }

    /// Outlines by number, and whether a target of each is not done; after what has changed is learnt.
    pub(crate) async fn past(
        &mut self,
        tx: &mut PgConnection,
        name: &FleetRolloutName,
        targets: &BTreeMap<u64, Targets>,
    ) -> Result<Vec<(PastRelease, bool)>> {
        let heads = self.heads.seen();
        let numbers: Vec<u64> = heads.keys().rev().take(PAST_MAX).copied().collect();
        self.read(tx, name, &numbers, targets).await?;
        let outline = |number: &u64| {
            let head = self.heads.seen().get(number)?;
            let own = self.outlines.get(number)?;
            let past = PastRelease {
                number: *number,
                revision: head.revision.clone(),
                phase: head.phase,
                digests: own.digests.iter().cloned().collect(),
                overtook: head.overtook,
                touched: own.touched,
            };
            Some((past, own.unfinished))
        };
        Ok(numbers.iter().rev().filter_map(outline).collect())
    }

    /// Digests that passed releases served, newest last.
    pub(crate) async fn passed(
        &mut self,
        tx: &mut PgConnection,
        name: &FleetRolloutName,
        targets: &BTreeMap<u64, Targets>,
    ) -> Result<Vec<Digest>> {
        let heads = self.heads.seen().iter().rev();
        let numbers: Vec<u64> = heads
            .filter(|(_, head)| head.phase == ReleasePhase::Succeeded)
            .map(|(number, _)| *number)
            .collect();
        let mut passed = Vec::new();
        for some in numbers.chunks(OUTLINES_AT_ONCE) {
            self.read(tx, name, some, targets).await?;
            for number in some {
                let served = self.outlines.get(number).into_iter();
                for digest in served.flat_map(|outline| &outline.served) {
                    if !passed.contains(digest) {
                        passed.push(digest.clone());
                    }
                }
            }
            if passed.len() >= PASSED_MAX {
                break;
            }
        }
        passed.truncate(PASSED_MAX);
        passed.reverse();
        Ok(passed)
    }

    /// What has changed in releases.
    pub(crate) async fn learn(
        &mut self,
        tx: &mut PgConnection,
        name: &FleetRolloutName,
        since: &str,
    ) -> Result<()> {
        self.heads.begin();
        let rows: Vec<HeadRow> = sqlx::query_as(HEADS)
            .bind(name.as_str())
            .bind(since)
            .fetch_all(&mut *tx)
            .await?;
        for row in rows {
            let head = Head {
                revision: row.revision.map(Revision),
                phase: named::<ReleasePhase>("the phase of a release", &row.phase)?,
                overtook: row.overtook.unsigned_abs(),
            };
            self.heads.learn(row.number.unsigned_abs(), head);
        }
        let count: Option<i64> = sqlx::query_scalar(COUNT)
            .bind(name.as_str())
            .fetch_one(&mut *tx)
            .await?;
        if self.heads.are(count.unwrap_or(0)) {
            return Ok(());
        }
        let there: Vec<i64> = sqlx::query_scalar(KEYS)
            .bind(name.as_str())
            .fetch_all(tx)
            .await?;
        let there = there.into_iter().map(i64::unsigned_abs).collect();
        self.heads.keep(&there);
        self.outlines.retain(|number, _| there.contains(number));
        Ok(())
    }

    /// The outlines of these, as far as nothing is known of them.
    async fn read(
        &mut self,
        tx: &mut PgConnection,
        name: &FleetRolloutName,
        numbers: &[u64],
        targets: &BTreeMap<u64, Targets>,
    ) -> Result<()> {
        let mut unread = Vec::new();
        for number in numbers {
            if self.outlines.contains_key(number) {
                continue;
            }
            match targets.get(number) {
                Some(known) => {
                    let own = Outline::of(known.seen().values().map(AsRef::as_ref));
                    self.outlines.insert(*number, own);
                }
                None => unread.push(*number),
            }
        }
        for some in unread.chunks(OUTLINES_AT_ONCE) {
            let wanted: Vec<i64> = some.iter().copied().map(number).collect();
            let rows: Vec<OutlineRow> = sqlx::query_as(OUTLINES)
                .bind(name.as_str())
                .bind(&wanted)
                .fetch_all(&mut *tx)
                .await?;
            // One without targets has no row.
            self.outlines
                .extend(some.iter().map(|number| (*number, Outline::default())));
            for row in rows {
                let own = Outline {
                    digests: row.digests.map(|json| json.0).unwrap_or_default(),
                    served: row.served.map(|json| json.0).unwrap_or_default(),
                    unfinished: row.unfinished == Some(true),
                    touched: row.touched == Some(true),
                };
                self.outlines.insert(row.release.unsigned_abs(), own);
            }
        }
        Ok(())
    }
}
