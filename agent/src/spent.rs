//! What a Rollout leaves behind beside its Gate (gate.md G6, G10, G17): whoever deletes a Gate does not revive its permit, and
//! whoever deletes the Rollout as well does not make it new.
//!
//! In: outcomes, what was served, the member record, sets. Out: the last outcome of a Rollout by its UID, what was last served
//! by its name, and what the member record has to remember. It must not decide what they mean: the engine does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_api::{
    ContentDigest, Fence, FleetMember, FleetMemberStatus, Outcome, ServedMark, ServedRecord, Uid,
};
use proto::v1;
use serde_json::{Map, Value, json};

use crate::cache::Caches;
use crate::fleet::Fleet;
use crate::fleet_member;
use crate::key::ObjectKey;
use crate::wire;
use crate::writer::{self, Writer};

/// Outcomes that are remembered beyond those of permits that the hub still names: the newest. Each is below 600 bytes, so
/// that all of them are a fifth of what etcd takes for one object.
pub const SPENT_MAX: usize = 500;
/// Names of which it is remembered what they served: the newest. Each is below 400 bytes, usually 150.
pub const SERVED_MAX: usize = 1_000;
/// Of a message: what people need to see again.
const MESSAGE_MAX: usize = 200;

/// What this process remembered, which its cache may not show yet.
pub struct Spent {
    caches: Arc<Caches>,
    fleet: Arc<Fleet>,
    own: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    spent: BTreeMap<String, Outcome>,
    served: BTreeMap<String, ServedMark>,
}

/// What is new in a record.
#[derive(Debug, Clone, Copy, Default)]
pub struct News<'a> {
    /// The permit ended.
    pub outcome: Option<&'a Outcome>,
    /// Content is served.
    pub served: Option<&'a ServedRecord>,
}

impl Spent {
    /// Nothing yet.
    #[must_use]
    pub fn new(caches: Arc<Caches>, fleet: Arc<Fleet>) -> Self {
        Self {
            caches,
            fleet,
            own: Mutex::default(),
        }
    }

    /// What the last permit for this very Rollout ended as.
    #[must_use]
    pub fn last(&self, member: Option<&FleetMemberStatus>, rollout: &Uid) -> Option<Outcome> {
        let stored = member.and_then(|status| status.spent.get(rollout.as_str()).cloned());
        let own = self.own().spent.get(rollout.as_str()).cloned();
        [stored, own]
            .into_iter()
            .flatten()
            .max_by_key(|outcome| outcome.fence)
    }

    /// What was last served under this name.
    #[must_use]
    pub fn last_served(
        &self,
        member: Option<&FleetMemberStatus>,
        rollout: &ObjectKey,
    ) -> Option<ContentDigest> {
        self.mark(member, &rollout.to_string())
            .map(|mark| mark.digest)
    }

    fn mark(&self, member: Option<&FleetMemberStatus>, name: &str) -> Option<ServedMark> {
        let stored = member.and_then(|status| status.served.get(name).cloned());
        let own = self.own().served.get(name).cloned();
        [stored, own]
            .into_iter()
            .flatten()
            .max_by_key(|mark| mark.at)
    }

    /// Nobody governs it any more: what it served is forgotten with that, also what the cache does not show yet.
    pub fn let_go(&self, rollout: &ObjectKey) {
        self.own().served.remove(&rollout.to_string());
    }

