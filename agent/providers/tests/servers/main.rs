//! Providers asked over loopback, with servers that are fakes and say so: what holds when a server is slow, wrong or
//! hostile (faults F46, F47, F48 and F50), and whether tokens and keys are fetched as their protocols are documented.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod amazon;
mod answers;
mod fake;
mod hostile;
mod names;
mod properties;
mod tokens;
