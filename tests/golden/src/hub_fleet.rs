//! A simple model of a fleet: what the hub would store, and clusters whose agents do as they are permitted. In: plans and
//! events. Out: the next observation, and the truth to compare it with. It must not use the engine's rules.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a model for tests: a panic in it is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hub_engine::name::{Digest, Fence};
use hub_engine::observed::{Change, Cluster, Observed, OutcomeResult, Rollout};
use hub_engine::release::{Content, Release, ReleasePhase, Target, TargetState, WavePhase};
use hub_engine::verb::Verb;
use hub_engine::{ClusterName, Plan};
use jiff::{SignedDuration, Timestamp};

use crate::hub_random::{LABEL, Random, fleet_rollout};

/// A fleet under one FleetRollout.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// What the hub sees.
    pub observed: Observed,
    /// What is really in each cluster.
    pub real: BTreeMap<ClusterName, Rollout>,
    /// Permits under which a cluster really came to serve their digest.
    pub served: BTreeSet<(ClusterName, Fence)>,
    /// … of which nothing is left, for the cluster is another one or came out of a backup.
    pub(crate) former: BTreeSet<(ClusterName, Fence)>,
    /// Kinds of actions and phases of releases that occurred.
    pub seen: BTreeSet<&'static str>,
    pub(crate) random: Random,
    /// Releases that are not read any more, unless somebody names them.
    archive: BTreeMap<u64, Release>,
    versions: u64,
    /// What Git had last: version, revision, and whether the revision is known.
    newest: (u64, u64, bool),
    pub(crate) rows: u64,
}

/// The time at which every story starts.
const START: &str = "2026-01-01T00:00:00Z";

