//! What can go wrong with the store. In: sqlx's errors. Out: the few kinds that callers treat differently. It must not hide
//! a kind: unavailable is never "nothing there".

use std::collections::BTreeSet;

/// Why a call to the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Postgres did not answer, or not in time. What it did is not known.
    #[error("the database does not answer: {message}; the hub starts nothing until it does")]
    Unavailable {
        /// What was seen.
        message: String,
    },
    /// Another hub decides now; whoever gets this stops deciding.
    #[error("epoch {epoch} is over: another hub decides now")]
    Fenced {
        /// The epoch that is over.
        epoch: i64,
    },
    /// The database may have been restored (gate.md L5).
    #[error("{why}")]
    Held {
        /// Why, and what a person does.
        why: String,
    },
    /// Other transactions were in the way each time; try again.
    #[error("other transactions were in the way: {message}")]
    Busy {
        /// What Postgres said.
        message: String,
    },
    /// A plan that breaks an invariant was not written. A defect of ours.
    #[error("a plan broke an invariant and was not written: {violations}")]
    Audit {
        /// The violations.
        violations: String,
    },
    /// A row that this version cannot read.
    #[error(
        "{what} in the database cannot be read: {message}; it was written by another version of the hub"
    )]
    Corrupt {
        /// Which row.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// A plan changes a row that is not there, or more than one. A defect of ours; nothing was written.
    #[error(
        "{what} was decided on and is not in the tables ({rows} rows would change): nothing was written"
    )]
    Astray {
        /// Which row.
        what: String,
        /// How many there are.
        rows: u64,
    },
    /// There is nothing by this name.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Not allowed, with what to do instead.
    #[error("{message}")]
    Refused {
        /// One sentence.
        message: String,
    },
    /// The migrations could not be applied.
    #[error(
        "the database could not be brought to this version: {message}; restore it or start the hub that it belongs to"
    )]
    Migrate {
        /// Which and why.
        message: String,
    },
    /// A statement or a value that does not fit the schema. A defect of ours.
    #[error("the database refused a statement: {message}")]
    Database {
        /// What it said.
        message: String,
    },
}

/// SQLSTATEs after which the same transaction may succeed: serialization failure, deadlock.
const RETRYABLE: [&str; 2] = ["40001", "40P01"];
/// SQLSTATE classes that say "not now": connection, resources, operator intervention (shutdown, cancel), system error, and
/// lock not available.
const AWAY: [&str; 5] = ["08", "53", "57", "58", "55"];
/// No room on the disk of the tables.
const DISK_FULL: &str = "53100";
/// A read-only transaction: a standby, or a full disk's protection.
const READ_ONLY: &str = "25006";
/// A prepared statement that is there already, or is not there any more: somebody takes sessions apart.
const SESSION_APART: [&str; 2] = ["42P05", "26000"];
/// What a person does about it.
pub(crate) const POOLED: &str = "a pooler with transaction pooling is before the database, which a hub cannot use: connect \
     to the database itself, or set pool_mode = session";
/// The server ended an idle transaction: it was too slow, not wrong.
const IDLE_TIMEOUT: &str = "25P03";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let message = error.to_string();
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(|code| code.into_owned()));
        if let Some(code) = code {
            if RETRYABLE.contains(&code.as_str()) {
                return Self::Busy { message };
            }
            if SESSION_APART.contains(&code.as_str()) {
                let message = POOLED.to_owned();
                return Self::Refused { message };
            }
            if code == DISK_FULL {
                let message = format!("its disk is full ({message}): make room there");
                return Self::Unavailable { message };
            }
            if AWAY.iter().any(|class| code.starts_with(class))
                || code == READ_ONLY
                || code == IDLE_TIMEOUT
            {
                return Self::Unavailable { message };
            }
            return Self::Database { message };
        }
        // JSON of another version: the one who needs this row cannot go on, and everybody else can.
        if let sqlx::Error::ColumnDecode { index, source } = &error {
            return Self::Corrupt {
                what: format!("a row's {}", index.trim_matches('"')),
                message: source.to_string(),
            };
        }
        if is_ours(&error) {
            Self::Database { message }
        } else {
            Self::Unavailable { message }
        }
    }
}

/// Errors that no waiting mends: a row or a statement that does not fit the code.
fn is_ours(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::Configuration(_)
    )
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        if let sqlx::migrate::MigrateError::Execute(error) = error {
            return Self::from(error);
        }
        Self::Migrate {
            message: error.to_string(),
        }
    }
}

pub(crate) fn not_found(what: impl std::fmt::Display) -> Error {
    Error::NotFound {
        what: what.to_string(),
    }
}

/// A change of one row that is there. Where it is not, a decision was made on something else than the tables: its
/// transaction must not commit.
pub(crate) fn one_row(
    done: &sqlx::postgres::PgQueryResult,
    what: impl FnOnce() -> String,
) -> Result<(), Error> {
    match done.rows_affected() {
        1 => Ok(()),
        rows => Err(Error::Astray { what: what(), rows }),
    }
}

/// The same for many rows: what was changed is exactly what was wanted.
pub(crate) fn every_row<'a>(
    wanted: impl Iterator<Item = &'a str>,
    done: &[String],
    what: impl Fn(&str) -> String,
) -> Result<(), Error> {
    let done: BTreeSet<&str> = done.iter().map(String::as_str).collect();
    match wanted.into_iter().find(|one| !done.contains(one)) {
        Some(one) => Err(Error::Astray {
            what: what(one),
            rows: 0,
        }),
        None => Ok(()),
    }
}
