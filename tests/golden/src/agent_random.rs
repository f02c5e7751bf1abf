//! Random lives of a Rollout on the model cluster.
//!
//! In: a seed and a bug, if one is planted. Out: the first thing that went wrong, with what led to it. The same seed gives
//! the same life. It must not look at a clock.

use agent_api::{
    AnalysisPhase, Direction, Enforcement, Fence, FirstContact, Gate, GateSpec, HubLoss,
    HubLossAction, Permit, Policy, RolloutRef, Waiting,
};
use agent_engine::planted::Bug;
use agent_engine::{
    GateObserved, GateRecord, Governance, HubContact, Observed, Plan, audit, effective,
    reconcile_with,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::agent_cluster::Cluster;
use crate::agent_fixture::{self, VERSIONS, digest, template};

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
    };
    life.note("begins");
    if !life.dice.one_in(4) {
        life.rest()?;
    }
    for _ in 0..EVENTS {
        life.happens();
        for _ in 0..=life.dice.below(2) {
            life.pass(true)?;
            let (seconds, ready) = (1 + i64::from(life.dice.number(40)), life.dice.number(4));
            life.cluster.tick(seconds, ready);
        }
    }
    life.rest()?;
    Ok(life.cluster.writes)
}

fn begin(dice: &mut Dice) -> Result<Observed, String> {
    let steps = steps(dice);
    let replicas = dice.below(9);
    let mut canary = json!({});
    if dice.one_in(3) {
        let unavailable = dice.below(3);
        let surge = if unavailable == 0 {
            1 + dice.below(2)
        } else {
            dice.below(3)
        };
        canary = json!({"maxSurge": surge, "maxUnavailable": unavailable});
    }
    let deadline = dice
        .one_in(4)
        .then(|| json!({"progressDeadlineSeconds": 30, "progressDeadlineAbort": true}));
    let fixture = json!({
        "about": "a life", "now": "2026-01-01T00:00:00Z", "templates": templates(),
        "rollout": {
            "version": "v1", "replicas": replicas, "steps": steps, "canary": canary,
            "spec": deadline.unwrap_or(json!({})),
        },
    });
    let mut observed =
        agent_fixture::observed(&fixture.to_string()).map_err(|error| error.to_string())?;
    if dice.one_in(3) {
        return Ok(observed);
    }
    observed.gate = gate(dice);
    Ok(observed)
}

fn steps(dice: &mut Dice) -> Vec<Value> {
    let count = dice.below(5);
    let mut weight = 0;
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(match dice.below(6) {
            0 => json!({"pause": {}}),
            1 => json!({"pause": {"duration": dice.below(60)}}),
            2 => json!({"analysis": {"templates": [{"templateName": "errors"}]}}),
            _ => {
                weight = (weight + dice.below(45)).min(100);
                json!({"setWeight": weight})
            }
        });
    }
    steps
}

fn templates() -> Value {
    json!([{"name": "errors", "spec": errors()}])
}

fn errors() -> Value {
    json!({"metrics": [{
        "name": "error-rate", "successCondition": "result[0] < 0.05",
        "provider": {"prometheus": {"address": "http://prometheus", "query": "errors"}},
    }]})
}

