//! How many connections the hub may have open.
//!
//! In: the limits of the process. Out: the soft one raised to the hard one. It must not fail: with fewer the hub works, and
//! says how many agents it can bear.

/// Ten thousand agents, people, and the database's sixteen.
const WANTED: u64 = 16_384;

/// Raises the soft limit as far as it goes.
pub fn raise() {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(limit) if limit < WANTED => {
            tracing::info!(
                limit,
                "each agent holds one connection; for more of them raise the limit of open files"
            );
        }
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
