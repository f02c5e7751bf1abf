//! What ended permits leave behind beside the Gate (gate.md G6, G17): whoever deletes a Gate does not revive its permit.
//!
//! In: outcomes, the member record, sets. Out: the last outcome of a Rollout by its UID, and what the member record has to
//! remember. It must not decide what an outcome means: the engine does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use agent_api::{Fence, FleetMember, FleetMemberStatus, Outcome, Uid};
use proto::v1;
use serde_json::json;

use crate::cache::Caches;
use crate::key::ObjectKey;
use crate::observe::decoded;
use crate::wire;
use crate::writer::{self, Writer};

/// Outcomes that are remembered beyond those of permits that the hub still names: the newest. Each is below 600 bytes, so
/// that all of them are a fifth of what etcd takes for one object.
pub const SPENT_MAX: usize = 500;
/// Of a message: what people need to see again.
const MESSAGE_MAX: usize = 200;

/// What this process remembered, which its cache may not show yet.
pub struct Spent {
    caches: Arc<Caches>,
    own: Mutex<BTreeMap<String, Outcome>>,
}

impl Spent {
    /// Nothing yet.
    #[must_use]
    pub fn new(caches: Arc<Caches>) -> Self {
        Self {
            caches,
            own: Mutex::default(),
        }
    }

    /// What the last permit for this very Rollout ended as.
    #[must_use]
    pub fn last(&self, member: Option<&FleetMemberStatus>, rollout: &Uid) -> Option<Outcome> {
        let stored = member.and_then(|status| status.spent.get(rollout.as_str()).cloned());
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.get(rollout.as_str()).cloned();
        [stored, own]
            .into_iter()
            .flatten()
            .max_by_key(|outcome| outcome.fence)
    }

    /// Writes an outcome to the member record: before the Gate has it, so that no moment is without it.
    ///
    /// # Errors
    /// The write failed: the outcome is not recorded, and the pass has to come again.
    pub async fn remember(
        &self,
        writer: &Writer,
        rollout: &Uid,
        outcome: &Outcome,
    ) -> Result<(), writer::Error> {
        let mut members: Vec<FleetMember> = decoded(self.caches.members.all());
        members.sort_by_key(|member| member.metadata.name.clone());
        // Without a member record no permit was ever stored here.
        let Some(member) = members.into_iter().next() else {
            return Ok(());
        };
        let known = self.last(member.status.as_ref(), rollout);
        if known.is_some_and(|known| known.fence >= outcome.fence) {
            return Ok(());
        }
        let outcome = shortened(outcome);
        let patch = json!({"status": {"spent": {rollout.as_str(): outcome}}});
        let key = ObjectKey::of(&member.metadata);
        match writer.merge::<FleetMember>(&key, &patch).await {
            Ok(_) | Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.insert(rollout.as_str().to_owned(), outcome);
        *own = newest(std::mem::take(&mut *own), &BTreeSet::new());
        Ok(())
    }
}

/// What is remembered of an outcome.
#[must_use]
pub fn shortened(outcome: &Outcome) -> Outcome {
    let short = |text: &String| text.chars().take(MESSAGE_MAX).collect();
    Outcome {
        message: outcome.message.as_ref().map(short),
        ..outcome.clone()
    }
}

/// What stays remembered once a set is stored: all that it still permits, and of the others the newest.
#[must_use]
pub fn after_set(
    spent: BTreeMap<String, Outcome>,
    entries: &[v1::GateEntry],
) -> BTreeMap<String, Outcome> {
    let permits = entries.iter().filter_map(|entry| {
        let governance = entry.governance.as_ref()?;
        let v1::gate_entry::Governance::Governed(governed) = governance else {
            return None;
        };
        Some(wire::fence(governed.permit.as_ref()?.fence.as_ref()))
    });
    newest(spent, &permits.collect())
}

fn newest(spent: BTreeMap<String, Outcome>, named: &BTreeSet<Fence>) -> BTreeMap<String, Outcome> {
    if spent.len() <= SPENT_MAX {
        return spent;
    }
    let (mut kept, mut others): (Vec<_>, Vec<_>) = spent
        .into_iter()
        .partition(|(_, outcome)| named.contains(&outcome.fence));
    others.sort_by_key(|(_, outcome)| std::cmp::Reverse(outcome.fence));
    others.truncate(SPENT_MAX);
    kept.append(&mut others);
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(version: u64) -> Outcome {
        Outcome {
            fence: Fence {
                incarnation: 1,
                version,
            },
            message: Some("é".repeat(2_000)),
            ..Outcome::default()
        }
    }

    fn permitting(version: u64) -> v1::GateEntry {
        let permit = v1::Permit {
            fence: Some(v1::Fence {
                incarnation: 1,
                version,
            }),
            ..v1::Permit::default()
        };
        let governed = v1::Governed {
            permit: Some(permit),
            ..v1::Governed::default()
        };
        v1::GateEntry {
            governance: Some(v1::gate_entry::Governance::Governed(governed)),
            ..v1::GateEntry::default()
        }
    }

    #[test]
    fn what_the_hub_still_permits_is_never_forgotten() {
        let many = (1..=SPENT_MAX as u64 + 40).map(|at| (format!("uid-{at}"), outcome(at)));
        let left = after_set(many.collect(), &[permitting(3)]);
        assert_eq!(left.len(), SPENT_MAX + 1);
        assert!(left.contains_key("uid-3"), "the hub still names it");
        assert!(!left.contains_key("uid-4"), "the oldest go first");
        assert!(left.contains_key("uid-540"));
    }

    #[test]
    fn a_message_is_bounded() {
        let long = shortened(&outcome(1));
        let text = serde_json::to_string(&long).unwrap();
        assert!(text.len() < 600, "{}", text.len());
        assert_eq!(long.fence, outcome(1).fence);
    }

    #[test]
    fn the_higher_fence_counts() {
        let spent = Spent::new(Arc::new(Caches::default()));
        spent.own.lock().unwrap().insert("u".into(), outcome(4));
        let rollout = Uid("u".into());
        let mut status = FleetMemberStatus::default();
        assert_eq!(spent.last(Some(&status), &rollout), Some(outcome(4)));
        status.spent.insert("u".into(), outcome(7));
        assert_eq!(spent.last(Some(&status), &rollout), Some(outcome(7)));
        assert_eq!(spent.last(Some(&status), &Uid("other".into())), None);
    }
}
