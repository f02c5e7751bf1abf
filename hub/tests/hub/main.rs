//! The hub as a whole, over real TLS and a real Postgres: in: test clients. Out: what they were told. Every wait is for a
//! condition with a limit, never for a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod agent;
mod another_name;
mod approval;
mod document;
mod fixture;
mod join;
mod malice;
mod member;
mod outage;
mod policy;
mod program;
mod renewal;
mod session;
mod word;
