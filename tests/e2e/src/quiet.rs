//! Waiting until nothing is done any more. In: a number that grows with what is done. Out: its value once it has stood
//! still for as long as asked.

use std::time::{Duration, Instant};

use tests_fleet::{Result, eventually};

/// Waits until `count` has not changed for `span`.
pub async fn quiet(
    what: &str,
    span: Duration,
    deadline: Duration,
    count: impl Fn() -> u64,
) -> Result<u64> {
    let mut last = (count(), Instant::now());
    eventually(what, deadline, async || {
        let now = count();
        if now != last.0 {
            last = (now, Instant::now());
        }
        if last.1.elapsed() >= span {
            Ok(now)
        } else {
            Err(format!("{now} so far"))
        }
    })
    .await
}
