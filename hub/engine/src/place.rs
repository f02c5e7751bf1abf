//! Where something named is in a long list. In: a list that is sorted as a rule, a name. Out: its place, found in a few steps
//! where the list is sorted and by looking at everything where it is not. It must not rely on the order.

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
        }
    }
}
