//! The blue-green strategy: the new version comes up whole beside the stable one, and the active Service switches over.
//!
//! In: a `Pass`, opened on what the gate lets run. Out: writes, events, reasons and the planned status. The order of the
//! calls in `run` is the algorithm. It must not know leases or permits beyond the gate's decision.
//!
//! For the gate, everything before the switch (preview, analysis before it, pause) is step 0 and everything after it is
//! step 1: a permit that ends at step 0, or a lease that ends before the switch, leaves the active Service where it is.
//!
//! It is complete, and so Served, when the active Service selects the version, all its pods are available and the
//! analysis after the switch is done. Old versions may still wait for their delay: they get no traffic.

mod cutover;
mod scale;
mod walk;

use agent_api::{BlueGreenStrategy, PodHash, RolloutStatus};

use crate::pass::{Pass, Progress};
use crate::sets::SetView;

/// The step after the switch.
pub const SWITCHED: i32 = 1;
/// Seconds for which an old version, or an aborted one, keeps its pods when the Rollout does not say: nodes need a while
/// until they have heard of a switched Service.
const DEFAULT_DELAY: i32 = 30;

/// How far the pass comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Services stay as they are.
    Waits,
    /// The active Service switches to the new version.
    CutsOver,
    /// The new version is active and nothing is waited for any more.
    Done,
}

/// Does one pass.
pub fn run(pass: &mut Pass<'_>, strategy: &BlueGreenStrategy) -> Progress {
    pass.settle_current();
    pass.settle_verbs();
    let stage = pass.walk_blue_green(strategy);
    pass.finish(stage, strategy);
    let view = pass.gate_view();
    pass.settle_gate_pause(&view);
    pass.watch_deadline();
    let active = pass.active_target(stage, strategy);
    pass.leave(strategy, active.as_ref());
    pass.sync_metadata();
    pass.scale_blue_green(strategy, active.as_ref());
    pass.close(&view)
}

/// The ReplicaSet that the active Service selects, as the status says.
pub fn active<'a>(
    status: &RolloutStatus,
    mut sets: impl Iterator<Item = &'a SetView>,
) -> Option<&'a SetView> {
    let hash = PodHash(status.blue_green.as_ref()?.active_selector.clone()?);
    sets.find(|set| set.hash == hash)
}
