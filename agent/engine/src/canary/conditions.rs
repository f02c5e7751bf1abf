//! Conditions: what clients and Argo CD read beside the phase.
//!
//! In: what the pass decided. Out: the status' conditions, each changed only when it says something new. It must not
//! decide what is done, but for one thing: no progress for too long.

use agent_api::names::condition;
use agent_api::{Condition, RolloutStatus, StatusTime, StepKind};
use jiff::{SignedDuration, Timestamp};

use super::pass::Pass;
use crate::reason::Reason;

/// Seconds without progress when the Rollout does not say.
const DEFAULT_DEADLINE: i32 = 600;

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// Words between which a progress message carries the most pods that were ever available at a step. They are read back:
/// only a new most counts as progress, so that a pod that flaps does not hold the deadline off.
const MARK: &str = " pods available at step ";

/// Sets a condition, if it says something new.
pub fn set(
    status: &mut RolloutStatus,
    now: Timestamp,
    kind: &str,
    state: &str,
    reason: &str,
    message: String,
) {
    let now = StatusTime::from(now);
    let known = status
        .conditions
        .iter_mut()
        .find(|known| known.r#type == kind);
    let fresh = |since: StatusTime| Condition {
        r#type: kind.to_owned(),
        status: state.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.clone()),
        last_update_time: Some(now),
        last_transition_time: Some(since),
        ..Condition::default()
    };
    match known {
        None => status.conditions.push(fresh(now)),
        Some(known) => {
            let same = known.status == state
                && known.reason.as_deref() == Some(reason)
                && known.message.as_deref() == Some(message.as_str());
            if !same {
                let since = known
                    .last_transition_time
                    .filter(|_| known.status == state)
                    .unwrap_or(now);
                *known = fresh(since);
            }
        }
    }
}

