//! Two controllers side by side. In: what ours cost and what another one cost. Out: ratios, each beside the goal that the
//! design sets for it. A goal that is missed is said and is no failure: machines differ, and others run beside it.

use serde::Serialize;
use tests_fleet::Result;

use crate::story::Run;

/// One ratio.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// Of what.
    pub what: &'static str,
    /// Ours.
    pub ours: f64,
    /// The other's.
    pub theirs: f64,
    /// The most that ours over theirs may be.
    pub goal: f64,
}

impl Ratio {
    /// Ours over theirs.
    pub fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }

    /// Whether the goal is reached.
    pub fn reached(&self) -> bool {
        self.ours <= self.goal * self.theirs
    }
}

/// The numbers that goals are set for.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Seconds of the update.
    pub update_wall: f64,
    /// CPU seconds of the update.
    pub update_cpu: f64,
    /// CPU seconds of create and update.
    pub cpu: f64,
    /// MiB, the highest of all phases.
    pub memory: f64,
    /// Writes of create and update to Rollouts and ReplicaSets, for each Rollout.
    pub object_writes: f64,
    /// All writes of create and update, for each Rollout; events too.
    pub writes: Option<f64>,
    /// CPU seconds of a minute without anything to do.
    pub idle_cpu: Option<f64>,
}

/// Argo Rollouts' controller, `--qps 400 --burst 800`, 1,000 Rollouts on two cores: measured once on a cluster like this
/// one. For those who cannot build it.
pub const PEER_ONCE: Figures = Figures {
    update_wall: 130.0,
    update_cpu: 38.0,
    cpu: 47.0,
    memory: 205.0,
    object_writes: 28.0,
    writes: None,
    idle_cpu: None,
};
/// How many Rollouts [`PEER_ONCE`] is of.
pub const PEER_ONCE_COUNT: usize = 1000;

impl Figures {
    /// The figures of a run.
    pub fn of(run: &Run) -> Result<Self> {
        let (create, update, idle) = (
            run.phase("create")?,
            run.phase("update")?,
            run.phase("idle")?,
        );
        let each = |count: u64| count as f64 / run.count as f64;
        let asked = create.requests.and(&update.requests);
        let minutes = idle.wall / 60.0;
        Ok(Self {
            update_wall: update.wall,
            update_cpu: update.cpu,
            cpu: create.cpu + update.cpu,
            memory: create.peak_rss.max(update.peak_rss).max(idle.peak_rss),
            object_writes: each(asked.object_writes),
            writes: Some(each(asked.writes)),
            idle_cpu: Some(idle.cpu / minutes),
        })
    }
}

/// Every ratio that a goal is set for and that can be told.
pub fn compare(ours: &Figures, theirs: &Figures) -> Vec<Ratio> {
    let ratio = |what, ours, theirs, goal| Ratio {
        what,
        ours,
        theirs,
        goal,
    };
    let third = 1.0 / 3.0;
    let mut ratios = vec![
        ratio("update, wall s", ours.update_wall, theirs.update_wall, 0.7),
        ratio("update, CPU s", ours.update_cpu, theirs.update_cpu, third),
        ratio("create and update, CPU s", ours.cpu, theirs.cpu, third),
        ratio("peak memory, MiB", ours.memory, theirs.memory, 0.2),
        ratio(
            "writes to objects, each Rollout",
            ours.object_writes,
            theirs.object_writes,
            0.5,
        ),
    ];
    if let (Some(ours), Some(theirs)) = (ours.writes, theirs.writes) {
        ratios.push(ratio("all writes, each Rollout", ours, theirs, 0.5));
    }
    if let (Some(ours), Some(theirs)) = (ours.idle_cpu, theirs.idle_cpu) {
        ratios.push(ratio("idle minute, CPU s", ours, theirs, 1.0));
    }
    ratios
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_reached_or_not() {
        let ours = Figures {
            update_wall: 91.0,
            memory: 42.0,
            writes: Some(10.0),
            ..PEER_ONCE
        };
        let ratios = compare(&ours, &PEER_ONCE);
        let reached = |what: &str| {
            ratios
                .iter()
                .find(|one| one.what == what)
                .map(Ratio::reached)
        };
        assert_eq!(reached("update, wall s"), Some(true));
        assert_eq!(reached("peak memory, MiB"), Some(false));
        assert_eq!(
            reached("all writes, each Rollout"),
            None,
            "the other's are not known"
        );
    }
}
