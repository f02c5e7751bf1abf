//! What can go wrong with the store. In: sqlx's errors. Out: the few kinds that callers treat differently. It must not hide
//! a kind: unavailable is never "nothing there".

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres did not answer, or not in time. Nothing is known about what it did.
    #[error("the database does not answer: {0}; the hub starts nothing until it does")]
    Unavailable(#[source] sqlx::Error),
    /// Another hub decides now (fencing); whoever gets this stops deciding.
    #[error("epoch {epoch} is over: another hub decides now")]
    Fenced {
        /// The epoch that is over.
        epoch: i64,
    },
    /// Two transactions met; the caller may try again.
    #[error("the transaction met another one: {0}")]
    Conflict(#[source] sqlx::Error),
    /// A row that this version cannot read.
    #[error("{what} in the database cannot be read: {why}; it was written by another version of the hub")]
    Unreadable {
        /// Which row.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The statement or the data is wrong; a defect of ours.
    #[error("the database refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
    /// The migrations could not be applied.
    #[error("the database could not be brought to this version: {0}; restore it or start the hub that it belongs to")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// There is nothing by this name.
    #[error("there is no {0}")]
    NotFound(String),
    /// The session is not the cluster's current one (gate.md L3).
    #[error("session {session} of {cluster} is over")]
    StaleSession {
        /// The cluster.
        cluster: String,
        /// The session that is over.
        session: u64,
    },
    /// The same certificate from another cluster (gate.md L4).
    #[error(
        "{cluster} is bound to another cluster: its kube-system namespace has UID {bound}, this agent's has {offered}; \
         join this cluster under a name of its own"
    )]
    DuplicateIdentity {
        /// The name in the certificate.
        cluster: String,
        /// The UID bound at join.
        bound: String,
        /// The UID that the agent said.
        offered: String,
    },
    /// A join token that may not be used.
    #[error("{0}")]
    Token(crate::token::Refused),
    /// An approval that may not be stored.
    #[error("{0}")]
    Approval(crate::approval::Refused),
}

/// SQLSTATEs after which the same transaction may succeed: serialization failure, deadlock.
const RETRYABLE: [&str; 2] = ["40001", "40P01"];
/// SQLSTATE classes that say "not now": connection, resources, operator intervention (shutdown, cancel), lock not available.
const AWAY: [&str; 5] = ["08", "53", "57", "58", "55"];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        if let Some(code) = code {
            if RETRYABLE.contains(&code.as_str()) {
                return Self::Conflict(error);
            }
            if AWAY.iter().any(|class| code.starts_with(class)) || code == "25006" {
                return Self::Unavailable(error);
            }
            return Self::Refused(error);
        }
        if is_ours(&error) { Self::Refused(error) } else { Self::Unavailable(error) }
    }
}

/// Errors that no waiting mends: a row or a statement that does not fit the code.
fn is_ours(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::RowNotFound
    )
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => Self::from(error),
            other => Self::Migration(other),
        }
    }
}
