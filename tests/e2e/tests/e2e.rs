//! End-to-end tests. In: the built programs, real control planes, a real Prometheus and PostgreSQL. Out: whether the whole
//! does what its users rely on, also when parts of it are killed or cut off. One binary, because control planes are
//! dear: what can be tested side by side in one cluster is.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod adoption;
mod analysis;
mod blue_green;
mod break_glass;
mod canary;
mod clock;
mod commits;
mod crds;
mod cutoff;
mod edits;
mod experiment;
mod faults;
mod fleet;
mod kills;
mod lint;
mod membership;
mod namespaced;
mod orders;
mod plugin;
mod pods;
mod poison;
mod races;
mod reach;
mod sandbox;
mod served_names;
mod takeover;
mod workload;
mod workloads;
