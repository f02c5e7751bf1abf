//! The checker bites: a history as it should be, and what each rule says to one that is not.

use hub_engine::Action;
use hub_engine::release::TargetState::{Failed, Skipped, Succeeded};
use hub_engine::release::{Approval, TargetState};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Done, Entry, check};

/// First `a`, with one approval and a bake of a minute; then `b`, `c`, `d`, one at once, of which one may fail, and which pass
/// on the word of one more person.
fn story() -> Vec<(i64, Done)> {
    let sre = |required: u32| json!({"required": required, "groups": ["sre"], "excludeAuthor": true, "expires": "1h"});
    let plan = json!({"waves": [
        {"name": "first", "clusters": ["a"], "maxConcurrent": "1", "bake": "1m", "approval": sre(1), "maxFailed": "0"},
        {"name": "rest", "clusters": ["b", "c", "d"], "maxConcurrent": "34%", "bake": "0s", "approvalAfter": sre(1), "maxFailed": "1"},
    ]});
    let open = json!({"action": "OpenRelease", "release": 1, "revision": null, "images": [], "plan": plan, "phase": "Progressing",
        "overtook": 0, "cause": {"person": {"person": "eve", "reason": "r", "request": 1}}});
    vec![
        (0, decided(open)),
        (10, approved(1, 1, "Before", "ada")),
        (20, wave("StartWave", 1)),
        (20, granted("a", "Forward", "v2")),
        (30, state("a", Succeeded)),
        (90, wave("PassWave", 1)),
        (90, wave("StartWave", 2)),
        (90, granted("b", "Forward", "v2")),
        (95, state("b", Failed)),
        (95, granted("c", "Forward", "v2")),
        (99, state("c", Succeeded)),
        (99, granted("d", "Forward", "v2")),
        (105, state("d", Succeeded)),
        (110, approved(2, 2, "After", "bob")),
        (111, wave("PassWave", 2)),
        (
            112,
            decided(
                json!({"action": "EndRelease", "release": 1, "phase": "Succeeded", "verdict": "v"}),
            ),
        ),
    ]
}

fn decided(action: Value) -> Done {
    let action: Action = serde_json::from_value(action).expect("an action");
    Done::Decided(action, None)
}

fn digest(version: &str) -> String {
    format!("v1:{version}")
}

fn granted(cluster: &str, direction: &str, version: &str) -> Done {
    let grant = json!({"action": "GrantPermit", "release": 1, "cluster": cluster, "direction": direction,
        "digest": digest(version), "delivery": "v1:d", "startBy": null, "maxStep": null, "why": "w"});
    match decided(grant) {
        Done::Decided(action, _) => Done::Decided(action, Some(digest("v1"))),
        Done::Approved(approval) => Done::Approved(approval),
    }
}

fn state(cluster: &str, state: TargetState) -> Done {
    decided(
        json!({"action": "SetTargetState", "release": 1, "cluster": cluster, "state": state, "message": ""}),
    )
}

fn wave(action: &str, wave: u32) -> Done {
    decided(json!({"action": action, "release": 1, "wave": wave}))
}

fn said(verb: Value) -> Done {
    decided(
        json!({"action": "Obey", "request": 1, "release": 1, "verb": verb, "by": {"person": "eve", "reason": "r", "at": "2026-01-01T00:00:00Z"}}),
    )
}

fn approved(id: u64, wave: u32, stage: &str, person: &str) -> Done {
    let approval: Approval = serde_json::from_value(
        json!({"id": id, "wave": wave, "stage": stage, "person": person,
        "groups": ["sre"], "plan_digest": "", "at": "2026-01-01T00:00:10Z"}),
    )
    .expect("an approval");
    Done::Approved(approval)
}

fn entries(story: Vec<(i64, Done)>) -> Vec<Entry> {
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let entry = |(index, (seconds, done)): (usize, (i64, Done))| Entry {
        sequence: u64::try_from(index).expect("a number"),
        release: "checkout#1".to_owned(),
        at: begin + jiff::SignedDuration::from_secs(seconds),
        done,
    };
    story.into_iter().enumerate().map(entry).collect()
}

