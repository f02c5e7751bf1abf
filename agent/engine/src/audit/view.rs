//! The plan beside what it changes.
//!
//! In: what was observed, what was planned. Out: numbers before and after, by name. It must not judge.

use agent_api::names::{ANNOTATION_DIGEST, ANNOTATION_KEEP_STABLE, LABEL_POD_HASH};
use agent_api::{
    CanaryStep, CanaryStrategy, ContentDigest, Enforcement, GateStatus, OutcomeResult, Permit,
    PodHash, RolloutStatus, Weights,
};

use super::Violation;
use crate::canary::replicas::{Limits, beside, split};
use crate::canary::routed::Routed;
use crate::effective::{self, Effective};
use crate::gate::facts::{Facts, FirstWord, Permission, PermitFacts, PermitKind, Record};
use crate::gate::observe::facts;
use crate::observed::{Governance, Observed};
use crate::pass::Strategy;
use crate::plan::{Action, Plan};
use crate::planted::Bug;
use crate::reason::Reason;
use crate::sets::{SetView, views};

/// One ReplicaSet, before and after.
pub(super) struct Move {
    pub name: String,
    pub hash: PodHash,
    pub digest: ContentDigest,
    pub from: i32,
    pub to: i32,
    pub available: i32,
    pub made: bool,
}

impl Move {
    /// Available pods that are sure to be left.
    pub fn sure(&self, count: i32) -> i32 {
        self.available.min(count).max(0)
    }
}

/// What the rules look at.
pub(super) struct View<'a> {
    pub observed: &'a Observed,
    pub plan: &'a Plan,
    pub before: RolloutStatus,
    pub facts: Facts,
    pub sets: Vec<SetView>,
    pub moves: Vec<Move>,
    pub spec: Effective,
    /// The content that runs after the plan: of the current hash.
    pub running: Option<Effective>,
}

impl<'a> View<'a> {
    pub fn of(observed: &'a Observed, plan: &'a Plan) -> Self {
        let sets = views(observed);
        let spec = effective::of_spec(observed);
        let moves = moves(&sets, plan);
        let current = moves
            .iter()
            .find(|one| Some(&one.hash) == plan.status.current_pod_hash.as_ref());
        let facts = facts(observed, &spec, &sets, Bug::default());
        let running = current.map(|one| content(observed, plan, &facts, &spec, &one.digest));
        Self {
            facts,
            before: observed.rollout.status.clone().unwrap_or_default(),
            observed,
            plan,
            sets,
            moves,
            spec,
            running,
        }
    }

    pub fn replicas(&self) -> i32 {
        self.observed.rollout.spec.replicas().max(0)
    }

    pub fn limits(&self) -> Limits {
        self.limits_of(self.replicas())
    }

    fn limits_of(&self, replicas: i32) -> Limits {
        let unsaid = CanaryStrategy::default();
        let strategy = self
            .running
            .as_ref()
            .and_then(|running| Strategy::of(&running.strategy));
        Limits::of(strategy.unwrap_or(Strategy::Canary(&unsaid)), replicas)
    }

    /// A pass that does nothing, for want of a spec or a template: what a client wrote is left for the next one.
    pub fn does_nothing(&self) -> bool {
        self.plan.reasons.iter().any(|reason| {
            matches!(
                reason,
                Reason::InvalidSpec { .. } | Reason::TemplateLost { .. }
            )
        })
    }

