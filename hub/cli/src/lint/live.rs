//! Checks against a cluster. In: documents, a kubeconfig. Out: templates that the documents name and the cluster has, and what
//! the cluster lacks. It must not write anything, and not print or keep what is in a Secret.

use std::collections::BTreeSet;
use std::time::Duration;

use agent_api::{AnalysisTemplate, AnalysisTemplateSpec, ClusterAnalysisTemplate, Service};
use agent_engine::observed::TemplateKey;
use k8s_openapi::api::core::v1::Secret;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use serde_json::Value;

use super::set::OfCluster;
use super::{Finding, GROUP, KINDS};
use crate::failure::Failure;
use crate::manifest::Manifest;

/// How long a connection may take to come up: people wait for it.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// Fields of a Rollout's strategy that name a Service.
const SERVICES: [&str; 4] = [
    "/spec/strategy/canary/stableService",
    "/spec/strategy/canary/canaryService",
    "/spec/strategy/blueGreen/activeService",
    "/spec/strategy/blueGreen/previewService",
];

/// A cluster that is looked at.
pub struct Live {
    client: Client,
    /// Where documents without a namespace would be applied.
    namespace: String,
    /// Kinds of the API that it serves.
    served: BTreeSet<String>,
}

/// Why a question has no answer.
enum Unanswered {
    /// It is not there.
    Missing,
    /// It could not be looked at, and why.
    Unseen(String),
}

/// Connects as kubectl would.
///
/// # Errors
/// Why there is no cluster to talk to.
pub async fn connect(context: Option<&str>) -> Result<(Client, Config), String> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let mut config = match (Config::from_kubeconfig(&options).await, context) {
        (Ok(config), _) => config,
        (Err(error), Some(_)) => return Err(error.to_string()),
        // In a pod there is no kubeconfig.
        (Err(error), None) => Config::incluster().map_err(|_| error.to_string())?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    let client = Client::try_from(config.clone()).map_err(|error| error.to_string())?;
    Ok((client, config))
}

impl Live {
    /// Connects as kubectl would.
    pub async fn connect(context: Option<&str>) -> Result<Self, Failure> {
        let fail = |why: String| {
            Failure::Nothing(format!(
                "no cluster can be looked at: {why}; set KUBECONFIG or --context, or leave out --live to check the files alone"
            ))
        };
        let (client, config) = connect(context).await.map_err(fail)?;
        let namespace = config.default_namespace;
        let address = config.cluster_url.to_string();
        let served = match client.list_api_group_resources(GROUP).await {
            Ok(list) => list.resources.into_iter().map(|one| one.kind).collect(),
            Err(kube::Error::Api(status)) if status.is_not_found() => BTreeSet::new(),
            Err(error) => {
                return Err(fail(format!(
                    "{address} does not answer: {}",
                    chain(&error)
                )));
            }
        };
        Ok(Self {
            client,
            namespace,
            served,
        })
    }

    /// Templates that the documents name and the cluster has, with those that these name.
    pub async fn templates(&self, manifests: &[Manifest]) -> OfCluster {
        let mut open: Vec<(TemplateKey, String)> = manifests
            .iter()
            .filter(|manifest| KINDS.contains(&manifest.kind.as_str()))
            .flat_map(|manifest| {
                let namespace = self.namespace(manifest);
                let named = named(&manifest.value).into_iter();
                named.map(move |key| (key, namespace.clone()))
            })
            .collect();
        let (mut seen, mut all) = (BTreeSet::new(), OfCluster::default());
        while let Some((key, namespace)) = open.pop() {
            if !seen.insert((key.clone(), namespace.clone())) {
                continue;
            }
            let spec = if key.cluster_scope {
                let api: Api<ClusterAnalysisTemplate> = Api::all(self.client.clone());
                answer(api.get_opt(&key.name).await)
                    .map(|one| AnalysisTemplateSpec::of(&one.metadata, &one.spec))
            } else {
                let api: Api<AnalysisTemplate> = Api::namespaced(self.client.clone(), &namespace);
                answer(api.get_opt(&key.name).await)
                    .map(|one| AnalysisTemplateSpec::of(&one.metadata, &one.spec))
            };
            let spec = match spec {
                Ok(spec) => spec,
                Err(Unanswered::Missing) => continue,
                Err(Unanswered::Unseen(why)) => {
                    all.unseen.insert(key, why);
                    continue;
                }
            };
            open.extend(
                spec.templates
                    .iter()
                    .map(|one| (TemplateKey::of(one), namespace.clone())),
            );
            // A document without a namespace is in the same one.
            let elsewhere = !key.cluster_scope && namespace != self.namespace;
            all.found.push((key, elsewhere.then_some(namespace), spec));
        }
        all
    }

