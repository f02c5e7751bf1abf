//! Writes that changed nothing. In: the writes of a time, and how often each object had changed before and after it. Out:
//! the objects that were written more often than they changed, and by whom. A surplus is a defect of one of the writers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::{ObjectName, Request};
use crate::etcd::Versions;

/// An object that was written without being changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unchanged {
    /// Which.
    pub object: String,
    /// Writes that the API server took, by who wrote.
    pub writes: BTreeMap<String, u64>,
    /// Changes.
    pub changes: u64,
}

impl Unchanged {
    /// Writes too many.
    pub fn surplus(&self) -> u64 {
        self.writes
            .values()
            .sum::<u64>()
            .saturating_sub(self.changes)
    }
}

/// Compares writes with changes. An object that is gone has no count any more and is left out.
pub fn unchanged(before: &Versions, after: &Versions, requests: &[Request]) -> Vec<Unchanged> {
    let mut writes: BTreeMap<&ObjectName, BTreeMap<String, u64>> = BTreeMap::new();
    for request in requests {
        if let Some(object) = &request.object
            && request.writes()
            && request.succeeded()
        {
            let by = writes.entry(object).or_default();
            *by.entry(request.user.clone()).or_default() += 1;
        }
    }
    let compared = writes.into_iter().filter_map(|(object, writes)| {
        let changes = after
            .get(object)?
            .saturating_sub(before.get(object).copied().unwrap_or(0));
        let object = object.to_string();
        Some(Unchanged {
            object,
            writes,
            changes,
        })
    });
    compared.filter(|one| one.surplus() > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> ObjectName {
        ObjectName {
            resource: "rollouts".into(),
            namespace: "n".into(),
            name: name.into(),
        }
    }

    fn write(name: &str, code: u16, rehearsal: bool) -> Request {
        Request {
            user: "u".into(),
            verb: "patch".into(),
            target: "rollouts/status".into(),
            object: Some(object(name)),
            code,
            rehearsal,
        }
    }

    #[test]
    fn only_what_was_stored_in_vain_counts() {
        let before = Versions::from([(object("a"), 3), (object("gone"), 1)]);
        let after = Versions::from([(object("a"), 4), (object("new"), 1)]);
        let requests = [
            write("a", 200, false),
            write("a", 200, false),
            write("a", 409, false),
            write("a", 200, true),
            write("new", 201, false),
            write("gone", 200, false),
        ];
        let found = unchanged(&before, &after, &requests);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].object.as_str(), found[0].surplus()),
            ("rollouts n/a", 1)
        );
    }
}
