//! Who has to agree, before and after a wave. In: nodes. Out: values. It must not accept an approval that nobody can give.

use super::reader::{Node, Reader};
use super::{ApprovalSpec, check};
use crate::amount::Seconds;

/// Groups of this form are the program's own: no person's certificate carries one.
const RESERVED_PREFIX: &str = "groundswell:";
/// A certificate's group is at most so long.
const GROUP_BYTES_MAX: usize = 64;

/// `before` and `after`.
pub(super) type Both = (Option<ApprovalSpec>, Option<ApprovalSpec>);

/// `approval: {before: …, after: …}`; at least one of them.
pub(super) fn both(reader: &mut Reader, node: &Node<'_>) -> Option<Both> {
    let mut fields = reader.fields(node)?;
    let before = fields.take("before");
    let after = fields.take("after");
    reader.finish(fields);
    if before.is_none() && after.is_none() {
        reader.at(node, "is empty; write before: {required: 1, groups: [sre]}, after: {…}, or leave approval out");
    }
    let mut read = |node: Option<Node<'_>>| node.and_then(|node| one(reader, &node));
    Some((read(before), read(after)))
}

fn one(reader: &mut Reader, node: &Node<'_>) -> Option<ApprovalSpec> {
    let mut fields = reader.fields(node)?;
    let required = match fields.take("required") {
        Some(node) => check::approvers(reader, &node),
        None => Some(1),
    };
    let exclude_author = fields
        .take("excludeAuthor")
        .and_then(|node| reader.boolean(&node))
        .unwrap_or_default();
    let expires = fields
        .take("expires")
        .and_then(|node| expiry(reader, &node));
    let listed = reader.need(
        &mut fields,
        "groups",
        "name the groups whose members may approve",
    );
    reader.finish(fields);
    let groups = groups(reader, &listed?)?;
    Some(ApprovalSpec {
        required: required?,
        groups,
        exclude_author,
        expires,
    })
}

fn expiry(reader: &mut Reader, node: &Node<'_>) -> Option<Seconds> {
    let seconds: Seconds = reader.written(node)?;
    if seconds.0 == 0 {
        reader.at(
            node,
            "an approval that expires at once can never count; write a longer time",
        );
        return None;
    }
    Some(seconds)
}

fn groups(reader: &mut Reader, listed: &Node<'_>) -> Option<Vec<String>> {
    let mut groups = Vec::new();
    for node in reader.list(listed)? {
        let Some(group) = reader.text(&node) else {
            continue;
        };
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if group.trim().is_empty() || groups.contains(&group) {
            reader.at(&node, "a group is written once and is not empty");
        } else if group.starts_with(RESERVED_PREFIX)
            || group.len() > GROUP_BYTES_MAX
            || !group.bytes().all(usable)
        {
            reader.at(&node, format!("no certificate of a person can carry the group {group:?}, so nobody could approve"));
        } else {
            groups.push(group);
        }
    }
    if groups.is_empty() {
        reader.at(
            listed,
            "at least one group is needed: there is no approval without an identity",
        );
        return None;
    }
    Some(groups)
}
