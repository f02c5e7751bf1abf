//! The replica arithmetic of a canary without a router, against its rules stated a second time: every split and every move
//! that the rules allow is enumerated, and the best of them, in the rules' own order, has to be the engine's.
#![allow(clippy::unwrap_used)]

use agent_engine::canary::replicas::{Blind, Counts, Limits, Next, Want, next, split};
use tests_golden::agent_random::Dice;

/// Replicas up to here.
const REPLICAS: i32 = 30;
/// Moves tried.
const MOVES: u64 = 40_000;

/// Surge and unavailability that are tried with every number of replicas; both nothing is no valid spec.
const BOUNDS: [(i32, i32); 7] = [(0, 1), (1, 0), (1, 1), (2, 1), (0, 3), (3, 0), (8, 8)];

fn limits(replicas: i32, (surge, unavailable): (i32, i32)) -> Limits {
    Limits {
        replicas,
        surge,
        unavailable: unavailable.min(replicas),
    }
}

/// Distance of a split from a weight, as a fraction over 100 times the total.
fn distance(total: i32, new: i32, weight: i32) -> (i64, i64) {
    let (total, new, weight) = (i64::from(total), i64::from(new), i64::from(weight));
    ((new * 100 - total * weight).abs(), total)
}

/// The rules of a split, by trying every number of pods of either version.
fn stated_split(limits: Limits, weight: i32) -> Want {
    let replicas = limits.replicas;
    // Nothing asked for, everything asked for, nobody there.
    if replicas == 0 {
        return Want { stable: 0, new: 0 };
    }
    if weight == 0 || weight == 100 {
        let new = if weight == 100 { replicas } else { 0 };
        return Want {
            stable: replicas - new,
            new,
        };
    }
    let mut best: Option<(i32, i32)> = None;
    // Without the pod more first, and from many of the new version down: only something closer replaces what was found.
    for total in [replicas, replicas + 1] {
        if total > replicas && limits.surge == 0 {
            continue;
        }
        for new in (0..=total).rev() {
            let pods_for_both = total > 1 || limits.surge > 0;
            if pods_for_both && (new == 0 || new == total) {
                continue;
            }
            let closer = best.is_none_or(|(found_total, found)| {
                let (miss, over) = distance(total, new, weight);
                let (known, known_over) = distance(found_total, found, weight);
                miss * known_over < known * over
            });
            if closer {
                best = Some((total, new));
            }
        }
    }
    let (total, new) = best.unwrap();
    Want {
        stable: total - new,
        new,
    }
}

