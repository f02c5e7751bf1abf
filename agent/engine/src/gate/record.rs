//! What the Gate record and the kept templates have to say after a pass.
//!
//! In: the facts, the decision, what the pass did. Out: keep, forget and record actions; the record goes before every
//! effect that rests on it. It must not decide what runs.

use agent_api::names::{ANNOTATION_FLEET_REVISION, gate_name};
use agent_api::{
    ContentDigest, EffectiveRecord, GateStatus, HeldRecord, KeptTemplate, LeaseRecord, LocalPermit,
    LocalPermitOrigin, Outcome, OutcomeResult, Permit, ServedRecord, StatusTime,
};
use jiff::{SignedDuration, Timestamp};

use super::decision::{Decision, GateOutcome, Mode, PermitUse};
use super::facts::Facts;
use crate::effective::{Effective, strategy_value};
use crate::observed::{Governance, Observed};
use crate::pass::Progress;
use crate::plan::{Action, GateChange, KeepTemplate};

/// Kept contents that succeeded here and are never forgotten (G4).
const KEPT_SUCCEEDED: usize = 2;
/// Kept contents beside them (G4).
const KEPT_OTHERS: usize = 5;
/// Letters of each digest in the name of a ControllerRevision: enough that two contents of one Rollout never meet.
const NAME_LETTERS: usize = 16;
/// Where the record has the step that the canary reached: beside the fields that the Gate's types name.
const STEP_FIELD: &str = "step";

/// The step that the agent itself has reached under a permit. The status' own index can be written by anybody.
pub fn recorded_step(effective: &EffectiveRecord) -> Option<i32> {
    effective
        .rest
        .get(STEP_FIELD)
        .and_then(serde_json::Value::as_i64)
        .and_then(|step| i32::try_from(step).ok())
}

/// What was decided and done, for the record.
pub struct Recorder<'a> {
    /// What is observed.
    pub observed: &'a Observed,
    /// What it was decided from.
    pub facts: &'a Facts,
    /// What was decided.
    pub decision: &'a Decision,
    /// What Git wants.
    pub spec: &'a Effective,
    /// What runs.
    pub effective: Option<&'a Effective>,
    /// What the pass did; `None` when it did nothing.
    pub progress: Option<&'a Progress>,
}

