//! Which ReplicaSets are the Rollout's, by owner and by selector, as with Kubernetes' own controllers.
//!
//! In: `Observed`. Out: the part that each ReplicaSet has, claims of those that nobody owns and release of those that the
//! selector does not match any more; which names are taken. It must not look at what the ReplicaSets hold.
//!
//! One that the API server does not let the Rollout own is counted and scaled all the same: its pods serve, and a release
//! that did not see them would begin as if there were none.

use std::fmt;

use agent_api::ReplicaSet;
use agent_api::names::{ANNOTATION_EXPERIMENT, condition, replica_set_name};
use agent_api::object::{ObjectMeta, OwnerReference};
use agent_api::pod_hash::pod_hash;

use crate::observed::{Observed, RefusedClaim};
use crate::pass::Pass;
use crate::pass::current::owner;
use crate::plan::{Action, Event, EventKind, Plan};
use crate::reason::Reason;

/// Reason of the condition and of the event of a claim that is refused.
pub(crate) const CLAIM_REFUSED: &str = "ReplicaSetClaimRefused";

/// A kind whose names the engine makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedKind {
    /// ReplicaSets.
    ReplicaSet,
    /// AnalysisRuns.
    AnalysisRun,
    /// Experiments.
    Experiment,
}

impl fmt::Display for NamedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReplicaSet => "ReplicaSet",
            Self::AnalysisRun => "AnalysisRun",
            Self::Experiment => "Experiment",
        })
    }
}

/// A name that an object of somebody else's has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its kind.
    pub kind: NamedKind,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub by: String,
}

/// Reason of the event that says so.
pub(crate) const NAME_TAKEN: &str = "NameTaken";

impl Taken {
    /// What is made in the place of what would have the name.
    pub fn sentence(&self, instead: &str) -> String {
        let Self { kind, name, by } = self;
        format!(
            "{kind} {name} is there and belongs to {by}: {instead} is made instead; delete the other if nobody needs it"
        )
    }
}

/// What a ReplicaSet is to the Rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It owns it.
    Owned,
    /// Nobody owns it, and the selector matches its labels.
    Orphan,
    /// It owns it, and the selector does not match its labels any more.
    Leaves,
    /// None of its business.
    Stranger,
}

/// What a ReplicaSet is to the Rollout.
pub fn part(observed: &Observed, set: &ReplicaSet) -> Part {
    let uid = observed.rollout.metadata.uid.as_deref().unwrap_or_default();
    let deleting = set.metadata.deletion_timestamp.is_some();
    match controller(&set.metadata) {
        Some(owner) if owner.uid != uid => Part::Stranger,
        Some(_) if deleting || matches(observed, set) != Some(false) => Part::Owned,
        Some(_) => Part::Leaves,
        None if deleting || of_experiment(set) => Part::Stranger,
        None if matches(observed, set) == Some(true) => Part::Orphan,
        None => Part::Stranger,
    }
}

/// It was made for an Experiment, which is gone: its pods carry a version's labels, and are none of its pods.
fn of_experiment(set: &ReplicaSet) -> bool {
    let annotations = set.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(ANNOTATION_EXPERIMENT))
}

/// The owner that controls an object.
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// Whether the selector matches a ReplicaSet; nothing where it says nothing: an empty one is that of a workload that is
/// gone, and one that the template itself does not meet is invalid.
fn matches(observed: &Observed, set: &ReplicaSet) -> Option<bool> {
    let selector = observed.selector();
    let template = observed.template()?;
    if selector.is_empty() || !selector.matches(&template.labels()) {
        return None;
    }
    let labels = set.metadata.labels.clone().unwrap_or_default();
    Some(selector.matches(&labels))
}

