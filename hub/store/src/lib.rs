//! What the hub keeps in Postgres, and the only crate that names sqlx. In: values of the engine and of the link. Out: rows
//! of one consistent snapshot, or one transaction that writes a plan with its history. It must not decide: every choice is
//! `hub_engine`'s, and what it refuses it refuses because a number or a name does not match.

pub mod apply;
pub mod approval;
pub mod cluster;
pub mod connection;
pub mod decide;
pub mod embedded;
pub mod epoch;
pub mod error;
pub mod fleet_rollout;
pub mod gate;
pub mod hint;
pub mod history;
pub mod observe;
mod outline;
pub mod passwd;
pub mod release;
pub mod report;
mod row;
pub mod rollout;
pub mod session;
mod statements;
mod target;
mod time;
pub mod token;

pub use connection::Store;
pub use decide::Decided;
pub use epoch::Epoch;
pub use error::Error;
pub use gate::{GateRow, Sealed, Sealer};
pub use hint::Hints;

/// What the store's functions answer.
pub type Result<T> = std::result::Result<T, Error>;