    fn own(&self) -> MutexGuard<'_, Remembered> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is new to the member record: before the Gate has it, so that no moment is without it.
    ///
    /// # Errors
    /// The write failed: it is not recorded, and the pass has to come again.
    pub async fn remember(
        &self,
        writer: &Writer,
        rollout: &ObjectKey,
        uid: &Uid,
        news: News<'_>,
    ) -> Result<(), writer::Error> {
        if news.outcome.is_none() && news.served.is_none() {
            return Ok(());
        }
        // Without a member record no permit was ever stored here.
        let Some(member) = fleet_member::counting(&self.caches, &self.fleet) else {
            return Ok(());
        };
        let (status, name) = (member.status.as_ref(), rollout.to_string());
        let known = self.last(status, uid);
        let outcome = news
            .outcome
            .filter(|new| known.is_none_or(|known| known.fence < new.fence))
            .map(shortened);
        // As stored: what this process remembers of the name may have been struck with its governance.
        let known = status.and_then(|status| status.served.get(&name));
        let served = news
            .served
            .map(mark)
            .filter(|new| known.is_none_or(|known| known.digest != new.digest));
        let mut change = Map::new();
        if let Some(outcome) = &outcome {
            change.insert("spent".to_owned(), json!({uid.as_str(): outcome}));
        }
        if let Some(served) = &served {
            change.insert("served".to_owned(), json!({name.as_str(): served}));
        }
        if change.is_empty() {
            return Ok(());
        }
        let key = ObjectKey::of(&member.metadata);
        let patch = json!({"status": Value::from(change)});
        match writer.merge::<FleetMember>(&key, &patch).await {
            Ok(_) | Err(writer::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut own = self.own();
        own.spent
            .extend(outcome.map(|new| (uid.as_str().to_owned(), new)));
        own.spent = newest(std::mem::take(&mut own.spent), &BTreeSet::new());
        own.served.extend(served.map(|new| (name, new)));
        own.served = newest_marks(std::mem::take(&mut own.served));
        Ok(())
    }
}

/// What is remembered of what is served.
#[must_use]
pub fn mark(served: &ServedRecord) -> ServedMark {
    ServedMark {
        digest: served.digest.clone(),
        at: served.at,
        ..ServedMark::default()
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

/// What was served under a name is forgotten with its governance, and beyond so many names the oldest are.
#[must_use]
pub fn served_after_set(
    mut served: BTreeMap<String, ServedMark>,
    entries: &[v1::GateEntry],
) -> BTreeMap<String, ServedMark> {
    for entry in entries {
        if wire::ends_governance(entry) {
            let name = ObjectKey::new(entry.namespace.clone(), entry.name.clone());
            served.remove(&name.to_string());
        }
    }
    newest_marks(served)
}

fn newest_marks(served: BTreeMap<String, ServedMark>) -> BTreeMap<String, ServedMark> {
    if served.len() <= SERVED_MAX {
        return served;
    }
    let mut all: Vec<(String, ServedMark)> = served.into_iter().collect();
    all.sort_by_key(|(_, mark)| std::cmp::Reverse(mark.at));
    all.truncate(SERVED_MAX);
    all.into_iter().collect()
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

    fn nothing_spent() -> Spent {
        let fleet = Fleet::new(true, agent_api::FirstContact::Hold, Uid::default());
        Spent::new(Arc::default(), Arc::new(fleet))
    }

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
        let spent = nothing_spent();
        spent.own().spent.insert("u".into(), outcome(4));
        let rollout = Uid("u".into());
        let mut status = FleetMemberStatus::default();
        assert_eq!(spent.last(Some(&status), &rollout), Some(outcome(4)));
        status.spent.insert("u".into(), outcome(7));
        assert_eq!(spent.last(Some(&status), &rollout), Some(outcome(7)));
        assert_eq!(spent.last(Some(&status), &Uid("other".into())), None);
    }

    fn served(second: i64) -> ServedMark {
        ServedMark {
            digest: ContentDigest(format!("v1:{second}")),
            at: jiff::Timestamp::from_second(second).unwrap().into(),
            ..ServedMark::default()
        }
    }

    #[test]
    fn what_a_name_served_is_forgotten_with_its_governance_or_by_age() {
        let many = (0..SERVED_MAX as i64 + 20).map(|at| (format!("shop/{at}"), served(at)));
        let let_go = v1::GateEntry {
            namespace: "shop".into(),
            name: "500".into(),
            governance: Some(v1::gate_entry::Governance::Ungovern(v1::Ungovern::default())),
            ..v1::GateEntry::default()
        };
        let left = served_after_set(many.collect(), &[let_go, permitting(3)]);
        assert_eq!(left.len(), SERVED_MAX);
        assert!(!left.contains_key("shop/500"), "nobody governs it");
        assert!(!left.contains_key("shop/3"), "the oldest go first");
        assert!(left.contains_key("shop/1019"));
        let text = serde_json::to_string(&served(1_900_000_000)).unwrap();
        assert!(text.len() < 400 - 64, "{text}");
    }

    #[test]
    fn the_newest_mark_of_a_name_counts() {
        let spent = nothing_spent();
        let rollout = ObjectKey::new("shop", "web");
        let mut status = FleetMemberStatus::default();
        assert_eq!(spent.last_served(Some(&status), &rollout), None);
        spent.own().served.insert("shop/web".into(), served(4));
        status.served.insert("shop/web".into(), served(7));
        let digest = spent.last_served(Some(&status), &rollout);
        assert_eq!(digest, Some(ContentDigest("v1:7".into())));
        status.served.clear();
        spent.let_go(&rollout);
        assert_eq!(spent.last_served(Some(&status), &rollout), None);
    }
}
