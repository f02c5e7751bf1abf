//! Several FleetRollouts over the same clusters: one, one that comes after it, and one that would govern the same Rollout as
//! the second. In: a seed. Out: what each sees of the others, and what no one of them can know alone. Clusters, time, stops,
//! freezes and the numbers of sets are shared; Rollouts and releases are not. It must not use the engine's rules.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a model for tests: a panic in it is a failed test"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use hub_engine::observed::Predecessor;
use hub_engine::release::{Direction, ReleasePhase};
use hub_engine::verb::Verb;
use hub_engine::{Action, ClusterName, FleetRolloutName, Plan};
use jiff::SignedDuration;

use crate::hub_fleet::Fleet;
use crate::hub_random::Random;
use crate::hub_words;

/// The first, whom the second comes after.
pub const BEFORE: usize = 0;
/// The second.
pub const AFTER: usize = 1;
/// The one that selects the second's Rollout, too.
pub const BESIDE: usize = 2;
const NAMES: [&str; 3] = ["payments", "checkout", "shadow"];
const ROLLOUTS: [&str; 3] = ["payments", "checkout", "checkout"];

/// They and what they share.
#[derive(Debug, Clone)]
pub struct Fleets {
    /// By the constants above.
    pub fleets: Vec<Fleet>,
    /// Kinds of what happened between them, for reach.
    pub seen: BTreeSet<&'static str>,
    random: Random,
    granted: BTreeSet<(ClusterName, u64)>,
}

