//! Conditions: what clients and Argo CD read beside the phase.
//!
//! In: what the pass decided. Out: the status' conditions, each changed only when it says something new. It must not
//! decide what is done.

use agent_api::names::condition;
use agent_api::{Condition, RolloutStatus, StatusTime};
use jiff::Timestamp;

use super::{Pass, Strategy};
use crate::claims;

pub(crate) const TRUE: &str = "True";
pub(crate) const FALSE: &str = "False";
pub(super) const UNKNOWN: &str = "Unknown";

/// Sets a condition, if it says something new.
pub fn set(
    status: &mut RolloutStatus,
    now: Timestamp,
    kind: &str,
    state: &str,
    reason: &str,
    message: String,
) {
    set_in(&mut status.conditions, now, kind, state, reason, message);
}

/// The same in a list of conditions.
pub(crate) fn set_in(
    conditions: &mut Vec<Condition>,
    now: Timestamp,
    kind: &str,
    state: &str,
    reason: &str,
    message: String,
) {
    let now = StatusTime::from(now);
    let known = conditions.iter_mut().find(|known| known.r#type == kind);
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
        None => conditions.push(fresh(now)),
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
        // Old versions of blue-green may wait for their delay; what counts is whom users get.
        let active = self.active().map(|set| &set.hash);
        let alone = match self.strategy {
            Strategy::Canary(_) => None,
            Strategy::BlueGreen(_) => Some(active == Some(&self.new.hash)),
        };
        let old = self
            .older
            .iter()
            .chain(&self.stable)
            .all(|set| set.desired == 0 && set.current == 0 || self.only_delayed(set));
        self.at_stable()
            && self.has_settled_traffic()
            && self.creating.is_none()
            && alone.unwrap_or(old)
            && self.new.desired == replicas
            && self.new.available >= replicas
            && self.new.current == replicas
    }

    /// With a router an old version may have pods for a while, as long as nobody is sent to them.
    fn only_delayed(&self, set: &crate::sets::SetView) -> bool {
        self.routed().is_some() && self.carried(&set.hash) == 0
    }

    /// Where a router splits the requests, it shows them all at the stable version.
    pub fn has_settled_traffic(&self) -> bool {
        let Some(routed) = self.routed() else {
            return true;
        };
        let shown = self.shown();
        let whole = self.carried(&self.new.hash) >= routed.most;
        whole && self.carrier().is_none() && shown.verified != Some(false)
    }

    /// Writes all conditions.
    pub fn settle_conditions(&mut self) {
        self.settle_invalid();
        let paused = self.paused();
        self.settle_progressing();
        let now = self.observed.now;
        let available = self.serving().available;
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
        self.settle_failure();
        self.settle_completed();
    }

    /// What a quota or a policy says against pods, in the ReplicaSet's own words; of the new version before all others.
    fn settle_failure(&mut self) {
        let new = std::iter::once(&self.new);
        let mut sets = new.chain(&self.stable).chain(self.older.iter().rev());
        let failure = sets.find_map(|set| set.failure.clone().filter(|_| set.desired > 0));
        // Of the ReplicaSets themselves: one that the API server does not let the Rollout own.
        let failure = failure.or_else(|| {
            let text = claims::refusal_text(self.observed)?;
            Some((claims::CLAIM_REFUSED.to_owned(), text))
        });
        let kind = condition::REPLICA_FAILURE;
        match failure {
            Some((reason, message)) => {
                let now = self.observed.now;
                set(&mut self.status, now, kind, TRUE, &reason, message);
            }
            None => self.status.conditions.retain(|known| known.r#type != kind),
        }
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
}