impl Fleet {
    /// A fleet out of a seed: everything it does later comes from it, too.
    ///
    /// # Panics
    /// Never: the start time is a constant.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let fleet_rollout = fleet_rollout(&mut random);
        let now: Timestamp = START.parse().expect("a time");
        let waves = fleet_rollout.waves.len() + 1;
        let clusters: Vec<Cluster> = (0..2 + random.below(4))
            .map(|index| cluster(&mut random, index, waves, now))
            .collect();
        let mut fleet = Self {
            observed: Observed::new(fleet_rollout, now),
            real: BTreeMap::new(),
            served: BTreeSet::new(),
            former: BTreeSet::new(),
            seen: BTreeSet::new(),
            random,
            archive: BTreeMap::new(),
            versions: 1,
            newest: (1, 1, true),
            rows: 0,
        };
        for cluster in clusters {
            let empty = fleet.random.percent(10);
            fleet
                .real
                .insert(cluster.name.clone(), rollout(&cluster.name, empty));
            fleet.observed.clusters.push(Arc::new(cluster));
        }
        fleet.report();
        fleet
    }

    /// What the plan writes, as the database would show it.
    pub fn apply(&mut self, plan: &Plan) {
        self.observed.apply(plan);
        self.seen
            .extend(plan.actions.iter().map(|decision| decision.action.kind()));
        self.seen.extend(
            self.observed
                .releases
                .iter()
                .map(|release| release.phase.as_str()),
        );
        // Only open releases, the newest ended one and those with something under way are read again.
        let newest = self
            .observed
            .releases
            .iter()
            .filter(|release| release.phase.ended());
        let newest = newest.map(|release| release.id.number).max();
        let archive = &mut self.archive;
        self.observed.releases.retain(|release| {
            archive.insert(release.id.number, release.clone());
            let going = release
                .targets
                .iter()
                .any(|target| target.state.in_flight() || target.state == TargetState::RollingBack);
            !release.phase.ended() || going || Some(release.id.number) == newest
        });
    }

    /// One random thing happens.
    pub fn event(&mut self) -> String {
        let name = self.any_cluster();
        let happened = match self.random.below(30) {
            0..=2 => self.push(),
            3 => self.revert(),
            4..=10 => self.agents(),
            11 => self.disconnect(&name),
            12 => self.connect(&name),
            13 => self.remove(&name),
            14..=15 => self.approve(),
            16 => self.ask(),
            17 => self.regress(&name),
            18 => self.edit_steps(&name),
            19..=21 => self.say(),
            22 => self.stop_or_go(),
            23 => self.payments(),
            24 => self.freeze(),
            25..=26 => self.membership(),
            27 => self.comes_late(),
            _ => self.wait(),
        };
        self.report();
        happened
    }

    /// Everybody is there, every agent finishes well, every approval is given, and time goes by.
    pub fn calm(&mut self) {
        self.let_go();
        for cluster in self.observed.clusters.iter_mut().map(Arc::make_mut) {
            cluster.connected = cluster.gone.is_none();
            cluster.regressed = false;
        }
        let names: Vec<ClusterName> = self.real.keys().cloned().collect();
        for name in names {
            self.take_up(&name);
            self.finish(&name, OutcomeResult::Served);
        }
        self.move_time(600);
        // Of now: they must not have expired when they are looked at.
        self.approve_as("ada", "sre");
        self.approve_as("bob", "sre");
        self.set_payments(Some(ReleasePhase::Succeeded));
        self.report();
    }

    pub(crate) fn next_row(&mut self) -> u64 {
        self.rows += 1;
        self.rows
    }

    /// A release that somebody names is read, too.
    pub(crate) fn load(&mut self, number: u64) {
        if let (None, Some(release)) = (self.observed.release(number), self.archive.get(&number)) {
            self.observed.releases.push(release.clone());
            self.observed
                .releases
                .sort_by_key(|release| release.id.number);
        }
    }

    pub(crate) fn any_cluster(&mut self) -> ClusterName {
        let index = self.random.below(self.observed.clusters.len());
        self.observed.clusters[index].name.clone()
    }

    pub(crate) fn move_time(&mut self, seconds: i64) {
        self.observed.now = self
            .observed
            .now
            .checked_add(SignedDuration::from_secs(seconds))
            .expect("a time");
    }

    fn wait(&mut self) -> String {
        let minutes = self.random.pick(&[1, 5, 31, 121]);
        self.move_time(minutes * 60);
        format!("{minutes} minutes pass")
    }

    /// Git gets a new version, or an old one again, and most clusters have it at once.
    pub(crate) fn push(&mut self) -> String {
        let old = self.random.percent(25);
        let earlier = usize::try_from(self.versions).unwrap_or(1);
        self.versions += 1;
        let revision = self.versions;
        let again = u64::try_from(1 + self.random.below(earlier)).unwrap_or(1);
        let version = if old { again } else { revision };
        let known = self.random.percent(80);
        self.newest = (version, revision, known);
        for name in self.real.keys().cloned().collect::<Vec<_>>() {
            if self.random.percent(80) {
                // Some clusters' manifests differ in a value, and some in an image.
                let own = self.random.percent(20);
                let side = self.random.percent(5);
                let content = self.newest_content(&name, own, side);
                self.set_spec(&name, content);
            }
        }
        format!("version {version} is pushed as r{revision}")
    }

    fn newest_content(&self, name: &ClusterName, own: bool, side: bool) -> Content {
        let (version, revision, known) = self.newest;
        let own = if own {
            format!("-{name}")
        } else {
            String::new()
        };
        let image = if side { "side" } else { "shop" };
        Content {
            digest: Digest(format!("v{version}{own}")),
            delivery: "steps".into(),
            revision: known.then(|| format!("r{revision}").into()),
            images: vec![format!("{image}:{version}")],
            generation: 0,
        }
    }

    /// A cluster that Git's newest had not reached has it at last, sometimes after a person gave up on it.
    fn comes_late(&mut self) -> String {
        let late = self.real.iter().find(|(_, real)| {
            let revision = real.spec.as_ref().and_then(|spec| spec.revision.as_ref());
            let (_, newest, known) = self.newest;
            known && revision.is_none_or(|one| one.as_str() != format!("r{newest}"))
        });
        let Some(name) = late.map(|(name, _)| name.clone()) else {
            return self.wait();
        };
        let content = self.newest_content(&name, false, false);
        self.set_spec(&name, content);
        format!("{name} has Git's newest late")
    }

    /// Git goes back to what one cluster serves, everywhere.
    fn revert(&mut self) -> String {
        self.versions += 1;
        self.newest.2 = false;
        let name = self.any_cluster();
        let Some(served) = self.real.get(&name).and_then(|real| real.served.clone()) else {
            return "nothing".to_owned();
        };
        for other in self.real.keys().cloned().collect::<Vec<_>>() {
            let content = Content {
                digest: served.clone(),
                delivery: "steps".into(),
                revision: Some(format!("r{}", self.versions).into()),
                images: vec![format!("shop:back-to-{served}")],
                generation: 0,
            };
            self.set_spec(&other, content);
        }
        format!("Git goes back to {served}")
    }

    /// The spec changes; a connected agent sees the change, another one only ever has the new content.
    fn set_spec(&mut self, name: &ClusterName, mut content: Content) {
        let Some(real) = self.real.get_mut(name).filter(|real| !real.removed) else {
            return;
        };
        let was = real.spec.clone();
        content.generation = was.as_ref().map_or(0, |was| was.generation) + 1;
        let changed = was.as_ref().is_none_or(|was| was.digest != content.digest);
        real.spec = Some(content.clone());
        real.kept_deliveries
            .insert(content.digest.clone(), content.delivery.clone());
        if !real.kept.contains(&content.digest) {
            real.kept.push(content.digest.clone());
        }
        let back = real.served.as_ref() == Some(&content.digest);
        if back {
            real.held = None;
            self.finish(name, OutcomeResult::Withdrawn);
        } else {
            real.held = Some(content.digest.clone());
        }
        let connected = self
            .observed
            .cluster(name)
            .is_some_and(|cluster| cluster.connected);
        if changed && connected {
            self.rows += 1;
            self.observed.changes.push(Change {
                id: self.rows,
                cluster: name.clone(),
                was,
                now: content,
            });
        }
    }

    /// Somebody edits the steps alone. Those of a permit that has taken effect stay as they are until its outcome.
    fn edit_steps(&mut self, name: &ClusterName) -> String {
        self.rows += 1;
        let steps = Digest(format!("steps-{}", self.rows));
        let frozen = self.under_way(name);
        let Some(real) = self.real.get_mut(name) else {
            return String::new();
        };
        if let Some(spec) = &mut real.spec {
            spec.delivery = steps.clone();
            spec.generation += 1;
            if frozen.as_ref() != Some(&spec.digest) {
                real.kept_deliveries.insert(spec.digest.clone(), steps);
            }
        }
        format!("the steps in {name} are edited")
    }

    pub(crate) fn disconnect(&mut self, name: &ClusterName) -> String {
        let now = self.observed.now;
        let Some(cluster) = self
            .observed
            .clusters
            .iter_mut()
            .map(Arc::make_mut)
            .find(|cluster| &cluster.name == name)
        else {
            return String::new();
        };
        if cluster.connected {
            cluster.last_seen = Some(now);
        }
        cluster.connected = false;
        format!("{name} is out of contact")
    }

    pub(crate) fn connect(&mut self, name: &ClusterName) -> String {
        for cluster in self
            .observed
            .clusters
            .iter_mut()
            .map(Arc::make_mut)
            .filter(|cluster| &cluster.name == name)
        {
            cluster.connected = cluster.gone.is_none();
            cluster.regressed = false;
        }
        format!("{name} is back")
    }

    fn regress(&mut self, name: &ClusterName) -> String {
        if self.random.percent(40) {
            return self.set_clock(name);
        }
        for cluster in self
            .observed
            .clusters
            .iter_mut()
            .map(Arc::make_mut)
            .filter(|cluster| &cluster.name == name)
        {
            cluster.regressed = cluster.connected;
        }
        format!("{name} has regressed")
    }

    fn remove(&mut self, name: &ClusterName) -> String {
        if self.random.percent(70) {
            return self.wait();
        }
        if let Some(real) = self.real.get_mut(name) {
            real.removed = true;
        }
        format!("the Rollout in {name} is deleted")
    }

    pub(crate) fn ask(&mut self) -> String {
        let expedite = self.random.percent(30);
        self.request(Verb::Start { expedite }, None);
        "a person asks for a release".to_owned()
    }

    /// Connected agents tell what they have.
    pub(crate) fn report(&mut self) {
        let now = self.observed.now;
        for cluster in self
            .observed
            .clusters
            .iter_mut()
            .map(Arc::make_mut)
            .filter(|cluster| cluster.connected)
        {
            cluster.last_seen = Some(now);
            cluster.rollout = self.real.get(&cluster.name).cloned().map(Arc::new);
        }
    }

    /// What is wrong with the hub's tables, by the truth. Empty: nothing.
    #[must_use]
    pub fn lies(&self) -> Vec<String> {
        let mut lies = Vec::new();
        for release in &self.observed.releases {
            for target in &release.targets {
                let Some(permit) = &target.permit else {
                    continue;
                };
                let proof = (target.cluster.clone(), permit.fence);
                let really = self.served.contains(&proof)
                    || self.former.contains(&proof) && !self.judged_now(release, target);
                if target.state == TargetState::Succeeded && !really {
                    lies.push(format!(
                        "{} has not succeeded in {}",
                        target.cluster, release.id
                    ));
                }
                if target.state == TargetState::RolledBack && !really {
                    lies.push(format!("{} is not back in {}", target.cluster, release.id));
                }
            }
        }
        lies
    }
}

