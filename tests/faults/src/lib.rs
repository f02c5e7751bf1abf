//! Real hubs and a real PostgreSQL under faults. In: a setting, and what breaks. Out: a fleet of simulated agents that speak
//! the real link, proxies between everybody, and a checker that reads what was recorded. It must not decide what a release
//! does, nor believe what a hub says of itself.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness of tests: whoever uses it wrongly fails by panicking"
)]

pub mod agents;
pub mod database;
pub mod history;
pub mod peer;
pub mod puppet;
pub mod recorded;
pub mod saga;
pub mod skew;
pub mod world;

pub use world::{Setting, World};
