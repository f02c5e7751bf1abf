//! Waves on paper (gate.md G13). In: an observation of a FleetRollout that only observes. Out: which wave a content would
//! belong to and what would hold it there, and whether a FleetRollout may turn to another enforcement. It must not act, and
//! it opens no release: a bake is not timed and an approval is not asked for on paper.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{ApprovalSpec, Enforcement};
use crate::name::ClusterName;
use crate::observed::{Cluster, Observed};
use crate::overlap::Labels;
use crate::reconcile::{same_content, standing};
use crate::release::{Content, TargetState};
use crate::verb::Stop;
use crate::waves::{PlannedWave, ReleasePlan, plan_waves};
use crate::window::Standing;

/// So much of a person's reading is one sentence: more clusters are counted.
const NAMES_MAX: usize = 3;

/// What the waves would have done with a content in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Paper {
    /// Its wave's number, 1-based; 0: no wave selects the cluster.
    pub wave: u32,
    /// How many waves there are.
    pub waves: u32,
    /// Its wave's name.
    pub name: String,
    /// What would hold it now, as far as the facts tell; empty: nothing.
    #[serde(default)]
    pub held_by: Vec<String>,
    /// What would be asked for beside that and is not known on paper: approvals, bakes.
    #[serde(default)]
    pub asks: Vec<String>,
}

impl Paper {
    /// Whether the content would be held now.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.held_by.is_empty()
    }

    /// What its cluster shows while it would be held.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self {
            wave, waves, name, ..
        } = self;
        match wave {
            0 => "on paper: no wave selects this cluster".to_owned(),
            _ => format!("on paper: would wait for wave {wave} of {waves} ({name})"),
        }
    }
}

impl fmt::Display for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            wave, waves, name, ..
        } = self;
        match (wave, self.holds()) {
            (0, _) => f.write_str("on paper it would be held: no wave selects this cluster")?,
            (_, true) => write!(
                f,
                "on paper wave {wave} of {waves} ({name}) would hold it: {}",
                self.held_by.join("; ")
            )?,
            (_, false) => write!(f, "on paper wave {wave} of {waves} ({name}) would start it")?,
        }
        if !self.asks.is_empty() {
            write!(f, "; after {}", self.asks.join(" and "))?;
        }
        Ok(())
    }
}

/// Whether waves are on paper only.
#[must_use]
pub fn observes(state: &Observed) -> bool {
    state.fleet_rollout.enforcement == Enforcement::Observe
}

/// What the waves would do with this content in this cluster now.
#[must_use]
pub fn of(state: &Observed, cluster: &ClusterName, content: &Content) -> Paper {
    let plan = plan(state);
    let waves = plan.len();
    let own = (1_u32..)
        .zip(&plan.waves)
        .find(|(_, wave)| wave.clusters.contains(cluster));
    let Some((number, wave)) = own else {
        return Paper {
            wave: 0,
            waves,
            name: String::new(),
            held_by: vec!["no wave selects this cluster".to_owned()],
            asks: Vec::new(),
        };
    };
    let before: Vec<(u32, &PlannedWave)> = (1_u32..number).zip(&plan.waves).collect();
    let mut held_by = by_word(state, content);
    held_by.extend(
        before
            .iter()
            .filter_map(|(number, wave)| not_served(state, *number, wave, content)),
    );
    held_by.extend(no_slot(state, wave, cluster, content));
    if let Standing::Closed { until, why } = standing(state, cluster) {
        held_by.push(format!("closed until {until}: {why}"));
    }
    Paper {
        wave: number,
        waves,
        name: wave.name.clone(),
        held_by,
        asks: asks(&before, wave),
    }
}

/// The clusters that a release opened now would be planned over: none that was let go, none that another FleetRollout governs.
pub(crate) fn planned(state: &Observed) -> Labels {
    let clusters = state
        .clusters
        .iter()
        .filter(|cluster| cluster.selected && !state.conflicts.contains_key(&cluster.name));
    clusters
        .map(|cluster| (cluster.name.clone(), cluster.labels.as_ref().clone()))
        .collect()
}

/// The plan that a release opened now would have.
pub(crate) fn plan(state: &Observed) -> ReleasePlan {
    plan_waves(&state.fleet_rollout, &planned(state))
}

/// What persons and other FleetRollouts keep it from.
fn by_word(state: &Observed, content: &Content) -> Vec<String> {
    let barred = state.barred.get(&content.digest);
    let barred = barred.map(|release| format!("it failed in release {release}"));
    let stopped = state.stopped.as_ref().map(Stop::message);
    let before = state.before.iter().filter_map(|other| {
        let (release, phase) = other.waits_for()?;
        Some(format!("release {release} is {}", phase.as_str()))
    });
    barred.into_iter().chain(stopped).chain(before).collect()
}

