//! Who takes part: members of waves, failures that are survived, clusters that come and go. In: nodes. Out: values. It must
//! not look at clusters.

use super::reader::{Fields, Node, Reader};
use super::{
    LateJoin, Left, Membership, Missing, Relabelled, Replaced, Restored, Selector, Unchanged,
    Unreachable, check,
};
use crate::amount::{Amount, Seconds};
use crate::name::ClusterName;

/// The clusters of a wave, as written.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// `clusters`.
    pub clusters: Option<Selector>,
    /// `names`.
    pub names: Vec<ClusterName>,
    /// `count` or `percent`.
    pub take: Option<Amount>,
}

/// `clusters`, `names`, `count`, `percent`, or none of them for the rest; `None` after a problem.
pub(super) fn members(reader: &mut Reader, fields: &mut Fields<'_>) -> Option<Members> {
    let before = reader.problems.len();
    let mut members = Members::default();
    if let Some(node) = fields.take("clusters") {
        members.clusters = check::some_selector(reader, &node);
    }
    let names = fields.take("names");
    if let Some(node) = &names {
        members.names = cluster_names(reader, node);
    }
    let count = fields.take("count");
    let percent = fields.take("percent");
    if let Some(node) = &count {
        match check::not_zero(reader, node) {
            Some(Amount::Count(count)) => members.take = Some(Amount::Count(count)),
            Some(Amount::Percent(_)) => {
                reader.at(
                    node,
                    "a number of clusters is needed here; write percent: 10% for a share",
                );
            }
            None => {}
        }
    }
    if let Some(node) = &percent {
        match check::not_zero(reader, node) {
            Some(Amount::Percent(percent)) => members.take = Some(Amount::Percent(percent)),
            Some(Amount::Count(_)) => {
                reader.at(
                    node,
                    "a share is needed here, such as 10%; write count for a number of clusters",
                );
            }
            None => {}
        }
    }
    if let (Some(node), Some(_)) = (&percent, &count) {
        reader.at(node, "count and percent exclude each other; keep one");
    }
    if let Some(node) = &names
        && (members.clusters.is_some() || count.is_some() || percent.is_some())
    {
        reader.at(
            node,
            "names say exactly which clusters; leave clusters, count and percent out beside them",
        );
    }
    (reader.problems.len() == before).then_some(members)
}

fn cluster_names(reader: &mut Reader, node: &Node<'_>) -> Vec<ClusterName> {
    let mut names: Vec<ClusterName> = Vec::new();
    let listed = reader.list(node).unwrap_or_default();
    if listed.is_empty() {
        reader.at(
            node,
            "at least one cluster is needed; leave names out for all that are left",
        );
    }
    for node in listed {
        let Some(name) = check::name(reader, &node) else {
            continue;
        };
        if names.iter().any(|other| other.as_str() == name) {
            reader.at(&node, format!("{name} is written twice; keep one"));
        } else {
            names.push(name.into());
        }
    }
    names
}

/// `budget: {maxFailed: 1}`, of a wave or of the whole release.
pub(super) fn budget(reader: &mut Reader, node: &Node<'_>) -> Option<Amount> {
    let mut fields = reader.fields(node)?;
    let max_failed = reader
        .need(&mut fields, "maxFailed", "write a number or a percentage")
        .and_then(|node| reader.written(&node));
    reader.finish(fields);
    max_failed
}

pub(super) fn membership(
    reader: &mut Reader,
    node: &Node<'_>,
    deadline: Seconds,
) -> Option<Membership> {
    let mut fields = reader.fields(node)?;
    let mut membership = Membership::default();
    if let Some(node) = fields.take("missing")
        && let Some(missing) =
            reader.choice(&node, &[("Fail", Missing::Fail), ("Skip", Missing::Skip)])
    {
        membership.missing = missing;
    }
    if let Some(node) = fields.take("unchanged")
        && let Some(unchanged) = reader.choice(
            &node,
            &[("Wait", Unchanged::Wait), ("Skip", Unchanged::Skip)],
        )
    {
        membership.unchanged = unchanged;
    }
    presence(reader, &mut fields, &mut membership);
    let unreachable = fields.take("unreachable");
    reader.finish(fields);
    if let Some(node) = unreachable {
        let mut fields = reader.fields(&node)?;
        let after = fields.take("after");
        if let Some(node) = &after {
            membership.unreachable_after = check::longer_than_nothing(reader, node)?;
        }
        if let Some(node) = fields.take("action") {
            let choices = [
                ("CountAsFailed", Unreachable::CountAsFailed),
                ("Wait", Unreachable::Wait),
                ("Skip", Unreachable::Skip),
            ];
            membership.unreachable = reader.choice(&node, &choices)?;
        }
        reader.finish(fields);
        let waits = membership.unreachable == Unreachable::Wait;
        let after = after.filter(|_| !waits && membership.unreachable_after > deadline);
        // A policy that can never come into force is a typing error.
        if let Some(node) = after {
            let message = format!(
                "a target fails after {deadline} (progressDeadline), so nothing is ever unreachable for {}; write less, or a \
                 longer progressDeadline",
                membership.unreachable_after
            );
            reader.at(&node, message);
        }
    }
    Some(membership)
}

/// Clusters that come, go, change or come back.
fn presence(reader: &mut Reader, fields: &mut Fields<'_>, membership: &mut Membership) {
    fn of<T: Copy>(
        reader: &mut Reader,
        fields: &mut Fields<'_>,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let node = fields.take(name)?;
        reader.choice(&node, choices)
    }
    let late = [
        ("CatchUp", LateJoin::CatchUp),
        ("NextRelease", LateJoin::NextRelease),
    ];
    let left = [("Skip", Left::Skip), ("Fail", Left::Fail)];
    let relabelled = [
        ("Keep", Relabelled::Keep),
        ("Skip", Relabelled::Skip),
        ("Fail", Relabelled::Fail),
    ];
    let replaced = [
        ("Restart", Replaced::Restart),
        ("Skip", Replaced::Skip),
        ("Fail", Replaced::Fail),
    ];
    let restored = [("Wait", Restored::Wait), ("Fail", Restored::Fail)];
    let old = *membership;
    *membership = Membership {
        late_join: of(reader, fields, "lateJoin", &late).unwrap_or(old.late_join),
        left: of(reader, fields, "left", &left).unwrap_or(old.left),
        relabelled: of(reader, fields, "relabelled", &relabelled).unwrap_or(old.relabelled),
        replaced: of(reader, fields, "replaced", &replaced).unwrap_or(old.replaced),
        restored: of(reader, fields, "restored", &restored).unwrap_or(old.restored),
        ..old
    };
}