/// Claims and releases; they stand before everything else that is done to these ReplicaSets.
pub(crate) fn actions(observed: &Observed) -> Vec<Action> {
    let due =
        |set: &&ReplicaSet| refused(observed, set).is_none_or(|one| one.until() <= observed.now);
    let changed = observed.replica_sets.iter().filter(due).filter_map(|set| {
        let name = set.metadata.name.clone().unwrap_or_default();
        match part(observed, set) {
            Part::Orphan => Some(claim(observed, set, name)),
            Part::Leaves => Some(release(observed, set, name)),
            Part::Owned | Part::Stranger => None,
        }
    });
    changed.flatten().collect()
}

/// The refusal to change the owner of a ReplicaSet.
fn refused<'a>(observed: &'a Observed, set: &ReplicaSet) -> Option<&'a RefusedClaim> {
    let mut all = observed.refused_claims.iter();
    all.find(|one| set.metadata.uid.as_deref() == Some(one.uid.as_str()))
}

/// The refusals that still stand in the way of something, with what that is.
fn refusals(observed: &Observed) -> impl Iterator<Item = (&RefusedClaim, &'static str)> {
    observed.replica_sets.iter().filter_map(|set| {
        let what = match part(observed, set) {
            Part::Orphan => "taken over",
            Part::Leaves => "let go",
            Part::Owned | Part::Stranger => return None,
        };
        Some((refused(observed, set)?, what))
    })
}

/// What the condition ReplicaFailure has to say of the first of them.
pub(crate) fn refusal_text(observed: &Observed) -> Option<String> {
    refusals(observed).next().map(text)
}

fn text((refused, what): (&RefusedClaim, &str)) -> String {
    format!(
        "ReplicaSet \"{}\" cannot be {what}: {}",
        refused.name, refused.message
    )
}

/// Says what is refused, and asks to be looked at again when it is time. The event is told until the condition says it.
pub(crate) fn say_refused(observed: &Observed, plan: &mut Plan) {
    let known = observed.rollout.status.as_ref();
    let known = known.and_then(|status| status.condition(condition::REPLICA_FAILURE));
    for (refused, what) in refusals(observed) {
        let text = text((refused, what));
        let told = known.is_some_and(|known| known.message.as_deref() == Some(text.as_str()));
        if !told {
            let kind = EventKind::Warning;
            let event = event(observed, kind, CLAIM_REFUSED, text, &refused.name);
            plan.actions.push(event);
        }
        plan.reasons.push(Reason::ClaimRefused {
            name: refused.name.clone(),
            what,
            message: refused.message.clone(),
        });
        let until = refused.until();
        // When it is time it is tried in this plan.
        if until <= observed.now {
            continue;
        }
        plan.wake = Some(plan.wake.map_or(until, |wake| wake.min(until)));
    }
}

fn claim(observed: &Observed, set: &ReplicaSet, name: String) -> [Action; 2] {
    let mut owners = other_owners(observed, set);
    owners.push(owner(observed));
    let message = format!("{name} had no owner and has the selector's labels: it is taken over");
    let event = event(
        observed,
        EventKind::Normal,
        "ReplicaSetAdopted",
        message,
        &name,
    );
    [Action::ClaimReplicaSet { name, owners }, event]
}

fn release(observed: &Observed, set: &ReplicaSet, name: String) -> [Action; 2] {
    let owners = other_owners(observed, set);
    let message = format!(
        "{name} has not the selector's labels any more: it is let go with its pods; delete it if nobody needs them"
    );
    let event = event(
        observed,
        EventKind::Warning,
        "ReplicaSetReleased",
        message,
        &name,
    );
    [Action::ReleaseReplicaSet { name, owners }, event]
}

/// The owners beside the Rollout; none of them controls it.
fn other_owners(observed: &Observed, set: &ReplicaSet) -> Vec<OwnerReference> {
    let uid = observed.rollout.metadata.uid.as_deref().unwrap_or_default();
    let mut owners = set.metadata.owner_references.clone().unwrap_or_default();
    owners.retain(|owner| owner.uid != uid);
    owners
}

fn event(
    observed: &Observed,
    kind: EventKind,
    reason: &'static str,
    message: String,
    name: &str,
) -> Action {
    let generation = observed.rollout.metadata.generation.unwrap_or(0);
    Action::Event(Event {
        kind,
        reason,
        message,
        key: format!("{generation}.{name}"),
    })
}

