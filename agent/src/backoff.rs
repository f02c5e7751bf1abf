//! How long to wait after failures. In: how often it failed in a row. Out: a time, doubled each time, with jitter so that
//! many do not come back at once. It must not sleep.

use std::time::Duration;

use rand::Rng as _;

/// Doublings beyond this would overflow and change nothing: every limit is reached long before.
const MAX_DOUBLINGS: u32 = 20;

/// A range of waiting times.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never more.
    pub most: Duration,
}

impl Backoff {
    /// The time to wait after this many failures in a row: between half and all of the doubled time.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
        let whole = self.first.saturating_mul(1 << doublings).min(self.most);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            most: Duration::from_secs(10),
        };
        for (failures, most) in [
            (1, 100),
            (2, 200),
            (5, 1600),
            (8, 10_000),
            (100, 10_000),
            (u32::MAX, 10_000),
        ] {
            let most = Duration::from_millis(most);
            let wait = backoff.after(failures);
            assert!(wait <= most && wait >= most / 2, "{failures}: {wait:?}");
        }
    }
}
