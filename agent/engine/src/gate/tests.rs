//! The decision table: `testdata/gate.tsv`, one row a case, one check. `UPDATE=1` rewrites the last column.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};

use agent_api::{ContentDigest, DeliveryDigest, Enforcement, Fence, RollbackPhase};

use super::decide;
use super::decision::{AbortCause, Content, Decision, Mode, PermitUse};
use super::facts::*;
use super::glass::{Broken, Glass, GlassUse, Word};
use crate::observed::Governance;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gate.tsv");
/// Every rule that the table has to name.
const RULES: [&str; 19] = [
    "G1", "G2", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "G11", "G13", "G14", "G15", "G17",
    "G18", "G19", "G20", "G21", "G22",
];
const RULES_TOO: [&str; 3] = ["G16", "G23", "G30"];

fn content(name: &str) -> ContentDigest {
    ContentDigest(format!("v1:{name}"))
}

fn delivery(name: &str) -> DeliveryDigest {
    DeliveryDigest(format!("d:{name}"))
}

fn fence(version: &str) -> Fence {
    Fence {
        incarnation: 1,
        version: version.parse().unwrap(),
    }
}

/// Git wants B, A is served, nothing is permitted.
fn base() -> Facts {
    Facts {
        governance: Governance::Governed,
        first_word: FirstWord::Done,
        enforcement: Enforcement::Enforce,
        record: Record::Present,
        fleet_rollout: "checkout".into(),
        contact: Contact::Connected,
        on_hub_loss: OnHubLoss::Finish,
        lease_live: true,
        spec: content("B"),
        spec_delivery: delivery("B"),
        served: Some(content("A")),
        in_flight: None,
        succeeded: Some(content("A")),
        permit: None,
        consumed: None,
        effective: None,
        barred: BTreeSet::new(),
        failed: None,
        kept: ["A", "B"]
            .into_iter()
            .map(|name| (content(name), delivery(name)))
            .collect(),
        healthy: BTreeSet::from([content("A")]),
        gone: BTreeSet::new(),
        first_deploy_free: false,
        passed: BTreeSet::new(),
        stopped: None,
        moved_on: false,
        verb: None,
        waits_for: Some("waiting for wave 2 of 3 (europe) of release checkout#42".into()),
        glass: Glass::default(),
    }
}

#[expect(clippy::too_many_lines, reason = "a table, one line a row")]
fn facts(words: &str) -> Facts {
    let mut facts = base();
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let set = |text: &str| {
            text.split(',')
                .filter(|name| !name.is_empty())
                .map(content)
                .collect::<BTreeSet<_>>()
        };
        let maybe = |text: &str| (text != "none").then(|| content(text));
        match key {
            "governance" => {
                facts.governance = match value {
                    "StandAlone" => Governance::StandAlone,
                    "Free" => Governance::Free,
                    "Unknown" => Governance::Unknown,
                    other => panic!("governance {other}"),
                }
            }
            "first" => {
                facts.first_word = if value == "Hold" {
                    FirstWord::Hold
                } else {
                    FirstWord::Open
                }
            }
            "enforcement" => facts.enforcement = Enforcement::Observe,
            "record" => {
                facts.record = if value == "Missing" {
                    Record::Missing
                } else {
                    Record::Undecodable
                }
            }
            "lost" => {
                facts.contact = Contact::Lost {
                    seconds: value.parse().unwrap(),
                }
            }
            "loss" => facts.on_hub_loss = loss(value),
            "lease" => facts.lease_live = false,
            "spec" => {
                facts.spec = content(value);
                facts.spec_delivery = delivery(value);
            }
            "steps" => facts.spec_delivery = delivery(value),
            "served" => facts.served = maybe(value),
            "succeeded" => facts.succeeded = maybe(value),
            "flight" => facts.in_flight = Some(flight(value)),
            "permit" => facts.permit = Some(permit(value)),
            "consumed" => facts.consumed = Some(fence(value)),
            "effective" => facts.effective = Some(fence(value)),
            "barred" => facts.barred = set(value),
            "failed" => facts.failed = maybe(value),
            "kept" => {
                facts.kept = value
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(kept)
                    .collect()
            }
            "healthy" => facts.healthy = set(value),
            "gone" => facts.gone = set(value),
            "passed" => facts.passed = set(value),
            "stopped" => facts.stopped = Some("stopped by ann: alarm".to_owned()),
            "word" => facts.glass.word = Some(glass_word(value)),
            "noword" => facts.glass.refused = Some("its policy is not in force".to_owned()),
            "broken" => facts.glass.broken = Some(broken(value)),
            "free" => facts.first_deploy_free = true,
            "movedon" => facts.moved_on = true,
            "silent" => facts.waits_for = None,
            "verb" => {
                facts.verb = Some(match value.split_once(':') {
                    Some((_, step)) => Verb::StepTo(step.parse().unwrap()),
                    None if value == "retry" => Verb::Retry,
                    None => Verb::PromoteFull,
                })
            }
            other => panic!("unknown word {other}"),
        }
    }
    facts
}

