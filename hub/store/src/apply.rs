//! Writing a plan. In: a plan and what it was decided on. Out: rows, history and desired sets, in the caller's
//! transaction. It must not choose: each action says all that it needs.

pub(crate) mod gate;
mod member;
pub(crate) mod obey;
mod pending;
mod told;

use std::collections::BTreeMap;

use hub_engine::name::Digest;
use hub_engine::observed::Cluster;
use hub_engine::release::{Cause, ReleasePhase, TargetState, WavePhase};
use hub_engine::{Action, ClusterName, Decision, Fence, Observed, Plan, ReleaseId};
use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::{self, number};
use crate::decide::PermitSigner;
use crate::desired;
use crate::error::one_row;
use crate::request::Settled;
use crate::time::to_db;
use crate::{Epoch, Result, approval, request, target};
use pending::Pending;
use told::Told;

pub(crate) const RELEASE_INSERT: &str = "insert into releases \
     (fleet_rollout, number, revision, images, cause, plan, plan_digest, phase, overtook, opened_at, started_at) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
pub(crate) const RELEASE_PHASE: &str = "update releases set phase = $3, verdict = case when $4 = '' then verdict else $4 end, \
     started_at = coalesce(started_at, $5), ended_at = coalesce(ended_at, $6) where fleet_rollout = $1 and number = $2";
pub(crate) const WAVE_INSERT: &str =
    "insert into waves (fleet_rollout, release, number, name, phase) values ($1, $2, $3, $4, $5)";
pub(crate) const WAVE_PHASE: &str = "update waves set phase = $4, verdict = $5, started_at = coalesce($6, started_at), \
     bake_until = coalesce($7, bake_until), ended_at = coalesce($8, ended_at) \
     where fleet_rollout = $1 and release = $2 and number = $3";
pub(crate) const WAVES_SKIP: &str = "update waves set phase = 'Skipped', ended_at = $3 \
     where fleet_rollout = $1 and release = $2 and phase not in ('Passed', 'Failed', 'Skipped')";
pub(crate) const CHANGES_SETTLE: &str = "update changes set settled = true where id = any($1)";
pub(crate) const BAR: &str = "insert into barred (fleet_rollout, digest, release) values ($1, $2, $3) on conflict (fleet_rollout, digest) do nothing";
pub(crate) const UNBAR: &str = "delete from barred where fleet_rollout = $1 and digest = $2";

/// Writes every action with its history; answers the fences of the clusters whose set changed.
pub(crate) async fn plan(
    tx: &mut PgConnection,
    epoch: Epoch,
    observed: &Observed,
    plan: &Plan,
    signer: &dyn PermitSigner,
) -> Result<BTreeMap<ClusterName, Fence>> {
    let mut touched: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|one| one.action.touches())
        .cloned()
        .collect();
    touched.sort();
    touched.dedup();
    let by_word =
        |one: &Decision| matches!(one.action, Action::Obey { .. } | Action::Member { .. });
    let mut writer = Writer {
        fences: desired::raise(tx, &touched).await?,
        uids: cluster::uids(tx, &touched).await?,
        tx,
        observed,
        signer,
        pending: Pending::default(),
        before: plan.actions.iter().any(by_word).then(|| observed.clone()),
    };
    for decision in &plan.actions {
        writer.write(&decision.action).await?;
        if let Some(before) = &mut writer.before {
            before.advance(&decision.action);
        }
    }
    let Writer {
        tx,
        fences,
        pending,
        ..
    } = writer;
    pending.write(tx, observed, &fences).await?;
    let told = Told {
        epoch,
        observed,
        fences: &fences,
    };
    told.write(tx, &plan.actions).await?;
    Ok(fences)
}

struct Writer<'a> {
    tx: &'a mut PgConnection,
    observed: &'a Observed,
    fences: BTreeMap<ClusterName, Fence>,
    /// Of kube-system in each cluster that is touched.
    uids: BTreeMap<ClusterName, String>,
    signer: &'a dyn PermitSigner,
    pending: Pending,
    /// As the plan has left it so far; only where it holds a person's word.
    before: Option<Observed>,
}

