//! One test for each fault of a hub and of what it hangs on, named after it: hub processes are killed and stopped, their
//! database and their agents are cut off, slow, away, restored. In: real hubs, a real PostgreSQL, simulated agents over real
//! gRPC and mTLS. Out: whether the release came to its end, and whether the recorded history keeps every rule.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod adjacent;
mod disk;
mod hub;
mod link;
mod people;
mod postgres;
mod recorded;
mod sagas;
mod silent;
mod storm;
mod time;
