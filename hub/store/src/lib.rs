//! What the hub keeps in Postgres, and the only crate that names sqlx. In: values of the engine and of the link. Out: rows
//! of one consistent snapshot, or one transaction that writes a plan with its history. It must not decide: every choice is
//! `hub_engine`'s, and what it refuses it refuses because a number or a name does not match.

mod apply;
pub mod approval;
mod barred;
pub mod broken_glass;
mod busy;
pub mod certificate;
mod changed;
mod check;
mod claim;
pub mod cluster;
mod connection;
pub mod decide;
pub mod desired;
mod document;
pub mod embedded;
mod enforcement;
pub mod epoch;
pub mod error;
pub mod first_word;
pub mod fleet_rollout;
mod fleet_window;
mod former;
pub mod health;
pub mod heard;
pub mod hint;
pub mod history;
pub mod join;
mod latest;
mod let_go;
mod limit;
mod member;
pub mod membership;
mod observe;
pub mod older;
mod outline;
mod passwd;
pub mod preview;
pub mod recovery;
pub mod refusal;
pub mod release;
mod remembered;
pub mod report;
pub mod request;
mod rollout;
mod row;
pub mod session;
mod shown;
pub mod stop;
mod target;
mod time;

#[cfg(test)]
mod tests;

pub use connection::{ROLE_BY_HAND, Store};
pub use decide::{Decided, PermitSigner, UnsignedPermit};
pub use epoch::Epoch;
pub use error::Error;
pub use hint::{Hint, Hints};
pub use limit::{CALL_MAX, MIGRATE_MAX, STREAM_MAX, within};

/// What the store's functions answer.
pub type Result<T> = std::result::Result<T, Error>;
