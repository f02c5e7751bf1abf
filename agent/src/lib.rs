//! `groundswell-agent`: the program inside a cluster, as a library so that tests can use its parts.
//!
//! In: a cluster's API server and, if there is one, the hub. Out: what `agent_engine` plans, written. Everything here is
//! `observe` (reads only), `apply` (writes only, makes no choices), or the means for these two. It must not decide.

pub mod admin;
pub mod analysis_controller;
pub mod analysis_pace;
pub mod apply;
pub mod args;
pub mod asking;
pub mod backoff;
pub mod break_glass;
pub mod cache;
pub mod claims;
pub mod config;
pub mod controller;
pub mod descriptors;
pub mod event;
pub mod experiment_controller;
pub mod flag_page;
pub mod flags;
pub mod fleet;
pub mod fleet_member;
pub mod gate_store;
pub mod identity;
pub mod job;
pub mod join;
pub mod key;
pub mod leader;
pub mod lease_clock;
pub mod link;
pub mod log_filter;
pub mod measure;
pub mod metrics;
pub mod moments;
pub mod observe;
pub mod packed;
pub mod permit;
pub mod pod_list;
pub mod program;
pub mod queue;
pub mod refusals;
pub mod rehearsal;
pub mod renewal;
pub mod revision;
pub mod run_owner;
pub mod secrets;
pub mod spent;
pub mod start;
pub mod status_patch;
pub mod status_times;
pub mod store;
pub mod stored;
pub mod wire;
pub mod workloads;
pub mod writer;
pub mod written;
