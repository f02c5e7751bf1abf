//! Approving a wave. In: a person's word, the plan that the person saw. Out: a stored approval, with what was shown. It must
//! not start the wave: the deciding loop counts approvals.

use hub_engine::name::{Person, Revision};
use hub_engine::release::{Shown, Stage, Wave, WavePhase};
use hub_store::approval::{Approved, NewApproval};
use hub_store::release::ReleaseRow;
use proto::v1::{ApproveRequest, ApproveResponse};
use tonic::Status;

use crate::fleet::{Fleet, release_id};
use crate::identity::{ApproveWave, Peer, Read};
use crate::{status, wire};

/// A comment is a few sentences.
const MAX_COMMENT: usize = 4096;

/// Checks who may, then stores.
pub async fn run(
    fleet: &Fleet,
    peer: &Peer,
    request: ApproveRequest,
) -> Result<ApproveResponse, Status> {
    // Nobody without a certificate learns which releases there are.
    fleet.allow(peer, Read).await?;
    let release = release_id(&request.release)?;
    if request.plan_digest.is_empty() {
        return Err(Status::invalid_argument(format!(
            "the digest of the plan that was looked at is missing; `groundswell release show {release}` prints it"
        )));
    }
    if request.comment.len() > MAX_COMMENT {
        return Err(Status::invalid_argument(
            "the comment is longer than 4096 bytes",
        ));
    }
    let row = fleet
        .store
        .release_get(&release)
        .await
        .map_err(|error| status::of(&error))?;
    let wave = choose(&row, &request.wave)?;
    let shown = request.shown.map(shown).transpose()?;
    let stage = shown.as_ref().map_or_else(|| wave.stage(), |one| one.stage);
    let groups = row
        .release
        .approval_of(wave.number, stage)
        .or_else(|| row.release.approval_of(wave.number, Stage::Before));
    let action = ApproveWave {
        groups: groups.map(|spec| spec.groups.clone()).unwrap_or_default(),
    };
    let allowed = fleet.allow(peer, action).await?;
    let approval = NewApproval {
        release: release.clone(),
        wave: Some(wave.name.clone()),
        plan_digest: request.plan_digest,
        person: Person(allowed.name().to_owned()),
        groups: allowed.groups().to_vec(),
        comment: request.comment,
        shown,
    };
    let approved = fleet
        .store
        .approval_add(&approval)
        .await
        .map_err(|error| status::of(&error))?;
    let row = fleet
        .store
        .release_get(&release)
        .await
        .map_err(|error| status::of(&error))?;
    let after = row
        .release
        .wave(approved.wave)
        .map(|wave| wire::fleet::wave(&row, wave));
    Ok(ApproveResponse {
        message: sentence(&release.to_string(), &approved),
        wave: after,
    })
}

fn shown(shown: proto::v1::Shown) -> Result<Shown, Status> {
    let stage = [Stage::Before, Stage::After]
        .into_iter()
        .find(|stage| stage.as_str() == shown.stage)
        .ok_or_else(|| {
            Status::invalid_argument(format!(
                "shown.stage is Before or After, not {:?}",
                shown.stage
            ))
        })?;
    Ok(Shown {
        stage,
        revision: (!shown.revision.is_empty()).then_some(Revision(shown.revision)),
        images: shown.images,
    })
}

fn choose<'a>(row: &'a ReleaseRow, name: &str) -> Result<&'a Wave, Status> {
    let waves = &row.release.waves;
    if !name.is_empty() {
        return waves.iter().find(|wave| wave.name == name).ok_or_else(|| {
            let names: Vec<&str> = waves.iter().map(|wave| wave.name.as_str()).collect();
            Status::not_found(format!(
                "{} has no wave {name:?}; it has {}",
                row.release.id,
                names.join(", ")
            ))
        });
    }
    let asks = |wave: &&Wave| {
        matches!(
            wave.phase,
            WavePhase::WaitingForApproval | WavePhase::WaitingToPass
        )
    };
    waves.iter().find(asks).ok_or_else(|| {
        Status::failed_precondition(format!(
            "no wave of {id} waits for approval now; `groundswell explain {id}` says what it waits for",
            id = row.release.id
        ))
    })
}

fn sentence(release: &str, approved: &Approved) -> String {
    let Approved {
        wave,
        wave_name,
        have,
        required,
        repeated,
    } = approved;
    let again = if *repeated { ", as it was before" } else { "" };
    format!("wave {wave} ({wave_name}) of {release} is approved{again}: {have} of {required}")
}
