//! What planted bugs make of what an agent sees. In: the view of a pass. Out: the same without what the bug does not read. It must
//! not change what the API server has.

use std::collections::BTreeMap;

use agent::key::ObjectKey;
use agent_api::digest::content_digest;
use agent_api::names::{
    ANNOTATION_DIGEST, ANNOTATION_FLEET_REVISION, ANNOTATION_REVISION, LABEL_POD_HASH,
};
use agent_api::pod_hash::pod_hash;
use agent_api::{
    ContentDigest, Enforcement, LocalPermit, LocalPermitOrigin, PodTemplate, ReplicaSet,
    RollbackPhase,
};
use agent_engine::clock::ClockSet;
use agent_engine::effective::strategy_value;
use agent_engine::sets::{by_hash, views};
use agent_engine::{Action, GateRecord, Governance, Observed, Plan};
use tests_golden::agent_fixture::defaulted;

use super::{Agent, Part};
use crate::planted::{Bugs, Planted};

/// The view of an agent with one of these bugs; of every other one it stays what it is.
pub(super) fn misread(observed: &mut Observed, bugs: Bugs) {
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && bugs.has(Planted::ObserveUnread)
    {
        gate.spec.policy.enforcement = Enforcement::Enforce;
    }
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && bugs.has(Planted::RollbackPhaseUnread)
    {
        gate.spec.policy.rollback_phase = RollbackPhase::Degraded;
    }
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && let Some(permit) = &mut gate.spec.permit
    {
        if bugs.has(Planted::MaxStepUnread) {
            permit.max_step = None;
        }
        if bugs.has(Planted::StartByUnread) {
            permit.start_by = None;
        }
    }
    if bugs.has(Planted::HubTimeUnheard) {
        observed.gate.hub_time = None;
    }
    if bugs.has(Planted::ClockSetUnseen) {
        observed.clock_set = ClockSet::default();
    }
    if bugs.has(Planted::PodsAssumed) {
        assumed(observed);
    }
    if bugs.has(Planted::ServedForgotten) {
        forgotten(observed);
    }
    if bugs.has(Planted::AdoptedFrees) && adopts(observed) {
        observed.gate.governance = Governance::Free;
    }
    if bugs.has(Planted::RetryFrees) {
        its_own(observed);
    }
    if bugs.has(Planted::RevisionGuessed) {
        guessed(observed);
    }
}

/// A Rollout that serves nothing has never served.
fn forgotten(observed: &mut Observed) {
    let status = observed.rollout.status.as_ref();
    if status.is_some_and(|status| status.stable_rs.is_some()) {
        return;
    }
    observed.gate.served_before = None;
    observed.gate.spent = None;
    if let GateRecord::Present(gate) = &mut observed.gate.record
        && let Some(status) = &mut gate.status
    {
        (status.served, status.outcome) = (None, None);
    }
}

/// What it had begun when its governance began is not over.
fn adopts(observed: &Observed) -> bool {
    let status = observed.gate.gate().and_then(|gate| gate.status.as_ref());
    let local = status.and_then(|status| status.local_permit.as_ref());
    local.is_some_and(|local| local.origin == LocalPermitOrigin::Adopted)
}

/// What is started again is nobody else's.
fn its_own(observed: &mut Observed) {
    let status = observed.rollout.status.clone().unwrap_or_default();
    let again = status.abort != Some(true) && status.aborted_at.is_some();
    let views = views(observed);
    let current = by_hash(&views, status.current_pod_hash.as_ref());
    if let (true, Some(set), GateRecord::Present(gate)) =
        (again, current, &mut observed.gate.record)
    {
        gate.spec.barred.clear();
        let record = gate.status.get_or_insert_default();
        record.effective = None;
        record.local_permit = Some(LocalPermit {
            origin: LocalPermitOrigin::Adopted,
            digest: set.digest.clone(),
            ..LocalPermit::default()
        });
    }
}

/// The planted bug: what is kept is delivered as Git has it by now.
pub(super) fn by_now(observed: &mut Observed) {
    let strategy = strategy_value(&observed.rollout.spec.strategy);
    for kept in observed.gate.kept.values_mut() {
        kept.strategy.clone_from(&strategy);
    }
}

