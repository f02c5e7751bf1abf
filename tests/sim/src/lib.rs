//! The fleet, simulated: both real engines, hubs, a model of their database, clusters with agents, and everything that can go
//! wrong between them, in virtual time out of one seed.
//!
//! In: a seed. Out: the first thing that went wrong, and a trace that is the same bit for bit each time. It must not look at a
//! clock or draw a random number elsewhere, and must not be used outside tests.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a model for tests: a panic in it is a failed test"
)]

pub mod agent;
mod check;
pub mod event;
pub mod hub;
pub mod keys;
pub mod planted;
pub mod store;
pub mod trace;
pub mod world;

pub use planted::{Bugs, Planted};
pub use world::{Config, Told, live};