fn gate(dice: &mut Dice) -> GateObserved {
    let action = *dice
        .pick(&[
            HubLossAction::Finish,
            HubLossAction::Hold,
            HubLossAction::Abort,
        ])
        .unwrap_or(&HubLossAction::Hold);
    let spec = GateSpec {
        rollout: RolloutRef {
            namespace: "shop".into(),
            name: agent_fixture::NAME.into(),
            ..RolloutRef::default()
        },
        governed: true,
        incarnation: 1,
        version: 1,
        fleet_rollout: "checkout".into(),
        policy: Policy {
            on_hub_loss: HubLoss {
                action,
                after_seconds: Some(dice.below(60)),
                ..HubLoss::default()
            },
            enforcement: if dice.one_in(6) {
                Enforcement::Observe
            } else {
                Enforcement::Enforce
            },
            first_contact: FirstContact::Hold,
            ..Policy::default()
        },
        ..GateSpec::default()
    };
    GateObserved {
        governance: Governance::Governed,
        governed_by: Some("checkout".into()),
        record: GateRecord::Present(Box::new(Gate {
            spec,
            ..Gate::default()
        })),
        hub: HubContact::Connected,
        lease_live: true,
        first_deploy_free: !dice.one_in(3),
        ..GateObserved::stand_alone()
    }
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

    fn happens(&mut self) {
        match self.dice.below(14) {
            0..=2 => self.git(),
            3 => self.client(),
            4 => self.client(),
            5 => self.client(),
            6 => self.scale(),
            7 | 8 => self.runs(),
            9 | 10 => self.grant(),
            11 | 12 => self.lease(),
            _ => self.health(),
        }
    }

    /// Git changes the version, the steps, or goes back.
    fn git(&mut self) {
        let rollout = &mut self.cluster.observed.rollout;
        if self.dice.one_in(5) {
            let steps = steps(&mut self.dice);
            if let (Some(canary), Ok(steps)) = (
                &mut rollout.spec.strategy.canary,
                serde_json::from_value(Value::Array(steps)),
            ) {
                canary.steps = steps;
            }
        } else if let Some(version) = self.dice.pick(&VERSIONS) {
            rollout.spec.template = Some(template(version));
        }
        self.edited("git");
        // Most of what Git brings is permitted sooner or later; the rest of the story is about what comes after.
        if !self.dice.one_in(3) {
            self.permit_spec();
        }
    }

    /// The hub permits what Git wants, in time and with a lease that runs.
    fn permit_spec(&mut self) {
        let spec = effective::of_spec(&self.cluster.observed);
        let uid = self
            .cluster
            .observed
            .rollout
            .metadata
            .uid
            .clone()
            .unwrap_or_default();
        let GateRecord::Present(gate) = &mut self.cluster.observed.gate.record else {
            return;
        };
        self.fence += 1;
        gate.spec.waiting = None;
        gate.spec.permit = Some(Permit {
            release: format!("checkout#{}", self.fence).into(),
            fence: Fence {
                incarnation: 1,
                version: self.fence,
            },
            digest: spec.digest,
            delivery_digest: spec.delivery,
            start_by: Some(Timestamp::MAX.into()),
            max_step: self.dice.one_in(4).then(|| self.dice.number(3)),
            lease_seconds: 30,
            rollout_uid: uid.into(),
            signature: "s".into(),
            ..Permit::default()
        });
        self.cluster.observed.gate.distrust = None;
        self.cluster.observed.gate.lease_live = true;
        self.note("the hub permits what Git wants");
    }

    fn edited(&mut self, what: &str) {
        let generation = &mut self.cluster.observed.rollout.metadata.generation;
        *generation = Some(generation.unwrap_or(1) + 1);
        let named = self
            .cluster
            .observed
            .rollout
            .spec
            .template
            .as_ref()
            .map(|template| template.images().join(","));
        self.note(&format!("{what}: {}", named.unwrap_or_default()));
    }

    /// What the kubectl plugin writes.
    fn client(&mut self) {
        let rollout = &mut self.cluster.observed.rollout;
        let Some(status) = rollout.status.as_mut() else {
            return;
        };
        let what = match self.dice.below(7) {
            0 => {
                status.abort = Some(true);
                "abort"
            }
            1 => {
                status.abort = Some(false);
                "retry"
            }
            2 if status.current_pod_hash != status.stable_rs => {
                status.promote_full = Some(true);
                "promote --full"
            }
            3 => {
                rollout.spec.paused = Some(rollout.spec.paused != Some(true));
                self.edited("pause or resume");
                return;
            }
            _ => {
                if status.pause_conditions.is_empty() {
                    let steps = rollout
                        .spec
                        .strategy
                        .canary
                        .as_ref()
                        .map_or(0, |canary| canary.steps.len());
                    let next = status.current_step_index.map(|index| index + 1);
                    status.current_step_index = next
                        .filter(|next| usize::try_from(*next).is_ok_and(|next| next <= steps))
                        .or(status.current_step_index);
                } else {
                    status.pause_conditions.clear();
                }
                "promote"
            }
        };
        self.note(what);
    }

    fn scale(&mut self) {
        self.cluster.observed.rollout.spec.replicas = Some(self.dice.number(9));
        self.edited("scale");
    }

    fn runs(&mut self) {
        let all = [
            AnalysisPhase::Running,
            AnalysisPhase::Successful,
            AnalysisPhase::Successful,
            AnalysisPhase::Failed,
            AnalysisPhase::Error,
            AnalysisPhase::Inconclusive,
        ];
        if let Some(phase) = self.dice.pick(&all).copied() {
            self.cluster.finish_runs(phase);
            self.note(&format!("runs are {phase}"));
        }
    }

    /// The hub says something new: a permit, a rollback, a bar, nothing any more.
    fn grant(&mut self) {
        let spec = effective::of_spec(&self.cluster.observed);
        let (now, uid) = (
            self.cluster.observed.now,
            self.cluster
                .observed
                .rollout
                .metadata
                .uid
                .clone()
                .unwrap_or_default(),
        );
        let kept: Vec<_> = self
            .cluster
            .observed
            .gate
            .kept
            .iter()
            .map(|(digest, kept)| (digest.clone(), kept.delivery.clone()))
            .collect();
        let GateRecord::Present(gate) = &mut self.cluster.observed.gate.record else {
            return;
        };
        self.fence += 1;
        let rollback = self.dice.one_in(4);
        let (content, delivery) = match self.dice.pick(&kept) {
            Some(one) if rollback || self.dice.one_in(4) => one.clone(),
            _ => (spec.digest, spec.delivery),
        };
        let start_by = now
            .checked_add(SignedDuration::from_secs(i64::from(self.dice.number(120))))
            .unwrap_or(Timestamp::MAX);
        let release = format!("checkout#{}", self.fence);
        gate.spec.waiting = self.dice.one_in(3).then(|| Waiting {
            release: release.as_str().into(),
            wave: 2,
            waves: 3,
            wave_name: "europe".into(),
            ..Waiting::default()
        });
        gate.spec.permit = (!self.dice.one_in(6)).then(|| Permit {
            release: release.as_str().into(),
            direction: if rollback {
                Direction::Rollback
            } else {
                Direction::Forward
            },
            fence: Fence {
                incarnation: 1,
                version: self.fence,
            },
            digest: content,
            delivery_digest: delivery,
            start_by: Some(start_by.into()),
            max_step: self.dice.one_in(3).then(|| self.dice.number(4)),
            lease_seconds: 30,
            steps_backwards: self.dice.one_in(3),
            rollout_uid: uid.into(),
            signature: "s".into(),
            ..Permit::default()
        });
        self.cluster.observed.gate.distrust = self
            .dice
            .one_in(12)
            .then(|| "its signature does not match".into());
        self.cluster.observed.gate.lease_live = true;
        self.note(if rollback {
            "the hub rolls back"
        } else {
            "the hub permits"
        });
    }

    fn lease(&mut self) {
        let now = self.cluster.observed.now;
        let gate = &mut self.cluster.observed.gate;
        match self.dice.below(4) {
            0 => gate.lease_live = true,
            1 => gate.lease_live = false,
            2 => {
                gate.lease_live = false;
                gate.hub = HubContact::Lost { since: now };
            }
            _ => {
                gate.lease_live = true;
                gate.hub = HubContact::Connected;
            }
        }
        self.note("lease or contact");
    }

    fn health(&mut self) {
        self.cluster.broken.clear();
        if let Some(version) = self.dice.pick(&VERSIONS).filter(|_| self.dice.0 & 1 == 0) {
            self.cluster.broken.push(digest(version).to_string());
        }
        self.note("health");
    }

    /// One pass, checked; it may be cut off in the middle.
    fn pass(&mut self, cut: bool) -> Result<usize, Failure> {
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
        let limit =
            (cut && self.dice.one_in(4)).then(|| usize::try_from(self.dice.below(6)).unwrap_or(0));
        if let Some(limit) = limit {
            self.note(&format!("cut off after {limit} writes"));
        }
        self.cluster
            .apply(&plan, limit)
            .map_err(|error| self.fail(format!("applies: {error}")))
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

    /// Left alone it comes to rest, and then writes nothing any more.
    fn rest(&mut self) -> Result<(), Failure> {
        for _ in 0..PASSES_TO_REST {
            let sets = self.cluster.observed.replica_sets.clone();
            let writes = self.pass(false)?;
            let wake = reconcile_with(&self.cluster.observed, self.bug).wake;
            let wait = wake.map_or(0, |wake| {
                wake.duration_since(self.cluster.observed.now).as_secs()
            });
            // With nothing to write only the wake it asked for can bring anything.
            self.cluster
                .tick(if writes == 0 { wait.max(1) } else { 7 }, 100);
            if writes == 0 && sets == self.cluster.observed.replica_sets && wake.is_none() {
                return Ok(());
            }
        }
        Err(self.fail("settles: it writes and writes".to_owned()))
    }
}
