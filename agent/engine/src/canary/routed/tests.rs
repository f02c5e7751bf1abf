//! Counts and shares, as tables.
#![allow(clippy::unwrap_used)]

use super::*;

fn routed(replicas: i32, dynamic: bool) -> Routed {
    Routed {
        most: 100,
        replicas,
        minimum: replicas - replicas / 4,
        least: 0,
        dynamic,
    }
}

#[test]
fn pods_are_rounded_up_and_lifted() {
    // replicas, least, most, weight -> pods
    let table = [
        (5, 0, 100, 0, 0),
        (5, 0, 100, 1, 1),
        (5, 0, 100, 20, 1),
        (5, 0, 100, 21, 2),
        (5, 0, 100, 100, 5),
        (5, 2, 100, 1, 2),
        (5, 9, 100, 1, 5),
        (5, 2, 100, 0, 0),
        (0, 2, 100, 50, 0),
        (10, 0, 1000, 1, 1),
        (10, 0, 1000, 500, 5),
    ];
    for (replicas, least, most, weight, pods) in table {
        let routed = Routed {
            least,
            most,
            ..routed(replicas, false)
        };
        assert_eq!(
            routed.pods(weight),
            pods,
            "{weight} of {most}, {replicas} replicas, {least}"
        );
    }
}

#[test]
fn shares() {
    let earlier = [20, 60];
    // shown, target, reached, canary, stable -> next, short
    let table = [
        // Up only with every pod.
        (0, 20, false, 0, 8, 0, Some(Short::Empty)),
        (0, 20, false, 1, 8, 0, Some(Short::Canary)),
        (0, 20, true, 2, 8, 20, None),
        (20, 60, false, 4, 8, 20, Some(Short::Canary)),
        // Nothing for a version without pods, however little the stable one has.
        (60, 60, false, 0, 1, 0, Some(Short::Empty)),
        (60, 0, false, 0, 0, 60, None),
        // Down as far as the stable version bears it.
        (60, 20, true, 5, 8, 20, None),
        (60, 0, true, 5, 6, 0, None),
        (60, 0, true, 5, 5, 20, Some(Short::Stable)),
        (60, 0, true, 5, 4, 60, Some(Short::Stable)),
        (90, 0, true, 8, 3, 60, Some(Short::Stable)),
        (90, 0, true, 8, 1, 90, Some(Short::Stable)),
        // Where it is.
        (20, 20, true, 2, 8, 20, None),
    ];
    for (shown, target, reached, canary, stable, next, short) in table {
        let ask = Ask {
            shown,
            target,
            reached,
            canary,
            stable,
            earlier: &earlier,
        };
        assert_eq!(share(routed(8, true), ask), (next, short), "{ask:?}");
    }
}

#[test]
fn no_share_rises_without_pods_and_none_falls_onto_nobody() {
    for replicas in 0..8 {
        for shown in [0, 10, 50, 100] {
            for target in [0, 10, 50, 100] {
                for canary in 0..=replicas {
                    for stable in 0..=replicas {
                        for reached in [false, true] {
                            let routed = routed(replicas, true);
                            let ask = Ask {
                                shown,
                                target,
                                reached,
                                canary,
                                stable,
                                earlier: &[10, 50],
                            };
                            let (next, _) = share(routed, ask);
                            assert!(next <= shown || reached && canary > 0, "{ask:?} -> {next}");
                            assert!(next <= shown.max(target), "{ask:?} -> {next}");
                            if next < shown && replicas > 0 {
                                assert!(stable > 0, "{ask:?} -> {next}");
                            }
                            if canary == 0 && stable > 0 {
                                assert_eq!(next, 0, "{ask:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}