/// What the story is changed to, and what is said to it.
type Case = (&'static str, fn(&mut Vec<(i64, Done)>), &'static str);

const CASES: &[Case] = &[
    ("as it should be", |_| {}, ""),
    ("no approval", |s| drop(s.remove(1)), "0 of 1 approvals"),
    (
        "by the author",
        |s| s[1].1 = approved(1, 1, "Before", "eve"),
        "0 of 1 approvals",
    ),
    (
        "for another wave",
        |s| s[1].1 = approved(1, 2, "Before", "ada"),
        "0 of 1 approvals",
    ),
    (
        "to pass, where the start is asked for",
        |s| s[1].1 = approved(1, 1, "After", "ada"),
        "0 of 1 approvals",
    ),
    (
        "too old",
        |s| s.iter_mut().skip(2).for_each(|one| one.0 += 3700),
        "0 of 1 approvals",
    ),
    (
        "void",
        |s| {
            let void = json!({"action": "VoidApprovals", "release": 1, "wave": 1, "approvals": [1], "why": "w"});
            s.insert(2, (15, decided(void)));
        },
        "0 of 1 approvals",
    ),
    ("none to pass", |s| drop(s.remove(13)), "0 of 1 approvals"),
    (
        "paused",
        |s| s.insert(2, (15, said(json!({"verb": "Pause"})))),
        "while the release is paused",
    ),
    (
        "resumed",
        |s| {
            s.insert(2, (15, said(json!({"verb": "Pause"}))));
            s.insert(3, (16, said(json!({"verb": "Resume"}))));
        },
        "",
    ),
    ("bakes too short", |s| s[5].0 = 89, "bakes until"),
    (
        "promoted",
        |s| {
            s[5].0 = 60;
            s.insert(5, (50, said(json!({"verb": "Promote", "wave": "first"}))));
        },
        "",
    ),
    (
        "promoted, and run again",
        |s| {
            s[5].0 = 60;
            s.insert(5, (50, said(json!({"verb": "Promote", "wave": "first"}))));
            s.insert(6, (51, said(json!({"verb": "Retry", "cluster": "a"}))));
        },
        "bakes until",
    ),
    ("before its wave", |s| drop(s.remove(5)), "starts before"),
    (
        "its wave is skipped",
        |s| s[5].1 = said(json!({"verb": "SkipWave", "wave": "first"})),
        "",
    ),
    ("two at once", |s| drop(s.remove(8)), "beside 1 others of 1"),
    (
        "two failed",
        |s| s[10].1 = state("c", Failed),
        "2 failed of 1",
    ),
    (
        "one of them is excused",
        |s| {
            s[10].1 = state("c", Failed);
            s.insert(13, (106, state("c", Skipped)));
        },
        "",
    ),
    (
        "still on its way",
        |s| drop(s.remove(12)),
        "are on their way",
    ),
    (
        "after its end",
        |s| {
            let end =
                json!({"action": "EndRelease", "release": 1, "phase": "Failed", "verdict": "v"});
            s.insert(7, (90, decided(end)));
        },
        "starts before",
    ),
    (
        "after an abort",
        |s| s.insert(7, (90, said(json!({"verb": "Abort"})))),
        "starts before",
    ),
    (
        "back to what it had",
        |s| s.push((200, granted("a", "Rollback", "v1"))),
        "",
    ),
    (
        "back to something else",
        |s| s.push((200, granted("a", "Rollback", "v0"))),
        "S20",
    ),
    (
        "back from nothing",
        |s| s.insert(3, (20, granted("b", "Rollback", "v1"))),
        "never went forward",
    ),
];

#[test]
fn each_rule_finds_its_breach_and_nothing_else() {
    for (name, change, wanted) in CASES {
        let mut story = story();
        change(&mut story);
        match check(&entries(story)) {
            Ok(()) => assert!(wanted.is_empty(), "{name}: nothing was found"),
            Err(why) => assert!(!wanted.is_empty() && why.contains(wanted), "{name}: {why}"),
        }
    }
}
