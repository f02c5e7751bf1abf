//! The canary: one version takes over from another along the steps, pod by pod, or share by share where a router splits
//! the requests.
//!
//! In: a `Pass`, opened on what the gate lets run. Out: writes, events, reasons and the planned status. The order of the
//! calls in `run` is the algorithm. It must not know leases or permits beyond the gate's decision.

mod delay;
pub mod experiment;
mod halt;
pub mod replicas;
pub mod routed;
pub mod scale;
mod services;
pub mod steps;
pub mod traffic;

use crate::pass::{Pass, Progress};

/// Does one pass.
pub fn run(pass: &mut Pass<'_>) -> Progress {
    pass.settle_current();
    pass.settle_verbs();
    pass.walk();
    pass.promote();
    let view = pass.gate_view();
    pass.settle_gate_pause(&view);
    pass.watch_deadline();
    pass.sync_metadata();
    pass.settle_services();
    pass.settle_traffic();
    pass.scale();
    pass.close(&view)
}