fn not_served(
    state: &Observed,
    number: u32,
    wave: &PlannedWave,
    content: &Content,
) -> Option<String> {
    let serves = |name: &&ClusterName| {
        let cluster = state.cluster(name);
        cluster.is_some_and(|cluster| under_way(cluster, content) == Some(true))
    };
    let missing: Vec<&str> = wave
        .clusters
        .iter()
        .filter(|name| !serves(name))
        .map(|name| name.as_str())
        .collect();
    let all = wave.clusters.len();
    let name = &wave.name;
    match missing.len() {
        0 => None,
        few if few <= NAMES_MAX => Some(format!(
            "wave {number} ({name}) has not served it in {}",
            missing.join(", ")
        )),
        many => Some(format!(
            "wave {number} ({name}) has not served it in {many} of {all} clusters"
        )),
    }
}

/// As many others of its wave are on their way as may be.
fn no_slot(
    state: &Observed,
    wave: &PlannedWave,
    cluster: &ClusterName,
    content: &Content,
) -> Option<String> {
    let others = wave.clusters.iter().filter(|name| *name != cluster);
    let going = others
        .filter_map(|name| under_way(state.cluster(name)?, content))
        .filter(|served| !served)
        .count();
    let most = wave.max_concurrent.at_least_one_of(wave.clusters.len());
    (going >= most).then(|| format!("{going} of its wave are on their way, {most} may be at once"))
}

/// Whether a cluster whose spec has this content serves it; none: its spec has other content.
fn under_way(cluster: &Cluster, content: &Content) -> Option<bool> {
    let rollout = cluster.rollout.as_ref()?;
    let spec = rollout
        .spec
        .as_ref()
        .filter(|spec| same_content(spec, content))?;
    Some(rollout.served.as_ref() == Some(&spec.digest))
}

fn asks(before: &[(u32, &PlannedWave)], own: &PlannedWave) -> Vec<String> {
    let approval = |spec: &ApprovalSpec, what: String| {
        let groups = spec.groups.join(" or ");
        format!("{} approvals by {groups} {what}", spec.required)
    };
    let mut asks = Vec::new();
    for (number, wave) in before {
        if wave.bake.0 > 0 {
            asks.push(format!("a bake of {} in wave {number}", wave.bake));
        }
        let after = wave.approval_after.as_ref();
        asks.extend(after.map(|spec| approval(spec, format!("that wave {number} passes"))));
    }
    let first = own.approval.as_ref();
    asks.extend(first.map(|spec| approval(spec, "before it starts".to_owned())));
    asks
}

/// Why a FleetRollout may not turn to another enforcement now; none: it may. Nothing that is held is freed by the turn, and
/// what a release has begun, it ends under the rules that it began under.
#[must_use]
pub fn turn(state: &Observed, to: Enforcement) -> Option<String> {
    let from = state.fleet_rollout.enforcement;
    if from == to {
        return None;
    }
    let name = &state.fleet_rollout.name;
    let turns = format!("{name} cannot turn from {from:?} to {to:?}");
    let open = |release: &&crate::release::Release| !release.phase.ended();
    if let Some(release) = state.releases.iter().find(open) {
        return Some(format!(
            "{turns} while release {0} is {1}; it ends first, or `groundswell release abort {0} --reason WHY` ends it",
            release.id,
            release.phase.as_str()
        ));
    }
    if to == Enforcement::Enforce {
        return None;
    }
    let going = state.releases.iter().find_map(|release| {
        let going = |state: TargetState| state.in_flight() || state == TargetState::RollingBack;
        let target = release.targets.iter().find(|target| going(target.state))?;
        Some((release, target))
    });
    if let Some((release, target)) = going {
        return Some(format!(
            "{turns} while {} of release {} is {}; wait for it",
            target.cluster,
            release.id,
            target.state.as_str()
        ));
    }
    let holds = state.clusters.iter().find(|cluster| {
        let rollout = cluster.rollout.as_ref();
        cluster.gone.is_none() && rollout.is_some_and(|rollout| rollout.held.is_some())
    });
    holds.map(|cluster| {
        let one = &cluster.name;
        format!(
            "{turns} while {one} holds content, which nothing would keep back then; `groundswell release start {name} --reason WHY` \
             brings it wave by wave, or `groundswell ungovern {name} --cluster {one} --release-held --reason WHY` lets it go"
        )
    })
}
