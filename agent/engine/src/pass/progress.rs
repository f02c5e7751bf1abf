//! Whether it moves: the Progressing condition, and what happens when it has not moved for too long.
//!
//! In: what the pass has decided so far, the condition as observed. Out: the condition as planned, an abort at the
//! deadline if the Rollout asks for it. It must not walk steps.

use agent_api::names::condition;
use agent_api::{CanaryStep, Condition, StatusTime, StepKind};
use jiff::SignedDuration;

use super::conditions::{FALSE, TRUE, UNKNOWN, set};
use super::refused::CREATE_ERROR;
use super::{Pass, Strategy};
use crate::plan::EventKind;
use crate::reason::Reason;
use crate::sets::SetView;

/// Words between which a progress message carries the most pods that were ever available at a step. They are read back:
/// only a new most counts as progress, so that a pod that flaps does not hold the deadline off.
const MARK: &str = " pods available at step ";

/// What the condition is to say: status, reason, message.
type Says = (&'static str, &'static str, String);

impl Pass<'_> {
    fn known_progress(&self) -> Condition {
        self.before
            .condition(condition::PROGRESSING)
            .cloned()
            .unwrap_or_default()
    }

    /// What is new to say; `None` when nothing is.
    fn progress(&self, known: &Condition) -> Option<Says> {
        let was = known.reason.as_deref().unwrap_or_default();
        let name = &self.new.name;
        if let Some(why) = self.news.aborted.clone() {
            Some((FALSE, "RolloutAborted", why))
        } else if let Some(refused) = self.refused() {
            Some((FALSE, CREATE_ERROR, self.refused_text(refused)))
        } else if self.paused() {
            Some((UNKNOWN, "RolloutPaused", "Rollout is paused".to_owned()))
        } else if self.news.retried {
            Some((
                UNKNOWN,
                "RolloutRetry",
                format!("revision {} starts again", self.new.revision),
            ))
        } else if self.complete() {
            Some((
                TRUE,
                "NewReplicaSetAvailable",
                format!("ReplicaSet \"{name}\" has all its pods available"),
            ))
        } else if self.creating.is_some() {
            Some((
                TRUE,
                "NewReplicaSetCreated",
                match self.in_place_of() {
                    Some(more) => format!("created ReplicaSet \"{name}\" {more}"),
                    None => format!("created ReplicaSet \"{name}\""),
                },
            ))
        } else if self.news.changed {
            Some((
                TRUE,
                "FoundNewReplicaSet",
                format!("found ReplicaSet \"{name}\""),
            ))
        } else if was == "RolloutPaused" {
            Some((UNKNOWN, "RolloutResumed", "Rollout is resumed".to_owned()))
        } else if was == "RolloutAborted" {
            Some((
                UNKNOWN,
                "RolloutRetry",
                format!("revision {} goes on", self.new.revision),
            ))
        } else if was == "NewReplicaSetAvailable" && self.lost_pods() {
            Some((
                TRUE,
                "ReplicaSetNotAvailable",
                format!(
                    "ReplicaSet \"{name}\" has too few of its pods: {}",
                    self.mark()
                ),
            ))
        } else if was != "NewReplicaSetAvailable" && self.progressed(known) {
            Some((
                TRUE,
                "ReplicaSetUpdated",
                format!("ReplicaSet \"{name}\" has {}", self.mark()),
            ))
        } else {
            None
        }
    }

    /// It was complete, and has fewer pods than may be missing: the clock runs anew.
    fn lost_pods(&self) -> bool {
        self.at_stable() && self.serving().available < self.limits().minimum()
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

    /// Nothing new: the clock runs, unless what is waited for is a person, a time or a measurement. Called before
    /// anything is scaled, so that an abort takes its pods back in the same pass.
    pub fn watch_deadline(&mut self) {
        let known = self.known_progress();
        let Some(since) = self.clock(&known) else {
            return;
        };
        let since = self.observed.clock_set.shifted(since);
        let seconds = i64::from(self.observed.rollout.spec.progress_deadline_seconds());
        let deadline = since.saturating_add(SignedDuration::from_secs(seconds));
        let exceeded = known.reason.as_deref() == Some("ProgressDeadlineExceeded");
        if !exceeded && self.observed.now < deadline {
            self.wake_at(deadline);
            return;
        }
        let text = self.refused().map_or_else(
            || {
                format!(
                    "ReplicaSet \"{}\" has timed out progressing with {}",
                    self.new.name,
                    self.mark()
                )
            },
            |refused| format!("has timed out: {}", self.refused_text(refused)),
        );
        self.reasons.push(Reason::DeadlineExceeded { seconds });
        if self.observed.rollout.spec.progress_deadline_abort()
            && !self.initial()
            && !self.at_stable()
        {
            self.abort(text);
        } else {
            self.news.timed_out = Some(text);
        }
    }

    /// Since when nothing has moved; `None` while the clock does not run.
    fn clock(&self, known: &Condition) -> Option<StatusTime> {
        if self.refused().is_some() {
            return self.refused_since(known);
        }
        let over = known.reason.as_deref() == Some("NewReplicaSetAvailable");
        let runs = !over && !self.waits_for_no_pods() && self.progress(known).is_none();
        known.last_update_time.filter(|_| runs)
    }

    fn waits_for_no_pods(&self) -> bool {
        if let Strategy::BlueGreen(_) = self.strategy {
            let kept = |set: &SetView| set.scale_down_at.is_some() && set.desired > 0;
            return self.older.iter().any(kept) || self.analyses();
        }
        let step = self.step(self.index).map(CanaryStep::kind);
        let waits = matches!(
            step,
            Some(StepKind::Pause(_) | StepKind::Analysis(_) | StepKind::Experiment(_))
        );
        waits && !self.at_stable() && self.at_once.is_none() || self.waits_for_deadline()
    }

    /// Writes the condition.
    pub fn settle_progressing(&mut self) {
        let known = self.known_progress();
        let stuck = self
            .news
            .timed_out
            .clone()
            .map(|text| (FALSE, "ProgressDeadlineExceeded", text));
        let Some((state, reason, text)) = stuck.or_else(|| self.progress(&known)) else {
            return;
        };
        if reason == "RolloutResumed" {
            self.event(
                EventKind::Normal,
                "RolloutResumed",
                "resumed".to_owned(),
                "",
            );
        }
        if reason == CREATE_ERROR {
            self.tell_refused(&known, &text);
        }
        // It stays exceeded, since when and with what, until something moves.
        if known.reason.as_deref() != Some("ProgressDeadlineExceeded")
            || reason != "ProgressDeadlineExceeded"
        {
            set(
                &mut self.status,
                self.observed.now,
                condition::PROGRESSING,
                state,
                reason,
                text,
            );
        }
        self.keep_refused_since(&known);
    }
}
