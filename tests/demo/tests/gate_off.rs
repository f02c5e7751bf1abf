//! The story with the gate check switched off. In: an agent built with the test-only feature `gate-off`. Out: the demo ends
//! with an error, and the judgement names what the gate would have held back. A judgement that finds nothing wrong with
//! such a fleet would find nothing wrong with any.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;

use tests_fleet::{Process, RunDir, programs};

/// The demo has a deadline of its own below this.
const DEADLINE: Duration = Duration::from_secs(9 * 60);

#[tokio::test]
async fn the_story_fails_without_the_gate() {
    tests_fleet::init();
    let run = RunDir::temporary("gate-off").expect("a folder");
    let agent = programs::gate_off_agent().expect("the agent with its gate off");
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.arg("--exit").arg("--dir").arg(run.join("demo"));
    command.arg("--agent-binary").arg(agent);
    let mut demo = Process::spawn(&run, "demo", command).expect("the demo");
    let status = demo.wait(DEADLINE).await.expect("an end");
    let told = demo.out();
    assert_eq!(status.code(), Some(1), "{told}\n{}", demo.log());
    for wanted in [
        "WRONG waves in order, after bake and approval",
        "waves in order, after bake and approval: v2 started in prod-eu",
    ] {
        assert!(
            told.contains(wanted),
            "`{wanted}` is missing in:\n{told}\n{}",
            demo.log()
        );
    }
}