/// What is known and comes under another revision is new: the revision is a part of it.
pub(super) fn with_revision(observed: &mut Observed, first: &mut Option<(String, String)>) {
    let rollout = &mut observed.rollout;
    let annotations = rollout.metadata.annotations.as_ref();
    let revision = annotations.and_then(|all| all.get(ANNOTATION_FLEET_REVISION));
    let (Some(template), Some(revision)) = (&mut rollout.spec.template, revision) else {
        return;
    };
    let digest = content_digest(template).to_string();
    match first {
        Some((known, with)) if *known == digest => {
            if with != revision {
                let mut value = template.value();
                value["metadata"]["annotations"]["revision"] = revision.clone().into();
                *template = PodTemplate::of(value);
            }
        }
        _ => *first = Some((digest, revision.clone())),
    }
}

/// A number is a revision, too.
fn guessed(observed: &mut Observed) {
    let annotations = observed
        .rollout
        .metadata
        .annotations
        .get_or_insert_default();
    if let Some(number) = annotations.get(ANNOTATION_REVISION).cloned() {
        let revision = annotations.entry(ANNOTATION_FLEET_REVISION.to_owned());
        revision.or_insert(number);
    }
}

/// Whatever is asked for is there.
fn assumed(observed: &mut Observed) {
    for set in &mut observed.replica_sets {
        let desired = set.desired();
        let status = set.status.get_or_insert_default();
        status.replicas = desired;
        (status.ready_replicas, status.available_replicas) = (Some(desired), Some(desired));
    }
}

impl Part {
    /// What kept contents name, and what is gone of it.
    pub(super) fn missing_config(&self, bugs: Bugs) -> BTreeMap<ContentDigest, Vec<String>> {
        let gone = self.config_gone.iter();
        let gone = gone.filter(|_| !bugs.has(Planted::ConfigUnseen));
        let named = gone.map(|digest| {
            let digest = ContentDigest::from(digest.as_str());
            (digest, vec!["ConfigMap settings".to_owned()])
        });
        named.collect()
    }
}

/// The planted bug: the ReplicaSet of what is held is made, too.
pub(super) fn with_held(observed: &Observed, mut plan: Plan) -> Plan {
    let gate = observed.gate.gate().and_then(|gate| gate.status.as_ref());
    let held = gate.and_then(|status| status.held.as_ref());
    let held = held.zip(observed.rollout.spec.template.as_ref());
    let held = held.filter(|(held, template)| held.digest == content_digest(template));
    let Some(((held, template), like)) = held.zip(observed.replica_sets.first()) else {
        return plan;
    };
    let (mut set, digest) = (like.clone(), held.digest.to_string());
    set.metadata.name = Some(format!("held-{digest}"));
    set.spec.replicas = Some(0);
    set.spec.template = template.clone();
    let hash = pod_hash(template, None).to_string();
    let labels = set.metadata.labels.get_or_insert_default();
    labels.insert(LABEL_POD_HASH.to_owned(), hash);
    let hash = digest;
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_DIGEST.to_owned(), hash);
    let known = |one: &&ReplicaSet| one.metadata.name == set.metadata.name;
    if observed.replica_sets.iter().find(known).is_none() {
        let replica_set = Box::new(set);
        plan.actions.push(Action::CreateReplicaSet { replica_set });
    }
    plan
}

/// The planted bug: the digest of a template with the API server's defaults in it.
pub(super) fn mark_as_stored(set: &mut ReplicaSet) {
    let images = set.spec.template.images();
    let version = images.first().and_then(|image| image.strip_prefix("demo:"));
    let digest = content_digest(&defaulted(version.unwrap_or_default()));
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_DIGEST.to_owned(), digest.to_string());
}

impl Agent {
    /// The planted bug: each state is kept as if it were another Rollout's.
    pub(super) fn keep_states(&self, part: usize, bugs: Bugs) {
        if !bugs.has(Planted::StatesPileUp) {
            return;
        }
        let key = self.parts[part].key();
        let Some(process) = &self.process else { return };
        let states = process.reports.clone().begin();
        let own = |state: &proto::v1::RolloutState| {
            state
                .rollout
                .as_ref()
                .is_some_and(|one| one.name == key.name)
        };
        if let Some(state) = states.into_iter().rev().find(own) {
            let (waiting, under_way) = process.reports.counts();
            let name = format!("{}-{}", key.name, waiting + under_way);
            process
                .reports
                .state(&ObjectKey::new(key.namespace, name), state);
        }
    }
}
