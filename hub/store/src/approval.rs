//! Approvals. In: a person's word, with the certificate's name and groups. Out: a stored approval. It must not decide
//! whether a wave starts.

use ::time::OffsetDateTime;
use hub_engine::ReleaseId;
use hub_engine::name::Person;
use hub_engine::release::{Approval, Release, Shown, Stage, Wave, WavePhase};
use hub_engine::replay::Step;

use sqlx::PgConnection;
use sqlx::types::Json;

use crate::cluster::number;
use crate::error::not_found;
use crate::history::{self, Fact};
use crate::release::Known;
use crate::row::row;
use crate::time::from_db;
use crate::{Error, Result, Store, fleet_rollout, release, shown};

pub(crate) const INSERT: &str = "insert into approvals \
     (fleet_rollout, release, wave, person, groups, comment, plan_digest, revision, images, evidence, approved_at, stage) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now(), $11) returning id, approved_at";
pub(crate) const VOID: &str = "update approvals set voided = $2 where id = $1 and voided = ''";

row! {
    /// What the database gave a new approval.
    InsertedRow { id: i64, approved_at: OffsetDateTime }
}

/// A person's word on one wave.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Which release.
    pub release: ReleaseId,
    /// Which wave; none: the one wave that waits for approval.
    pub wave: Option<String>,
    /// The plan that the person saw.
    pub plan_digest: String,
    /// By certificate.
    pub person: Person,
    /// By certificate.
    pub groups: Vec<String>,
    /// What they wrote.
    pub comment: String,
    /// What of the wave the person saw; none: their client does not say.
    pub shown: Option<Shown>,
}

/// A stored approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The wave's number.
    pub wave: u32,
    /// The wave's name.
    pub wave_name: String,
    /// How many count now.
    pub have: u32,
    /// How many are needed.
    pub required: u32,
    /// The same person had approved this already: nothing was added.
    pub repeated: bool,
}

impl Store {
    /// Stores an approval. Refusals (no such wave, another plan or something else than what was shown, none of the groups,
    /// nothing to approve) are recorded. What the same person has said already is answered as it was, also where the wave has
    /// gone on since: whoever lost the answer may ask again.
    ///
    /// # Errors
    /// `NotFound`, `Refused` with what to do instead; `Unavailable`.
    pub async fn approval_add(&self, approval: &NewApproval) -> Result<Approved> {
        let mut tx = self.pool.begin().await?;
        match add(&mut tx, approval).await {
            Ok(approved) => {
                crate::hint::notify(&mut tx).await?;
                tx.commit().await?;
                Ok(approved)
            }
            Err(error) => {
                tx.rollback().await?;
                if let Error::Refused { message } = &error {
                    self.refusal_add("Approve", approval.person.as_str(), message)
                        .await?;
                }
                Err(error)
            }
        }
    }
}

/// The FleetRollout's row is locked like by a deciding transaction, so that an approval and a decision come one after the
/// other (S19).
async fn add(tx: &mut PgConnection, approval: &NewApproval) -> Result<Approved> {
    let id = &approval.release;
    let locked = fleet_rollout::get(tx, &id.fleet_rollout, true).await?;
    locked.ok_or_else(|| not_found(format!("FleetRollout {}", id.fleet_rollout)))?;
    let release = release::get(tx, id, &mut Known::default())
        .await?
        .ok_or_else(|| not_found(format!("release {id}")))?;
    let wave = wave(&release, approval)?;
    if let Some(repeated) = said_before(&release, wave, approval) {
        return Ok(repeated);
    }
    let stage = wave.stage();
    let (spec_groups, required) = allowed(&release, wave, stage, approval)?;
    let stored = insert(tx, approval, &release, wave).await?;
    let after = release::get(tx, id, &mut Known::default())
        .await?
        .unwrap_or_else(|| release.clone());
    let mut fact = Fact::of_hub(
        None,
        "WaveApproved",
        approval.person.as_str(),
        format!(
            "{} approved that wave {} ({}) of release {id} {}: {}",
            approval.person,
            wave.number,
            wave.name,
            shown::verb(stage),
            approval.comment
        ),
    );
    fact.stream = id.to_string();
    fact.release = id.to_string();
    fact.evidence = serde_json::json!({
        "planDigest": release.plan_digest, "revision": release.revision, "images": release.images_of_wave(wave.number),
        "groups": approval.groups, "needed": spec_groups, "stage": stage.as_str(),
    });
    fact.action = Some(Step::Approved {
        release: id.number,
        approval: stored,
    });
    history::add_now(tx, fact).await?;
    Ok(Approved {
        wave: wave.number,
        wave_name: wave.name.clone(),
        have: count(&after, wave, stage),
        required,
        repeated: false,
    })
}

fn count(release: &Release, wave: &Wave, stage: Stage) -> u32 {
    u32::try_from(release.approvals_that_count(wave.number, stage).len()).unwrap_or(u32::MAX)
}