impl Fleet {
    /// Whether what a target reached still decides something, and its agent has been heard since it lost it.
    fn judged_now(&self, release: &Release, target: &Target) -> bool {
        let over = release
            .wave(target.wave)
            .is_none_or(|wave| wave.phase.behind() || wave.phase == WavePhase::Failed);
        let heard = self
            .observed
            .cluster(&target.cluster)
            .is_some_and(|own| own.gone.is_none() && own.connected && !own.regressed);
        release.phase == ReleasePhase::Progressing && !over && heard
    }
}

pub(crate) fn cluster(random: &mut Random, index: usize, waves: usize, now: Timestamp) -> Cluster {
    Cluster {
        name: format!("c{index}").into(),
        labels: Arc::new([(LABEL.to_owned(), random.below(waves).to_string())].into()),
        selected: true,
        connected: true,
        last_seen: Some(now),
        desired: Fence {
            incarnation: 1,
            version: 0,
        },
        stored: Fence {
            incarnation: 1,
            version: 0,
        },
        regressed: false,
        gone: None,
        replaced: None,
        restored: None,
        clock_ahead: 0,
        gate: None,
        rollout: None,
    }
}

/// What a cluster starts with: version 1, served, or not yet deployed.
pub(crate) fn rollout(name: &ClusterName, empty: bool) -> Rollout {
    let digest = Digest("v1".to_owned());
    let served = (!empty).then(|| digest.clone());
    Rollout {
        uid: format!("uid-{name}"),
        spec: Some(Content {
            digest: digest.clone(),
            delivery: "steps".into(),
            revision: Some("r1".into()),
            images: vec!["shop:1".to_owned()],
            generation: 1,
        }),
        served_delivery: served.as_ref().map(|_| "steps".into()),
        held: None,
        kept_deliveries: BTreeMap::from([(digest.clone(), "steps".into())]),
        kept: vec![digest],
        healthy: served.clone().into_iter().collect(),
        served,
        phase: "Healthy".to_owned(),
        message: String::new(),
        step: 0,
        steps: 1,
        outcome: None,
        outcome_of_former: false,
        permit_fence: None,
        effect: None,
        reasons: Vec::new(),
        lease_live: true,
        undecodable_gate: false,
        removed: false,
    }
}
