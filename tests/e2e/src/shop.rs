//! An application in a namespace of its own: one Rollout named checkout, its Service, its pods. In: versions and verbs. Out:
//! what the API server says of it. It waits by looking, never by time.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_api::names::LABEL_INSTANCE_ID;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tests_fleet::{Cluster, Error, Result, apply, eventually};

use crate::object::{self, Kind, number, text};

/// The Rollout's name.
pub const NAME: &str = "checkout";

/// For whatever takes seconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(60);

/// The application.
#[derive(Clone)]
pub struct Shop {
    client: kube::Client,
    namespace: String,
    /// Which of several agents acts on it; none: the one without an id.
    instance: Option<String>,
}

impl Shop {
    /// Makes the namespace and the Service.
    pub async fn open(cluster: &Cluster, namespace: &str) -> Result<Self> {
        let client = cluster.client().await?;
        let shop = Self {
            client,
            namespace: namespace.to_owned(),
            instance: None,
        };
        shop.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
        }))
        .await?;
        shop.service(NAME).await?;
        Ok(shop)
    }

    /// The same for the agent of an instance id.
    #[must_use]
    pub fn of(self, instance: &str) -> Self {
        Self {
            instance: Some(instance.to_owned()),
            ..self
        }
    }

    /// A manifest with the label of its agent.
    pub fn labelled(&self, mut manifest: Value) -> Value {
        let metadata = manifest.get_mut("metadata").and_then(Value::as_object_mut);
        if let (Some(id), Some(metadata)) = (&self.instance, metadata) {
            metadata.insert("labels".to_owned(), json!({LABEL_INSTANCE_ID: id}));
        }
        manifest
    }

    /// Makes a Service over all pods of the application.
    pub async fn service(&self, name: &str) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"selector": {"app": NAME}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        }))
        .await
    }

    /// Deletes an object of the namespace.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        let api = kind.of(&self.client, &self.namespace);
        let done = api.delete(name, &DeleteParams::background()).await;
        done.map(|_| ())
            .map_err(Error::kube(format!("delete {kind:?} {name}")))
    }

    /// Deletes the Rollout, and leaves what it owns: `delete --cascade=orphan`.
    pub async fn orphan(&self) -> Result<()> {
        let api = Kind::Rollout.of(&self.client, &self.namespace);
        let done = api.delete(NAME, &DeleteParams::orphan()).await;
        done.map_err(Error::kube("delete the Rollout alone"))?;
        eventually("the Rollout is gone", SOON, async || {
            match api.get_opt(NAME).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => Err(String::from("still there")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// The pod hash that a Service selects; empty: all pods.
    pub async fn selects(&self, service: &str) -> Result<String> {
        let found = self.named(Kind::Service, service).await?;
        Ok(text(&found, "/spec/selector/rollouts-pod-template-hash").to_owned())
    }

    /// Waits until a Service selects a pod hash.
    pub async fn selected(&self, service: &str, hash: &str) -> Result<()> {
        let what = format!("{}: {service} selects {hash:?}", self.namespace);
        eventually(&what, SOON, async || {
            let found = self.selects(service).await;
            let found = found.map_err(|error| error.to_string())?;
            if found == hash { Ok(()) } else { Err(found) }
        })
        .await
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name by which the gateway knows it.
    pub fn host(&self) -> String {
        format!("{NAME}.{}", self.namespace)
    }

    /// The manifest of a version with five replicas, so that a weight of 20 is exact.
    pub fn manifest(&self, version: &str, steps: &Value) -> Value {
        self.labelled(json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "replicas": 5,
                "revisionHistoryLimit": 3,
                "selector": {"matchLabels": {"app": NAME}},
                "strategy": {"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": steps}},
                "template": {
                    "metadata": {"labels": {"app": NAME}},
                    "spec": {"containers": [{
                        "name": NAME,
                        "image": format!("demo:{version}"),
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
                    }]},
                },
            },
        }))
    }

    /// Applies a manifest as Argo CD would.
    pub async fn apply(&self, manifest: &Value) -> Result<()> {
        // JSON is YAML.
        apply::yaml(&self.client, &manifest.to_string(), &self.namespace).await
    }

    /// Applies a version.
    pub async fn deploy(&self, version: &str, steps: &Value) -> Result<()> {
        self.apply(&self.manifest(version, steps)).await
    }

    /// Deploys a first version and waits until it is healthy.
    pub async fn first(&self, version: &str, steps: &Value) -> Result<Value> {
        self.deploy(version, steps).await?;
        self.healthy(version).await
    }

    /// The Rollout.
    pub async fn rollout(&self) -> Result<Value> {
        self.named(Kind::Rollout, NAME).await
    }

    /// An object of the namespace.
    pub async fn named(&self, kind: Kind, name: &str) -> Result<Value> {
        let api = kind.of(&self.client, &self.namespace);
        let found = api.get(name).await;
        object::json(&found.map_err(Error::kube(format!("get {kind:?} {name}")))?)
    }

    /// Every object of a kind in the namespace.
    pub async fn all(&self, kind: Kind) -> Result<Vec<Value>> {
        let api = kind.of(&self.client, &self.namespace);
        let list = api.list(&ListParams::default()).await;
        let list = list.map_err(Error::kube(format!("list {kind:?}")))?;
        list.items.iter().map(object::json).collect()
    }

    /// What `undo` of the kubectl plugin writes: the template of the ReplicaSet of a revision as the API server has it,
    /// without the hash label, in a JSON patch.
    pub async fn undo_to(&self, revision: &str) -> Result<()> {
        let sets = self.all(Kind::ReplicaSet).await?;
        let annotation = "/metadata/annotations/rollout.argoproj.io~1revision";
        let set = sets.iter().find(|set| text(set, annotation) == revision);
        let template = set.and_then(|set| set.pointer("/spec/template"));
        let mut template = template
            .cloned()
            .ok_or_else(|| Error::Check(format!("no ReplicaSet has revision {revision}")))?;
        if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
            // Go writes a time that is not set as null.
            metadata.insert("creationTimestamp".into(), Value::Null);
        }
        let labels = template.pointer_mut("/metadata/labels");
        if let Some(labels) = labels.and_then(Value::as_object_mut) {
            labels.remove("rollouts-pod-template-hash");
        }
        let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        let namespace = &self.namespace;
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/{NAME}");
        let request = http::Request::patch(path)
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .body(patch.to_string().into_bytes())
            .map_err(Error::parse("a request"))?;
        let done = self.client.request::<Value>(request).await;
        done.map(|_| ()).map_err(Error::kube("undo"))
    }

    /// A merge patch on the Rollout.
    pub async fn patch(&self, patch: &Value) -> Result<()> {
        let api = Kind::Rollout.of(&self.client, &self.namespace);
        let done = api
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        done.map(|_| ())
            .map_err(Error::kube(format!("patch {patch}")))
    }

    /// A merge patch on another object of the namespace.
    pub async fn patch_named(&self, kind: Kind, name: &str, patch: &Value) -> Result<()> {
        let api = kind.of(&self.client, &self.namespace);
        let done = api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        done.map(|_| ())
            .map_err(Error::kube(format!("patch {kind:?} {name}")))
    }

    /// A merge patch on the Rollout's status.
    pub async fn verb(&self, patch: &Value) -> Result<()> {
        self.verb_of(NAME, patch).await
    }

    /// The same on another Rollout of the namespace.
    pub async fn verb_of(&self, name: &str, patch: &Value) -> Result<()> {
        let api = Kind::Rollout.of(&self.client, &self.namespace);
        let done = api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        done.map(|_| ())
            .map_err(Error::kube(format!("patch {patch}")))
    }

    /// What an autoscaler reads and writes: the scale subresource.
    pub async fn scale(&self, replicas: Option<i32>) -> Result<Value> {
        let api = Kind::Rollout.of(&self.client, &self.namespace);
        let scale = match replicas {
            None => api.get_scale(NAME).await,
            Some(replicas) => {
                let patch = json!({"spec": {"replicas": replicas}});
                let patch = Patch::Merge(&patch);
                api.patch_scale(NAME, &PatchParams::default(), &patch).await
            }
        };
        let scale = scale.map_err(Error::kube("the scale subresource"))?;
        serde_json::to_value(scale).map_err(Error::parse("a Scale"))
    }

    /// Pods by image: how many are ready. A pod that is being deleted does not count.
    pub async fn pods(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for pod in self.all(Kind::Pod).await? {
            let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
            let ready = conditions.into_iter().flatten().any(|condition| {
                text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
            });
            if ready && text(&pod, "/metadata/deletionTimestamp").is_empty() {
                let image = text(&pod, "/spec/containers/0/image").to_owned();
                *counts.entry(image).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Waits until exactly these versions have so many ready pods.
    pub async fn serves(&self, wanted: &[(&str, usize)]) -> Result<()> {
        let wanted: BTreeMap<String, usize> = wanted
            .iter()
            .map(|(version, count)| (format!("demo:{version}"), *count))
            .collect();
        let what = format!("{} serves {wanted:?}", self.namespace);
        eventually(&what, SOON, async || {
            let pods = self.pods().await.map_err(|error| error.to_string())?;
            if pods == wanted {
                Ok(())
            } else {
                Err(format!("{pods:?}"))
            }
        })
        .await
    }

    /// Waits until the Rollout, its spec observed, is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let what = format!("{}: {what}", self.namespace);
        eventually(&what, SOON, async || {
            let rollout = self.rollout().await.map_err(|error| error.to_string())?;
            let generation = number(&rollout, "/metadata/generation").to_string();
            if text(&rollout, "/status/observedGeneration") == generation && wanted(&rollout) {
                Ok(rollout)
            } else {
                let status = rollout.get("status").cloned().unwrap_or_default();
                Err(format!("generation {generation}, status {status}"))
            }
        })
        .await
    }

    /// Waits for a phase.
    pub async fn phase(&self, wanted: &str) -> Result<Value> {
        self.until(&format!("phase {wanted}"), |rollout| {
            text(rollout, "/status/phase") == wanted
        })
        .await
    }

    /// Waits until it is paused at a step.
    pub async fn paused_at(&self, step: i64) -> Result<Value> {
        self.until(&format!("paused at step {step}"), |rollout| {
            text(rollout, "/status/phase") == "Paused"
                && number(rollout, "/status/currentStepIndex") == step
        })
        .await
    }

    /// Waits until it is healthy with nothing but this version.
    pub async fn healthy(&self, version: &str) -> Result<Value> {
        let rollout = self.phase("Healthy").await?;
        self.serves(&[(version, 5)]).await?;
        Ok(rollout)
    }
}
