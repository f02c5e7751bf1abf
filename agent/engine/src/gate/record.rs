//! What the Gate record has to say after a pass.
//!
//! In: the facts, the decision, what the pass did. Out: keep, forget and record actions; the record goes before every
//! effect that rests on it. It must not decide what runs.

use agent_api::names::ANNOTATION_FLEET_REVISION;
use agent_api::{
    EffectiveRecord, GateStatus, HeldRecord, LeaseRecord, LocalPermit, LocalPermitOrigin, Outcome,
    OutcomeResult, Permit, ServedRecord, StatusTime,
};
use jiff::SignedDuration;

use super::decision::{Decision, GateOutcome, Mode, PermitUse};
use super::facts::Facts;
use super::glass::GlassUse;
use super::loss::Course;
use crate::effective::Effective;
use crate::observed::{Governance, Observed};
use crate::pass::Progress;
use crate::plan::{Action, GateChange};
use crate::planted::{Bug, Planted};

/// Where the record has the step that the canary reached: beside the fields that the Gate's types name.
pub(super) const STEP_FIELD: &str = "step";

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
    /// For tests.
    pub bug: Bug,
}

impl Recorder<'_> {
    /// The actions, in order; none for a Rollout whose record is missing.
    pub fn actions(&self) -> Vec<Action> {
        if self.observed.gate.governance != Governance::Governed {
            return self.let_go();
        }
        let Some(gate) = self.observed.gate.gate() else {
            return Vec::new();
        };
        let before = gate.status.clone().unwrap_or_default();
        let mut status = before.clone();
        self.spent(&mut status);
        let mut actions = Vec::new();
        let permit = gate
            .spec
            .permit
            .as_ref()
            .filter(|_| self.decision.permit == PermitUse::Used);
        self.held(&mut status);
        self.effective(&mut status, permit);
        self.found(&mut status);
        self.lease_end(&mut status, permit);
        self.local(&mut status);
        self.glass(&mut status);
        self.served(&mut status, permit);
        let refused = self.decision.outcome == Some(GateOutcome::RefusedOtherSteps);
        let answered = gate.spec.permit.as_ref().filter(|_| refused).or(permit);
        self.outcome(&mut status, answered);
        status.observed_digest = Some(self.spec.digest.clone());
        self.keep(&mut status, permit, &mut actions);
        status.without_hub = gate
            .spec
            .governed
            .then(|| self.without_hub(&status, permit));
        if status != before {
            let changes = changes(&before, &status);
            actions.push(Action::RecordGate {
                status: Box::new(status),
                changes,
            });
        }
        actions
    }

    /// Nobody governs it: the record is kept up no more. What was held when it was let go is held no more once it runs freely,
    /// also where Git says it again (G9).
    fn let_go(&self) -> Vec<Action> {
        let free = self.observed.gate.governance == Governance::Free;
        let gate = self.observed.gate.gate();
        let gate = gate.filter(|gate| free && !gate.spec.governed);
        let known = gate.and_then(|gate| gate.status.clone());
        let Some(status) = known.filter(|status| status.held.is_some()) else {
            return Vec::new();
        };
        vec![Action::RecordGate {
            status: Box::new(GateStatus {
                held: None,
                ..status
            }),
            changes: vec![GateChange::HoldCleared],
        }]
    }

    /// A record that was deleted and rebuilt gets back what its permit ended as (G6, G17), and the hub hears it again.
    fn spent(&self, status: &mut GateStatus) {
        let known = status.outcome.as_ref().map(|outcome| outcome.fence);
        let spent = self.observed.gate.spent.as_ref();
        let spent = spent.filter(|_| !self.bug.is(Planted::SpentForgotten));
        if let Some(spent) = spent.filter(|spent| known.is_none_or(|known| known < spent.fence)) {
            status.outcome = Some(spent.clone());
        }
    }

    pub(super) fn now(&self) -> StatusTime {
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

    /// The permit takes effect, or reaches a step: both write down the lease (G20).
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
        record.paused = self.observed.rollout.spec.paused.filter(|paused| *paused);
        record
            .rest
            .insert(STEP_FIELD.to_owned(), progress.step.into());
        self.lease(status, permit, reached, progress.step);
        status.effective = Some(record);
    }

    /// G20: where the lease ends, as of the last renewal that was received. A step writes it down and lengthens nothing.
    fn lease(&self, status: &mut GateStatus, permit: &Permit, reached: Option<i32>, step: i32) {
        let live = self.facts.lease_live;
        if reached == Some(step) || reached.is_some() && !live {
            return;
        }
        let granted =
            SignedDuration::from_secs(permit.lease_seconds.try_into().unwrap_or(i64::MAX));
        let until = if self.bug.is(Planted::LeaseByStep) {
            self.observed.now.checked_add(granted).ok()
        } else {
            self.observed.gate.lease_until.filter(|_| live)
        };
        status.lease = until.map(|until| LeaseRecord {
            granted_seconds: permit.lease_seconds,
            deadline: until.into(),
            ..LeaseRecord::default()
        });
    }

    /// G20: that a lease has ended is written down, so that a wall clock that is set back before a restart gives it no further
    /// length; and that the hub has renewed it since.
    fn lease_end(&self, status: &mut GateStatus, permit: Option<&Permit>) {
        // What a permit ended as needs no lease any more.
        let running = permit.is_some_and(|permit| !has_ended(status, permit));
        let Some(lease) = status.lease.as_mut().filter(|_| running) else {
            return;
        };
        let until = self.observed.gate.lease_until;
        match (self.facts.lease_live, lease.ended_at) {
            (false, None) => lease.ended_at = Some(self.now()),
            (true, Some(_)) => {
                lease.ended_at = None;
                lease.deadline = until.map_or(lease.deadline, Into::into);
            }
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// Permits of the agent's own: adopted content, a free first deploy.
    fn local(&self, status: &mut GateStatus) {
        let first = self.facts.served.is_none()
            && self.facts.in_flight.is_none()
            && self.decision.mode == Mode::Open;
        let by_word = matches!(self.decision.glass, GlassUse::Breaks(_) | GlassUse::GoesOn);
        let origin = if by_word {
            Some(LocalPermitOrigin::BreakGlass)
        } else if self.decision.adopt {
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
        // The member record may have got the outcome before this one got anything: the permit is consumed then.
        let of_outcome = status
            .outcome
            .as_ref()
            .filter(|one| one.digest == progress.digest && one.result == OutcomeResult::Served)
            .map(|outcome| outcome.release.clone());
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
            release: release
                .or(known.and_then(|known| known.release))
                .or(of_outcome),
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
                GateOutcome::RefusedOtherSteps => (OutcomeResult::Refused, self.refused()),
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

    /// What becomes of it if the hub is silent, by what is recorded so far (G21).
    fn without_hub(&self, status: &GateStatus, permit: Option<&Permit>) -> String {
        let moving = |progress: &Progress| {
            // What succeeded here before and has to be brought up again is no news.
            let is_served = [&self.facts.served, &self.facts.succeeded]
                .into_iter()
                .any(|known| known.as_ref() == Some(&progress.digest));
            !is_served && !progress.served && progress.aborted.is_none()
        };
        let course = Course {
            facts: self.facts,
            decision: self.decision,
            hub: self.observed.gate.hub,
            ended: permit.is_some_and(|permit| has_ended(status, permit)),
            moving: self.progress.is_some_and(moving),
            past_steps: self.progress.is_some_and(|progress| progress.past_steps),
        };
        course.without_hub()
    }

    /// Why the permit does not count.
    fn refused(&self) -> String {
        match &self.decision.permit {
            PermitUse::Ignored(why) => why.clone(),
            PermitUse::Absent | PermitUse::Used | PermitUse::Consumed => String::new(),
        }
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
}

/// The outcome on record is this permit's.
fn has_ended(status: &GateStatus, permit: &Permit) -> bool {
    let outcome = status.outcome.as_ref();
    outcome.is_some_and(|outcome| outcome.fence == permit.fence)
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
        if old.is_some_and(|old| old.paused != new.paused) {
            changes.push(GateChange::Paused(new.paused.is_some()));
        }
    }
    if before.lease != after.lease {
        let ended = after
            .lease
            .as_ref()
            .is_some_and(|lease| lease.ended_at.is_some());
        changes.push(if ended {
            GateChange::LeaseEnd
        } else {
            GateChange::Lease
        });
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
    if before.break_glass != after.break_glass {
        changes.push(GateChange::BreakGlass);
    }
    if before.observed_digest != after.observed_digest {
        changes.push(GateChange::Observed);
    }
    if let Some(says) = after
        .without_hub
        .as_ref()
        .filter(|says| before.without_hub.as_ref() != Some(says))
    {
        changes.push(GateChange::WithoutHub(says.clone()));
    }
    changes
}
