//! Who takes part: members of waves, failures that are survived, clusters that come and go. In: nodes. Out: values. It must
//! not look at clusters.

use super::reader::{Fields, Node, Reader};
use super::{Membership, Missing, Selector, Unchanged, Unreachable, check};
use crate::amount::Amount;
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

pub(super) fn membership(reader: &mut Reader, node: &Node<'_>) -> Option<Membership> {
    let mut fields = reader.fields(node)?;
    let mut membership = Membership::default();
    if let Some(node) = fields.take("lateJoin") {
        reader.choice(&node, &[("CatchUp", ())]);
    }
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
    let unreachable = fields.take("unreachable");
    reader.finish(fields);
    if let Some(node) = unreachable {
        let mut fields = reader.fields(&node)?;
        if let Some(node) = fields.take("after") {
            membership.unreachable_after = check::longer_than_nothing(reader, &node)?;
        }
        if let Some(node) = fields.take("action") {
            let choices = [
                ("CountAsFailed", Unreachable::CountAsFailed),
                ("Wait", Unreachable::Wait),
            ];
            membership.unreachable = reader.choice(&node, &choices)?;
        }
        reader.finish(fields);
    }
    Some(membership)
}
