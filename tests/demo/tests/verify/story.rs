//! The story as a good fleet would live it, and what a bad one would do instead at one place. In: what to doctor. Out: a
//! world. The times are those of the scenario, so that a change there changes this story as well.

use tests_demo::scenario::{
    APPROVED, BAD_IN, BAKE, CLUSTERS, FIRST_PAUSE, FROZEN, FROZEN_FOR, MEASURE_EVERY, MEASUREMENTS,
    REPLICAS, SECOND_PAUSE, VERSIONS, Version,
};

use crate::world::{Moment, World};

/// Between two pods that come up one after the other.
const POD: Moment = 600;

/// What a bad fleet does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Doctored {
    No,
    BadReachedProduction,
    WaveTooSoon,
    ShareTooHigh,
    NotTakenBack,
}

fn v2() -> Version {
    let [_, v2, ..] = VERSIONS;
    v2
}

fn first_step() -> Moment {
    let held = FIRST_PAUSE + MEASURE_EVERY * (MEASUREMENTS - 1);
    i64::try_from(held.as_millis()).expect("short") + 300
}

fn second_step() -> Moment {
    i64::try_from(SECOND_PAUSE.as_millis()).expect("short") + 300
}

fn bake() -> Moment {
    i64::try_from(BAKE.as_millis()).expect("short")
}

/// Told to its end.
pub fn told(doctored: Doctored) -> World {
    let [v1, v2, v3, v4, v5] = VERSIONS;
    let mut world = World::default();
    let mut now = 1_000;
    world.push(v1, now);
    for cluster in CLUSTERS {
        for _ in 0..REPLICAS {
            world.pod(cluster, v1, now + 500, None);
        }
        world.set_wanted(cluster, now + 450, v1, REPLICAS);
    }
    world.load_from = now + 2_000;
    now += 5_000;

    now = waves(&mut world, v2, v1, now, &CLUSTERS, doctored);

    world.push(v3, now);
    world.permitted(v3, "staging", "may go to it");
    let over = caught(&mut world, "staging", v3, v2, now + 600);
    if doctored == Doctored::BadReachedProduction {
        world.pod("prod-us", v3, now + 700, Some(now + 1_700));
    }
    now = over + 4_000;

    now = waves(&mut world, v4, v2, now, &["staging"], doctored);
    world.approve(v4, now + 500);
    world.permitted(v4, APPROVED, "may go to it");
    now = caught(&mut world, BAD_IN, v4, v2, now + 600) + 800;
    if doctored != Doctored::NotTakenBack {
        world.permitted(v4, "staging", "goes back to another");
        replaced(&mut world, "staging", v4, v2, now);
    }
    now += 8_000;

    now = waves(&mut world, v5, v2, now, &CLUSTERS, Doctored::No);
    world.ended = now + 2_000;
    world.ask();
    world
}

/// Through these clusters, one after the other; gives the moment after the last bake.
fn waves(
    world: &mut World,
    version: Version,
    before: Version,
    pushed: Moment,
    clusters: &[&str],
    doctored: Doctored,
) -> Moment {
    world.push(version, pushed);
    let mut now = pushed + 600;
    for cluster in clusters {
        if *cluster == APPROVED {
            now += 500;
            world.approve(version, now - 100);
            world.killed = now + 1_500;
            let (before, after) = (("hub-a", 1, now + 1_400), ("hub-b", 2, now + 7_000));
            world.leaders = vec![before, after];
        }
        if *cluster == FROZEN && version == v2() {
            now += i64::try_from(FROZEN_FOR.as_millis()).expect("short") + 500;
            world.thawed = now - 100;
        }
        if *cluster == APPROVED && version == v2() {
            world.frozen = now + 1_000;
        }
        if *cluster == APPROVED && doctored == Doctored::WaveTooSoon {
            now -= 1_500;
        }
        world.permitted(version, cluster, "may go to it");
        now = canary(world, cluster, version, before, now, doctored) + bake() + 200;
    }
    now
}

/// All the way; gives the moment at which every pod serves.
fn canary(
    world: &mut World,
    cluster: &str,
    version: Version,
    before: Version,
    begin: Moment,
    doctored: Doctored,
) -> Moment {
    let mut now = begin;
    for pods in 1..=REPLICAS {
        world.set_wanted(cluster, now - 10, version, pods);
        world.pod(cluster, version, now, None);
        end_one(world, cluster, before, now + POD);
        now += match pods {
            1 if doctored == Doctored::ShareTooHigh => 2 * POD,
            1 => POD + first_step(),
            3 => POD + second_step(),
            _ => POD,
        };
    }
    now
}

/// As far as the first step; gives the moment at which it is gone.
fn caught(
    world: &mut World,
    cluster: &str,
    version: Version,
    before: Version,
    begin: Moment,
) -> Moment {
    world.set_wanted(cluster, begin - 10, version, 1);
    end_one(world, cluster, before, begin + POD);
    let seen = begin + POD + first_step() - 1_500;
    world.set_wanted(cluster, seen, version, 0);
    world.pod(cluster, before, seen, None);
    world.pod(cluster, version, begin, Some(seen + 2 * POD));
    seen + 2 * POD
}

/// One version in place of another, without steps.
fn replaced(world: &mut World, cluster: &str, from: Version, to: Version, begin: Moment) {
    for at in 0..REPLICAS {
        let moment = begin + POD * i64::try_from(at).expect("few");
        world.pod(cluster, to, moment, None);
        end_one(world, cluster, from, moment + POD);
    }
}

/// One pod of a version goes; the oldest of all, where a doctored story has none of it.
fn end_one(world: &mut World, cluster: &str, version: Version, time: Moment) {
    let pods = &mut world.cluster(cluster).pods;
    let mut running = (0..pods.len()).filter(|at| pods[*at].ended.is_none());
    let at = running
        .clone()
        .find(|at| pods[*at].version == version)
        .or_else(|| running.next());
    pods[at.expect("one that runs")].ended = Some(time);
}
