//! A version whose ReplicaSet the API server refuses to make: a bad template, a quota, a policy.
//!
//! In: the refusal as the shell remembers it. Out: what is tried again and when, and what conditions say meanwhile. It must
//! not stop anything else: the other versions are scaled, served and taken back as ever.

use agent_api::names::condition;
use agent_api::{Condition, StatusTime};

use super::Pass;
use super::conditions::{TRUE, set};
use crate::observed::RefusedSet;
use crate::plan::{Action, EventKind};
use crate::reason::Reason;

/// Reason of the Progressing condition, and of the event.
pub(super) const CREATE_ERROR: &str = "ReplicaSetCreateError";

impl<'a> Pass<'a> {
    /// The refusal of the ReplicaSet that this pass would make. While there is one no step is walked, and nothing is
    /// taken away from other versions for the sake of this one.
    pub fn refused(&self) -> Option<&'a RefusedSet> {
        let observed = self.observed;
        let known = observed.refused_set.as_ref();
        known.filter(|known| self.creating.is_some() && known.digest == self.new.digest)
    }

    /// Tries again when it is time. With no pods: whether it is taken is all that is to be learnt.
    pub(crate) fn create_again(&mut self, refused: &RefusedSet) {
        let until = refused.until();
        self.reasons.push(Reason::SetRefused {
            name: self.new.name.clone(),
            message: refused.message.clone(),
        });
        if until > self.observed.now {
            self.wake_at(until);
            return;
        }
        if let Some(mut set) = self.creating.clone() {
            set.spec.replicas = Some(0);
            self.writes
                .push(Action::CreateReplicaSet { replica_set: set });
        }
    }

    pub(super) fn refused_text(&self, refused: &RefusedSet) -> String {
        format!(
            "cannot create ReplicaSet \"{}\": {}",
            self.new.name, refused.message
        )
    }

    /// Since when this version is refused, as the condition has it; `None` lets the deadline not run.
    pub(super) fn refused_since(&self, known: &Condition) -> Option<StatusTime> {
        let reason = known.reason.as_deref().unwrap_or_default();
        let message = known.message.as_deref().unwrap_or_default();
        let told = matches!(reason, CREATE_ERROR | "ProgressDeadlineExceeded")
            && message.contains(&format!("\"{}\"", self.new.name));
        known
            .last_update_time
            .filter(|_| told && !self.aborted() && !self.paused())
    }

    /// Words may change from one refusal to the next; that is no progress, and the deadline goes on.
    pub(super) fn keep_refused_since(&mut self, known: &Condition) {
        let Some(since) = self.refused_since(known) else {
            return;
        };
        let conditions = &mut self.status.conditions;
        let planned = conditions
            .iter_mut()
            .find(|one| one.r#type == condition::PROGRESSING);
        if let Some(planned) =
            planned.filter(|planned| planned.reason.as_deref() == Some(CREATE_ERROR))
        {
            planned.last_update_time = Some(since);
        }
    }

    /// An event, when the condition says something new.
    pub(super) fn tell_refused(&mut self, known: &Condition, text: &str) {
        let same =
            known.reason.as_deref() == Some(CREATE_ERROR) && known.message.as_deref() == Some(text);
        if !same {
            let name = self.new.name.clone();
            self.event(EventKind::Warning, CREATE_ERROR, text.to_owned(), &name);
        }
    }

    /// What the API server finds wrong with a field is wrong with the spec: the condition InvalidSpec says so too.
    pub(super) fn settle_invalid(&mut self) {
        let refused = self.refused().filter(|one| one.invalid && !self.aborted());
        let Some(refused) = refused else {
            self.status
                .conditions
                .retain(|known| known.r#type != condition::INVALID_SPEC);
            return;
        };
        let text = self.refused_text(refused);
        set(
            &mut self.status,
            self.observed.now,
            condition::INVALID_SPEC,
            TRUE,
            "InvalidSpec",
            text,
        );
    }
}
