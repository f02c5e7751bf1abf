//! The FleetRollouts of the benchmark and the clusters that they select. In: how many. Out: documents, labels, and what a
//! release takes if deciding and telling took no time. It must not know the hub.

use std::collections::BTreeMap;
use std::time::Duration;

use super::identity::Joining;
use super::rollout::NAMESPACE;

/// Clusters of one release: KubeFleet's published scenario.
pub const GROUP: usize = 100;
/// Its waves, in clusters, half of them at once.
const WAVES: [usize; 3] = [20, 30, 50];
/// In flight at once where one release goes through everything.
const WHOLE_AT_ONCE: usize = 500;

/// Who is in what.
#[derive(Debug, Clone)]
pub struct Shape {
    /// To join.
    pub clusters: Vec<Joining>,
    /// What each of them has, by its place in the list.
    pub rollouts: Vec<Vec<String>>,
    /// To apply.
    pub documents: String,
}

fn name(release: usize) -> String {
    format!("app-{release}")
}

/// The wave of a group's member.
fn wave(place: usize) -> usize {
    let mut end = 0;
    WAVES
        .iter()
        .position(|size| {
            end += size;
            place < end
        })
        .unwrap_or(WAVES.len() - 1)
}

fn head(name: &str, group: usize) -> String {
    format!(
        "---\napiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {name}}}\nspec:\n  \
         rollout: {{namespace: {NAMESPACE}, name: {name}}}\n  enforcement: Enforce\n  \
         clusters: {{matchLabels: {{group: \"{group}\"}}}}\n  waves:\n"
    )
}

impl Shape {
    /// Groups of a hundred clusters; the releases are spread over them.
    pub fn groups(clusters: usize, releases: usize) -> Self {
        let groups = (clusters / GROUP).max(1);
        let mut documents = String::new();
        for release in 0..releases {
            documents += &head(&name(release), release % groups);
            for wave in 0..WAVES.len() {
                documents += &format!(
                    "  - {{name: wave-{wave}, clusters: {{matchLabels: {{wave: \"{wave}\"}}}}, maxConcurrent: 50%}}\n"
                );
            }
        }
        let of = |index: usize| {
            let group = index / GROUP;
            (0..releases)
                .filter(|release| release % groups == group)
                .map(name)
                .collect()
        };
        Self {
            clusters: (0..groups * GROUP)
                .map(|index| joining(index, index / GROUP))
                .collect(),
            rollouts: (0..groups * GROUP).map(of).collect(),
            documents,
        }
    }

    /// One release over everything: a first wave of one in a hundred, then the rest.
    pub fn whole(clusters: usize) -> Self {
        let documents = head(&name(0), 0)
            + &format!(
                "  - {{name: first, clusters: {{matchLabels: {{first: \"yes\"}}}}, maxConcurrent: 100%}}\n  \
                 - {{name: rest, maxConcurrent: {WHOLE_AT_ONCE}}}\n"
            );
        Self {
            clusters: (0..clusters).map(|index| joining(index, 0)).collect(),
            rollouts: vec![vec![name(0)]; clusters],
            documents,
        }
    }
}

fn joining(index: usize, group: usize) -> Joining {
    let place = index % GROUP;
    let first = if place == 0 { "yes" } else { "no" };
    let labels = [
        ("group", group.to_string()),
        ("wave", wave(place).to_string()),
        ("first", first.to_owned()),
    ];
    Joining {
        cluster: format!("cluster-{index:05}"),
        labels: BTreeMap::from(labels.map(|(key, value)| (key.to_owned(), value))),
    }
}

/// Seconds of a group's release whose targets take so long: two halves a wave.
pub fn ideal(takes: Duration) -> f64 {
    takes.as_secs_f64() * 2.0 * WAVES.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_of_a_group() {
        let shape = Shape::groups(1000, 100);
        assert_eq!((shape.clusters.len(), shape.rollouts.len()), (1000, 1000));
        assert!(shape.rollouts.iter().all(|rollouts| rollouts.len() == 10));
        let of = |wave: &str| {
            let group = shape.clusters.iter().take(GROUP);
            group
                .filter(|one| one.labels.get("wave").is_some_and(|own| own == wave))
                .count()
        };
        assert_eq!(["0", "1", "2"].map(of), WAVES);
        assert_eq!(shape.documents.matches("kind: FleetRollout").count(), 100);
        assert_eq!(ideal(Duration::from_secs(5)), 30.0);
    }
}
