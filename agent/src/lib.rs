//! `groundswell-agent`: the program inside a cluster, as a library so that tests can use its parts.
//!
//! In: a cluster's API server and, if there is one, the hub. Out: what `agent_engine` plans, written. Everything here is
//! `observe` (reads only), `apply` (writes only, makes no choices), or the means for these two. It must not decide.

pub mod backoff;
pub mod key;
pub mod lease_clock;
pub mod link;
pub mod permit;
pub mod queue;
pub mod status_patch;
pub mod wire;
pub mod written;
