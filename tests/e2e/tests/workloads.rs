//! The controllers that stand beside ours in any cluster work on the sandbox: Deployments, autoscalers by the metrics API,
//! disruption budgets. In: their objects. Out: what they make of them, so that tests of Rollouts can rely on it.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams};
use serde_json::{Value, json};
use tests_e2e::bed::Shared;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::shop::{NAME, SOON, Shop};
use tests_fleet::{eventually, kubeconfig};

fn deployment(shop: &Shop, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": shop.namespace()},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "pause:1"}]},
            },
        },
    })
}

/// One that wants 100m of each pod.
fn autoscaler(shop: &Shop, version: &str, kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": shop.namespace()},
        "spec": {
            "scaleTargetRef": {"apiVersion": version, "kind": kind, "name": name},
            "minReplicas": 1,
            "maxReplicas": 9,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"},
            }}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    })
}

/// What the pods of the namespace use together.
fn load(shop: &Shop, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "sandbox-usage", "namespace": shop.namespace()},
        "data": {"cpu": cpu},
    })
}

async fn replicas(shop: &Shop, kind: Kind, name: &str, wanted: i64) {
    eventually(&format!("{wanted} of {name}"), SOON, async || {
        let object = shop.named(kind, name).await;
        let object = object.map_err(|error| error.to_string())?;
        let spec = number(&object, "/spec/replicas");
        let available = number(&object, "/status/availableReplicas");
        if spec == wanted && available == wanted {
            Ok(())
        } else {
            Err(format!("{spec} wanted, {available} available"))
        }
    })
    .await
    .expect("scaled");
}

#[tokio::test]
async fn an_autoscaler_follows_the_load_of_a_deployment() {
    let (shared, shop) = Shared::with("hpa-deployment").await.expect("a namespace");
    shop.apply(&deployment(&shop, 1)).await.expect("applied");
    shop.apply(&load(&shop, "350m")).await.expect("a load");
    shop.apply(&autoscaler(&shop, "apps/v1", "Deployment", "web"))
        .await
        .expect("an autoscaler");
    replicas(&shop, Kind::Deployment, "web", 4).await;
    shop.apply(&load(&shop, "150m")).await.expect("less load");
    replicas(&shop, Kind::Deployment, "web", 2).await;
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn an_autoscaler_follows_the_load_of_a_rollout() {
    let (shared, shop) = Shared::with("hpa-rollout").await.expect("a namespace");
    shop.first("v1", &json!([])).await.expect("healthy");
    shop.apply(&load(&shop, "700m")).await.expect("a load");
    shop.apply(&autoscaler(&shop, "argoproj.io/v1alpha1", "Rollout", NAME))
        .await
        .expect("an autoscaler");
    replicas(&shop, Kind::Rollout, NAME, 7).await;
    shop.serves(&[("v1", 7)]).await.expect("seven pods");
    shared.check().await.expect("no fault");
}

#[tokio::test]
async fn a_disruption_budget_refuses_evictions() {
    let (shared, shop) = Shared::with("budget").await.expect("a namespace");
    shop.apply(&deployment(&shop, 2)).await.expect("applied");
    shop.apply(&json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": shop.namespace()},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }))
    .await
    .expect("a budget");
    let cluster = shared.cluster().expect("it").kubeconfig();
    let client = kubeconfig::impatient_client(&cluster).await;
    let pods: Api<Pod> = Api::namespaced(client.expect("a client"), shop.namespace());
    allowed(&shop, 0).await;
    let victim = shop.all(Kind::Pod).await.expect("pods");
    let victim = text(&victim[0], "/metadata/name").to_owned();
    let refused = pods.evict(&victim, &EvictParams::default()).await;
    let Err(kube::Error::Api(status)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(status.code, 429, "{status:?}");

    shop.apply(&deployment(&shop, 3)).await.expect("one more");
    allowed(&shop, 1).await;
    pods.evict(&victim, &EvictParams::default())
        .await
        .expect("evicted");
    eventually("it is gone", SOON, async || {
        match pods.get_opt(&victim).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("gone");
    shared.check().await.expect("no fault");
}

async fn allowed(shop: &Shop, wanted: i64) {
    eventually(&format!("{wanted} may go"), SOON, async || {
        let budget = shop.named(Kind::PodDisruptionBudget, "web").await;
        let budget = budget.map_err(|error| error.to_string())?;
        let healthy = number(&budget, "/status/currentHealthy");
        let allowed = number(&budget, "/status/disruptionsAllowed");
        if healthy == wanted + 2 && allowed == wanted {
            Ok(())
        } else {
            Err(format!("{healthy} healthy, {allowed} may go"))
        }
    })
    .await
    .expect("so many");
}