#[test]
fn every_split_is_the_closest_that_the_rules_allow() {
    let mut tried = 0;
    for replicas in 0..=REPLICAS {
        for bounds in BOUNDS {
            for weight in 0..=100 {
                let limits = limits(replicas, bounds);
                assert_eq!(
                    split(limits, weight),
                    stated_split(limits, weight),
                    "{weight} % of {limits:?}"
                );
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 31 * 7 * 101);
}

/// What every split must hold, whichever is chosen.
#[test]
fn no_split_leaves_a_version_without_pods_or_breaks_the_surge() {
    for replicas in 0..=REPLICAS {
        for bounds in BOUNDS {
            let limits = limits(replicas, bounds);
            let mut before = 0;
            for weight in 0..=100 {
                let Want { stable, new } = split(limits, weight);
                assert!(stable + new >= replicas && stable + new <= replicas + limits.surge.min(1));
                if replicas > 1 && (1..100).contains(&weight) {
                    assert!(new >= 1 && stable >= 1, "{weight} % of {limits:?}");
                }
                assert!(
                    new >= before,
                    "{weight} % of {limits:?} has fewer than less weight"
                );
                before = new;
            }
        }
    }
}

/// One state to move from.
#[derive(Debug, Clone, Copy)]
struct State {
    stable: Counts,
    new: Counts,
    older: Counts,
}

fn sure(set: Counts, to: i32) -> i32 {
    set.available.min(set.desired).min(to).max(0)
}

/// The rules of a move, by trying every number of pods of all three. The best in this order: as few as possible of what is
/// neither stable nor new; then of the new version, if it has too many, as few; then of the stable one, if it has too many,
/// as few; then as much as possible of the stable one that it lacks; then of the new one.
fn stated_move(limits: Limits, want: Want, state: State) -> (i32, i32, i32) {
    let State { stable, new, older } = state;
    let before = sure(stable, stable.desired) + sure(new, new.desired) + sure(older, older.desired);
    let least = before.min(limits.replicas - limits.unavailable);
    let most = limits.replicas + limits.surge;
    let span = |from: i32, to: i32| from.min(to)..=from.max(to);
    let mut best: Option<([i32; 5], (i32, i32, i32))> = None;
    for o in 0..=older.desired {
        for s in span(stable.desired, want.stable) {
            for n in span(new.desired, want.new) {
                // The availability rule: what is surely left is the least, or all that there was.
                let left = sure(stable, s) + sure(new, n) + sure(older, o);
                // Pods are given up before others are made, so the surge rule looks at the sum after.
                let raised = s > stable.desired || n > new.desired;
                if left < least || raised && o + s + n > most {
                    continue;
                }
                let down = |from: i32, to: i32, wanted: i32| if from > wanted { to } else { 0 };
                let up = |from: i32, to: i32, wanted: i32| if from < wanted { -to } else { 0 };
                let rank = [
                    o,
                    down(new.desired, n, want.new),
                    down(stable.desired, s, want.stable),
                    up(stable.desired, s, want.stable),
                    up(new.desired, n, want.new),
                ];
                if best.is_none_or(|(known, _)| rank < known) {
                    best = Some((rank, (s, n, o)));
                }
            }
        }
    }
    best.unwrap().1
}

fn moved(limits: Limits, want: Want, state: State) -> Next {
    let older = [state.older];
    next(
        limits,
        want,
        state.stable,
        state.new,
        &older,
        Blind::default(),
    )
}

fn some(dice: &mut Dice, end: i32) -> Counts {
    let up_to = |dice: &mut Dice, end: i32| {
        i32::try_from(dice.below(u64::try_from(end).unwrap() + 1)).unwrap()
    };
    let desired = up_to(dice, end);
    // More may be available than is wanted: they are on their way out.
    let available = up_to(dice, desired + 1);
    Counts { desired, available }
}

#[test]
fn every_move_is_the_best_that_the_rules_allow() {
    let mut dice = Dice::new(7);
    let (mut guarded, mut full, mut moves) = (0, 0, 0);
    for _ in 0..MOVES {
        let replicas = i32::try_from(dice.below(13)).unwrap();
        let bounds = BOUNDS[usize::try_from(dice.below(7)).unwrap()];
        let limits = limits(replicas, bounds);
        let weight = i32::try_from(dice.below(101)).unwrap();
        let want = split(limits, weight);
        let older = if dice.one_in(2) {
            Counts::default()
        } else {
            some(&mut dice, replicas)
        };
        let state = State {
            stable: some(&mut dice, replicas + 2),
            new: some(&mut dice, replicas + 2),
            older,
        };
        let next = moved(limits, want, state);
        let stated = stated_move(limits, want, state);
        assert_eq!(
            (next.stable, next.new, next.older[0]),
            stated,
            "{limits:?} {weight} % {want:?} {state:?}"
        );
        guarded += u64::from(next.guarded);
        full += u64::from(next.full);
        moves += u64::from(next.stable != state.stable.desired || next.new != state.new.desired);
    }
    // The draw has to reach both limits often, and to move often.
    assert!(
        guarded > MOVES / 50 && full > MOVES / 50 && moves > MOVES / 2,
        "{guarded} {full} {moves}"
    );
}

/// The row of the rules that speaks of it: while the new version grows, unavailable pods of the stable one may go, and
/// while it shrinks those of the new one; neither waits for pods that never come.
#[test]
fn pods_that_do_not_run_never_block_the_move() {
    for replicas in 2..=REPLICAS {
        for bounds in BOUNDS {
            let limits = limits(replicas, bounds);
            let all = Counts {
                desired: replicas,
                available: replicas,
            };
            let crashing = Counts {
                desired: replicas,
                available: 0,
            };
            let none = Counts::default();
            let forward = moved(
                limits,
                split(limits, 100),
                State {
                    stable: crashing,
                    new: none,
                    older: none,
                },
            );
            assert_eq!((forward.stable, forward.new), (0, replicas), "{limits:?}");
            let back = moved(
                limits,
                split(limits, 0),
                State {
                    stable: none,
                    new: crashing,
                    older: none,
                },
            );
            assert_eq!((back.stable, back.new), (replicas, 0), "{limits:?}");
            let intermediate = moved(
                limits,
                split(limits, 100),
                State {
                    stable: all,
                    new: none,
                    older: crashing,
                },
            );
            assert_eq!(intermediate.older, vec![0], "{limits:?}");
        }
    }
}
