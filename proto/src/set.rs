//! The hash of a desired set (gate.md L2). In: its entries. Out: one hash that both sides compute. It must not depend on
//! the order in which entries are sent.

use sha2::{Digest as _, Sha256};

use crate::v1::GateEntry;

/// Hex SHA-256 over every entry's namespace, name, owner and version, sorted. An entry's version changes whenever
/// anything in the entry does, so it stands for the rest.
pub fn hash<'a>(entries: impl IntoIterator<Item = &'a GateEntry>) -> String {
    let mut keys: Vec<_> = entries.into_iter().map(key).collect();
    keys.sort();
    let mut hasher = Sha256::new();
    for (namespace, name, fleet_rollout, version) in keys {
        for text in [namespace, name, fleet_rollout] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(version.to_be_bytes());
    }
    hex::encode(hasher.finalize())
}

fn key(entry: &GateEntry) -> (&str, &str, &str, u64) {
    (
        &entry.namespace,
        &entry.name,
        &entry.fleet_rollout,
        entry.version,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_versions_do() {
        let entry = |name: &str, version| GateEntry {
            name: name.into(),
            version,
            ..GateEntry::default()
        };
        assert_eq!(
            hash(&[entry("a", 1), entry("b", 2)]),
            hash(&[entry("b", 2), entry("a", 1)])
        );
        assert_ne!(
            hash(&[entry("a", 1), entry("b", 2)]),
            hash(&[entry("a", 2), entry("b", 2)])
        );
    }
}