/// Whose a name is, if it is not free.
pub(crate) fn taken<'a>(observed: &'a Observed, kind: NamedKind, name: &str) -> Option<&'a Taken> {
    let mut all = observed.taken.iter();
    all.find(|taken| taken.kind == kind && taken.name == name)
}

/// A ReplicaSet that is not the Rollout's has the name, or one that it lets go, or one that is being deleted and is not gone
/// yet: what holds it up may do so for ever, and its pods go meanwhile.
pub(crate) fn is_taken(observed: &Observed, name: &str) -> bool {
    let leaves = |set: &ReplicaSet| {
        let named = set.metadata.name.as_deref() == Some(name);
        named && (is_going(set) || part(observed, set) == Part::Leaves)
    };
    taken(observed, NamedKind::ReplicaSet, name).is_some()
        || observed.replica_sets.iter().any(leaves)
}

fn is_going(set: &ReplicaSet) -> bool {
    set.metadata.deletion_timestamp.is_some()
}

/// The Rollout's own ReplicaSets that are being deleted and are not gone: what holds them up is a finalizer, that of a
/// deletion in the foreground as a rule.
fn going(observed: &Observed) -> impl Iterator<Item = &ReplicaSet> {
    let sets = observed.replica_sets.iter();
    sets.filter(|set| is_going(set) && part(observed, set) == Part::Owned)
}

impl Pass<'_> {
    /// Says that a name is another's, and what is made instead.
    pub(crate) fn say_taken(&mut self, taken: &Taken, instead: &str) {
        let message = taken.sentence(instead);
        self.event(EventKind::Warning, NAME_TAKEN, message, &taken.name);
        self.reasons.push(Reason::NameTaken {
            taken: taken.clone(),
            instead: instead.to_owned(),
        });
    }

    /// The ReplicaSet to be made has another name than its content alone would give it; and what is on its way out.
    pub(crate) fn say_taken_sets(&mut self) {
        let (observed, instead) = (self.observed, self.new.name.clone());
        for name in self.stepped_round() {
            if let Some(taken) = taken(observed, NamedKind::ReplicaSet, &name) {
                self.say_taken(taken, &instead);
            }
        }
        for set in going(observed) {
            self.reasons.push(Reason::SetGoes {
                name: set.metadata.name.clone().unwrap_or_default(),
                holds: holds(set),
            });
        }
    }

    /// Names that the ReplicaSet to be made would have, were they free.
    fn stepped_round(&self) -> Vec<String> {
        let (Some(_), Some(template)) = (&self.creating, &self.effective.template) else {
            return Vec::new();
        };
        let first = self.before.collision_count;
        let last = self.status.collision_count.unwrap_or(0);
        let passed = (first.unwrap_or(0).saturating_add(1)..last).map(Some);
        let counts = std::iter::once(first).chain(passed);
        let name = |count| replica_set_name(self.name(), &pod_hash(template, count));
        counts.map(name).collect()
    }

    /// What is to be said of a ReplicaSet that is made in the place of one that is on its way out.
    pub(crate) fn in_place_of(&self) -> Option<String> {
        let names = self.stepped_round();
        let passed = |set: &&ReplicaSet| {
            let name = set.metadata.name.as_ref();
            name.is_some_and(|name| names.contains(name) && *name != self.new.name)
        };
        let set = going(self.observed).find(passed)?;
        let name = set.metadata.name.as_deref().unwrap_or_default();
        Some(format!(
            "in the place of \"{name}\", which is being deleted and waits for {}",
            holds(set)
        ))
    }
}

/// What has to happen before a ReplicaSet is gone.
fn holds(set: &ReplicaSet) -> String {
    let finalizers = set.metadata.finalizers.clone().unwrap_or_default();
    if finalizers.is_empty() {
        return "its end".to_owned();
    }
    finalizers.join(", ")
}