    /// What the cluster lacks for a document.
    pub async fn check(&self, manifest: &Manifest) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.served.contains(&manifest.kind) {
            let message = format!(
                "is {}, which the cluster does not serve: install the CustomResourceDefinitions",
                manifest.kind
            );
            findings.push(Finding::error("kind", message));
        }
        let namespace = self.namespace(manifest);
        for pointer in SERVICES {
            let Some(name) = manifest.value.pointer(pointer).and_then(Value::as_str) else {
                continue;
            };
            let api: Api<Service> = Api::namespaced(self.client.clone(), &namespace);
            let path = pointer.trim_start_matches('/').replace('/', ".");
            let what = format!("Service {namespace}/{name}");
            if let Err(why) = answer(api.get_opt(name).await) {
                findings.push(why.finding(&path, &what));
            }
        }
        // A template for the whole cluster runs in namespaces that are not known here.
        if manifest.kind != "ClusterAnalysisTemplate" {
            findings.extend(self.secrets(manifest, &namespace).await);
        }
        findings
    }

    async fn secrets(&self, manifest: &Manifest, namespace: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let args = manifest
            .value
            .pointer("/spec/args")
            .and_then(Value::as_array);
        for (index, argument) in args.into_iter().flatten().enumerate() {
            let text = |field: &str| {
                let found = argument.pointer(&format!("/valueFrom/secretKeyRef/{field}"));
                found.and_then(Value::as_str)
            };
            let (Some(name), Some(key)) = (text("name"), text("key")) else {
                continue;
            };
            let path = format!("spec.args[{index}].valueFrom.secretKeyRef");
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            match answer(api.get_opt(name).await) {
                Err(why) => findings.push(why.finding(
                    &format!("{path}.name"),
                    &format!("Secret {namespace}/{name}"),
                )),
                Ok(secret) => {
                    let keys: Vec<String> = secret.data.unwrap_or_default().into_keys().collect();
                    if !keys.iter().any(|known| known == key) {
                        let has = match keys.as_slice() {
                            [] => "no key at all".to_owned(),
                            [_, ..] => keys.join(", "),
                        };
                        let message = format!(
                            "names the key {key:?}, which the Secret {namespace}/{name} does not have: it has {has}"
                        );
                        findings.push(Finding::error(&format!("{path}.key"), message));
                    }
                }
            }
        }
        findings
    }

    fn namespace(&self, manifest: &Manifest) -> String {
        manifest
            .namespace
            .clone()
            .unwrap_or_else(|| self.namespace.clone())
    }
}

impl Unanswered {
    fn finding(&self, path: &str, what: &str) -> Finding {
        match self {
            Self::Missing => Finding::error(
                path,
                format!("names the {what}, which the cluster does not have: create it"),
            ),
            Self::Unseen(why) => {
                Finding::warning(path, format!("names the {what}, and {why}: not checked"))
            }
        }
    }
}

/// A kind that is not served has no objects.
fn answer<T>(found: kube::Result<Option<T>>) -> Result<T, Unanswered> {
    match found {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(Unanswered::Missing),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Err(Unanswered::Unseen("you may not look at it".to_owned()))
        }
        Err(error) => Err(Unanswered::Unseen(format!(
            "the cluster did not show it ({})",
            chain(&error)
        ))),
    }
}

fn chain(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// Every reference to a template, wherever it stands.
fn named(value: &Value) -> Vec<TemplateKey> {
    match value {
        Value::Object(fields) => {
            let name = fields.get("templateName").and_then(Value::as_str);
            let cluster_scope = fields.get("clusterScope").and_then(Value::as_bool);
            let own = name.map(|name| TemplateKey {
                name: name.to_owned(),
                cluster_scope: cluster_scope.unwrap_or(false),
            });
            own.into_iter()
                .chain(fields.values().flat_map(named))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(named).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
