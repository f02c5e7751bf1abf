//! Random plans, applied to the tables and to `advance`: both have to say the same, action by action, and so has the history
//! alone (S2).

pub(super) mod plans;

use std::collections::BTreeSet;

use hub_engine::name::{Person, ReleaseId};
use hub_engine::plan::Plan;
use hub_engine::release::{Release, WavePhase};
use hub_engine::verb::Verb;
use hub_engine::{FleetRolloutName, Observed};

use self::plans::{Random, kind, nothing, plan};
use super::fixture::{self, Signer};
use crate::approval::NewApproval;
use crate::release::Known;
use crate::remembered::Memory;
use crate::request::NewRequest;
use crate::{Epoch, Store, apply, fleet_rollout, observe, release};

const DOCUMENT: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {tier: prod}}
  waves:
  - {name: canary, clusters: {matchLabels: {ring: '0'}}}
  - {name: rest, approval: {before: {required: 1, groups: [sre]}}}
";
/// Plans a run; every kind of action comes in each run many times.
const PLANS: usize = 600;

const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];

async fn world() -> (Store, FleetRolloutName) {
    let store = fixture::store().await;
    for (index, name) in CLUSTERS.iter().enumerate() {
        let ring = if index == 0 { "0" } else { "1" };
        let served = (index != 3).then(|| format!("v1:old{index}"));
        let state = serde_json::json!({"uid": "u", "served": served});
        sqlx::query("insert into clusters (name, labels, kube_system_uid) values ($1, jsonb_build_object('tier', 'prod', 'ring', $2), 'u')")
            .bind(name).bind(ring).execute(&store.pool).await.unwrap();
        for statement in [
            "insert into cluster_sets (cluster, incarnation) values ($1, 1)",
            "insert into cluster_sessions (cluster) values ($1)",
        ] {
            sqlx::query(statement)
                .bind(name)
                .execute(&store.pool)
                .await
                .unwrap();
        }
        sqlx::query("insert into rollouts (cluster, namespace, rollout, state, session, sequence) values ($1, 'shop', 'checkout', $2, 1, 1)")
            .bind(name).bind(state).execute(&store.pool).await.unwrap();
    }
    let file = hub_engine::parse_file(DOCUMENT).unwrap();
    store
        .fleet_rollout_apply(&file, &"ann".into(), false)
        .await
        .unwrap();
    (store, file.documents[0].fleet_rollout.name.clone())
}

/// What agents and persons bring in between; the model takes it from the tables.
async fn input(store: &Store, random: &mut Random, model: &mut Observed) {
    let cluster = random.pick(&CLUSTERS);
    let now = serde_json::to_value({
        let digest = random.digest();
        random.content(digest)
    })
    .unwrap();
    sqlx::query(
        "insert into changes (cluster, namespace, rollout, now, session, sequence) \
        select $1, 'shop', 'checkout', $2, 1, coalesce(max(id), 0) + 1 from changes",
    )
    .bind(cluster)
    .bind(now)
    .execute(&store.pool)
    .await
    .unwrap();
    let start = NewRequest {
        fleet_rollout: model.fleet_rollout.name.clone(),
        release: None,
        verb: Verb::default(),
        person: "ann".into(),
        reason: "why not".to_owned(),
        key: String::new(),
    };
    store.request_add(&start).await.unwrap();
    // What it says is the plans' to choose.
    let word = NewRequest {
        release: Some(model.newest_number()),
        verb: Verb::Pause,
        ..start
    };
    store.request_add(&word).await.unwrap();
    approve(store, random, model).await;
    let seen = store
        .observe(&model.fleet_rollout.name)
        .await
        .unwrap()
        .unwrap();
    model.changes = seen.changes;
    model.requests = seen.requests;
    for release in &mut model.releases {
        release.approvals = stored(store, &release.id).await.approvals;
    }
}

/// A person agrees that the last wave of a release starts, or that it passes.
async fn approve(store: &Store, random: &mut Random, model: &Observed) {
    let waiting = model
        .releases
        .iter()
        .filter(|one| !one.phase.ended())
        .find(|one| {
            one.wave(2).is_some_and(|wave| {
                matches!(
                    wave.phase,
                    WavePhase::Pending
                        | WavePhase::WaitingForApproval
                        | WavePhase::Baking
                        | WavePhase::WaitingToPass
                )
            })
        });
    if let Some(release) = waiting {
        let approval = NewApproval {
            release: release.id.clone(),
            wave: Some("rest".into()),
            plan_digest: release.plan_digest.clone(),
            person: Person(format!("person-{}", random.below(3))),
            groups: vec!["sre".into()],
            comment: random.text(),
            shown: release.wave(2).map(|wave| release.shown(wave)),
        };
        store.approval_add(&approval).await.unwrap();
    }
}