impl Recorder<'_> {
    /// The actions, in order; none for a Rollout that is not governed, or whose record is missing.
    pub fn actions(&self) -> Vec<Action> {
        if self.observed.gate.governance != Governance::Governed {
            return Vec::new();
        }
        let Some(gate) = self.observed.gate.gate() else {
            return Vec::new();
        };
        let before = gate.status.clone().unwrap_or_default();
        let mut status = before.clone();
        let mut actions = Vec::new();
        let permit = gate
            .spec
            .permit
            .as_ref()
            .filter(|_| self.decision.permit == PermitUse::Used);
        self.held(&mut status);
        self.effective(&mut status, permit);
        self.local(&mut status);
        self.served(&mut status, permit);
        self.outcome(&mut status, permit);
        status.observed_digest = Some(self.spec.digest.clone());
        self.keep(&mut status, permit, &mut actions);
        if status != before {
            let changes = changes(&before, &status);
            actions.push(Action::RecordGate {
                status: Box::new(status),
                changes,
            });
        }
        actions
    }

    fn now(&self) -> StatusTime {
        self.observed.now.into()
    }

    fn generation(&self) -> i64 {
        self.observed.rollout.metadata.generation.unwrap_or(0)
    }

    fn held(&self, status: &mut GateStatus) {
        let Some(digest) = self.decision.held.clone() else {
            status.held = None;
            return;
        };
        let known = status
            .held
            .take()
            .filter(|held| held.digest == digest && held.delivery_digest == self.spec.delivery);
        let annotations = self.observed.rollout.metadata.annotations.as_ref();
        let fresh = HeldRecord {
            digest,
            delivery_digest: self.spec.delivery.clone(),
            revision: annotations
                .and_then(|all| all.get(ANNOTATION_FLEET_REVISION))
                .cloned(),
            images: self
                .spec
                .template
                .as_ref()
                .map(agent_api::PodTemplate::images)
                .unwrap_or_default(),
            generation: known
                .as_ref()
                .map_or(self.generation(), |held| held.generation),
            since: known.as_ref().map_or(self.now(), |held| held.since),
            ..HeldRecord::default()
        };
        status.held = Some(fresh);
    }

    /// The permit takes effect, or reaches a step: both renew the wall deadline of the lease (G20).
    fn effective(&self, status: &mut GateStatus, permit: Option<&Permit>) {
        let (Some(permit), Some(progress)) = (permit, self.progress) else {
            return;
        };
        let ends = self.decision.outcome.is_some() || progress.aborted.is_some();
        if progress.digest != permit.digest || ends {
            return;
        }
        let known = status
            .effective
            .take()
            .filter(|one| one.fence == permit.fence);
        let reached = known.as_ref().and_then(recorded_step);
        let mut record = known.unwrap_or_else(|| EffectiveRecord {
            fence: permit.fence,
            digest: permit.digest.clone(),
            generation: self.generation(),
            at: self.now(),
            ..EffectiveRecord::default()
        });
        record
            .rest
            .insert(STEP_FIELD.to_owned(), progress.step.into());
        if reached != Some(progress.step) && (self.facts.lease_live || reached.is_none()) {
            let seconds = i64::try_from(permit.lease_seconds).unwrap_or(i64::MAX);
            let deadline = self
                .observed
                .now
                .checked_add(SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MAX);
            status.lease = Some(LeaseRecord {
                granted_seconds: permit.lease_seconds,
                deadline: deadline.into(),
                ..LeaseRecord::default()
            });
        }
        status.effective = Some(record);
    }

    /// Permits of the agent's own: adopted content, a free first deploy.
    fn local(&self, status: &mut GateStatus) {
        let first = self.facts.served.is_none()
            && self.facts.in_flight.is_none()
            && self.decision.mode == Mode::Open;
        let origin = if self.decision.adopt {
            Some(LocalPermitOrigin::Adopted)
        } else if first && self.progress.is_some() {
            Some(LocalPermitOrigin::FirstDeploy)
        } else {
            None
        };
        let running = self.progress.map(|progress| &progress.digest);
        if let (Some(origin), Some(digest)) = (origin, running) {
            status.local_permit = Some(LocalPermit {
                origin,
                digest: digest.clone(),
                ..LocalPermit::default()
            });
            return;
        }
        // It is spent with what it was for: an edit back to it later needs a permit like any other.
        let spent = self.progress.is_some_and(|progress| progress.served)
            || status.local_permit.as_ref().map(|local| &local.digest) != running;
        if spent {
            status.local_permit = None;
        }
    }

    /// G18: all weight and all replicas available on the digest, steps and analysis done.
    fn served(&self, status: &mut GateStatus, permit: Option<&Permit>) {
        let (Some(progress), Some(effective)) = (self.progress, self.effective) else {
            return;
        };
        if !progress.served {
            return;
        }
        let known = status
            .served
            .take()
            .filter(|known| known.digest == progress.digest);
        let release = permit
            .filter(|permit| permit.digest == progress.digest)
            .map(|permit| permit.release.clone());
        let took_effect = status
            .effective
            .as_ref()
            .filter(|one| one.digest == progress.digest)
            .map(|one| one.generation);
        let at = known.as_ref().map_or(self.now(), |known| known.at);
        status.served = Some(ServedRecord {
            digest: progress.digest.clone(),
            delivery_digest: effective.delivery.clone(),
            pod_hash: progress.pod_hash.clone(),
            generation: took_effect
                .or(known.as_ref().map(|known| known.generation))
                .unwrap_or(self.generation()),
            release: release.or(known.and_then(|known| known.release)),
            at,
            ..ServedRecord::default()
        });
    }

    /// The outcome consumes the permit (G17).
    fn outcome(&self, status: &mut GateStatus, permit: Option<&Permit>) {
        let Some(permit) = permit else { return };
        let effective = status
            .effective
            .as_ref()
            .filter(|one| one.fence == permit.fence);
        let of_permit = self
            .progress
            .filter(|progress| progress.digest == permit.digest);
        let (result, message) = if let Some(outcome) = self.decision.outcome {
            match outcome {
                GateOutcome::FailedAborted => (OutcomeResult::Failed, self.aborted()),
                GateOutcome::SkippedWithdrawn => {
                    (OutcomeResult::Withdrawn, "Skipped: Withdrawn".to_owned())
                }
                GateOutcome::FailedWithdrawn => {
                    (OutcomeResult::Withdrawn, "Failed: Withdrawn".to_owned())
                }
                GateOutcome::FailedNoRollbackTarget => (
                    OutcomeResult::NoRollbackTarget,
                    self.decision.message.clone().unwrap_or_default(),
                ),
            }
        } else if let (Some(progress), Some(_)) = (of_permit, effective) {
            match &progress.aborted {
                Some(why) => (OutcomeResult::Failed, why.clone()),
                None if progress.served => (OutcomeResult::Served, String::new()),
                None => return,
            }
        } else {
            return;
        };
        status.outcome = Some(Outcome {
            fence: permit.fence,
            release: permit.release.clone(),
            digest: permit.digest.clone(),
            result,
            message: (!message.is_empty()).then_some(message),
            generation: effective.map_or(self.generation(), |one| one.generation),
            at: self.now(),
            ..Outcome::default()
        });
    }

    /// Why what was on its way was aborted.
    fn aborted(&self) -> String {
        let planned = self.progress.and_then(|progress| progress.aborted.clone());
        let status = self.observed.rollout.status.as_ref();
        let condition =
            status.and_then(|status| status.condition(agent_api::names::condition::PROGRESSING));
        let observed = condition.filter(|known| known.reason.as_deref() == Some("RolloutAborted"));
        planned
            .or(observed.and_then(|known| known.message.clone()))
            .unwrap_or_else(|| "aborted".to_owned())
    }

    /// Keeps the spec's content, marks what was served, forgets what is too much (G4).
    fn keep(&self, status: &mut GateStatus, permit: Option<&Permit>, actions: &mut Vec<Action>) {
        self.mirror(status);
        if self.spec.template.is_some() && self.keeps_spec(permit) {
            let name = kept_name(self.observed, self.spec);
            actions.push(Action::KeepTemplate(Box::new(KeepTemplate {
                digest: self.spec.digest.clone(),
                delivery: self.spec.delivery.clone(),
                name: name.clone(),
                template: self.spec.template.clone().unwrap_or_default(),
                strategy: strategy_value(&self.spec.strategy),
                templates: self.spec.templates.clone(),
            })));
            self.drop_kept(status, &self.spec.digest, &name, actions);
            let known = status
                .kept
                .iter()
                .find(|kept| kept.digest == self.spec.digest);
            let entry = KeptTemplate {
                digest: self.spec.digest.clone(),
                delivery_digest: self.spec.delivery.clone(),
                name,
                last_served_at: known.and_then(|kept| kept.last_served_at),
                kept_at: self.now(),
                ..KeptTemplate::default()
            };
            status.kept.retain(|kept| kept.digest != self.spec.digest);
            status.kept.push(entry);
        }
        if let Some(served) = status.served.clone() {
            for kept in status
                .kept
                .iter_mut()
                .filter(|kept| kept.digest == served.digest)
            {
                kept.last_served_at = Some(kept.last_served_at.unwrap_or(served.at).max(served.at));
            }
        }
        self.forget(status, actions);
    }

    /// What is there is recorded, what is not is not.
    fn mirror(&self, status: &mut GateStatus) {
        status
            .kept
            .retain(|kept| self.observed.gate.kept.contains_key(&kept.digest));
        for (digest, kept) in &self.observed.gate.kept {
            if !status.kept.iter().any(|known| known.digest == *digest) {
                status.kept.push(KeptTemplate {
                    digest: digest.clone(),
                    delivery_digest: kept.delivery.clone(),
                    name: name_of(self.observed, digest, kept.delivery.as_str()),
                    last_served_at: None,
                    kept_at: self.now(),
                    ..KeptTemplate::default()
                });
            }
        }
    }

    /// G2: the delivery of the moment it was held for is frozen while a permit names it or it is on its way.
    fn keeps_spec(&self, permit: Option<&Permit>) -> bool {
        let Some(kept) = self.observed.gate.kept.get(&self.spec.digest) else {
            return true;
        };
        let frozen = permit.is_some_and(|permit| {
            permit.delivery_digest == kept.delivery && permit.digest == self.spec.digest
        }) || self
            .facts
            .in_flight
            .as_ref()
            .is_some_and(|flight| flight.digest == self.spec.digest && !flight.aborted);
        kept.delivery != self.spec.delivery && !frozen
    }

    /// The object of an older delivery of the same content goes.
    fn drop_kept(
        &self,
        status: &GateStatus,
        digest: &ContentDigest,
        name: &str,
        actions: &mut Vec<Action>,
    ) {
        let old = status
            .kept
            .iter()
            .filter(|kept| kept.digest == *digest && kept.name != name);
        actions.extend(old.map(|kept| Action::ForgetTemplate {
            digest: digest.clone(),
            name: kept.name.clone(),
        }));
    }

    fn forget(&self, status: &mut GateStatus, actions: &mut Vec<Action>) {
        let wanted = self
            .observed
            .gate
            .gate()
            .and_then(|gate| gate.spec.permit.as_ref())
            .map(|permit| &permit.digest);
        let flight = self.facts.in_flight.as_ref().map(|flight| &flight.digest);
        let in_use = |digest: &ContentDigest| {
            *digest == self.spec.digest
                || [wanted, flight, self.facts.served.as_ref()].contains(&Some(digest))
        };
        let mut succeeded: Vec<&KeptTemplate> = status
            .kept
            .iter()
            .filter(|kept| kept.last_served_at.is_some())
            .collect();
        succeeded.sort_by_key(|kept| std::cmp::Reverse(kept.last_served_at));
        let safe: Vec<ContentDigest> = succeeded
            .iter()
            .take(KEPT_SUCCEEDED)
            .map(|kept| kept.digest.clone())
            .collect();
        let mut others: Vec<KeptTemplate> = status
            .kept
            .iter()
            .filter(|kept| !safe.contains(&kept.digest) && !in_use(&kept.digest))
            .cloned()
            .collect();
        others.sort_by_key(|kept| std::cmp::Reverse((kept.kept_at, kept.digest.clone())));
        for kept in others.into_iter().skip(KEPT_OTHERS) {
            status.kept.retain(|known| known.digest != kept.digest);
            actions.push(Action::ForgetTemplate {
                digest: kept.digest,
                name: kept.name,
            });
        }
    }
}