    pub fn is_blue_green(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.strategy.blue_green.is_some())
    }

    /// The stable version is to keep all its pods while a canary without a router is on its way.
    pub fn keeps_stable(&self) -> bool {
        let annotations = self.observed.rollout.metadata.annotations.as_ref();
        let asked = annotations.and_then(|all| all.get(ANNOTATION_KEEP_STABLE));
        let asked = asked.is_some_and(|asked| asked == "true");
        asked && !self.is_blue_green() && self.routed().is_none()
    }

    /// The bounds of a canary whose requests a router splits.
    pub fn routed(&self) -> Option<Routed> {
        self.routed_of(self.limits())
    }

    fn routed_of(&self, limits: Limits) -> Option<Routed> {
        self.observed.traffic.as_ref()?;
        let canary = self.running.as_ref()?.strategy.canary.as_ref()?;
        Routed::of(canary, limits)
    }

    /// The split as the router shows it; where it shows none, as the status says.
    pub fn shown(&self) -> Weights {
        let shown = self
            .observed
            .traffic
            .as_ref()
            .and_then(|traffic| traffic.weights.clone());
        let said = self
            .before
            .canary
            .as_ref()
            .and_then(|canary| canary.weights.clone());
        shown.or(said).unwrap_or_default()
    }

    /// The weight that the steps up to the planned one ask for; `None` when all are done.
    pub fn step_weight(&self) -> Option<i32> {
        let index = self.plan.status.current_step_index.unwrap_or(0);
        self.weight_at(index)
    }

    /// The weight that the steps up to one ask for; `None` beyond the last.
    pub fn weight_at(&self, index: i32) -> Option<i32> {
        let steps = self.steps();
        let index = usize::try_from(index).unwrap_or(0);
        let upto = steps.get(..=index)?;
        Some(
            upto.iter()
                .rev()
                .find_map(|step| step.set_weight)
                .unwrap_or(0),
        )
    }

    /// The most pods that the canary may be raised to at a step.
    pub fn pods_at(&self, index: i32) -> Option<i32> {
        self.pods_out_of(index, self.replicas())
    }

    /// The same, were these the Rollout's replicas.
    pub fn pods_out_of(&self, index: i32, replicas: i32) -> Option<i32> {
        let weight = self.weight_at(index)?;
        let limits = self.limits_of(replicas);
        let Some(routed) = self.routed_of(limits) else {
            let parts = if self.keeps_stable() {
                beside(limits, weight)
            } else {
                split(limits, weight)
            };
            return Some(parts.new);
        };
        let steps = self.steps();
        let upto = steps.get(..=usize::try_from(index).unwrap_or(0))?;
        let scale = upto
            .iter()
            .rev()
            .find_map(|step| step.set_canary_scale.as_ref())
            .filter(|scale| scale.match_traffic_weight != Some(true));
        let said = scale.and_then(|scale| {
            scale
                .replicas
                .or(scale.weight.map(|weight| routed.pods(weight)))
        });
        Some(said.unwrap_or_else(|| routed.pods(weight)))
    }

    pub fn steps(&self) -> Vec<CanaryStep> {
        let strategy = self
            .running
            .as_ref()
            .and_then(|running| running.strategy.canary.clone());
        strategy.map(|canary| canary.steps).unwrap_or_default()
    }

    /// The version that is current after the plan, if it is not the stable one.
    pub fn canary(&self) -> Option<&Move> {
        let current = self.plan.status.current_pod_hash.as_ref();
        let on_its_way = current != self.plan.status.stable_rs.as_ref();
        self.moves
            .iter()
            .find(|one| on_its_way && Some(&one.hash) == current)
    }

    /// The stable version after the plan.
    pub fn stable(&self) -> Option<&Move> {
        self.moves
            .iter()
            .find(|one| Some(&one.hash) == self.plan.status.stable_rs.as_ref())
    }

    /// The version that is current lies so little behind the stable one that its steps may be skipped.
    pub fn within_rollback_window(&self) -> bool {
        let window = self.observed.rollout.spec.rollback_window.as_ref();
        let revisions = window.and_then(|window| window.revisions).unwrap_or(0);
        let made = |hash: Option<&PodHash>| {
            let set = self.sets.iter().find(|set| Some(&set.hash) == hash);
            set.and_then(|set| set.created)
        };
        let from = made(self.plan.status.current_pod_hash.as_ref());
        let to = made(self.before.stable_rs.as_ref());
        let (Some(from), Some(to)) = (from, to) else {
            return false;
        };
        let inside = self
            .sets
            .iter()
            .filter(|set| set.created.is_some_and(|made| from < made && made < to));
        let few = i32::try_from(inside.count()).is_ok_and(|count| count < revisions);
        from < to && few && self.observed.rollout.spec.paused != Some(true)
    }

    /// Names of the Experiments that are made.
    pub fn experiments_made(&self) -> impl Iterator<Item = &str> {
        self.plan.actions.iter().filter_map(|action| {
            let Action::CreateExperiment { experiment } = action else {
                return None;
            };
            experiment.metadata.name.as_deref()
        })
    }

    /// The same version was current before, in the same steps.
    pub fn same_version(&self) -> bool {
        self.before.current_pod_hash == self.plan.status.current_pod_hash
            && self.before.current_step_hash == self.plan.status.current_step_hash
    }

    pub fn recorded(&self) -> Option<&GateStatus> {
        recorded(self.plan)
    }
}

/// The content with a digest, as the spec or a kept template has it.
fn content(
    observed: &Observed,
    plan: &Plan,
    facts: &Facts,
    spec: &Effective,
    digest: &ContentDigest,
) -> Effective {
    let Some(kept) = observed
        .gate
        .kept
        .get(digest)
        .filter(|kept| *digest != spec.digest || kept.delivery != spec.delivery)
    else {
        return spec.clone();
    };
    // While a permit for the kept steps is carried out they count, else the spec's.
    let gate = observed.gate.gate().map(|gate| &gate.spec);
    let governed = observed.gate.governance == Governance::Governed;
    let bound = gate.filter(|hub| governed && hub.policy.enforcement == Enforcement::Enforce);
    let permit = bound.and_then(|hub| hub.permit.as_ref());
    let permit = permit.filter(|permit| !without_target(observed, plan, permit));
    let permit = permit.filter(|permit| !over(plan, facts, permit));
    let frozen = permit
        .is_some_and(|permit| permit.digest == *digest && permit.delivery_digest == kept.delivery)
        || steps_stand(facts, digest);
    if *digest == spec.digest && !frozen {
        return spec.clone();
    }
    let strategy =
        serde_json::from_value(kept.strategy.clone()).unwrap_or_else(|_| spec.strategy.clone());
    Effective {
        strategy,
        digest: digest.clone(),
        ..spec.clone()
    }
}

