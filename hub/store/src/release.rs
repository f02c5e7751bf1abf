//! Releases with their waves, targets, permits and approvals. In: what deciding transactions wrote. Out: the engine's
//! values. It must not change them.

use std::sync::Arc;

use ::time::OffsetDateTime;
use hub_engine::document::OnHubLoss;
use hub_engine::name::Revision;
use hub_engine::observed::Rollout;
use hub_engine::release::{Approval, Cause, Release, ReleasePhase, Stage, Wave, WavePhase};
use hub_engine::verb::Word;
use hub_engine::waves::ReleasePlan;
use hub_engine::{ClusterName, FleetRolloutName, Reason, ReleaseId};

use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::number;
use crate::decide::REASONS_STORED;
use crate::error::not_found;
use crate::remembered::Memory;
use crate::row::row;
use crate::target::Targets;
use crate::time::{from_db, from_db_opt};
use crate::{Error, Result, Store, cluster, fleet_rollout, observe, rollout, target};

pub(crate) const RELEASE: &str = "select revision, images, cause, plan_digest, phase, verdict, overtook, \
     opened_at, started_at, ended_at, word from releases where fleet_rollout = $1 and number = $2";
pub(crate) const PLAN: &str = "select plan from releases where fleet_rollout = $1 and number = $2";
pub(crate) const NUMBERS: &str =
    "select number from releases where fleet_rollout = $1 order by number desc limit $2";
pub(crate) const WAVES: &str = "select number, name, phase, started_at, bake_until, ended_at, verdict, promoted from waves \
     where fleet_rollout = $1 and release = $2 order by number";
pub(crate) const APPROVALS: &str = "select id, wave, person, groups, comment, plan_digest, revision, images, approved_at, \
     voided, stage from approvals where fleet_rollout = $1 and release = $2 order by id";

row! {
    /// A release without what is under it.
    OneRow {
        revision: Option<String>, images: Json<Vec<String>>, cause: Json<Cause>,
        plan_digest: String, phase: String, verdict: String, overtook: i32, opened_at: OffsetDateTime,
        started_at: Option<OffsetDateTime>, ended_at: Option<OffsetDateTime>, word: Json<Word>,
    }
}
row! {
    /// A wave.
    WaveRow {
        number: i32, name: String, phase: String, started_at: Option<OffsetDateTime>, bake_until: Option<OffsetDateTime>,
        ended_at: Option<OffsetDateTime>, verdict: String, promoted: bool,
    }
}
row! {
    /// An approval.
    ApprovalRow {
        id: i64, wave: i32, person: String, groups: Json<Vec<String>>, comment: String, plan_digest: String,
        revision: Option<String>, images: Json<Vec<String>>, approved_at: OffsetDateTime, voided: String,
        stage: String,
    }
}

/// A release as shown.
#[derive(Debug, Clone)]
pub struct ReleaseRow {
    /// Itself, with waves, targets and approvals.
    pub release: Release,
    /// Of the newest plan, this release's only; the engine's `Reason` says which wave and cluster each is about.
    pub reasons: Vec<Reason>,
    /// What its agents do without the hub.
    pub on_hub_loss: OnHubLoss,
    /// Clusters that are connected now.
    pub connected: Vec<ClusterName>,
    /// (cluster, step, steps, phase, message) by its agents' last word.
    pub steps: Vec<TargetStep>,
}

/// Where a target's Rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStep {
    /// Which cluster.
    pub cluster: ClusterName,
    /// At this step …
    pub step: u32,
    /// … of so many.
    pub steps: u32,
    /// The Rollout's phase.
    pub phase: String,
    /// The Rollout's message.
    pub message: String,
}

impl Store {
    /// The releases of one FleetRollout or of all, newest first, at most `limit`.
    ///
    /// # Errors
    /// `NotFound` for an unknown FleetRollout; `Unavailable`.
    pub async fn release_list(
        &self,
        fleet_rollout: Option<&FleetRolloutName>,
        limit: u32,
    ) -> Result<Vec<ReleaseRow>> {
        let names = match fleet_rollout {
            Some(name) => vec![name.clone()],
            None => self.fleet_rollout_names().await?,
        };
        let mut tx = self.snapshot().await?;
        let mut releases = Vec::new();
        for name in names {
            let stored = fleet_rollout::get(&mut tx, &name, false).await?;
            stored.ok_or_else(|| not_found(format!("FleetRollout {name}")))?;
            for number in numbers(&mut tx, &name, limit).await? {
                let id = ReleaseId {
                    fleet_rollout: name.clone(),
                    number,
                };
                releases.extend(shown(&mut tx, &id).await?);
            }
        }
        releases.sort_by_key(|row| std::cmp::Reverse(row.release.opened_at));
        releases.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(releases)
    }

    /// One release.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn release_get(&self, release: &ReleaseId) -> Result<ReleaseRow> {
        let mut tx = self.snapshot().await?;
        shown(&mut tx, release)
            .await?
            .ok_or_else(|| not_found(format!("release {release}")))
    }
}

/// The newest numbers first.
pub(crate) async fn numbers(
    tx: &mut PgConnection,
    name: &FleetRolloutName,
    limit: u32,
) -> Result<Vec<u64>> {
    let numbers: Vec<i64> = sqlx::query_scalar(NUMBERS)
        .bind(name.as_str())
        .bind(i64::from(limit))
        .fetch_all(tx)
        .await?;
    Ok(numbers.into_iter().map(i64::unsigned_abs).collect())
}

