//! What happens in a life: Git, clients, autoscalers, runs, the hub, its silence, broken versions.
//!
//! In: dice. Out: a changed cluster. It must not plan.

use agent_api::names::LABEL_POD_HASH;
use agent_api::{AnalysisPhase, Direction, Fence, Permit, PodMetadata, StatusTime, Waiting};
use agent_engine::{GateRecord, Governance, HubContact, HubTime, effective};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Life;
use super::begin::{blue_green, keep_stable, steps};
use crate::agent_fixture::{VERSIONS, defaulted, digest, hash, template};

/// A permit that came so long after its start-by.
const LATE: SignedDuration = SignedDuration::from_secs(1);

impl Life {
    pub(super) fn happens(&mut self) {
        match self.dice.below(22) {
            20 => self.glass(),
            21 => self.stop(),
            17 if self.dice.one_in(2) => self.experiment(),
            18 => self.orphan(),
            19 => self.workload(),
            16 if self.dice.one_in(2) => self.service(),
            0..=2 => self.git(),
            3 => self.client(),
            4 => self.client(),
            5 => self.client(),
            6 => self.scale(),
            7 | 8 => self.runs(),
            9 | 10 => self.grant(),
            11 | 12 => self.lease(),
            13 => self.restart(),
            14 => self.metadata(),
            15 => self.router(),
            16 => {
                self.cluster.refuses = !self.cluster.refuses;
                self.note("a policy for ReplicaSets comes or goes");
            }
            _ => self.health(),
        }
    }

