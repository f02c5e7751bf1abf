//! How many files and connections the agent may have open.
//!
//! In: the limits of the process. Out: the soft one raised to the hard one. It must not fail: with fewer the agent works,
//! and says what it cannot bear.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Two providers that hang hold 512 connections each, and every measurement of the 4,096 at a time may need one.
const WANTED: u64 = 8192;

/// Raises the soft limit as far as it goes.
pub fn raise() {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    let after = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => before.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            before.current
        }
    };
    // No limit at all is none.
    if let Some(limit) = after.filter(|limit| *limit < WANTED) {
        tracing::warn!(
            limit,
            "few files may be open: providers that hang can keep others from being asked; raise the limit to {WANTED}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current, after.maximum);
    }
}
