//! The canary without a router: one version takes over from another pod by pod, along the steps.
//!
//! In: a `Pass`, opened on what the gate lets run. Out: writes, events, reasons and the planned status. The order of the
//! calls in `run` is the algorithm. It must not know leases or permits beyond the gate's decision.

pub mod replicas;
pub mod scale;
pub mod steps;

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
    pass.scale();
    pass.restart();
    pass.end_other_runs();
    pass.trim_history();
    pass.settle_conditions();
    pass.settle_counts();
    pass.settle_phase(&view);
    pass.settle_release();
    pass.explain_gate();
    pass.progress_made()
}