/// The person's own word on the same, if it counts; one that does not cover every image any more is about to be voided.
fn said_before(release: &Release, wave: &Wave, approval: &NewApproval) -> Option<Approved> {
    let stage = match &approval.shown {
        Some(shown) => shown.stage,
        None => wave.stage(),
    };
    let spec = release.approval_of(wave.number, stage)?;
    let images = release.images_of_wave(wave.number);
    let counting = release.approvals_that_count(wave.number, stage);
    let same = counting.iter().any(|one| {
        one.person == approval.person
            && one.plan_digest == approval.plan_digest
            && one.covers(&images)
    });
    same.then(|| Approved {
        wave: wave.number,
        wave_name: wave.name.clone(),
        have: count(release, wave, stage),
        required: spec.required,
        repeated: true,
    })
}

fn wave<'a>(release: &'a Release, approval: &NewApproval) -> Result<&'a Wave> {
    match &approval.wave {
        Some(name) => {
            let found = release.waves.iter().find(|wave| &wave.name == name);
            found.ok_or_else(|| not_found(format!("wave {name} in release {}", release.id)))
        }
        None => {
            let waiting = release.waves.iter().find(|wave| {
                matches!(
                    wave.phase,
                    WavePhase::WaitingForApproval | WavePhase::WaitingToPass
                )
            });
            waiting.ok_or_else(|| Error::Refused {
                message: format!(
                    "no wave of {0} waits for approval now; see `groundswell release show {0}`",
                    release.id
                ),
            })
        }
    }
}

/// The wave's groups and how many persons it needs, if this person may approve it now.
fn allowed<'a>(
    release: &'a Release,
    wave: &Wave,
    stage: Stage,
    approval: &NewApproval,
) -> Result<(&'a [String], u32)> {
    let refuse = |message: String| Err(Error::Refused { message });
    let (id, name) = (&release.id, &wave.name);
    if release.phase.ended() {
        return refuse(format!(
            "release {id} has ended: {}",
            release.phase.as_str()
        ));
    }
    let Some(spec) = release.approval_of(wave.number, stage) else {
        let needs_other = release.approval_of(wave.number, Stage::Before).is_some();
        return refuse(if needs_other {
            format!("wave {name} of {id} is {} already", wave.phase.as_str())
        } else {
            format!("wave {name} of {id} needs no approval")
        });
    };
    if spec.exclude_author && release.author() == Some(&approval.person) {
        return refuse(format!(
            "{} started {id}, and whoever did may not approve it (excludeAuthor); ask somebody else of {}",
            approval.person,
            spec.groups.join(" or ")
        ));
    }
    match wave.phase {
        WavePhase::Pending
        | WavePhase::WaitingForApproval
        | WavePhase::Baking
        | WavePhase::WaitingToPass => {}
        // Nobody can have seen yet how it went.
        WavePhase::Running => {
            return refuse(format!(
                "wave {name} of {id} is Running; that it passes can be approved once every cluster has ended"
            ));
        }
        WavePhase::Passed | WavePhase::Failed | WavePhase::Skipped => {
            return refuse(format!(
                "wave {name} of {id} is {} already",
                wave.phase.as_str()
            ));
        }
    }
    if approval.plan_digest != release.plan_digest {
        return refuse(format!(
            "the plan of {id} is {}, not {}; look at `groundswell release show {id}` again",
            release.plan_digest, approval.plan_digest
        ));
    }
    if !approval
        .groups
        .iter()
        .any(|group| spec.groups.contains(group))
    {
        return refuse(format!(
            "wave {name} of {id} is approved by {}; the certificate of {} says {}",
            spec.groups.join(" or "),
            approval.person,
            if approval.groups.is_empty() {
                "no group".to_owned()
            } else {
                approval.groups.join(", ")
            }
        ));
    }
    if let Some(sentence) = shown::stale(release, wave, approval.shown.as_ref()) {
        return refuse(sentence);
    }
    Ok((&spec.groups, spec.required))
}

async fn insert(
    tx: &mut PgConnection,
    approval: &NewApproval,
    release: &Release,
    wave: &Wave,
) -> Result<Approval> {
    let images = release.images_of_wave(wave.number);
    let evidence = serde_json::json!({ "waves": release.waves, "targets": release.targets });
    let row: InsertedRow = sqlx::query_as(INSERT)
        .bind(release.id.fleet_rollout.as_str())
        .bind(number(release.id.number))
        .bind(i32::try_from(wave.number).unwrap_or(i32::MAX))
        .bind(approval.person.as_str())
        .bind(Json(&approval.groups))
        .bind(&approval.comment)
        .bind(&approval.plan_digest)
        .bind(
            release
                .revision
                .as_ref()
                .map(hub_engine::name::Revision::as_str),
        )
        .bind(Json(&images))
        .bind(Json(evidence))
        .bind(wave.stage().as_str())
        .fetch_one(tx)
        .await?;
    Ok(Approval {
        id: row.id.unsigned_abs(),
        wave: wave.number,
        stage: wave.stage(),
        person: approval.person.clone(),
        groups: approval.groups.clone(),
        comment: approval.comment.clone(),
        plan_digest: approval.plan_digest.clone(),
        revision: release.revision.clone(),
        images,
        at: from_db(row.approved_at),
        voided: String::new(),
    })
}

/// An approval stops counting, and says why.
pub(crate) async fn void(tx: &mut PgConnection, id: u64, why: &str) -> Result<()> {
    sqlx::query(VOID)
        .bind(number(id))
        .bind(why)
        .execute(tx)
        .await?;
    Ok(())
}
