//! Bad plans about releases: opening, overtaking, ending. In: nothing. Out: plans and what each breaks. They must not be taken from a planner.

use std::sync::Arc;

use hub_engine::Action;
use hub_engine::document::OnFailure;
use hub_engine::release::{Cause, ReleasePhase, TargetState};

use crate::{Bad, NOTHING, by_change, end, open, set};

pub const RELEASES: [Bad; 12] = [
    (
        "what Hello brought opens one",
        "hello-brings-unknown-content",
        NOTHING,
        |observed| vec![open(observed, 2, by_change(1))],
        "G24",
    ),
    (
        "a change with an old generation",
        "change-without-higher-generation",
        NOTHING,
        |observed| vec![open(observed, 2, by_change(7))],
        "G24",
    ),
    (
        "a barred change",
        "change-to-a-barred-digest",
        NOTHING,
        |observed| vec![open(observed, 3, by_change(9))],
        "G17",
    ),
    (
        "a number is left out",
        "change-opens-a-release",
        NOTHING,
        |observed| vec![open(observed, 9, by_change(7))],
        "S2",
    ),
    (
        "nobody asked",
        "person-starts-nothing",
        NOTHING,
        |observed| {
            let person = Cause::Person {
                person: "ada".into(),
                reason: "because".to_owned(),
                request: 99,
                expedite: false,
            };
            vec![open(observed, 2, person)]
        },
        "G24",
    ),
    (
        "two at once",
        "newer-change-waits-behind-the-first-wave",
        NOTHING,
        |observed| vec![open(observed, 3, by_change(8))],
        "G26",
    ),
    (
        "overtaken behind its first wave",
        "newer-change-waits-behind-the-first-wave",
        NOTHING,
        |_| {
            let skip = |cluster| set(cluster, TargetState::Skipped);
            vec![skip("eu-2"), skip("us-1"), end(ReleasePhase::Superseded)]
        },
        "G26",
    ),
    (
        "overtaken for the third time",
        "newer-change-overtakes-in-the-first-wave",
        |observed| {
            observed.releases[0].overtook = 2;
        },
        |_| {
            let skip = |cluster| set(cluster, TargetState::Skipped);
            vec![
                skip("eu-1"),
                skip("eu-2"),
                skip("us-1"),
                end(ReleasePhase::Superseded),
            ]
        },
        "G26",
    ),
    (
        "success before the last wave",
        "bake-goes-on",
        NOTHING,
        |_| {
            let skip = |cluster| set(cluster, TargetState::Skipped);
            vec![
                skip("eu-1"),
                skip("eu-2"),
                skip("us-1"),
                end(ReleasePhase::Succeeded),
            ]
        },
        "S1",
    ),
    (
        "halted without cause",
        "canary-in-flight",
        NOTHING,
        |_| {
            vec![Action::HaltRelease {
                release: 2,
                why: String::new(),
            }]
        },
        "S1",
    ),
    (
        "a bar without an agent's word",
        "canary-in-flight",
        NOTHING,
        |_| {
            vec![Action::Bar {
                release: 2,
                digest: "v1:v2".into(),
            }]
        },
        "G17",
    ),
    (
        "ended with clusters left",
        "rollback-of-later-waves-first",
        |observed| {
            Arc::make_mut(&mut observed.releases[0].plan).on_failure = OnFailure::Halt;
        },
        |_| {
            vec![
                set("us-1", TargetState::Skipped),
                end(ReleasePhase::RolledBack),
            ]
        },
        "G22",
    ),
];
