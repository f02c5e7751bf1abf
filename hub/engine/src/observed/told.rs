//! What agents know that the hub may have forgotten (gate.md L5). In: clusters with their last words. Out: the number above
//! which releases go on. It must not believe an agent that is far ahead.

use std::sync::Arc;

use super::Cluster;
use crate::name::{FleetRolloutName, ReleaseId};

/// So far above the hub's own numbers an agent is believed: no database loses more releases, and no agent may use numbers up.
const TOLD_AHEAD_MAX: u64 = 1_000;

/// The highest number of a release of this FleetRollout that its clusters have an outcome of: a database that was restored has
/// forgotten it, and must not give it again.
#[must_use]
pub fn told(name: &FleetRolloutName, clusters: &[Arc<Cluster>], known: u64) -> u64 {
    let number = |cluster: &Arc<Cluster>| {
        let outcome = cluster.rollout.as_ref()?.outcome.as_ref()?;
        let release: ReleaseId = outcome.release.parse().ok()?;
        (release.fleet_rollout == *name).then_some(release.number)
    };
    let most = known.saturating_add(TOLD_AHEAD_MAX);
    let numbers = clusters.iter().filter_map(number);
    numbers.filter(|number| *number <= most).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_above_what_agents_have_an_outcome_of() {
        let cluster = |release: &str| -> Cluster {
            let outcome = serde_json::json!({
                "fence": {"incarnation": 1, "version": 1}, "release": release, "digest": "v1:a", "result": "Served"
            });
            let cluster = serde_json::json!({"name": "a", "rollout": {"outcome": outcome}});
            serde_json::from_value(cluster).unwrap()
        };
        let cases = [
            ("checkout#7", 5, 7),
            ("checkout#3", 5, 3),
            ("other#7", 5, 0),
            ("nonsense", 5, 0),
            ("checkout#1005", 5, 1005),
            ("checkout#1006", 5, 0),
        ];
        for (release, known, wanted) in cases {
            let number = told(&"checkout".into(), &[Arc::new(cluster(release))], known);
            assert_eq!(number, wanted, "{release} beside {known}");
        }
    }
}
