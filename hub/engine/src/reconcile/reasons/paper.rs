//! What a FleetRollout shows that only observes (gate.md G13). In: the state that the plan leads to. Out: reasons. It must not
//! act.

use super::List;
use crate::observed::Cluster;
use crate::paper::observes;
use crate::reason::Why;

impl List<'_> {
    /// That it only observes, and how it holds.
    pub(super) fn observing(&mut self) {
        if observes(self.state) {
            let next = "groundswell apply -f FILE, with enforcement: Enforce".to_owned();
            self.add(None, None, None, Why::Observing, next);
        }
    }

    /// What the waves would do with what is on its way in a cluster.
    pub(super) fn on_paper(&mut self, cluster: &Cluster) {
        if let Some(paper) = super::super::paper::under_way(self.state, cluster) {
            let why = Why::OnPaper { paper };
            self.add(None, None, Some(cluster), why, String::new());
        }
    }
}
