//! Which FleetMember counts in a cluster that has had several names in the fleet (gate.md G5, L1).
//!
//! In: the records of the agent's namespace, the name that the cluster has now. Out: the one that counts, what a name takes
//! over from those before it, and a word in the log of each that cannot be read. It must not write: `gate_store` does.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use agent_api::{FleetMember, FleetMemberStatus};

use crate::cache::Caches;
use crate::fleet::Fleet;
use crate::observe::decoded;
use crate::store::Found;

/// The records that cannot be read, by name, each with why: every pass comes by them, and the log is told once.
#[derive(Debug, Default)]
pub struct UnreadMembers(Mutex<BTreeMap<String, String>>);

impl UnreadMembers {
    /// A record is there, and none can be read.
    #[must_use]
    pub fn no_other(&self, caches: &Caches, namespace: &str) -> bool {
        let all: Vec<Found<FleetMember>> = caches.members.all().collect();
        for (name, why) in self.news(&all) {
            tracing::warn!(
                "FleetMember {namespace}/{name} cannot be decoded ({why}): correct it, or delete it and the hub's next set writes it again"
            );
        }
        !all.is_empty() && all.iter().all(|found| found.object.is_err())
    }

    /// Those that could be read before, or could not for another reason.
    fn news(&self, all: &[Found<FleetMember>]) -> Vec<(String, String)> {
        let now: BTreeMap<String, String> = all
            .iter()
            .filter_map(|found| {
                let unread = found.object.as_ref().err()?;
                let name = found.metadata().name.clone().unwrap_or_default();
                Some((name, unread.why.clone()))
            })
            .collect();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = |(name, why): &(&String, &String)| told.get(*name) != Some(*why);
        let news = now.iter().filter(is_news);
        let news = news.map(|(name, why)| (name.clone(), why.clone()));
        let news = news.collect();
        *told = now;
        news
    }
}

/// The record that counts, as the watch shows it.
#[must_use]
pub fn counting(caches: &Caches, fleet: &Fleet) -> Option<FleetMember> {
    let own = fleet.member_name();
    counts(decoded(caches.members.all()), own.as_deref())
}

/// The one of the cluster's own name, once a set was stored under it. Until then, and while the name is not known, what was
/// stored last, under whatever name: the hub numbers a new name's sets above those of the names before it.
#[must_use]
pub fn counts(all: Vec<FleetMember>, own: Option<&str>) -> Option<FleetMember> {
    all.into_iter().max_by_key(|member| {
        let (status, name) = (member.status.as_ref(), member.metadata.name.as_deref());
        let is_own = status.is_some() && own.is_some() && name == own;
        (is_own, status.map(|status| status.fence))
    })
}

/// What a record goes on from: what was stored last, with every outcome and every mark that any of them remembers.
#[must_use]
pub fn taken_over(all: Vec<FleetMemberStatus>) -> Option<FleetMemberStatus> {
    let mut all = all;
    all.sort_by_key(|status| status.fence);
    let mut newest = all.pop()?;
    for before in all {
        for (rollout, outcome) in before.spent {
            let known = newest.spent.get(&rollout);
            if known.is_none_or(|known| known.fence < outcome.fence) {
                newest.spent.insert(rollout, outcome);
            }
        }
        for (rollout, mark) in before.served {
            let known = newest.served.get(&rollout);
            if known.is_none_or(|known| known.at < mark.at) {
                newest.served.insert(rollout, mark);
            }
        }
    }
    Some(newest)
}

#[cfg(test)]
mod tests {
    use agent_api::{ContentDigest, Fence, ObjectMeta, Outcome, ServedMark};

    use super::*;

    fn status(version: u64) -> FleetMemberStatus {
        FleetMemberStatus {
            fence: Fence {
                incarnation: 1,
                version,
            },
            ..FleetMemberStatus::default()
        }
    }

    fn member(name: &str, status: Option<FleetMemberStatus>) -> FleetMember {
        FleetMember {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            status,
            ..FleetMember::default()
        }
    }

