//! Random lives of a Rollout on the model cluster.
//!
//! In: a seed and a bug, if one is planted. Out: the first thing that went wrong, with what led to it. The same seed gives
//! the same life. It must not look at a clock.

mod begin;
mod events;
mod people;

use agent_api::Phase;
use agent_api::names::{LABEL_POD_HASH, condition};
use agent_engine::planted::Bug;
use agent_engine::{Plan, audit, reconcile_with};
use jiff::Timestamp;

use crate::agent_cluster::Cluster;
use begin::begin;

/// Things that happen in one life.
const EVENTS: u32 = 8;
/// Passes after which a cluster that is left alone must have come to rest.
const PASSES_TO_REST: u32 = 60;

/// A small generator (splitmix64): no dependency, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(0x1234_5678),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(all.len()).unwrap_or(1).max(1));
        all.get(usize::try_from(index).unwrap_or(0))
    }

    fn number(&mut self, end: u64) -> i32 {
        i32::try_from(self.below(end)).unwrap_or(0)
    }
}

/// What went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The rule or property.
    pub what: String,
    /// What had happened, in order.
    pub story: Vec<String>,
}

/// One life.
struct Life {
    dice: Dice,
    cluster: Cluster,
    bug: Bug,
    story: Vec<String>,
    fence: u64,
    /// When an Experiment wants to be looked at again.
    wake: Option<Timestamp>,
}

/// Lives one life.
pub fn live(seed: u64, bug: Bug) -> Result<u64, Failure> {
    let mut dice = Dice::new(seed);
    let observed = begin(&mut dice).map_err(|what| Failure {
        what,
        story: Vec::new(),
    })?;
    let mut life = Life {
        dice,
        cluster: Cluster::new(observed),
        bug,
        story: Vec::new(),
        fence: 1,
        wake: None,
    };
    life.note("begins");
    if !life.dice.one_in(4) {
        life.rest()?;
    }
    for _ in 0..EVENTS {
        life.happens();
        for _ in 0..=life.dice.below(2) {
            life.pass(true)?;
            // Now and then two passes fall into one second.
            let (seconds, ready) = (i64::from(life.dice.number(40)), life.dice.number(4));
            life.cluster.tick(seconds, ready);
        }
    }
    life.rest()?;
    Ok(life.cluster.writes)
}

impl Life {
    fn note(&mut self, what: &str) {
        self.story
            .push(format!("{} {what}", self.cluster.observed.now));
    }

    fn fail(&self, what: String) -> Failure {
        Failure {
            what,
            story: self.story.clone(),
        }
    }

    /// One pass, checked; it may be cut off in the middle.
    fn pass(&mut self, cut: bool) -> Result<usize, Failure> {
        self.cluster.look();
        let plan = reconcile_with(&self.cluster.observed, self.bug);
        self.story
            .push(format!("{}\n{plan}", self.cluster.observed.now));
        let violations = audit(&self.cluster.observed, &plan);
        if let Some(first) = violations.first() {
            return Err(self.fail(format!("{}: {}", first.rule, first.detail)));
        }
        if reconcile_with(&self.cluster.observed, self.bug) != plan {
            return Err(
                self.fail("deterministic: two passes over the same give two plans".to_owned())
            );
        }
        self.times(&plan)?;
        self.pauses(&plan)?;
        let limit =
            (cut && self.dice.one_in(4)).then(|| usize::try_from(self.dice.below(6)).unwrap_or(0));
        if let Some(limit) = limit {
            self.note(&format!("cut off after {limit} writes"));
        }
        let writes = self
            .cluster
            .apply(&plan, limit)
            .map_err(|error| self.fail(format!("applies: {error}")))?;
        Ok(writes + self.experiments()?)
    }

    /// One pass over each Experiment, with the word of the Rollout as it is now.
    fn experiments(&mut self) -> Result<usize, Failure> {
        self.wake = None;
        if self.cluster.observed.experiments.is_empty() {
            return Ok(0);
        }
        self.cluster.look();
        let plan = reconcile_with(&self.cluster.observed, self.bug);
        let passed = self.cluster.experiments(&plan);
        let passed = passed.map_err(|what| self.fail(what))?;
        self.wake = passed.wake;
        Ok(passed.writes)
    }

