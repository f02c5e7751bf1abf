//! Writing a plan. In: a plan and what it was decided on. Out: rows, history and desired sets, in the caller's
//! transaction. It must not choose: each action says all that it needs.

use std::collections::BTreeMap;

use hub_engine::observed::Cluster;
use hub_engine::release::{Cause, Direction, Permit, Previous, ReleasePhase, WavePhase};
use hub_engine::{Action, ClusterName, Decision, Fence, Observed, Plan, ReleaseId};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::number;
use crate::decide::{PermitSigner, UnsignedPermit};
use crate::desired::{self, At, SignedPermit};
use crate::history::{self, Fact};
use crate::target::{self, Of, Place};
use crate::time::to_db;
use crate::{Epoch, Result, approval, request};

pub(crate) const CLUSTER_UID: &str =
    "select coalesce(kube_system_uid, '') as kube_system_uid from clusters where name = $1";
pub(crate) const RELEASE_INSERT: &str = "insert into releases \
     (fleet_rollout, number, revision, images, cause, plan, plan_digest, phase, overtook, opened_at, started_at) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
pub(crate) const RELEASE_PHASE: &str = "update releases set phase = $3, verdict = case when $4 = '' then verdict else $4 end, \
     started_at = coalesce(started_at, $5), ended_at = $6 where fleet_rollout = $1 and number = $2";
pub(crate) const WAVE_INSERT: &str =
    "insert into waves (fleet_rollout, release, number, name, phase) values ($1, $2, $3, $4, $5)";
pub(crate) const WAVE_PHASE: &str = "update waves set phase = $4, verdict = $5, started_at = coalesce($6, started_at), \
     bake_until = coalesce($7, bake_until), ended_at = coalesce($8, ended_at) \
     where fleet_rollout = $1 and release = $2 and number = $3";
pub(crate) const WAVES_SKIP: &str = "update waves set phase = 'Skipped', ended_at = $3 \
     where fleet_rollout = $1 and release = $2 and phase in ('Pending', 'WaitingForApproval')";
pub(crate) const CHANGE_SETTLE: &str = "update changes set settled = true where id = $1";
pub(crate) const BAR: &str = "insert into barred (fleet_rollout, digest, release) values ($1, $2, $3) on conflict (fleet_rollout, digest) do nothing";
pub(crate) const UNBAR: &str = "delete from barred where fleet_rollout = $1 and digest = $2";

/// Writes every action with its history; answers the clusters whose set changed.
pub(crate) async fn plan(
    tx: &mut PgConnection,
    epoch: Epoch,
    observed: &Observed,
    plan: &Plan,
    signer: &dyn PermitSigner,
) -> Result<Vec<ClusterName>> {
    let mut fences = BTreeMap::new();
    let mut touched: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|one| one.action.touches())
        .cloned()
        .collect();
    // One order for all transactions, so that two never wait for each other's cluster.
    touched.sort();
    touched.dedup();
    for cluster in &touched {
        fences.insert(cluster.clone(), desired::raise(tx, cluster).await?);
    }
    let mut writer = Writer {
        tx,
        epoch,
        observed,
        fences,
        signer,
    };
    for decision in &plan.actions {
        writer.write(&decision.action).await?;
        writer.tell(decision).await?;
    }
    Ok(touched)
}

struct Writer<'a> {
    tx: &'a mut PgConnection,
    epoch: Epoch,
    observed: &'a Observed,
    fences: BTreeMap<ClusterName, Fence>,
    signer: &'a dyn PermitSigner,
}

