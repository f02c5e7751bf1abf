//! The fleet's decisions, as a function. In: `Observed`, one consistent reading of one FleetRollout, its clusters and its
//! releases, with the database's time. Out: `Plan`, what to write and why, and what is waited for. It must not do I/O,
//! read a clock or an environment, or draw a random number; `Cargo.toml` and `clippy.toml` hold it to that.

pub mod action;
pub mod advance;
pub mod amount;
pub mod audit;
mod canonical;
pub mod chain;
pub mod clock;
pub mod decided;
pub mod document;
pub mod loss;
pub mod member;
pub mod name;
pub mod observed;
pub mod order;
pub mod overlap;
pub mod paper;
mod place;
pub mod plan;
pub mod planted;
pub mod preview;
pub mod reason;
mod reconcile;
pub mod release;
pub mod replay;
pub mod verb;
pub mod waves;
pub mod window;

pub use action::{Action, Decision};
pub use audit::{Violation, audit};
pub use decided::{Decided, decide, decide_with, restrain};
pub use document::{Document, FleetRollout, Problem, parse, parse_file};
pub use name::{ClusterName, Digest, Fence, FleetRolloutName, ReleaseId, RolloutName};
pub use observed::Observed;
pub use plan::Plan;
pub use reason::Reason;
pub use reconcile::{reconcile, reconcile_with};
