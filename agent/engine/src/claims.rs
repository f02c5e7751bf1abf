//! Which ReplicaSets are the Rollout's, by owner and by selector, as with Kubernetes' own controllers.
//!
//! In: `Observed`. Out: the part that each ReplicaSet has, claims of those that nobody owns and release of those that the
//! selector does not match any more; which names are taken. It must not look at what the ReplicaSets hold.

use std::fmt;

use agent_api::ReplicaSet;
use agent_api::names::replica_set_name;
use agent_api::object::{ObjectMeta, OwnerReference};
use agent_api::pod_hash::pod_hash;

use crate::observed::Observed;
use crate::pass::Pass;
use crate::pass::current::owner;
use crate::plan::{Action, Event, EventKind};
use crate::reason::Reason;

/// A kind whose names the engine makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedKind {
    /// ReplicaSets.
    ReplicaSet,
    /// AnalysisRuns.
    AnalysisRun,
}

impl fmt::Display for NamedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReplicaSet => "ReplicaSet",
            Self::AnalysisRun => "AnalysisRun",
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
        None if !deleting && matches(observed, set) == Some(true) => Part::Orphan,
        None => Part::Stranger,
    }
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
    let changed = observed.replica_sets.iter().filter_map(|set| {
        let name = set.metadata.name.clone().unwrap_or_default();
        match part(observed, set) {
            Part::Orphan => Some(claim(observed, set, name)),
            Part::Leaves => Some(release(observed, set, name)),
            Part::Owned | Part::Stranger => None,
        }
    });
    changed.flatten().collect()
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

/// A ReplicaSet that is not the Rollout's has the name, or one that it lets go.
pub(crate) fn is_taken(observed: &Observed, name: &str) -> bool {
    let leaves = |set: &ReplicaSet| {
        set.metadata.name.as_deref() == Some(name) && part(observed, set) == Part::Leaves
    };
    taken(observed, NamedKind::ReplicaSet, name).is_some()
        || observed.replica_sets.iter().any(leaves)
}

impl Pass<'_> {
    /// Says that a name is another's, and what is made instead.
    pub(crate) fn say_taken(&mut self, taken: &Taken, instead: &str) {
        let Taken { kind, name, by } = taken.clone();
        let instead = instead.to_owned();
        let reason = Reason::NameTaken {
            kind,
            name,
            by,
            instead,
        };
        let message = reason.to_string();
        self.event(EventKind::Warning, "NameTaken", message, &taken.name);
        self.reasons.push(reason);
    }

    /// The ReplicaSet to be made has another name than its content alone would give it.
    pub(crate) fn say_taken_sets(&mut self) {
        let (Some(_), Some(template)) = (&self.creating, &self.effective.template) else {
            return;
        };
        let (observed, instead) = (self.observed, self.new.name.clone());
        let first = self.before.collision_count;
        let last = self.status.collision_count.unwrap_or(0);
        let passed = (first.unwrap_or(0).saturating_add(1)..last).map(Some);
        for count in std::iter::once(first).chain(passed) {
            let name = replica_set_name(self.name(), &pod_hash(template, count));
            if let Some(taken) = taken(observed, NamedKind::ReplicaSet, &name) {
                self.say_taken(taken, &instead);
            }
        }
    }
}
