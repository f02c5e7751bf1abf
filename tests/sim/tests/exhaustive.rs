//! The small world, whole. In: what may break. Out: nothing is wrong in any state of it, and from each there is a way to
//! rest; planted bugs are found. It must not look at random lives.
#![allow(clippy::panic)]

use tests_sim::exhaustive::{Found, Left, Size, explore};
use tests_sim::{Bugs, Planted};

/// Nothing breaks.
const NOTHING: Left = Left {
    crashes: 0,
    losses: 0,
    copies: 0,
    delays: 0,
};
/// One set comes once more.
const COPY: Left = Left {
    copies: 1,
    ..NOTHING
};
/// One stream is lost with what is on its way in it.
const LOSS: Left = Left {
    losses: 1,
    ..NOTHING
};
/// One answer, or one commit, comes late.
const DELAY: Left = Left {
    delays: 1,
    ..NOTHING
};
/// One process dies: a hub, or an agent at any of its writes.
const CRASH: Left = Left {
    crashes: 1,
    ..NOTHING
};
/// One cluster in the first wave, two in the second, one of them at once.
const THREE: Size = Size {
    clusters: 3,
    drafts: true,
};
/// One cluster in each wave.
const TWO: Size = Size {
    clusters: 2,
    drafts: true,
};

fn comes_to_rest(left: Left, size: Size) {
    let found = explore(left, size, Bugs::default());
    let Found {
        states,
        moves,
        at_rest,
        ..
    } = found;
    println!("{left:?} {size:?}: {states} states, {moves} moves, {at_rest} at rest");
    if let Some((wrong, way)) = found.wrong {
        panic!("{wrong} after {way:?}");
    }
    assert!(at_rest > 0, "it never comes to rest");
}

#[test]
fn every_order_of_a_release_comes_to_rest() {
    comes_to_rest(NOTHING, THREE);
}

/// The same with three clusters is `make exhaustive`.
#[test]
fn every_order_with_one_crash_comes_to_rest() {
    comes_to_rest(CRASH, TWO);
}

#[test]
fn every_order_with_one_loss_comes_to_rest() {
    comes_to_rest(LOSS, TWO);
}

#[test]
fn every_order_with_one_delay_comes_to_rest() {
    comes_to_rest(DELAY, TWO);
}

#[test]
fn planted_bugs_are_found() {
    let all = [
        (Planted::EpochUnchecked, NOTHING),
        (Planted::FenceUnchecked, COPY),
        (Planted::AckBeforeStoring, CRASH),
        (Planted::AckBeforeFence, CRASH),
        (Planted::FenceAfterEffect, CRASH),
        (Planted::OutcomeInMemory, CRASH),
        (Planted::ToldWhenSent, CRASH),
    ];
    let mut missing = Vec::new();
    for (bug, left) in all {
        let bugs = Bugs {
            shell: Some(bug),
            ..Bugs::default()
        };
        // What is found without a crash proves nothing of crashes.
        let calm = left == CRASH && explore(NOTHING, TWO, bugs).wrong.is_some();
        match explore(left, TWO, bugs).wrong {
            Some((wrong, way)) if !calm => println!("{bug:?}: {wrong} after {} moves", way.len()),
            Some(_) | None => missing.push(bug),
        }
    }
    assert!(missing.is_empty(), "{missing:?} are not found");
}