    /// What is planned reads back as it was: whole seconds only.
    fn times(&self, plan: &Plan) -> Result<(), Failure> {
        let text =
            serde_json::to_string(&plan.status).map_err(|error| self.fail(error.to_string()))?;
        match serde_json::from_str(&text) {
            Ok(read) if plan.status == read => Ok(()),
            Ok(_) | Err(_) => Err(self.fail(format!("reads-back: {text}"))),
        }
    }

    /// The plugin takes a controller's pause without a condition for one that is about to be lifted.
    fn pauses(&self, plan: &Plan) -> Result<(), Failure> {
        let status = &plan.status;
        let wrong = status.controller_pause == Some(true)
            && status.pause_conditions.is_empty()
            && self.cluster.observed.rollout.spec.paused != Some(true)
            && status.condition(condition::INVALID_SPEC).is_none();
        if wrong {
            return Err(self.fail(format!("a-pause-has-a-condition\n{plan}")));
        }
        Ok(())
    }

    /// Left alone it comes to rest, and then writes nothing any more.
    fn rest(&mut self) -> Result<(), Failure> {
        self.cluster.blocked = false;
        self.cluster.refuses = false;
        if let Some(workload) = self.cluster.lost.take() {
            self.cluster.observed.workload = Some(workload);
        }
        for _ in 0..PASSES_TO_REST {
            let sets = self.cluster.observed.replica_sets.clone();
            let writes = self.pass(false)?;
            self.cluster.look();
            let wake = reconcile_with(&self.cluster.observed, self.bug).wake;
            let wake = wake.into_iter().chain(self.wake).min();
            let wait = wake.map_or(0, |wake| {
                wake.duration_since(self.cluster.observed.now).as_secs()
            });
            // With nothing to write only the wake it asked for can bring anything.
            self.cluster
                .tick(if writes == 0 { wait.max(1) } else { 7 }, 100);
            if writes == 0 && sets == self.cluster.observed.replica_sets && wake.is_none() {
                return match self.cluster.stranger() {
                    None => self.traffic_rests(),
                    Some(pod) => Err(self.fail(format!("metadata-reaches-pods: {pod}"))),
                };
            }
        }
        Err(self.fail("settles: it writes and writes".to_owned()))
    }

    /// At rest an aborted version has no traffic while the stable one has its pods, and a healthy Rollout sends it all to
    /// what is stable.
    fn traffic_rests(&self) -> Result<(), Failure> {
        let observed = &self.cluster.observed;
        let Some(traffic) = observed.traffic.as_ref().filter(|one| one.error.is_none()) else {
            return Ok(());
        };
        let (Some(status), Some(weights)) = (&observed.rollout.status, &traffic.weights) else {
            return Ok(());
        };
        let stable = status.stable_rs.as_ref();
        let replicas = observed.rollout.spec.replicas();
        let whole = observed.replica_sets.iter().any(|set| {
            let labels = set.metadata.labels.as_ref();
            let hash = labels.and_then(|all| all.get(LABEL_POD_HASH));
            hash.map(String::as_str) == stable.map(|stable| stable.as_str())
                && set.available() >= replicas
        });
        // A strategy without a router leaves the router's object to whoever has it now.
        let canary = observed.rollout.spec.strategy.canary.as_ref();
        let routed = canary.is_some_and(|canary| canary.traffic_routing.is_some());
        let asked = status
            .canary
            .as_ref()
            .and_then(|canary| canary.weights.as_ref());
        if !routed || asked.is_none() {
            return Ok(());
        }
        let canary = weights.canary.as_ref().map_or(0, |canary| canary.weight);
        let invalid = status.condition(condition::INVALID_SPEC).is_some();
        if status.abort == Some(true) && whole && !invalid && canary > 0 {
            return Err(self.fail(format!("aborted-loses-traffic: {canary} is left")));
        }
        let to = weights.stable.as_ref();
        let settled = canary == 0 && to.and_then(|to| to.pod_template_hash.as_ref()) == stable;
        if status.phase == Some(Phase::Healthy) && !settled {
            return Err(self.fail(format!("healthy-has-settled-traffic: {weights:?}")));
        }
        Ok(())
    }
}