/// Name of the ControllerRevision of a content and its delivery; namespace and Rollout are in it because it lies in the
/// agent's own namespace.
fn name_of(observed: &Observed, digest: &ContentDigest, delivery: &str) -> String {
    let metadata = &observed.rollout.metadata;
    let gate = gate_name(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    );
    format!("{gate}.{}.{}", letters(digest.as_str()), letters(delivery))
}

fn kept_name(observed: &Observed, content: &Effective) -> String {
    name_of(observed, &content.digest, content.delivery.as_str())
}

/// The first letters after the form of a digest.
fn letters(digest: &str) -> String {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.chars()
        .take(NAME_LETTERS)
        .collect::<String>()
        .to_lowercase()
}

fn changes(before: &GateStatus, after: &GateStatus) -> Vec<GateChange> {
    let mut changes = Vec::new();
    match (&before.held, &after.held) {
        (old, Some(new)) if old.as_ref() != Some(new) => {
            changes.push(GateChange::Held(new.digest.clone()))
        }
        (Some(_), None) => changes.push(GateChange::HoldCleared),
        (Some(_) | None, Some(_)) | (None, None) => {}
    }
    if let Some(new) = &after.effective {
        let old = before
            .effective
            .as_ref()
            .filter(|old| old.fence == new.fence);
        if old.is_none() {
            changes.push(GateChange::Effective(new.digest.clone()));
        }
        if let Some(step) =
            recorded_step(new).filter(|step| old.and_then(recorded_step) != Some(*step))
        {
            changes.push(GateChange::Step(step));
        }
    }
    if before.lease != after.lease {
        changes.push(GateChange::Lease);
    }
    if let Some(served) = after
        .served
        .as_ref()
        .filter(|served| before.served.as_ref() != Some(served))
    {
        changes.push(GateChange::Served(served.digest.clone()));
    }
    if let Some(outcome) = after
        .outcome
        .as_ref()
        .filter(|outcome| before.outcome.as_ref() != Some(outcome))
    {
        changes.push(GateChange::Outcome(outcome.result));
    }
    if before.kept != after.kept {
        changes.push(GateChange::Kept);
    }
    if before.local_permit != after.local_permit {
        changes.push(GateChange::LocalPermit);
    }
    if before.observed_digest != after.observed_digest {
        changes.push(GateChange::Observed);
    }
    changes
}