async fn stored(store: &Store, id: &ReleaseId) -> Release {
    let mut connection = store.pool.acquire().await.unwrap();
    release::get(&mut connection, id, &mut Known::default())
        .await
        .unwrap()
        .unwrap()
}

/// Equal but for what no action changes; digests that passed have no order that matters.
fn assert_same(tables: &Observed, model: &Observed, plan: &Plan) {
    let kinds: Vec<String> = plan
        .actions
        .iter()
        .map(|one| one.action.to_string())
        .collect();
    let sorted = |state: &Observed| state.passed.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(tables.past, model.past, "{kinds:#?}");
    assert_eq!(tables.barred, model.barred, "{kinds:#?}");
    assert_eq!(sorted(tables), sorted(model), "{kinds:#?}");
    for cluster in &tables.clusters {
        let modelled = model.cluster(&cluster.name);
        if cluster.gate.is_some() || modelled.is_some() {
            let modelled = modelled.unwrap();
            assert_eq!(
                (&cluster.gate, cluster.desired),
                (&modelled.gate, modelled.desired),
                "{kinds:#?}"
            );
        }
    }
}

/// What changed since the last time, and all the rest as it is remembered.
async fn remembered(store: &Store, name: &FleetRolloutName, memory: &mut Memory) -> Observed {
    let mut tx = store.snapshot().await.unwrap();
    let stored = fleet_rollout::get(&mut tx, name, false).await.unwrap();
    let fleet_rollout = stored.unwrap().fleet_rollout;
    observe::all(&mut tx, fleet_rollout, memory).await.unwrap()
}

async fn check(seed: u64) {
    let (store, name) = world().await;
    let mut memory = Memory::default();
    let mut random = Random(seed);
    let mut model = store.observe(&name).await.unwrap().unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..PLANS {
        if random.below(3) == 0 {
            input(&store, &mut random, &mut model).await;
        }
        model.now = store.now().await.unwrap();
        let plan = plan(&model, &mut random);
        let mut tx = store.pool.begin().await.unwrap();
        apply::plan(&mut tx, Epoch(1), &model, &plan, &Signer)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        model.apply(&plan);
        seen.extend(plan.actions.iter().map(|one| kind(&one.action)));
        let tables = store.observe(&name).await.unwrap().unwrap();
        assert_same(&tables, &model, &plan);
        let remembered = remembered(&store, &name, &mut memory).await;
        let now = tables.now;
        assert_eq!(Observed { now, ..remembered }, tables, "seed {seed}");
        let ids = |state: &Observed| {
            let changes: Vec<u64> = state.changes.iter().map(|one| one.id).collect();
            (
                changes,
                state.requests.iter().map(|one| one.id).collect::<Vec<_>>(),
            )
        };
        assert_eq!(ids(&tables), ids(&model));
        for action in plan.actions.iter().filter_map(|one| one.action.release()) {
            let id = model.id(action);
            assert_eq!(
                Some(&stored(&store, &id).await),
                model.release(action),
                "seed {seed}"
            );
        }
    }
    assert_eq!(seen.len(), ACTIONS, "{seen:?}");
    let replayed = store.history_replay(&name).await.unwrap().unwrap();
    let tables = store.observe(&name).await.unwrap().unwrap();
    assert_same(&tables, &replayed, &nothing());
    assert_eq!(replayed.fleet_rollout, tables.fleet_rollout);
    assert_eq!(replayed.releases.len(), model.releases.len());
    for release in &replayed.releases {
        assert_eq!(&stored(&store, &release.id).await, release);
    }
}

/// Kinds of actions, a person's word by its verb and a request for approval by its stage; a new one has to be among `possible`.
const ACTIONS: usize = 38;

#[tokio::test]
async fn the_tables_say_what_advance_says_and_the_history_alone_gives_both() {
    for seed in [1, 2] {
        check(seed).await;
    }
}
