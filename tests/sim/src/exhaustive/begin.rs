//! How the small world begins: three clusters that serve v1, governed and connected, and Git has just brought v2. In:
//! nothing. Out: its first state. It must not choose what happens later.

use std::sync::Arc;
use std::time::Instant;

use hub_engine::ClusterName;
use hub_engine::observed::{Cluster, Observed};
use serde_json::json;
use tests_golden::hub_random::LABEL;

use super::Small;
use super::local::Local;
use super::state::{CLUSTERS, Left, PART, State};
use super::tables::Tables;
use crate::store::Store;
use crate::world::begin::{agent_of, empty, rows};
use crate::world::stamp;

/// Moves until everything serves v1; more is a beginning that does not end.
const MOVES_MAX: usize = 500;
/// Two waves, one cluster at once, a bake after the first; a failure takes everything back.
const DOCUMENT: &str = r#"
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: web}
  enforcement: Enforce
  clusters: {}
  waves:
  - name: first
    clusters: {matchLabels: {wave: "0"}}
    bake: 1m
  - name: rest
    maxConcurrent: 1
  onFailure: {action: Rollback, scope: Touched, order: ReverseWaves, maxConcurrent: 100%}
  progressDeadline: 1h
  membership: {lateJoin: CatchUp, missing: Fail, unreachable: {after: 15m, action: CountAsFailed}}
  onHubLoss: Hold
"#;

/// What may break while everything begins: nothing.
const NOTHING: Left = Left {
    crashes: 0,
    losses: 0,
    copies: 0,
    delays: 0,
};

impl Small {
    /// The first state.
    pub(super) fn begin(&mut self, left: Left) -> State {
        let names: Vec<ClusterName> = (0..self.size.clusters)
            .map(|at| format!("c{at}").into())
            .collect();
        let read = hub_engine::parse(DOCUMENT).expect("the document above can be read");
        let document = read.into_iter().next().expect("one document");
        let clusters = (0..).zip(&names).map(|(at, name)| Cluster {
            labels: Arc::new([(LABEL.to_owned(), i32::from(at > 0).to_string())].into()),
            ..empty(name)
        });
        let clusters: Vec<Cluster> = clusters.collect();
        let rows = rows(&clusters);
        let tables = Observed {
            clusters: clusters.into_iter().map(std::sync::Arc::new).collect(),
            ..Observed::new(document.fleet_rollout, stamp(0))
        };
        let store = Store::new(vec![tables], rows);
        let tables = self.keep_tables(Tables::of(store));
        let base = Instant::now();
        let steps = [
            json!({"setWeight": 50}),
            json!({"analysis": {"templates": [{"templateName": "errors"}]}}),
        ];
        let mut agents = [0; CLUSTERS];
        for (place, name) in agents.iter_mut().zip(&names) {
            let mut agent = agent_of(name, base, &steps, 2);
            agent.start();
            *place = self.keep_local(Local { agent, now: 0 });
        }
        self.names = names;
        let mut state = State {
            tables,
            draft: None,
            agents,
            down: [None; CLUSTERS],
            sent: [None; CLUSTERS],
            copy: None,
            old: None,
            left: NOTHING,
        };
        for _ in 0..MOVES_MAX {
            let moves = self.moves(&state);
            // Hubs last: before anybody was heard they may not decide.
            let mut moves = moves.into_iter().rev();
            let Some((_, next)) = moves.find(|(one, _)| one.is_work()) else {
                break;
            };
            state = next;
        }
        for place in state.agents.iter_mut().take(self.names.len()) {
            let mut local = self.locals.get(*place).clone();
            local.agent.parts[PART].applied("v2", "r2");
            *place = self.keep_local(local);
        }
        // Two of them have said so already: whose word opens the release is all the same.
        for cluster in 1..self.size.clusters {
            let agent = self.acted(state.agents[cluster]);
            let (batch, told) = self.batch_of(agent);
            state.agents[cluster] = told;
            (state.tables, _) = self.reported(state.tables, batch);
        }
        State { left, ..state }
    }
}
