//! How many files and connections the agent may have open.
//!
//! In: the limits of the process. Out: the soft one raised to the hard one. It must not fail: with fewer the agent works,
//! and says what it cannot bear.

/// Two providers that hang hold 512 connections each, and every measurement of the 4,096 at a time may need one.
const WANTED: u64 = 8192;

/// Raises the soft limit as far as it goes.
pub fn raise() {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(limit) if limit < WANTED => tracing::warn!(
            limit,
            "few files may be open: providers that hang can keep others from being asked; raise the limit to {WANTED}"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        super::raise();
        let (soft, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
