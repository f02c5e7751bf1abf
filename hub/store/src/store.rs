//! The connection. In: a database URL. Out: `Store`, which every other file adds its nouns to. It must not run a statement
//! of any noun itself.

use crate::error::Error;

/// The hub's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: sqlx::PgPool,
}

impl Store {
    /// Connects with bounded statements, locks and idle transactions (all shorter than the lease).
    ///
    /// # Errors
    /// `Unavailable` when the database does not answer in time.
    pub async fn connect(_url: &str) -> Result<Self, Error> {
        Err(later())
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// `Migrate` when a migration fails or is not known here.
    pub async fn migrate(&self) -> Result<(), Error> {
        Err(later())
    }

    /// The database's time; the cheapest question whether it answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn now(&self) -> Result<jiff::Timestamp, Error> {
        Err(later())
    }

    /// Closes every connection.
    pub async fn close(&self) {}
}

pub(crate) fn later() -> Error {
    Error::Unavailable { message: "not built yet".to_owned() }
}