impl Fleets {
    /// Out of a seed; the clusters are those of the first.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut fleets: Vec<Fleet> = (0..3)
            .map(|index| Fleet::new(seed.wrapping_mul(3) + index))
            .collect();
        let like = fleets[BEFORE].observed.clusters.clone();
        let real = fleets[BEFORE].real.clone();
        for (index, fleet) in fleets.iter_mut().enumerate() {
            fleet.observed.clusters.clone_from(&like);
            fleet.real.clone_from(&real);
            let document = &mut fleet.observed.fleet_rollout;
            document.name = NAMES[index].into();
            document.rollout.name = ROLLOUTS[index].to_owned();
            document.after = Vec::new();
        }
        fleets[AFTER].observed.fleet_rollout.after = vec![NAMES[BEFORE].into()];
        let mut all = Self {
            fleets,
            seen: BTreeSet::new(),
            random: Random::new(seed),
            granted: BTreeSet::new(),
        };
        all.share(BEFORE);
        all
    }

    /// One random thing happens, to one of them or to all.
    pub fn event(&mut self) -> String {
        let index = self
            .random
            .pick(&[BEFORE, BEFORE, AFTER, AFTER, AFTER, BESIDE]);
        let name = self.fleets[index].any_cluster();
        let happened = match self.random.below(24) {
            0..=3 => self.fleets[index].push(),
            4..=11 => {
                for other in 0..self.fleets.len() {
                    self.fleets[other].agents();
                    self.share(other);
                }
                "agents act".to_owned()
            }
            12 => self.of_all(|fleet| fleet.disconnect(&name)),
            13 => self.of_all(|fleet| fleet.connect(&name)),
            14..=15 => self.fleets[index].approve(),
            16 => self.fleets[index].ask(),
            17..=18 => self.fleets[index].say(),
            19 => self.stop_or_go(index),
            20 => self.freeze_or_not(),
            21 => self.fleets[index].ungovern(&name),
            22 => self.fleets[index].govern(&name),
            _ => self.wait(),
        };
        self.share(index);
        format!("{}: {happened}", NAMES[index])
    }

    fn of_all(&mut self, what: impl Fn(&mut Fleet) -> String) -> String {
        let told: Vec<String> = self.fleets.iter_mut().map(what).collect();
        told.into_iter().next().unwrap_or_default()
    }

    fn wait(&mut self) -> String {
        let minutes = self.random.pick(&[1, 5, 31, 121]);
        self.of_all(|fleet| {
            fleet.move_time(minutes * 60);
            format!("{minutes} minutes pass")
        })
    }

    /// A person stops one of them or all, or lets go what was stopped.
    fn stop_or_go(&mut self, index: usize) -> String {
        let now = self.fleets[index].observed.now;
        if let Some(stop) = self.fleets[index].observed.stopped.clone() {
            for fleet in &mut self.fleets {
                if fleet.observed.stopped.as_ref() == Some(&stop) {
                    fleet.observed.stopped = None;
                    fleet.observed.went_on = Some(now);
                }
            }
            return "the stop is lifted".to_owned();
        }
        let stop = hub_words::stop(&mut self.random, now);
        let all = stop.all;
        for (other, fleet) in self.fleets.iter_mut().enumerate() {
            if (all || other == index) && fleet.observed.stopped.is_none() {
                fleet.observed.stopped = Some(stop.clone());
            }
        }
        format!("stopped, all {all}")
    }

    /// Some clusters of the whole fleet are frozen for an hour, or none any more.
    fn freeze_or_not(&mut self) -> String {
        let now = self.fleets[BEFORE].observed.now;
        let to = now.checked_add(SignedDuration::from_hours(1));
        let freeze = hub_words::freeze(self.random.below(3), now, to.unwrap_or(now));
        let frozen = self.fleets[BEFORE].observed.windows.is_empty();
        self.of_all(|fleet| {
            fleet.observed.windows = frozen.then(|| freeze.clone()).into_iter().collect();
            format!("frozen {frozen}")
        })
    }

    /// What one of them has just changed is seen by all: numbers of sets, the shared Rollout, who governs what, releases.
    pub fn share(&mut self, index: usize) {
        let moved = self.fleets[index].clone();
        let beside = [AFTER, BESIDE];
        for (other, fleet) in self.fleets.iter_mut().enumerate() {
            for cluster in fleet.observed.clusters.iter_mut().map(Arc::make_mut) {
                let known = moved.observed.cluster(&cluster.name);
                let version = known.map_or(0, |known| known.desired.version);
                cluster.desired.version = cluster.desired.version.max(version);
            }
            if beside.contains(&index) && beside.contains(&other) {
                fleet.real.clone_from(&moved.real);
                fleet.served.extend(moved.served.iter().cloned());
            }
            fleet.report();
        }
        for other in 0..self.fleets.len() {
            let before = self.fleets[other].observed.fleet_rollout.after.clone();
            let before = before.iter().map(|name| self.newest(name)).collect();
            self.fleets[other].observed.before = before;
        }
        for (one, other) in [(AFTER, BESIDE), (BESIDE, AFTER)] {
            let governed = self.governed(other);
            let name: FleetRolloutName = NAMES[other].into();
            let conflicts = governed.into_iter().map(|cluster| (cluster, name.clone()));
            self.fleets[one].observed.conflicts = conflicts.collect();
        }
    }

    fn newest(&self, name: &FleetRolloutName) -> Predecessor {
        let mut fleets = self.fleets.iter();
        let fleet = fleets.find(|fleet| fleet.observed.fleet_rollout.name == *name);
        let newest = fleet.and_then(|fleet| fleet.observed.releases.last());
        Predecessor {
            name: name.clone(),
            newest: newest.map(|release| (release.id.clone(), release.phase)),
        }
    }

    /// Clusters in which one of them governs its Rollout.
    fn governed(&self, index: usize) -> BTreeSet<ClusterName> {
        let clusters = self.fleets[index].observed.clusters.iter();
        let governed = clusters.filter(|cluster| {
            let gate = cluster.gate.as_ref();
            gate.is_some_and(|gate| gate.let_go.is_none())
        });
        governed.map(|cluster| cluster.name.clone()).collect()
    }

    /// Writes a plan of one of them; what it breaks by what the others are, if anything.
    pub fn apply(&mut self, index: usize, plan: &Plan) -> Option<String> {
        let wrong = plan
            .actions
            .iter()
            .find_map(|decision| self.wrong(index, &decision.action));
        self.fleets[index].apply(plan);
        self.share(index);
        let both = self.governed(AFTER);
        let both = both.intersection(&self.governed(BESIDE)).next().cloned();
        let both = both.map(|name| format!("G12: two FleetRollouts govern one Rollout in {name}"));
        wrong.or(both)
    }

    fn wrong(&mut self, index: usize, action: &Action) -> Option<String> {
        let own = &self.fleets[index];
        if let Action::StartWave { release, wave } = action
            && index == AFTER
            && let Some((before, phase)) = self.newest(&NAMES[BEFORE].into()).newest
        {
            self.seen.insert("WaveStartedAfterAnother");
            let passed = matches!(phase, ReleasePhase::Succeeded | ReleasePhase::Withdrawn);
            return (!passed).then(|| {
                let phase = phase.as_str();
                format!("order: wave {wave} of #{release} starts while {before} is {phase}")
            });
        }
        let Action::GrantPermit {
            cluster, direction, ..
        } = action
        else {
            return None;
        };
        if own.observed.stopped.is_some() && *direction == Direction::Forward {
            return Some(format!("G30: {cluster} starts although it is stopped"));
        }
        let other = match index {
            AFTER => Some(BESIDE),
            BESIDE => Some(AFTER),
            _ => None,
        };
        if other.is_some_and(|other| self.governed(other).contains(cluster)) {
            return Some(format!(
                "G12: {cluster} gets a permit from two FleetRollouts"
            ));
        }
        if index == BESIDE {
            self.seen.insert("GovernedInstead");
        }
        let version = own.observed.cluster(cluster)?.desired.version + 1;
        let again = !self.granted.insert((cluster.clone(), version));
        again.then(|| format!("L1: {cluster} has two permits of version {version}"))
    }

    /// Nothing breaks, nobody keeps anything back, and what others wait for passes.
    pub fn calm(&mut self) {
        for index in 0..self.fleets.len() {
            self.fleets[index].observed.windows = Vec::new();
            self.fleets[index].calm();
            self.share(index);
        }
        let newest = self.newest(&NAMES[BEFORE].into()).newest;
        let again = newest.is_some_and(|(_, phase)| {
            phase.ended() && !matches!(phase, ReleasePhase::Succeeded | ReleasePhase::Withdrawn)
        });
        if again {
            self.seen.insert("PassedInstead");
            // Where nothing is governed any more nothing passes.
            self.fleets[BEFORE].request(Verb::Govern { cluster: None }, None);
            self.fleets[BEFORE].push();
        }
        self.share(BEFORE);
    }

    /// Whether every release of each has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        let mut all = self
            .fleets
            .iter()
            .flat_map(|fleet| &fleet.observed.releases);
        all.all(|release| release.phase.ended())
    }
}