/// What changes in a wave; a time that is not given stays.
#[derive(Debug, Clone, Copy)]
struct WaveChange<'a> {
    phase: WavePhase,
    verdict: &'a str,
    started: Option<Timestamp>,
    bake_until: Option<Timestamp>,
    ended: Option<Timestamp>,
}

impl WaveChange<'_> {
    fn to(phase: WavePhase) -> Self {
        Self {
            phase,
            verdict: "",
            started: None,
            bake_until: None,
            ended: None,
        }
    }
}

impl<'a> Writer<'a> {
    async fn write(&mut self, action: &'a Action) -> Result<()> {
        match action {
            Action::Govern { .. }
            | Action::SetWaiting { .. }
            | Action::GrantPermit { .. }
            | Action::RevokePermit { .. }
            | Action::SettleChange { .. }
            | Action::JoinTarget { .. }
            | Action::BindContent { .. }
            | Action::BindDelivery { .. }
            | Action::SetTargetState { .. } => {
                self.gather(action);
                Ok(())
            }
            Action::RequestApproval {
                release,
                wave,
                stage,
            } => {
                let asked = WaveChange::to(stage.asks());
                self.wave(*release, *wave, asked).await
            }
            Action::StartWave { release, wave } => {
                let mut running = WaveChange::to(WavePhase::Running);
                running.started = Some(self.observed.now);
                self.wave(*release, *wave, running).await
            }
            Action::StartBake {
                release,
                wave,
                until,
            } => {
                let mut baking = WaveChange::to(WavePhase::Baking);
                baking.bake_until = Some(*until);
                self.wave(*release, *wave, baking).await
            }
            Action::PassWave { release, wave } => {
                self.end_wave(*release, *wave, WavePhase::Passed, "").await
            }
            Action::FailWave { release, wave, why } => {
                self.end_wave(*release, *wave, WavePhase::Failed, why).await
            }
            Action::OpenRelease { .. } => self.open_release(action).await,
            Action::StartRelease { release } => {
                self.phase(*release, ReleasePhase::Progressing, "").await
            }
            Action::HaltRelease { release, why } => {
                self.phase(*release, ReleasePhase::Halted, why).await
            }
            Action::StartRollback { release, why } => {
                self.phase(*release, ReleasePhase::RollingBack, why).await
            }
            Action::EndRelease {
                release,
                phase,
                verdict,
            } => self.phase(*release, *phase, verdict).await,
            Action::RefuseRequest { request, why } => {
                request::settle(self.tx, *request, Settled::Refused(why)).await
            }
            Action::VoidApprovals { approvals, why, .. } => self.void(approvals, why).await,
            Action::Bar { release, digest } => self.bar(*release, digest).await,
            Action::Unbar { digest, .. } => self.unbar(digest).await,
            Action::Obey { .. } => self.obey(action).await,
            Action::Member { change } => self.member(action, change).await,
        }
    }

    /// What every cluster may have one of: written at the end, all at once.
    fn gather(&mut self, action: &Action) {
        if let Action::SettleChange { change, .. } = action {
            self.pending.settled.push(*change);
        } else if action.touches().is_some() {
            self.write_gate(action);
        } else {
            self.write_target(action);
        }
    }

    fn write_target(&mut self, action: &Action) {
        let (Some(release), Some(cluster)) = (action.release(), action.cluster()) else {
            return;
        };
        if let Action::JoinTarget { wave, .. } = action {
            self.pending.joined.push(target::New {
                release,
                cluster: cluster.clone(),
                wave: *wave,
                position: 0,
                late: true,
            });
        }
        if let Action::BindContent { content, .. } | Action::BindDelivery { content, .. } = action {
            self.pending.target(release, cluster).content = Some(content.clone());
        }
        if let Action::SetTargetState { state, message, .. } = action {
            let change = self.pending.target(release, cluster);
            change.state = Some(*state);
            change.message = Some(message.clone());
            change.succeeded |= *state == TargetState::Succeeded;
        }
    }

    async fn void(&mut self, approvals: &[u64], why: &str) -> Result<()> {
        for id in approvals {
            approval::void(self.tx, *id, why).await?;
        }
        Ok(())
    }