async fn shown(tx: &mut PgConnection, id: &ReleaseId) -> Result<Option<ReleaseRow>> {
    let Some(release) = get(tx, id, &mut Known::default()).await? else {
        return Ok(None);
    };
    let Some(stored) = fleet_rollout::get(tx, &id.fleet_rollout, false).await? else {
        return Ok(None);
    };
    let mut memory = Memory::default();
    let reasons = if stored.reasons.len() < REASONS_STORED {
        stored.reasons
    } else {
        let observed = observe::all(tx, stored.fleet_rollout.clone(), &mut memory).await?;
        hub_engine::decide(&observed)
            .map_or_else(|_| stored.reasons, |decided| decided.plan.reasons)
    };
    let reasons = reasons
        .into_iter()
        .filter(|reason| reason.release.as_ref() == Some(id))
        .collect();
    let clusters = cluster::list(tx).await?;
    let connected = clusters
        .into_iter()
        .filter(|one| one.connected)
        .map(|one| one.name)
        .collect();
    let (since, rollouts) = (memory.since().to_owned(), &mut memory.rollouts);
    rollout::of(tx, &stored.fleet_rollout.rollout, &since, rollouts).await?;
    let steps = rollouts.seen().iter().map(step).collect();
    Ok(Some(ReleaseRow {
        release,
        reasons,
        on_hub_loss: stored.fleet_rollout.on_hub_loss,
        connected,
        steps,
    }))
}

fn step((cluster, state): (&String, &Arc<Rollout>)) -> TargetStep {
    TargetStep {
        cluster: cluster.as_str().into(),
        step: state.step,
        steps: state.steps,
        phase: state.phase.clone(),
        message: state.message.clone(),
    }
}

/// What is remembered of a release.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) targets: Targets,
    /// By its digest: it names every cluster, and never changes.
    plan: Option<(String, Arc<ReleasePlan>)>,
}

impl Known {
    async fn plan(
        &mut self,
        tx: &mut PgConnection,
        id: &ReleaseId,
        digest: &str,
    ) -> Result<Arc<ReleasePlan>> {
        if let Some((_, plan)) = self.plan.as_ref().filter(|(own, _)| own == digest) {
            return Ok(Arc::clone(plan));
        }
        let plan: Json<ReleasePlan> = sqlx::query_scalar(PLAN)
            .bind(id.fleet_rollout.as_str())
            .bind(number(id.number))
            .fetch_one(tx)
            .await?;
        let plan = Arc::new(plan.0);
        self.plan = Some((digest.to_owned(), Arc::clone(&plan)));
        Ok(plan)
    }
}

/// A release with everything under it.
pub(crate) async fn get(
    tx: &mut PgConnection,
    id: &ReleaseId,
    memory: &mut Known,
) -> Result<Option<Release>> {
    let (name, release) = (id.fleet_rollout.as_str(), number(id.number));
    let row: Option<OneRow> = sqlx::query_as(RELEASE)
        .bind(name)
        .bind(release)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let waves: Vec<WaveRow> = sqlx::query_as(WAVES)
        .bind(name)
        .bind(release)
        .fetch_all(&mut *tx)
        .await?;
    let approvals: Vec<ApprovalRow> = sqlx::query_as(APPROVALS)
        .bind(name)
        .bind(release)
        .fetch_all(&mut *tx)
        .await?;
    Ok(Some(Release {
        id: id.clone(),
        revision: row.revision.map(Revision),
        images: row.images.0,
        cause: row.cause.0,
        plan: memory.plan(tx, id, &row.plan_digest).await?,
        plan_digest: row.plan_digest,
        phase: named::<ReleasePhase>("the phase of a release", &row.phase)?,
        verdict: row.verdict,
        overtook: row.overtook.unsigned_abs(),
        opened_at: from_db(row.opened_at),
        started_at: from_db_opt(row.started_at),
        ended_at: from_db_opt(row.ended_at),
        waves: waves.into_iter().map(wave).collect::<Result<_>>()?,
        targets: target::of(tx, id, &mut memory.targets).await?,
        approvals: approvals.into_iter().map(approval).collect::<Result<_>>()?,
        word: row.word.0,
    }))
}

fn wave(row: WaveRow) -> Result<Wave> {
    Ok(Wave {
        number: row.number.unsigned_abs(),
        name: row.name,
        phase: named::<WavePhase>("the phase of a wave", &row.phase)?,
        started_at: from_db_opt(row.started_at),
        bake_until: from_db_opt(row.bake_until),
        ended_at: from_db_opt(row.ended_at),
        verdict: row.verdict,
        promoted: row.promoted,
    })
}

fn approval(row: ApprovalRow) -> Result<Approval> {
    Ok(Approval {
        stage: named::<Stage>("the stage of an approval", &row.stage)?,
        id: row.id.unsigned_abs(),
        wave: row.wave.unsigned_abs(),
        person: row.person.into(),
        groups: row.groups.0,
        comment: row.comment,
        plan_digest: row.plan_digest,
        revision: row.revision.map(Revision),
        images: row.images.0,
        at: from_db(row.approved_at),
        voided: row.voided,
    })
}

/// An enum by its stored name.
pub(crate) fn named<T: DeserializeOwned>(what: &str, name: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(|error| {
        Error::Corrupt {
            what: what.to_owned(),
            message: error.to_string(),
        }
    })
}
