//! A wave and a rollback as sagas: repeat every step, fail every step, fail and undo twice. In: one story without a fault, and
//! the same with one at each of its durable effects. Out: the same end each time, and a history that keeps every rule.

use tests_faults::World;
use tests_faults::saga::{End, Saga};
use tests_fleet::proxy::trigger::Moment;

/// A story has more durable effects than this, or nothing is shown.
const LEAST: u64 = 12;
/// On each side of each COMMIT.
const SIDES: [Moment; 2] = [Moment::BeforeForward, Moment::LostReply];

/// The story without a fault; how many COMMITs it takes.
async fn clean(saga: &mut Saga, bad: Option<usize>) -> (End, u64) {
    saga.fails_at(None);
    saga.want(bad);
    assert_eq!(saga.rest().await, 0);
    let commits = saga.commits();
    assert!(commits >= LEAST, "{commits} commits");
    (saga.end().await, commits)
}

async fn repeated(bad: Option<usize>) {
    let mut saga = Saga::begin().await;
    let (end, _) = clean(&mut saga, bad).await;
    saga.twice = true;
    let (twice, _) = clean(&mut saga, bad).await;
    assert_eq!(end, twice);
    World::check_store(saga.store()).await;
}

async fn failed(bad: Option<usize>) {
    let mut saga = Saga::begin().await;
    let (end, commits) = clean(&mut saga, bad).await;
    let mut struck = 0;
    for number in 1..=commits {
        for side in SIDES {
            saga.fails_at(Some((number, side)));
            saga.want(bad);
            struck += saga.rest().await;
            assert_eq!(end, saga.end().await, "commit {number}, {side:?}");
        }
    }
    assert!(struck as u64 >= commits, "{struck} of {commits}");
    World::check_store(saga.store()).await;
}

/// Wherever the hub is gone, two persons take the release back: it comes to the same, once.
async fn undone_twice(bad: Option<usize>) {
    let mut saga = Saga::begin().await;
    let (_, commits) = clean(&mut saga, bad).await;
    let mut undone = 0;
    for number in 1..=commits {
        saga.fails_at(Some((number, Moment::LostReply)));
        saga.want(bad);
        if saga.until_it_fails().await {
            saga.next_hub().await;
        }
        // Before there is a release there is nothing to undo.
        if saga.release().await.is_some() {
            saga.undo_twice().await;
            saga.rest().await;
            let end = saga.end().await;
            assert_eq!(end.serves, [false, false], "commit {number}");
            assert_eq!(end.outline[0], "RolledBack", "commit {number}: {end:?}");
            undone += 1;
        } else {
            saga.rest().await;
        }
    }
    assert!(undone >= LEAST, "only {undone} of {commits}");
    World::check_store(saga.store()).await;
}

#[tokio::test]
async fn a_wave_with_every_step_repeated() {
    repeated(None).await;
}

#[tokio::test]
async fn a_rollback_with_every_step_repeated() {
    repeated(Some(1)).await;
}

#[tokio::test]
async fn a_wave_that_fails_at_every_step() {
    failed(None).await;
}

#[tokio::test]
async fn a_rollback_that_fails_at_every_step() {
    failed(Some(1)).await;
}

#[tokio::test]
async fn a_wave_that_fails_at_every_step_and_is_undone_twice() {
    undone_twice(None).await;
}

#[tokio::test]
async fn a_rollback_that_fails_at_every_step_and_is_undone_twice() {
    undone_twice(Some(1)).await;
}
