//! How long a call to the store may take, by this side's clock. In: a call. Out: its answer, or that the database does not
//! answer. It must not say that nothing was done: what a call did that was given up is not known.
//!
//! The server's own limits (`connection::LIMITS`) end what the server still hears of. A connection that fell silent in the
//! midst of a transaction is known to neither side: TCP takes a quarter of an hour to give it up, or never does where
//! somebody between them still acknowledges. So the caller does. Giving up drops the transaction; what was held by it is freed
//! by the server's limit for idle transactions, and its connection does not come back to the pool (`connection::pool`).

use std::future::Future;
use std::time::Duration;

use crate::{Error, Result};

/// Above what any call takes that gets on: single statements end after 5 s, and the biggest decision (ten thousand clusters)
/// takes seconds. So long a connection that fell silent keeps whoever needs its answer.
pub const CALL_MAX: Duration = Duration::from_secs(30);
/// For what streams of agents wait for, which is short, and is asked again. One transaction is for many of them. Below the time after which a cluster counts
/// as out of contact (`session::CONNECTED_SECONDS`): a connection of ours that fell silent is no silence of the cluster's.
pub const STREAM_MAX: Duration = Duration::from_secs(10);
/// For bringing the schema up to date at start, statement by statement, after another hub that does the same.
pub const MIGRATE_MAX: Duration = Duration::from_secs(300);
/// A connection that does not answer so long after its last user is closed. As long as one is waited for.
pub(crate) const PING_MAX: Duration = Duration::from_secs(3);

/// Gives a call up that takes longer.
///
/// # Errors
/// `Unavailable`: it took longer; and what the call says.
pub async fn within<T>(most: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    let answer = tokio::time::timeout(most, call).await;
    answer.unwrap_or_else(|_| {
        let most = most.as_secs();
        let message = format!("no answer within {most} s, so its connection was given up");
        Err(Error::Unavailable { message })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_silent_connection_costs_no_cluster_its_contact() {
        let contact = u64::from(crate::session::CONNECTED_SECONDS.unsigned_abs());
        let beat = u64::from(crate::session::HEARTBEAT_SECONDS);
        assert!(STREAM_MAX.as_secs() + beat <= contact);
    }

    #[tokio::test]
    async fn what_gets_no_answer_is_given_up() {
        let silent = within(Duration::ZERO, std::future::pending::<Result<()>>()).await;
        assert!(
            matches!(silent, Err(Error::Unavailable { .. })),
            "{silent:?}"
        );
        assert_eq!(within(CALL_MAX, async { Ok(7) }).await.unwrap(), 7);
    }
}
