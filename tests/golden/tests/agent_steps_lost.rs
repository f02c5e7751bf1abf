//! What is on its way by a permit that counts no more, whose steps are lost, gains neither pods nor users, whatever strategy
//! Git brings meanwhile (G2, G14). Judged from the model cluster, not by the audit.
#![allow(clippy::unwrap_used)]

use agent_api::names::LABEL_POD_HASH;
use agent_api::{PodHash, RolloutStrategy};
use agent_engine::{audit, reconcile, services};
use proptest::prelude::*;
use serde_json::{Value, json};
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::{hash, observed};

/// The case of the golden set that begins so.
const BEGINS: &str = "bg_gate_taken_back_steps_lost";
/// Its Services.
const SERVICES: [&str; 3] = ["web", "web-preview", "web-stable"];
/// Passes that each life has.
const PASSES: usize = 12;

/// What may not grow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    pods: i32,
    /// Services that select it, by name; one that selects all versions shows it anyway.
    shown_by: Vec<&'static str>,
    stable: bool,
}

fn share(cluster: &Cluster, version: &PodHash) -> Share {
    let observed = &cluster.observed;
    let sets = observed.replica_sets.iter().filter(|set| {
        let labels = set.metadata.labels.as_ref();
        labels
            .and_then(|all| all.get(LABEL_POD_HASH))
            .map(String::as_str)
            == Some(version.as_str())
    });
    let shows = |name: &&'static str| {
        let service = services::find(observed, name);
        let selects = service.map(services::selects);
        selects.is_some_and(|selects| selects.is_none_or(|selected| selected == *version))
    };
    let status = observed.rollout.status.as_ref();
    Share {
        pods: sets.map(agent_api::ReplicaSet::desired).sum(),
        shown_by: SERVICES.iter().copied().filter(shows).collect(),
        stable: status.is_some_and(|status| status.stable_rs.as_ref() == Some(version)),
    }
}

fn begin() -> Cluster {
    let path = format!(
        "{}/../fixtures/agent/{BEGINS}/observed.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let observed = observed(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut cluster = Cluster::new(observed);
    cluster.tick(10, 5);
    cluster
}

fn service() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop::sample::select(&SERVICES[..]).prop_map(Value::from)
    ]
}

fn named() -> impl Strategy<Value = Value> {
    prop::sample::select(&SERVICES[..]).prop_map(Value::from)
}

/// What Git brings: another list of steps, other Services, or the other strategy.
fn edit() -> impl Strategy<Value = Value> {
    let canary = (1..=100_i32, any::<bool>(), service(), service()).prop_map(
        |(weight, ends, canary, stable)| {
            let mut steps = vec![json!({"setWeight": weight}), json!({"pause": {}})];
            if ends {
                steps.clear();
            }
            json!({"canary": {"steps": steps, "canaryService": canary, "stableService": stable}})
        },
    );
    let count = prop_oneof![Just(Value::Null), (0..=5_i32).prop_map(Value::from)];
    let blue_green = (named(), service(), any::<bool>(), count).prop_map(
        |(active, preview, automatic, count)| {
            json!({"blueGreen": {
                "activeService": active, "previewService": preview, "autoPromotionEnabled": automatic,
                "previewReplicaCount": count,
            }})
        },
    );
    prop_oneof![canary, blue_green]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_taken_back_gains_nothing_by_an_edit(
        step in 0..=3_i32,
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let mut cluster = begin();
        let rollout = &mut cluster.observed.rollout;
        rollout.status.as_mut().unwrap().current_step_index = Some(step);
        let had = share(&cluster, &hash("v2"));
        for at in 0..PASSES {
            if at % 4 == 0 && let Some(edit) = edits.get(at / 4) {
                let rollout = &mut cluster.observed.rollout;
                rollout.spec.strategy = serde_json::from_value::<RolloutStrategy>(edit.clone()).unwrap();
                rollout.metadata.generation = rollout.metadata.generation.map(|known| known + 1);
            }
            let plan = reconcile(&cluster.observed);
            let broken = audit(&cluster.observed, &plan);
            prop_assert!(broken.is_empty(), "{broken:?}\n{plan}");
            cluster.apply(&plan, None).unwrap();
            cluster.tick(10, 5);
            let has = share(&cluster, &hash("v2"));
            prop_assert!(has.pods <= had.pods, "{has:?} of {had:?} after\n{plan}");
            let gained = has.shown_by.iter().find(|name| !had.shown_by.contains(name));
            prop_assert!(gained.is_none(), "{has:?} of {had:?} after\n{plan}");
            prop_assert!(!has.stable, "it is stable after\n{plan}");
        }
    }
}
