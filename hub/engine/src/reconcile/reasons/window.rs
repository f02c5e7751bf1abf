//! What a closed window holds at its step. In: the state that the plan leads to. Out: reasons. It must not act.

use super::List;
use crate::observed::Cluster;
use crate::reason::Why;
use crate::release::{Release, Target};

impl List<'_> {
    /// Why what is in flight goes no further.
    pub(super) fn held_at_step(&mut self, release: &Release, target: &Target, cluster: &Cluster) {
        let gate = cluster.gate.as_ref();
        let message = gate.and_then(|gate| gate.terms.window_closed.clone());
        if let Some(message) = message {
            let why = Why::HeldAtStep { message };
            let wave = Some(target.wave);
            self.add(Some(release), wave, Some(cluster), why, String::new());
        }
    }
}
