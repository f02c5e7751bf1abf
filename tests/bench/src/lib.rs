//! The benchmark of controllers of Rollouts: any program that drives the CRDs, on a cluster of the sandbox, measured from
//! outside. In: a command line, how many Rollouts. Out: wall time, CPU, memory and requests of each phase, and ratios.
//! It believes nothing that the controller says of itself: requests are the API server's audit log, changes are etcd's
//! own count, CPU and memory are the kernel's. Beside it the benchmarks of many AnalysisRuns on the agent and of many
//! agents on the hub.

pub mod analysis;
pub mod audit;
pub mod bed;
pub mod command;
pub mod compare;
pub mod etcd;
pub mod fleet;
pub mod follow;
pub mod manifest;
pub mod meter;
pub mod story;
pub mod table;
pub mod tally;
pub mod unchanged;
pub mod usage;