impl Pass<'_> {
    /// Everything is where it shall be.
    pub fn complete(&self) -> bool {
        let replicas = self.replicas();
        let old = self
            .older
            .iter()
            .chain(&self.stable)
            .all(|set| set.desired == 0 && set.current == 0);
        self.at_stable()
            && self.creating.is_none()
            && old
            && self.new.desired == replicas
            && self.new.available >= replicas
            && self.new.current == replicas
    }

    /// Writes all conditions but InvalidSpec.
    pub fn settle_conditions(&mut self) {
        self.status
            .conditions
            .retain(|known| known.r#type != condition::INVALID_SPEC);
        let paused = self.paused();
        self.settle_progressing(paused);
        let now = self.observed.now;
        let available = self
            .sets()
            .map(|set| set.available)
            .fold(0_i32, i32::saturating_add);
        let minimum = self.limits().minimum();
        let enough = available >= minimum;
        let (state, text) = if enough {
            (TRUE, "enough")
        } else {
            (FALSE, "too few")
        };
        let text = format!("{text} pods are available: at least {minimum} must be");
        set(
            &mut self.status,
            now,
            condition::AVAILABLE,
            state,
            "AvailableReason",
            text,
        );
        if paused || self.status.condition(condition::PAUSED).is_some() {
            let state = if paused { TRUE } else { FALSE };
            let text = if paused {
                "Rollout is paused"
            } else {
                "Rollout is not paused"
            };
            set(
                &mut self.status,
                now,
                condition::PAUSED,
                state,
                "RolloutPaused",
                text.to_owned(),
            );
        }
        let healthy = self.complete();
        let (state, text) = if healthy {
            (TRUE, "all pods are of the wanted version and available")
        } else {
            (
                FALSE,
                "not all pods are of the wanted version and available",
            )
        };
        set(
            &mut self.status,
            now,
            condition::HEALTHY,
            state,
            "RolloutHealthy",
            text.to_owned(),
        );
        self.settle_completed();
    }

    fn settle_completed(&mut self) {
        let now = self.observed.now;
        let before = self
            .before
            .condition(condition::COMPLETED)
            .map(|known| known.status.clone());
        if self.at_stable() {
            let text = format!("revision {} is the stable version", self.new.revision);
            // What is served while something else is held completed long ago, under its own revision.
            if before.as_deref() != Some(TRUE) || self.news.changed || self.news.promoted {
                set(
                    &mut self.status,
                    now,
                    condition::COMPLETED,
                    TRUE,
                    "RolloutCompleted",
                    text,
                );
            }
            return;
        }
        let text = format!("revision {} is on its way", self.new.revision);
        if before.as_deref() == Some(TRUE) {
            let started = format!(
                "started update to revision {} ({})",
                self.new.revision, self.new.hash
            );
            self.event(
                crate::plan::EventKind::Normal,
                "RolloutNotCompleted",
                started,
                "",
            );
        }
        set(
            &mut self.status,
            now,
            condition::COMPLETED,
            FALSE,
            "RolloutCompleted",
            text,
        );
    }

    /// Paused by a person, by a step, or by the gate.
    pub fn paused(&self) -> bool {
        self.observed.rollout.spec.paused == Some(true) || !self.status.pause_conditions.is_empty()
    }

    /// All ReplicaSets.
    pub fn sets(&self) -> impl Iterator<Item = &crate::sets::SetView> {
        self.older
            .iter()
            .chain(&self.stable)
            .chain(self.creating.is_none().then_some(&self.new))
    }

    fn settle_progressing(&mut self, paused: bool) {
        let now = self.observed.now;
        let known = self
            .before
            .condition(condition::PROGRESSING)
            .cloned()
            .unwrap_or_default();
        let was = known.reason.as_deref().unwrap_or_default();
        let name = self.new.name.clone();
        let (state, reason, text) = if let Some(why) = self.news.aborted.clone() {
            (FALSE, "RolloutAborted", why)
        } else if paused {
            (UNKNOWN, "RolloutPaused", "Rollout is paused".to_owned())
        } else if self.news.retried {
            (
                UNKNOWN,
                "RolloutRetry",
                format!("revision {} starts again", self.new.revision),
            )
        } else if self.complete() {
            (
                TRUE,
                "NewReplicaSetAvailable",
                format!("ReplicaSet \"{name}\" has all its pods available"),
            )
        } else if self.creating.is_some() {
            (
                TRUE,
                "NewReplicaSetCreated",
                format!("created ReplicaSet \"{name}\""),
            )
        } else if self.news.changed {
            (
                TRUE,
                "FoundNewReplicaSet",
                format!("found ReplicaSet \"{name}\""),
            )
        } else if was == "RolloutPaused" {
            self.event(
                crate::plan::EventKind::Normal,
                "RolloutResumed",
                "resumed".to_owned(),
                "",
            );
            (UNKNOWN, "RolloutResumed", "Rollout is resumed".to_owned())
        } else if self.progressed(&known) && was != "NewReplicaSetAvailable" {
            (
                TRUE,
                "ReplicaSetUpdated",
                format!("ReplicaSet \"{name}\" has {}", self.mark()),
            )
        } else {
            self.watch_deadline(&known);
            return;
        };
        set(
            &mut self.status,
            now,
            condition::PROGRESSING,
            state,
            reason,
            text,
        );
    }

    fn mark(&self) -> String {
        format!("{}{MARK}{}", self.new.available, self.index)
    }

    /// More pods than ever at this step, or another step.
    fn progressed(&self, known: &Condition) -> bool {
        let message = known.message.as_deref().unwrap_or_default();
        let Some((front, step)) = message.split_once(MARK) else {
            return true;
        };
        let most = front
            .rsplit(' ')
            .next()
            .and_then(|most| most.parse::<i32>().ok())
            .unwrap_or(0);
        let same =
            message.contains(&format!("\"{}\"", self.new.name)) && step.parse() == Ok(self.index);
        !same || self.new.available > most
    }

    /// Nothing new: the clock runs, unless what is waited for is a person, a time or a measurement.
    fn watch_deadline(&mut self, known: &Condition) {
        let seconds = self
            .observed
            .rollout
            .spec
            .progress_deadline_seconds
            .unwrap_or(DEFAULT_DEADLINE);
        let over = known.reason.as_deref() == Some("NewReplicaSetAvailable");
        if over || self.waits_for_no_pods() {
            return;
        }
        let Some(since) = known.last_update_time else {
            return;
        };
        let deadline = since.saturating_add(SignedDuration::from_secs(i64::from(seconds)));
        let exceeded = known.reason.as_deref() == Some("ProgressDeadlineExceeded");
        if !exceeded && self.observed.now < deadline {
            self.wake_at(deadline);
            return;
        }
        let text = format!(
            "ReplicaSet \"{}\" has timed out progressing with {}",
            self.new.name,
            self.mark()
        );
        self.reasons.push(Reason::DeadlineExceeded {
            seconds: i64::from(seconds),
        });
        if self.observed.rollout.spec.progress_deadline_abort == Some(true)
            && !self.initial()
            && !self.at_stable()
        {
            self.abort(text);
            let why = self.news.aborted.clone().unwrap_or_default();
            set(
                &mut self.status,
                self.observed.now,
                condition::PROGRESSING,
                FALSE,
                "RolloutAborted",
                why,
            );
            return;
        }
        if !exceeded {
            set(
                &mut self.status,
                self.observed.now,
                condition::PROGRESSING,
                FALSE,
                "ProgressDeadlineExceeded",
                text,
            );
        }
    }

    fn waits_for_no_pods(&self) -> bool {
        let step = self.step(self.index).map(agent_api::CanaryStep::kind);
        let waits = matches!(step, Some(StepKind::Pause(_) | StepKind::Analysis(_)));
        waits && !self.at_stable() && self.at_once.is_none()
    }
}