fn loss(text: &str) -> OnHubLoss {
    match text.split_once(':') {
        Some((_, after)) => OnHubLoss::Abort {
            after: after.parse().unwrap(),
        },
        None if text == "Hold" => OnHubLoss::Hold,
        None => OnHubLoss::Finish,
    }
}

fn glass_word(name: &str) -> Word {
    Word {
        content: content(name),
        by: "ann".to_owned(),
        reason: "hotfix".to_owned(),
    }
}

/// `B;7;ended`
fn broken(text: &str) -> Broken {
    let mut parts = text.split(';');
    Broken {
        content: content(parts.next().unwrap()),
        over: fence(parts.next().unwrap()),
        by: "ann".to_owned(),
        ended: parts.next().is_some(),
    }
}

fn kept(text: &str) -> (ContentDigest, DeliveryDigest) {
    let (name, steps) = text.split_once(':').unwrap_or((text, text));
    (content(name), delivery(steps))
}

/// `B;2;aborted;local`
fn flight(text: &str) -> InFlight {
    let mut parts = text.split(';');
    let mut flight = InFlight {
        digest: content(parts.next().unwrap()),
        step: parts.next().unwrap().parse().unwrap(),
        aborted: false,
        permission: Permission::Fleet,
    };
    for part in parts {
        match part {
            "aborted" => flight.aborted = true,
            "local" => flight.permission = Permission::Local,
            "nobody" => flight.permission = Permission::Nobody,
            other => panic!("flight {other}"),
        }
    }
    flight
}

/// `B;7;max:2;late;ahead:3600;behind:3600;started;distrust;back;paused;backwards;steps:X`
fn permit(text: &str) -> PermitFacts {
    let mut parts = text.split(';');
    let name = parts.next().unwrap();
    let mut permit = PermitFacts {
        release: "checkout#42".into(),
        content: content(name),
        delivery: delivery(name),
        fence: fence(parts.next().unwrap()),
        max_step: None,
        start_by: StartBy::InTime,
        started: false,
        distrust: None,
        kind: PermitKind::Forward,
    };
    let back = |phase, steps_backwards| PermitKind::Rollback {
        why: "errors".into(),
        phase,
        steps_backwards,
    };
    for part in parts {
        match part.split_once(':') {
            Some(("max", step)) => permit.max_step = Some(step.parse().unwrap()),
            Some(("steps", name)) => permit.delivery = delivery(name),
            Some(("ahead", seconds)) => {
                let ahead = seconds.parse().unwrap();
                permit.start_by = StartBy::PassedHere { ahead };
            }
            Some(("behind", seconds)) => {
                let behind = seconds.parse().unwrap();
                permit.start_by = StartBy::PassedThere { behind };
            }
            None if part == "late" => permit.start_by = StartBy::Passed,
            None if part == "started" => permit.started = true,
            None if part == "distrust" => {
                permit.distrust = Some("its signature does not match".into())
            }
            None if part == "back" => permit.kind = back(RollbackPhase::Degraded, false),
            None if part == "paused" => permit.kind = back(RollbackPhase::Paused, false),
            None if part == "backwards" => permit.kind = back(RollbackPhase::Degraded, true),
            other => panic!("permit {other:?}"),
        }
    }
    permit
}