/// G2: it is on its way by a permit that counts no more; the steps that it has come by stay.
pub(super) fn steps_stand(facts: &Facts, digest: &ContentDigest) -> bool {
    let bound = match facts.governance {
        Governance::StandAlone => false,
        Governance::Free => facts.first_word == FirstWord::Hold,
        Governance::Unknown => true,
        Governance::Governed => facts.enforcement == Enforcement::Enforce,
    };
    let flight = facts.in_flight.as_ref();
    let flight = flight.filter(|flight| flight.digest == *digest && !flight.aborted);
    let (true, Some(flight)) = (bound, flight) else {
        return false;
    };
    let ended = facts.succeeded.as_ref() == Some(digest);
    let for_spec = live_permit(facts, digest).is_some_and(|permit| {
        facts.spec == *digest && permit.delivery == facts.spec_delivery
            || permit.kind != PermitKind::Forward
    });
    let unknown = match facts.governance {
        Governance::Unknown => true,
        Governance::Governed => facts.record != Record::Present,
        Governance::StandAlone | Governance::Free => false,
    };
    (unknown || flight.permission == Permission::Fleet && !ended) && !for_spec
}

/// A permit for a content that counts; one back to what was never healthy here leads nowhere (G23).
pub(super) fn live_permit<'a>(facts: &'a Facts, digest: &ContentDigest) -> Option<&'a PermitFacts> {
    let permit = facts.permit.as_ref()?;
    let spent = facts
        .consumed
        .is_some_and(|consumed| consumed >= permit.fence);
    let leads = match permit.kind {
        PermitKind::Forward => !facts.barred.contains(digest),
        PermitKind::Rollback { .. } => {
            facts.healthy.contains(digest) && !facts.gone.contains(digest)
        }
    };
    let counts = permit.content == *digest && permit.distrust.is_none() && !spent && leads;
    counts.then_some(permit)
}

/// Its outcome has consumed it (G17), and with it what it froze (G2): before this pass, or in it, where nothing is on its way.
fn over(plan: &Plan, facts: &Facts, permit: &Permit) -> bool {
    let now = recorded(plan).and_then(|record| record.outcome.as_ref());
    let now = now.filter(|_| facts.in_flight.is_none());
    let spent = facts.consumed.max(now.map(|outcome| outcome.fence));
    spent.is_some_and(|spent| spent >= permit.fence)
}

/// A rollback that has nothing sound to go back to is over as soon as it is seen: it fixes no steps.
fn without_target(observed: &Observed, plan: &Plan, permit: &Permit) -> bool {
    let known = observed.gate.gate().and_then(|gate| gate.status.as_ref());
    let recorded = recorded(plan).or(known);
    let outcome = recorded.and_then(|record| record.outcome.as_ref());
    outcome.is_some_and(|one| {
        one.fence == permit.fence && one.result == OutcomeResult::NoRollbackTarget
    })
}

fn recorded(plan: &Plan) -> Option<&GateStatus> {
    plan.actions.iter().find_map(|action| {
        let Action::RecordGate { status, .. } = action else {
            return None;
        };
        Some(&**status)
    })
}

fn moves(sets: &[SetView], plan: &Plan) -> Vec<Move> {
    let scaled = |name: &str| {
        plan.actions.iter().find_map(|action| {
            let Action::ScaleReplicaSet { name: of, to, .. } = action else {
                return None;
            };
            (of == name).then_some(*to)
        })
    };
    let gone = |name: &str| {
        let same =
            |action: &Action| matches!(action, Action::DeleteReplicaSet { name: of } if of == name);
        plan.actions.iter().any(same)
    };
    let known = sets.iter().map(|set| Move {
        name: set.name.clone(),
        hash: set.hash.clone(),
        digest: set.digest.clone(),
        from: set.desired,
        to: if gone(&set.name) {
            0
        } else {
            scaled(&set.name).unwrap_or(set.desired)
        },
        available: set.available,
        made: false,
    });
    let made = plan.actions.iter().filter_map(|action| {
        let Action::CreateReplicaSet { replica_set } = action else {
            return None;
        };
        let label = replica_set
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL_POD_HASH));
        let digest = replica_set
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(ANNOTATION_DIGEST));
        Some(Move {
            name: replica_set.metadata.name.clone().unwrap_or_default(),
            hash: PodHash(label.cloned().unwrap_or_default()),
            digest: ContentDigest(digest.cloned().unwrap_or_default()),
            from: 0,
            to: replica_set.desired(),
            available: 0,
            made: true,
        })
    });
    known.chain(made).collect()
}

/// Adds a violation.
pub(super) fn breaks(found: &mut Vec<Violation>, rule: &'static str, detail: impl Into<String>) {
    found.push(Violation {
        rule,
        detail: detail.into(),
    });
}
