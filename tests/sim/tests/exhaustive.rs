//! The small world, whole. In: what may break. Out: nothing is wrong in any state of it, and from each there is a way to
//! rest; planted bugs are found. It must not look at random lives.
#![allow(clippy::panic)]

use tests_sim::exhaustive::{Found, Left, explore};
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

#[test]
fn every_order_of_a_release_comes_to_rest() {
    let found = explore(NOTHING, true, Bugs::default());
    let Found {
        states,
        moves,
        at_rest,
        ..
    } = found;
    println!("{states} states, {moves} moves, {at_rest} at rest");
    if let Some((wrong, way)) = found.wrong {
        panic!("{wrong} after {way:?}");
    }
    assert!(at_rest > 0, "it never comes to rest");
}

#[test]
fn planted_bugs_are_found() {
    let shell = |bug| Bugs {
        shell: Some(bug),
        ..Bugs::default()
    };
    let all = [
        ("EpochUnchecked", NOTHING, shell(Planted::EpochUnchecked)),
        ("FenceUnchecked", COPY, shell(Planted::FenceUnchecked)),
    ];
    let mut missing = Vec::new();
    for (name, left, bugs) in all {
        match explore(left, false, bugs).wrong {
            Some((wrong, way)) => println!("{name}: {wrong} after {} moves", way.len()),
            None => missing.push(name),
        }
    }
    assert!(missing.is_empty(), "{missing:?} are not found");
}
