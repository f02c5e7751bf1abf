//! Where something named is in a long list. In: a list that is sorted as a rule, a name. Out: its place, found in a few steps
//! where the list is sorted and by looking at everything where it is not. It must not rely on the order.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::name::ClusterName;
use crate::observed::Cluster;
use crate::release::Target;

/// Among clusters: by name, as a rule.
pub(crate) fn of_cluster(clusters: &[Arc<Cluster>], name: &ClusterName) -> Option<usize> {
    let found = clusters.binary_search_by(|cluster| cluster.name.cmp(name));
    found
        .ok()
        .or_else(|| clusters.iter().position(|cluster| cluster.name == *name))
}

/// Among targets: wave by wave, each by name, as a rule; late ones last.
pub(crate) fn of_target(targets: &[Arc<Target>], name: &ClusterName) -> Option<usize> {
    let mut begin = 0;
    while let Some((first, rest)) = targets.get(begin..).and_then(<[Arc<Target>]>::split_first) {
        let same = |target: &Arc<Target>| (target.late, target.wave) == (first.late, first.wave);
        let end = begin + 1 + rest.partition_point(same);
        let run = targets.get(begin..end).unwrap_or_default();
        if let Ok(place) = run.binary_search_by(|target| target.cluster.cmp(name)) {
            return Some(begin + place);
        }
        begin = end;
    }
    targets.iter().position(|target| target.cluster == *name)
}

/// Where the last one was: names that are asked for in order are found within a few steps.
#[derive(Debug, Default)]
pub(crate) struct Near(usize);

impl Near {
    /// As [`of_cluster`].
    pub(crate) fn of_cluster(
        &mut self,
        clusters: &[Arc<Cluster>],
        name: &ClusterName,
    ) -> Option<usize> {
        let found = self.ahead(clusters, |cluster| cluster.name.cmp(name));
        let place = found.or_else(|| of_cluster(clusters, name))?;
        self.0 = place;
        Some(place)
    }

    /// The same cluster itself.
    pub(crate) fn cluster<'a>(
        &mut self,
        clusters: &'a [Arc<Cluster>],
        name: &ClusterName,
    ) -> Option<&'a Arc<Cluster>> {
        clusters.get(self.of_cluster(clusters, name)?)
    }

    /// From there on, in steps that grow.
    fn ahead<T>(&self, list: &[T], order: impl Fn(&T) -> Ordering) -> Option<usize> {
        let rest = list.get(self.0..)?;
        let (mut begin, mut end) = (0, 1);
        while rest.get(end - 1).is_some_and(|one| order(one).is_lt()) {
            (begin, end) = (end, end * 2);
        }
        let part = rest.get(begin..end.min(rest.len()))?;
        let place = part.binary_search_by(order).ok()?;
        Some(self.0 + begin + place)
    }
}

/// The targets of a release by their clusters' names, for whoever asks for many in order.
#[derive(Debug)]
pub(crate) struct ByName<'a> {
    sorted: Vec<&'a Target>,
    near: Near,
}

impl<'a> ByName<'a> {
    pub(crate) fn of(targets: &'a [Arc<Target>]) -> Self {
        let mut sorted: Vec<&Target> = targets.iter().map(Arc::as_ref).collect();
        // Runs that are in order already, as a rule.
        sorted.sort_by(|one, other| one.cluster.cmp(&other.cluster));
        Self {
            sorted,
            near: Near::default(),
        }
    }

    pub(crate) fn target(&mut self, name: &ClusterName) -> Option<&'a Target> {
        let order = |target: &&Target| target.cluster.cmp(name);
        let found = self.near.ahead(&self.sorted, order);
        let place = found.or_else(|| self.sorted.binary_search_by(order).ok())?;
        self.near.0 = place;
        self.sorted.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advance::new_target;

    #[test]
    fn each_is_found_sorted_or_not() {
        let lists = [
            vec![],
            vec![("b", 1, false)],
            vec![
                ("b", 1, false),
                ("d", 1, false),
                ("a", 2, false),
                ("c", 2, false),
                ("e", 2, true),
            ],
            vec![
                ("d", 1, false),
                ("b", 1, false),
                ("c", 2, true),
                ("a", 1, false),
                ("e", 2, false),
            ],
        ];
        for list in lists {
            let list: Vec<_> = list
                .into_iter()
                .map(|(name, wave, late)| {
                    Arc::new(new_target(
                        name.into(),
                        wave,
                        late,
                        jiff::Timestamp::UNIX_EPOCH,
                    ))
                })
                .collect();
            for name in ["a", "b", "c", "d", "e", "f"] {
                let name = ClusterName::from(name);
                let plain = list.iter().position(|target| target.cluster == name);
                assert_eq!(of_target(&list, &name), plain, "{name} in {list:?}");
            }
            let mut by_name = ByName::of(&list);
            for name in ["c", "a", "b", "f", "e", "e", "d"] {
                let name = ClusterName::from(name);
                let plain = list.iter().find(|target| target.cluster == name);
                assert_eq!(by_name.target(&name), plain.map(Arc::as_ref), "{name}");
            }
        }
    }

    #[test]
    fn each_cluster_is_found_from_wherever_the_last_one_was() {
        let names = |sorted: bool, count: u32| -> Vec<Arc<Cluster>> {
            let name = |number: u32| {
                let number = if sorted { number } else { number * 7 % 16 };
                let cluster = serde_json::json!({"name": format!("c{number:02}")});
                Arc::new(serde_json::from_value(cluster).unwrap())
            };
            (0..count).map(name).collect()
        };
        for (sorted, count) in [(true, 0), (true, 1), (true, 16), (false, 16)] {
            let list = names(sorted, count);
            for from in 0..18 {
                for asked in 0..18 {
                    let name = ClusterName::from(format!("c{asked:02}"));
                    let mut near = Near(from);
                    let plain = list.iter().position(|cluster| cluster.name == name);
                    assert_eq!(near.of_cluster(&list, &name), plain, "{asked} from {from}");
                }
            }
        }
    }
}