/// The decision in one line, every field of it.
fn line(decision: &Decision) -> String {
    let name = |digest: &ContentDigest| digest.as_str().trim_start_matches("v1:").to_owned();
    let mut words = vec![match &decision.content {
        Content::RunSpec => "run spec".to_owned(),
        Content::RunKept(digest) => format!("run kept {}", name(digest)),
        Content::HoldNothing => "run nothing".to_owned(),
    }];
    words.push(match &decision.mode {
        Mode::Open => "open".into(),
        Mode::Held => "held".into(),
        Mode::Forward { release } => format!("forward {release}"),
        Mode::Rollback {
            release,
            why,
            phase,
            steps_backwards,
        } => {
            format!(
                "rollback {release} ({why}) {phase}{}",
                if *steps_backwards { " backwards" } else { "" }
            )
        }
    });
    let flag = |on: bool, yes: &str, no: &str| if on { yes.to_owned() } else { no.to_owned() };
    words.push(flag(decision.may_start, "may start", "no start"));
    words.push(flag(decision.may_raise, "may raise", "no raise"));
    words.extend(decision.max_step.map(|step| format!("to step {step}")));
    words.extend(
        decision
            .held
            .as_ref()
            .map(|digest| format!("holds {}", name(digest))),
    );
    words.push(match &decision.permit {
        PermitUse::Absent => "no permit".into(),
        PermitUse::Used => "permit used".into(),
        PermitUse::Consumed => "permit consumed".into(),
        PermitUse::Ignored(why) => format!("permit ignored: {why}"),
    });
    words.extend(decision.abort_in_flight.as_ref().map(|cause| match cause {
        AbortCause::HubSilent { seconds } => format!("abort: hub silent {seconds}s"),
        AbortCause::Recorded => "abort: recorded".into(),
    }));
    words.extend(decision.restart.then(|| "restart".to_owned()));
    words.extend(decision.adopt.then(|| "adopt".to_owned()));
    words.extend(
        decision
            .outcome
            .map(|outcome| format!("outcome {outcome:?}")),
    );
    words.extend(
        decision
            .refuse_verb
            .as_ref()
            .map(|text| format!("refuse {text}")),
    );
    words.extend(match &decision.glass {
        GlassUse::Untouched => None,
        GlassUse::Breaks(word) => Some(format!("glass broken for {}", name(&word.content))),
        GlassUse::GoesOn => Some("glass broken before".to_owned()),
        GlassUse::Spent(_) => Some("word spent".to_owned()),
        GlassUse::Refused(why) => Some(format!("word refused: {why}")),
    });
    words.extend(decision.message.as_ref().map(|text| format!("says {text}")));
    words.join(" | ")
}

#[test]
fn the_table() {
    let text = std::fs::read_to_string(TABLE).unwrap();
    let update = std::env::var_os("UPDATE").is_some();
    let (mut out, mut wrong, mut names, mut rules) =
        (String::new(), Vec::new(), BTreeMap::new(), BTreeSet::new());
    for row in text.lines() {
        if row.starts_with('#') || row.is_empty() {
            out.push_str(row);
            out.push('\n');
            continue;
        }
        let cells: Vec<&str> = row.split('\t').collect();
        let (name, rule, words) = (cells[0], cells[1], cells[2]);
        assert!(
            names.insert(name.to_owned(), ()).is_none(),
            "{name} is there twice"
        );
        rules.extend(rule.split(' ').map(str::to_owned));
        let found = line(&decide(&facts(words)));
        let wanted = cells.get(3).copied().unwrap_or_default();
        if found != wanted {
            wrong.push(format!(
                "{name}\n  {words}\n  wanted {wanted}\n  found  {found}"
            ));
        }
        out.push_str(&format!("{name}\t{rule}\t{words}\t{found}\n"));
    }
    if update {
        std::fs::write(TABLE, out).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(names.len() >= 60, "only {} cases", names.len());
    for rule in RULES.iter().chain(&RULES_TOO) {
        assert!(rules.contains(*rule), "no case names {rule}");
    }
}
