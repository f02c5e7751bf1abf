//! What a hub knows of a Rollout in a cluster (S9). In: what an agent said, in which session and as which word of it. Out: the
//! first thing that is older than what was heard already. It must not ask the store which word a row is of.

use std::collections::BTreeMap;

use hub_engine::observed::Rollout;
use hub_engine::{ClusterName, RolloutName};
use hub_store::report::{Body, Report};

use crate::store::Store;
use crate::world::World;

/// What an agent said last of a Rollout, of all that a hub has heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    key: (u64, u64),
    /// What it serves, what it holds, and what Git has.
    said: Said,
}

type Said = (Option<String>, Option<String>, Option<String>);

fn said(state: &Rollout) -> Said {
    let served = state.served.as_ref().map(ToString::to_string);
    let held = state.held.as_ref().map(ToString::to_string);
    let spec = state.spec.as_ref().map(|spec| spec.digest.to_string());
    (served, held, spec)
}

/// What a database that was put back has heard.
pub(super) fn heard(store: &Store) -> BTreeMap<(ClusterName, RolloutName), Heard> {
    let rows = store.rows.iter().flat_map(|(cluster, row)| {
        let all = row.rollouts.iter();
        all.filter_map(|(rollout, known)| {
            let (key, said) = (known.key, said(known.state.as_ref()?));
            Some(((cluster.clone(), rollout.clone()), Heard { key, said }))
        })
    });
    rows.collect()
}

impl World {
    /// An agent has said Hello in a session of this number, with all of its Rollouts.
    pub(crate) fn says_first(
        &mut self,
        cluster: &ClusterName,
        session: u64,
        all: &[(RolloutName, Rollout)],
    ) {
        self.ghost.heard.retain(|(name, _), _| name != cluster);
        for (rollout, state) in all {
            let key = (cluster.clone(), rollout.clone());
            let heard = Heard {
                key: (session, 0),
                said: said(state),
            };
            self.ghost.heard.insert(key, heard);
        }
    }

    /// Reports of a session are committed: what the tables have of a Rollout is the newest of all that was ever said.
    pub(crate) fn newest_is_kept(
        &mut self,
        cluster: &ClusterName,
        session: u64,
        reports: &[Report],
    ) {
        for report in reports {
            let Body::State(state) = &report.body else {
                continue;
            };
            let place = (cluster.clone(), report.rollout.clone());
            let key = (session, report.sequence);
            let known = self.ghost.heard.get(&place);
            if known.is_none_or(|known| known.key < key) {
                let said = said(state);
                self.ghost.heard.insert(place, Heard { key, said });
            }
        }
        let row = self.store.rows.get(cluster);
        let older = reports.iter().find_map(|report| {
            let known = row?.state(&report.rollout)?;
            let place = (cluster.clone(), report.rollout.clone());
            let heard = self.ghost.heard.get(&place)?;
            (said(known) != heard.said).then(|| (report.rollout.name.clone(), heard.clone()))
        });
        if let Some((rollout, heard)) = older {
            let message = format!("{rollout} in {cluster} is not as it was said at {heard:?}");
            self.fail("S9", message);
        }
    }
}
