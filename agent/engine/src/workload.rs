//! The workload that a Rollout names in the place of a template.
//!
//! In: the reference, the workload as observed, the pass at its end. Out: what is wrong with the reference, the
//! generation that was seen, the workload scaled down as the Rollout's first version takes over. It must not write the
//! workload's template anywhere.

use agent_api::names::{ANNOTATION_WORKLOAD_GENERATION, LABEL_POD_HASH};
use agent_api::validate::{Problem, sentence, workload_problems};
use agent_api::{Direction, Phase, ScaleDown, WorkloadKind};

use crate::observed::Observed;
use crate::pass::{Pass, annotate_rollout};
use crate::plan::{Action, EventKind, Plan};
use crate::reason::Reason;

/// The revision at which the workload's own pods are replaced; later ones never had any beside them.
const FIRST_REVISION: i64 = 1;

/// The message of the InvalidSpec condition, if the workload cannot be used.
pub fn problem(observed: &Observed) -> Option<String> {
    let metadata = &observed.rollout.metadata;
    let reference = observed.rollout.spec.workload_ref.as_ref()?;
    let mut problems = workload_problems(&observed.rollout.spec);
    if problems.is_empty() && observed.workload.is_none() {
        let kind = reference.kind.as_deref().unwrap_or_default();
        let name = reference.name.as_deref().unwrap_or_default();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        problems.push(Problem {
            path: "spec.workloadRef.name".to_owned(),
            message: format!(
                "there is no {kind} {namespace}/{name}: make it, or correct the reference"
            ),
        });
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    (!problems.is_empty()).then(|| sentence(name, &problems))
}

/// What is observed, fit for a rollback by the fleet to kept content while the workload is gone: silence of a workload must
/// not keep a bad version in front of users. Which pods are the Rollout's is then read from its ReplicaSets.
pub fn stand_in(observed: &Observed) -> Option<Observed> {
    let spec = &observed.rollout.spec;
    if spec.workload_ref.is_none()
        || observed.workload.is_some()
        || !workload_problems(spec).is_empty()
    {
        return None;
    }
    let permit = observed.gate.gate()?.spec.permit.as_ref()?;
    let back = permit.direction == Direction::Rollback;
    if !back || !observed.gate.kept.contains_key(&permit.digest) {
        return None;
    }
    let mut found = observed.clone();
    if spec.selector.is_empty() {
        let set = observed.replica_sets.first()?;
        let mut selector = set.spec.selector.clone();
        selector.match_labels.remove(LABEL_POD_HASH);
        if selector.is_empty() {
            return None;
        }
        found.rollout.spec.selector = selector;
    }
    Some(found)
}

/// Says which generation of the workload the status speaks of, in the status and where Argo CD compares it.
pub fn note_generation(observed: &Observed, plan: &mut Plan) {
    let named = observed.rollout.spec.workload_ref.is_some();
    let seen = observed
        .workload
        .as_ref()
        .filter(|_| named)
        .map(|workload| workload.generation.to_string());
    let annotations = observed.rollout.metadata.annotations.as_ref();
    let noted = annotations.and_then(|all| all.get(ANNOTATION_WORKLOAD_GENERATION));
    plan.status.workload_observed_generation.clone_from(&seen);
    if noted != seen.as_ref() {
        annotate_rollout(&mut plan.actions, ANNOTATION_WORKLOAD_GENERATION, seen);
    }
}

impl Pass<'_> {
    /// Scales the named Deployment as its pods are replaced. A first version that is never healthy gives way again:
    /// what is not ready in it stays in the Deployment.
    pub fn scale_workload(&mut self) {
        let observed = self.observed;
        let reference = observed.rollout.spec.workload_ref.as_ref();
        let scale_down = reference.and_then(|one| ScaleDown::of(one.scale_down.as_deref()));
        let deployment = observed
            .workload
            .as_ref()
            .filter(|workload| workload.kind == WorkloadKind::Deployment);
        let (Some(scale_down), Some(deployment)) = (scale_down, deployment) else {
            return;
        };
        let from = deployment.replicas.unwrap_or(0);
        let healthy = self.status.phase == Some(Phase::Healthy);
        let ready = self.status.ready_replicas.unwrap_or(0);
        let later = self
            .sets()
            .chain([&self.new])
            .any(|set| set.revision > FIRST_REVISION);
        let to = match (scale_down, healthy) {
            _ if later => from,
            (ScaleDown::Never, _) | (ScaleDown::OnSuccess, false) => from,
            (ScaleDown::OnSuccess | ScaleDown::Progressively, true) => 0,
            (ScaleDown::Progressively, false) => self.left_to_workload(from, ready),
        };
        if to == from {
            return;
        }
        let name = deployment.name.clone();
        let direction = if to > from { "up" } else { "down" };
        let message = format!("scaled {direction} Deployment {name} from {from} to {to}");
        let what = format!("Deployment.{name}.{from}.{to}");
        self.event(EventKind::Normal, "ScalingReplicaSet", message, &what);
        self.writes.push(Action::ScaleWorkload {
            name,
            from,
            to,
            because: Reason::WorkloadReplaced { ready },
        });
    }

    /// Pods that the Deployment keeps until the first version has its own. It gets some back only when ready pods are lost: a
    /// Deployment that somebody has scaled down stays so, and one that an autoscaler made larger keeps its pods until the
    /// first one here is ready.
    fn left_to_workload(&self, from: i32, ready: i32) -> i32 {
        let missing = self.replicas().saturating_sub(ready).max(0);
        if self.before.ready_replicas.unwrap_or(0) > ready {
            missing
        } else if ready == 0 {
            from
        } else {
            missing.min(from)
        }
    }
}
