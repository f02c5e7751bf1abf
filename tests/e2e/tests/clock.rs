//! An agent whose wall clock is set in mid-canary, an hour forward and an hour back (F52). In: a clock of its own. Out: each
//! pause lasts as long as its step says: it is not over at once, and not an hour late.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::lane::{self, Lane};
use tests_e2e::object::{number, text};
use tests_fleet::AgentOptions;
use tests_fleet::clock::Clock;

/// Instance id and namespace.
const ID: &str = "clock";
const HOUR: i64 = 3_600;
/// Of each pause: longer than a busy machine takes to show that it began.
const PAUSE: i64 = 10;

#[tokio::test]
async fn a_pause_lasts_its_length_whatever_the_clock_is_set_to() {
    let shared = Shared::get().await.expect("the shared cluster");
    let clock = Clock::right(shared.run(), ID).expect("a clock");
    let options = AgentOptions {
        environment: clock.environment(),
        ..lane::options(shared, ID)
    };
    let lane = Lane::open_with(shared, ID, &options).await;
    let lane = lane.expect("an agent");
    let shop = &lane.shop;
    let steps = json!([
        {"setWeight": 20}, {"pause": {"duration": PAUSE}},
        {"setWeight": 60}, {"pause": {"duration": PAUSE}},
    ]);
    shop.first("v1", &steps).await.expect("the first version");
    shop.deploy("v2", &steps).await.expect("the second version");
    for (step, from, to) in [(1, 0, HOUR), (3, HOUR, 0)] {
        let paused = shop.paused_at(step).await.expect("in a pause");
        let begun = text(&paused, "/status/pauseConditions/0/startTime");
        let begun: Timestamp = begun.parse().expect("a time");
        clock.set(to).expect("set");
        // Something to look at, with the clock as it is now.
        let touch = json!({"metadata": {"annotations": {"touched": step.to_string()}}});
        shop.patch(&touch).await.expect("touched");
        let over = |rollout: &Value| number(rollout, "/status/currentStepIndex") > step;
        shop.until("behind the pause", over).await.expect("goes on");
        let begun = begun - SignedDuration::from_secs(from);
        let lasted = Timestamp::now().duration_since(begun);
        assert!(lasted.as_secs() >= PAUSE, "S12: step {step}: {lasted:#}");
    }
    shop.healthy("v2").await.expect("healthy");
    lane.close().await.expect("its rights are enough");
}