    /// Git changes the version, the steps, or goes back.
    fn git(&mut self) {
        let rollout = &mut self.cluster.observed.rollout;
        if self.dice.one_in(8) {
            // From one strategy to the other, or to another of its kind.
            let strategy = if self.dice.one_in(2) {
                json!({"blueGreen": blue_green(&mut self.dice)})
            } else {
                json!({"canary": {"steps": steps(&mut self.dice, false)}})
            };
            if let Ok(strategy) = serde_json::from_value(strategy) {
                rollout.spec.strategy = strategy;
            }
        } else if self.dice.one_in(5) {
            let canary = rollout.spec.strategy.canary.as_ref();
            let routed = canary.is_some_and(|canary| canary.traffic_routing.is_some());
            let steps = steps(&mut self.dice, routed);
            if let (Some(canary), Ok(steps)) = (
                &mut rollout.spec.strategy.canary,
                serde_json::from_value(Value::Array(steps)),
            ) {
                canary.steps = steps;
            }
        } else if let Some(version) = self.dice.pick(&VERSIONS) {
            // `undo` writes back what the API server made of it.
            let written = if self.dice.one_in(6) {
                defaulted(version)
            } else {
                template(version)
            };
            match &mut self.cluster.observed.workload {
                Some(workload) => {
                    workload.template = written;
                    workload.generation += 1;
                }
                None => rollout.spec.template = Some(written),
            }
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
        self.lease_runs(true);
        self.note("the hub permits what Git wants");
    }

    fn edited(&mut self, what: &str) {
        let generation = &mut self.cluster.observed.rollout.metadata.generation;
        *generation = Some(generation.unwrap_or(1) + 1);
        let named = self.cluster.observed.template();
        let named = named.map(|template| template.images().join(","));
        self.note(&format!("{what}: {}", named.unwrap_or_default()));
    }

    /// Somebody takes the owner of a ReplicaSet away, as `kubectl delete --cascade=orphan` does, or deletes the ReplicaSet
    /// in the foreground: it stays until its pods are gone.
    fn orphan(&mut self) {
        let count = u64::try_from(self.cluster.observed.replica_sets.len()).unwrap_or(0);
        let index = usize::try_from(self.dice.below(count.max(1))).unwrap_or(0);
        let (deleted, now) = (self.dice.one_in(4), self.cluster.observed.now);
        let Some(set) = self.cluster.observed.replica_sets.get_mut(index) else {
            return;
        };
        let name = set.metadata.name.clone().unwrap_or_default();
        if deleted {
            crate::agent_cluster::delete(set, now);
            self.note(&format!("somebody deletes {name} and waits"));
            return;
        }
        if set.metadata.deletion_timestamp.is_none() {
            set.metadata.owner_references = None;
            self.note(&format!("{name} loses its owner"));
        }
    }

    /// The workload that is named goes, or is there again.
    fn workload(&mut self) {
        let there = self.cluster.lost.take();
        if there.is_none() && self.cluster.observed.workload.is_none() {
            return;
        }
        self.cluster.lost = std::mem::replace(&mut self.cluster.observed.workload, there);
        self.note("the workload goes or comes");
    }

    /// What the kubectl plugin writes.
    fn client(&mut self) {
        let rollout = &mut self.cluster.observed.rollout;
        let Some(status) = rollout.status.as_mut() else {
            return;
        };
        let what = match self.dice.below(8) {
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
            4 => {
                let back = status.current_step_index.map(|index| (index - 1).max(0));
                status.current_step_index = back;
                "back by a step"
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

    /// `kubectl argo rollouts retry experiment`, or `terminate experiment`, of any.
    fn experiment(&mut self) {
        let count = u64::try_from(self.cluster.observed.experiments.len()).unwrap_or(0);
        let index = usize::try_from(self.dice.below(count.max(1))).unwrap_or(0);
        let again = self.dice.one_in(2);
        let Some(one) = self.cluster.observed.experiments.get_mut(index) else {
            return;
        };
        if again {
            one.status = None;
        } else {
            one.spec.terminate = Some(true);
        }
        let name = one.metadata.name.clone().unwrap_or_default();
        let what = if again { "retry" } else { "terminate" };
        self.note(&format!("{what} experiment {name}"));
    }

    /// Somebody edits or makes anew the Service that users come through.
    fn service(&mut self) {
        let version = self.dice.pick(&VERSIONS).copied();
        let made_anew = self.dice.one_in(2);
        if let Some(service) = self.cluster.observed.services.first_mut() {
            service.spec.selector.remove(LABEL_POD_HASH);
            if made_anew {
                service.metadata.annotations = None;
            } else if let Some(version) = version {
                let selector = &mut service.spec.selector;
                selector.insert(LABEL_POD_HASH.to_owned(), hash(version).to_string());
            }
        }
        self.note("somebody edits the service");
    }

    /// An autoscaler, or somebody, wants another number; or the stable version is to keep its pods, or not any more.
    fn scale(&mut self) {
        if self.dice.one_in(6) {
            let keep = self.dice.one_in(2);
            keep_stable(&mut self.cluster.observed, keep);
            self.note("keep-stable or not");
            return;
        }
        self.cluster.observed.rollout.spec.replicas = Some(self.dice.number(9));
        self.edited("scale");
    }

    /// Somebody asks for a restart, now or soon; a budget closes or opens.
    fn restart(&mut self) {
        let seconds = i64::from(self.dice.number(20));
        let at = self
            .cluster
            .observed
            .now
            .checked_add(SignedDuration::from_secs(seconds));
        self.cluster.observed.rollout.spec.restart_at = at.ok().map(StatusTime::from);
        self.cluster.blocked = self.dice.one_in(3);
        self.edited("restart");
    }

    /// The metadata of the parts that versions play is another.
    fn metadata(&mut self) {
        let value = self.dice.number(3).to_string();
        let metadata = |dice: &mut super::Dice, key: &str| {
            (!dice.one_in(4)).then(|| PodMetadata {
                labels: [(key.to_owned(), value.clone())].into(),
                ..PodMetadata::default()
            })
        };
        let (canary, stable) = (
            metadata(&mut self.dice, "role"),
            metadata(&mut self.dice, "stage"),
        );
        if let Some(strategy) = &mut self.cluster.observed.rollout.spec.strategy.canary {
            strategy.canary_metadata = canary;
            strategy.stable_metadata = stable;
        }
        self.edited("metadata");
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
        let observed = &self.cluster.observed;
        let uid = observed.rollout.metadata.uid.clone().unwrap_or_default();
        let now = observed.now;
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
        // Now and then it comes after that by the hub's time, whatever this cluster's clock says.
        self.cluster.observed.gate.hub_time = self.fence.is_multiple_of(5).then(|| HubTime {
            now: start_by.checked_add(LATE).unwrap_or(start_by),
            ahead: SignedDuration::ZERO,
        });
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
        self.lease_runs(true);
        self.note(if rollback {
            "the hub rolls back"
        } else {
            "the hub permits"
        });
    }

    /// The last renewal was heard now, or a while ago.
    fn lease_runs(&mut self, live: bool) {
        let now = self.cluster.observed.now;
        let left = SignedDuration::from_secs(1 + now.as_second() % 30);
        let gate = &mut self.cluster.observed.gate;
        gate.lease_live = live;
        gate.lease_until = now.checked_add(left).ok().filter(|_| live);
    }

    fn lease(&mut self) {
        let now = self.cluster.observed.now;
        let event = self.dice.below(6);
        match event {
            1 | 2 => self.lease_runs(false),
            4 | 5 => {}
            _ => self.lease_runs(true),
        }
        let gate = &mut self.cluster.observed.gate;
        let bound = gate.governance != Governance::StandAlone;
        match event {
            // Somebody deletes the Gate, and it is rebuilt from the hub: without its status, and with its permit, if that was not
            // taken back.
            0 if bound => {
                if let GateRecord::Present(gate) = &mut gate.record {
                    gate.status = None;
                    gate.spec.permit.take_if(|_| self.fence.is_multiple_of(2));
                }
            }
            0 | 1 => {}
            // The API server stops saying, or says again, what is governed; a fleet takes a Rollout over, or lets go.
            4 if bound => gate.governance = Governance::Unknown,
            5 if bound => {
                gate.governance = if gate.governance == Governance::Governed {
                    Governance::Free
                } else {
                    Governance::Governed
                };
            }
            2 => gate.hub = HubContact::Lost { since: now },
            _ => {
                self.lease_runs(true);
                self.cluster.observed.gate.hub = HubContact::Connected;
            }
        }
        self.note("lease or contact");
    }

    /// The router is changed by somebody else, cannot be asked, can be asked again, or takes its time from now on.
    fn router(&mut self) {
        let Some(traffic) = &mut self.cluster.observed.traffic else {
            return;
        };
        match self.dice.below(5) {
            0 => {
                let shown = traffic.weights.as_mut();
                if let Some((canary, stable)) = shown
                    .and_then(|weights| Some((weights.canary.as_mut()?, weights.stable.as_mut()?)))
                {
                    let less = canary.weight.min(10);
                    canary.weight -= less;
                    stable.weight += less;
                }
            }
            1 => traffic.error = Some("the router's object is not there".to_owned()),
            2 => self.cluster.confirms = Some(false),
            3 => self.cluster.confirms = None,
            _ => traffic.error = None,
        }
        self.note("router");
    }

    fn health(&mut self) {
        self.cluster.broken.clear();
        if let Some(version) = self.dice.pick(&VERSIONS).filter(|_| self.dice.0 & 1 == 0) {
            self.cluster.broken.push(digest(version).to_string());
        }
        self.note("health");
    }
}
