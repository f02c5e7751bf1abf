//! Rules of whose ReplicaSets are.
//!
//! In: the view. Out: violations. It must not know versions.

use agent_api::ReplicaSet;
use agent_api::object::OwnerReference;

use super::Violation;
use super::view::{View, breaks};
use crate::plan::Action;

const RULE: &str = "claims-by-selector";

pub(super) fn check(view: &View<'_>, found: &mut Vec<Violation>) {
    for action in &view.plan.actions {
        if let Action::ClaimReplicaSet { name, owners } = action {
            let good = named(view, name).is_some_and(|set| {
                let free =
                    set.metadata.deletion_timestamp.is_none() && !set_owners(set).any(controls);
                free && matches(view, set) && owners.iter().any(|owner| is_ours(view, owner))
            });
            judge(good && keeps(view, name, owners), name, found);
            waits(view, name, found);
        }
        if let Action::ReleaseReplicaSet { name, owners } = action {
            let good = named(view, name).is_some_and(|set| {
                !matches(view, set) && set_owners(set).any(|one| is_ours(view, one))
            });
            let gone = !owners.iter().any(|owner| owner.uid == uid(view));
            judge(good && gone && keeps(view, name, owners), name, found);
            waits(view, name, found);
        }
    }
}

/// What the API server refused is not asked for again before its time.
fn waits(view: &View<'_>, name: &str, found: &mut Vec<Violation>) {
    let refused = &view.observed.refused_claims;
    let early = |uid: &str| {
        let mut all = refused.iter();
        all.any(|one| one.uid.as_str() == uid && one.until() > view.observed.now)
    };
    let uid = named(view, name).and_then(|set| set.metadata.uid.as_deref());
    if uid.is_some_and(early) {
        breaks(found, "refused-waits", name.to_owned());
    }
}

fn judge(good: bool, name: &str, found: &mut Vec<Violation>) {
    if !good {
        breaks(found, RULE, format!("{name} changes its owner"));
    }
}

fn named<'a>(view: &View<'a>, name: &str) -> Option<&'a ReplicaSet> {
    let mut sets = view.observed.replica_sets.iter();
    sets.find(|set| set.metadata.name.as_deref() == Some(name))
}

fn set_owners(set: &ReplicaSet) -> impl Iterator<Item = &OwnerReference> {
    set.metadata.owner_references.iter().flatten()
}

fn controls(owner: &OwnerReference) -> bool {
    owner.controller == Some(true)
}

fn uid<'a>(view: &View<'a>) -> &'a str {
    let metadata = &view.observed.rollout.metadata;
    metadata.uid.as_deref().unwrap_or_default()
}

fn is_ours(view: &View<'_>, owner: &OwnerReference) -> bool {
    controls(owner) && owner.uid == uid(view)
}

fn matches(view: &View<'_>, set: &ReplicaSet) -> bool {
    let labels = set.metadata.labels.clone().unwrap_or_default();
    view.observed.selector().matches(&labels)
}

/// Owners of others stay as they are.
fn keeps(view: &View<'_>, name: &str, owners: &[OwnerReference]) -> bool {
    let others = named(view, name).into_iter().flat_map(set_owners);
    let mut others = others.filter(|owner| owner.uid != uid(view));
    others.all(|owner| owners.contains(owner))
}