    async fn bar(&mut self, release: u64, digest: &Digest) -> Result<()> {
        sqlx::query(BAR)
            .bind(self.observed.fleet_rollout.name.as_str())
            .bind(digest.as_str())
            .bind(number(release))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn unbar(&mut self, digest: &Digest) -> Result<()> {
        sqlx::query(UNBAR)
            .bind(self.observed.fleet_rollout.name.as_str())
            .bind(digest.as_str())
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    fn id(&self, number: u64) -> ReleaseId {
        ReleaseId {
            fleet_rollout: self.observed.fleet_rollout.name.clone(),
            number,
        }
    }

    fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.observed.cluster(name)
    }

    async fn end_wave(
        &mut self,
        release: u64,
        wave: u32,
        phase: WavePhase,
        why: &str,
    ) -> Result<()> {
        let ended = Some(self.observed.now);
        self.wave(
            release,
            wave,
            WaveChange {
                ended,
                verdict: why,
                ..WaveChange::to(phase)
            },
        )
        .await
    }

    async fn wave(&mut self, release: u64, wave: u32, change: WaveChange<'_>) -> Result<()> {
        let done = sqlx::query(WAVE_PHASE)
            .bind(self.observed.fleet_rollout.name.as_str())
            .bind(number(release))
            .bind(i32::try_from(wave).unwrap_or(i32::MAX))
            .bind(change.phase.as_str())
            .bind(change.verdict)
            .bind(change.started.map(to_db))
            .bind(change.bake_until.map(to_db))
            .bind(change.ended.map(to_db))
            .execute(&mut *self.tx)
            .await?;
        one_row(&done, || format!("wave {wave} of {}", self.id(release)))
    }

    async fn open_release(&mut self, action: &Action) -> Result<()> {
        let Action::OpenRelease {
            release,
            revision,
            images,
            cause,
            plan,
            phase,
            overtook,
        } = action
        else {
            return Ok(());
        };
        let id = self.id(*release);
        let now = self.observed.now;
        let started = (*phase != ReleasePhase::Waiting).then(|| to_db(now));
        sqlx::query(RELEASE_INSERT)
            .bind(id.fleet_rollout.as_str())
            .bind(number(id.number))
            .bind(revision.as_ref().map(hub_engine::name::Revision::as_str))
            .bind(Json(images))
            .bind(Json(cause))
            .bind(Json(plan))
            .bind(plan.digest())
            .bind(phase.as_str())
            .bind(i32::try_from(*overtook).unwrap_or(i32::MAX))
            .bind(to_db(now))
            .bind(started)
            .execute(&mut *self.tx)
            .await?;
        for (wave, planned) in (1_u32..).zip(&plan.waves) {
            sqlx::query(WAVE_INSERT)
                .bind(id.fleet_rollout.as_str())
                .bind(number(id.number))
                .bind(i32::try_from(wave).unwrap_or(i32::MAX))
                .bind(&planned.name)
                .bind(WavePhase::Pending.as_str())
                .execute(&mut *self.tx)
                .await?;
            let news = planned
                .clusters
                .iter()
                .enumerate()
                .map(|(position, cluster)| target::New {
                    release: *release,
                    cluster: cluster.clone(),
                    wave,
                    position,
                    late: false,
                });
            self.pending.joined.extend(news);
        }
        match cause {
            Cause::Change { change, .. } => {
                self.pending.settled.push(*change);
                Ok(())
            }
            Cause::Person { request, .. } => {
                request::settle(self.tx, *request, Settled::Opened(*release)).await
            }
        }
    }

    async fn phase(&mut self, release: u64, phase: ReleasePhase, verdict: &str) -> Result<()> {
        let (name, now) = (
            self.observed.fleet_rollout.name.as_str(),
            to_db(self.observed.now),
        );
        let ended = phase.ended().then_some(now);
        let started = (phase == ReleasePhase::Progressing).then_some(now);
        let done = sqlx::query(RELEASE_PHASE)
            .bind(name)
            .bind(number(release))
            .bind(phase.as_str())
            .bind(verdict)
            .bind(started)
            .bind(ended)
            .execute(&mut *self.tx)
            .await?;
        one_row(&done, || format!("release {}", self.id(release)))?;
        if phase.ended() {
            sqlx::query(WAVES_SKIP)
                .bind(name)
                .bind(number(release))
                .bind(now)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }
}
