//! Waiting for a condition, and the only place of the tests that sleeps. In: a probe and a deadline. Out: what the probe
//! found, or why its last look said no. No test waits for a fixed time in the hope that something has happened by then.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Between two looks: short beside everything that is waited for, long beside the cost of a look, also where a dozen look at
/// one API server.
const INTERVAL: Duration = Duration::from_millis(100);

/// Asks `probe` until it says `Ok`. Its `Err` is why not yet, and is shown if the deadline passes.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let begin = Instant::now();
    let mut last = String::from("nothing");
    loop {
        let left = deadline.saturating_sub(begin.elapsed());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(why)) => last = why,
            // A look that hangs counts as one that said no; the deadline below ends the wait.
            Err(_) => {}
        }
        if begin.elapsed() >= deadline {
            return Err(Error::Timeout {
                what: what.to_owned(),
                after: deadline,
                last,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The same without a runtime, for `Drop`: true if the probe came true in time.
pub(crate) fn blocking(deadline: Duration, mut probe: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !probe() {
        if begin.elapsed() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A delay that is itself the fault under test: a slow link.
pub(crate) async fn delay(by: Duration) {
    tokio::time::sleep(by).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_why_the_last_look_said_no() {
        let mut looks = 0;
        let error = eventually("the door opens", Duration::from_millis(250), async || {
            looks += 1;
            Err::<(), _>(format!("look {looks}"))
        })
        .await
        .expect_err("it never opens");
        assert!(looks >= 2);
        assert_eq!(
            error.to_string(),
            format!("the door opens: not within 0 s; last seen: look {looks}")
        );
    }

    #[tokio::test]
    async fn gives_what_was_found() {
        let mut looks = 0;
        let found = eventually("third look", Duration::from_secs(5), async || {
            looks += 1;
            if looks == 3 {
                Ok(looks)
            } else {
                Err(String::new())
            }
        })
        .await
        .expect("found");
        assert_eq!(found, 3);
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_hang_the_test() {
        let error = eventually("hang", Duration::from_millis(50), async || {
            std::future::pending::<std::result::Result<(), String>>().await
        })
        .await;
        assert!(matches!(error, Err(Error::Timeout { .. })));
    }
}