impl Writer<'_> {
    async fn write(&mut self, action: &Action) -> Result<()> {
        let now = self.observed.now;
        match action {
            Action::Govern { .. }
            | Action::SetWaiting { .. }
            | Action::GrantPermit { .. }
            | Action::RevokePermit { .. } => self.write_gate(action).await,
            Action::RequestApproval { .. }
            | Action::StartWave { .. }
            | Action::StartBake { .. }
            | Action::PassWave { .. }
            | Action::FailWave { .. } => self.write_wave(action).await,
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
            Action::SettleChange { change, .. } => self.settle_change(*change).await,
            Action::RefuseRequest { request, why } => {
                request::settle(self.tx, *request, None, why).await
            }
            Action::JoinTarget {
                release,
                cluster,
                wave,
            } => {
                let id = self.id(*release);
                let place = Place {
                    wave: *wave,
                    position: 0,
                    late: true,
                };
                target::insert(
                    self.tx,
                    Of {
                        release: &id,
                        cluster,
                    },
                    place,
                    now,
                )
                .await
            }
            Action::BindContent {
                release,
                cluster,
                content,
            } => {
                let id = self.id(*release);
                target::set_content(
                    self.tx,
                    Of {
                        release: &id,
                        cluster,
                    },
                    content,
                )
                .await
            }
            Action::SetTargetState {
                release,
                cluster,
                state,
                message,
            } => {
                let id = self.id(*release);
                target::set_state(
                    self.tx,
                    Of {
                        release: &id,
                        cluster,
                    },
                    *state,
                    message,
                    now,
                )
                .await
            }
            Action::VoidApprovals { approvals, why, .. } => {
                for id in approvals {
                    approval::void(self.tx, *id, why).await?;
                }
                Ok(())
            }
            Action::Bar { release, digest } => {
                let name = self.observed.fleet_rollout.name.as_str();
                sqlx::query(BAR)
                    .bind(name)
                    .bind(digest.as_str())
                    .bind(number(*release))
                    .execute(&mut *self.tx)
                    .await?;
                Ok(())
            }
            Action::Unbar { digest, .. } => {
                let name = self.observed.fleet_rollout.name.as_str();
                sqlx::query(UNBAR)
                    .bind(name)
                    .bind(digest.as_str())
                    .execute(&mut *self.tx)
                    .await?;
                Ok(())
            }
        }
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

    async fn write_gate(&mut self, action: &Action) -> Result<()> {
        let Some(cluster) = action.touches() else {
            return Ok(());
        };
        let fleet_rollout = &self.observed.fleet_rollout;
        let fence = self.fences.get(cluster).copied().unwrap_or_default();
        let entry = At {
            cluster,
            rollout: &fleet_rollout.rollout,
            fleet_rollout: &fleet_rollout.name,
            fence,
        };
        if let Action::Govern { terms, .. } = action {
            return desired::set_terms(self.tx, entry, terms).await;
        }
        if let Action::SetWaiting { waiting, .. } = action {
            return desired::set_waiting(self.tx, entry, waiting.as_ref()).await;
        }
        if let Action::RevokePermit { .. } = action {
            return desired::set_permit(self.tx, entry, None).await;
        }
        self.grant(action, entry).await
    }

    async fn grant(&mut self, action: &Action, entry: At<'_>) -> Result<()> {
        let Action::GrantPermit {
            release,
            cluster,
            direction,
            digest,
            delivery,
            start_by,
            max_step,
            why,
        } = action
        else {
            return Ok(());
        };
        let id = self.id(*release);
        let permit = Permit {
            release: id.clone(),
            direction: *direction,
            fence: entry.fence,
            digest: digest.clone(),
            delivery: delivery.clone(),
            start_by: *start_by,
            max_step: *max_step,
            why: why.clone(),
            granted_at: self.observed.now,
        };
        let signed = self.sign(cluster, permit).await?;
        desired::set_permit(self.tx, entry, Some(&signed)).await?;
        let previous = match direction {
            Direction::Forward => self.cluster(cluster).and_then(serves),
            Direction::Rollback => None,
        };
        target::set_permit(
            self.tx,
            Of {
                release: &id,
                cluster,
            },
            &signed.permit,
            previous.as_ref(),
        )
        .await
    }

    async fn sign(&mut self, cluster: &ClusterName, permit: Permit) -> Result<SignedPermit> {
        let cluster_uid: String = sqlx::query_scalar(CLUSTER_UID)
            .bind(cluster.as_str())
            .fetch_one(&mut *self.tx)
            .await?;
        let rollout = self.cluster(cluster).and_then(|one| one.rollout.as_ref());
        let rollout_uid = rollout
            .map(|rollout| rollout.uid.clone())
            .unwrap_or_default();
        let unsigned = UnsignedPermit {
            release: permit.release.clone(),
            direction: permit.direction,
            fence: permit.fence,
            digest: permit.digest.clone(),
            delivery: permit.delivery.clone(),
            start_by: permit.start_by,
            max_step: permit.max_step,
            lease_seconds: self.signer.lease_seconds(),
            why: permit.why.clone(),
            steps_backwards: false,
            cluster_uid,
            rollout_uid,
        };
        Ok(SignedPermit {
            signature: self.signer.sign(&unsigned),
            traceparent: traceparent(&permit),
            permit,
            lease_seconds: unsigned.lease_seconds,
            steps_backwards: unsigned.steps_backwards,
            cluster_uid: unsigned.cluster_uid,
            rollout_uid: unsigned.rollout_uid,
        })
    }

    async fn write_wave(&mut self, action: &Action) -> Result<()> {
        let now = Some(to_db(self.observed.now));
        let (release, wave, phase, verdict, started, bake_until, ended) = match action {
            Action::RequestApproval { release, wave } => (
                release,
                wave,
                WavePhase::WaitingForApproval,
                "",
                None,
                None,
                None,
            ),
            Action::StartWave { release, wave } => {
                (release, wave, WavePhase::Running, "", now, None, None)
            }
            Action::StartBake {
                release,
                wave,
                until,
            } => (
                release,
                wave,
                WavePhase::Baking,
                "",
                None,
                Some(to_db(*until)),
                None,
            ),
            Action::PassWave { release, wave } => {
                (release, wave, WavePhase::Passed, "", None, None, now)
            }
            Action::FailWave { release, wave, why } => (
                release,
                wave,
                WavePhase::Failed,
                why.as_str(),
                None,
                None,
                now,
            ),
            #[allow(
                clippy::wildcard_enum_match_arm,
                reason = "`write` names every action and sends only these five here"
            )]
            _ => return Ok(()),
        };
        sqlx::query(WAVE_PHASE)
            .bind(self.observed.fleet_rollout.name.as_str())
            .bind(number(*release))
            .bind(i32::try_from(*wave).unwrap_or(i32::MAX))
            .bind(phase.as_str())
            .bind(verdict)
            .bind(started)
            .bind(bake_until)
            .bind(ended)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
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
            for (position, cluster) in planned.clusters.iter().enumerate() {
                let place = Place {
                    wave,
                    position,
                    late: false,
                };
                target::insert(
                    self.tx,
                    Of {
                        release: &id,
                        cluster,
                    },
                    place,
                    now,
                )
                .await?;
            }
        }
        match cause {
            Cause::Change { change, .. } => self.settle_change(*change).await,
            Cause::Person { request, .. } => {
                request::settle(self.tx, *request, Some(*release), "").await
            }
        }
    }

    async fn settle_change(&mut self, change: u64) -> Result<()> {
        sqlx::query(CHANGE_SETTLE)
            .bind(number(change))
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    async fn phase(&mut self, release: u64, phase: ReleasePhase, verdict: &str) -> Result<()> {
        let (name, now) = (
            self.observed.fleet_rollout.name.as_str(),
            to_db(self.observed.now),
        );
        let ended = phase.ended().then_some(now);
        sqlx::query(RELEASE_PHASE)
            .bind(name)
            .bind(number(release))
            .bind(phase.as_str())
            .bind(verdict)
            .bind(now)
            .bind(ended)
            .execute(&mut *self.tx)
            .await?;
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

    async fn tell(&mut self, decision: &Decision) -> Result<()> {
        let Decision { action, evidence } = decision;
        let name = &self.observed.fleet_rollout.name;
        let release = action.release().map(|number| self.id(number).to_string());
        let fact = Fact {
            stream: release
                .clone()
                .unwrap_or_else(|| format!("fleetrollout/{name}")),
            at: self.observed.now,
            release: release.unwrap_or_default(),
            cluster: action
                .cluster()
                .map(ToString::to_string)
                .unwrap_or_default(),
            kind: action.kind().to_owned(),
            actor: "hub".to_owned(),
            message: action.to_string(),
            evidence: evidence.clone(),
            epoch: self.epoch.0,
        };
        history::add(self.tx, fact).await
    }
}

fn serves(cluster: &Cluster) -> Option<Previous> {
    let rollout = cluster.rollout.as_ref()?;
    let digest = rollout.served.clone()?;
    Some(Previous {
        digest,
        delivery: rollout.served_delivery.clone().unwrap_or_default(),
    })
}

/// One trace a release (W3C trace context), derived from its name: every hub and every restart says the same.
fn traceparent(permit: &Permit) -> String {
    use sha2::{Digest as _, Sha256};
    let trace = hex::encode(Sha256::digest(permit.release.to_string()));
    let span = hex::encode(Sha256::digest(format!(
        "{} {}",
        permit.release, permit.fence
    )));
    let first = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    format!("00-{}-{}-01", first(&trace, 32), first(&span, 16))
}