    #[test]
    fn the_own_name_counts_once_it_holds_a_set_and_before_that_the_newest() {
        let cases = [
            // A hub of the version before does not number a new name's sets above the former's.
            (Some("eu-1b"), Some(3), "eu-1b"),
            (Some("eu-1b"), None, "eu-1"),
            (Some("eu-1b"), Some(51), "eu-1b"),
            // At a start, before the identity was read.
            (None, Some(51), "eu-1b"),
            (Some("eu-1"), Some(51), "eu-1"),
        ];
        for (own, version, wanted) in cases {
            let all = vec![
                member("eu-1", Some(status(50))),
                member("eu-1b", version.map(status)),
            ];
            let counts = counts(all, own).and_then(|member| member.metadata.name);
            assert_eq!(counts.as_deref(), Some(wanted), "{own:?} {version:?}");
        }
        assert_eq!(counts(Vec::new(), Some("eu-1")), None);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_of_once_for_each_reason() {
        let record = |name: &str, status: serde_json::Value| -> Found<FleetMember> {
            let member = serde_json::json!({
                "apiVersion": "fleet.groundswell.dev/v1alpha1", "kind": "FleetMember",
                "metadata": {"name": name, "namespace": "groundswell"},
                "spec": {"cluster": name, "hub": "h", "kubeSystemUid": "system"},
                "status": status,
            });
            serde_json::from_value(member).unwrap()
        };
        let (caches, unread) = (Caches::default(), UnreadMembers::default());
        assert!(!unread.no_other(&caches, "groundswell"), "there is none");
        let spoilt = serde_json::json!({"fence": "spoilt"});
        // What the watch shows of `eu-1` in one pass after the other, and whether that is told.
        let passes = [
            (&spoilt, true),
            (&spoilt, false),
            (&serde_json::json!({"governed": 1}), true),
            (&serde_json::json!({"governed": 1}), false),
            (&serde_json::json!(null), false),
            (&spoilt, true),
        ];
        for (pass, (status, told)) in passes.into_iter().enumerate() {
            let all = [
                record("eu-1", status.clone()),
                record("eu-2", spoilt.clone()),
            ];
            let news = unread.news(&all).into_iter().map(|(name, _)| name);
            let wanted = ["eu-1"].into_iter().filter(|_| told);
            // That of another name goes on as it began.
            let wanted = wanted.chain(["eu-2"].into_iter().filter(|_| pass == 0));
            let (news, wanted): (Vec<String>, Vec<&str>) = (news.collect(), wanted.collect());
            assert_eq!(news, wanted, "pass {pass}: {status}");
        }
        caches.members.show(record("eu-2", spoilt));
        assert!(unread.no_other(&caches, "groundswell"));
        caches.members.show(record("eu-1", serde_json::json!(null)));
        assert!(!unread.no_other(&caches, "groundswell"), "one can be read");
    }

    #[test]
    fn what_any_name_remembers_is_taken_over_and_the_newest_word_of_each() {
        let outcome = |version| Outcome {
            fence: status(version).fence,
            ..Outcome::default()
        };
        let mark = |digest: &str, second| ServedMark {
            digest: ContentDigest(digest.to_owned()),
            at: jiff::Timestamp::from_second(second).unwrap().into(),
            ..ServedMark::default()
        };
        let (mut former, mut own) = (status(50), status(3));
        former.spent.insert("a".into(), outcome(40));
        own.spent.insert("a".into(), outcome(2));
        own.spent.insert("b".into(), outcome(3));
        former.served.insert("shop/web".into(), mark("v1:old", 1));
        own.served.insert("shop/web".into(), mark("v1:new", 2));
        let taken = taken_over(vec![former, own]).unwrap();
        assert_eq!(taken.fence.version, 50);
        let spent: Vec<_> = taken.spent.values().map(|one| one.fence.version).collect();
        assert_eq!(spent, [40, 3]);
        let served = taken.served.get("shop/web").map(|mark| &mark.digest);
        assert_eq!(served, Some(&ContentDigest("v1:new".into())));
    }
}
