//! Secrets that metrics need.
//!
//! In: a name and a namespace. Out: the content, in a type that does not print. It must not keep anything: a rotated key
//! counts with the next measurement.

use agent_providers::question::ReadSecret;
use agent_providers::{SecretData, SecretNeed, SecretPlace, Secrets};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// Secrets of the cluster, read when they are asked for.
pub struct ClusterSecrets {
    /// The API server.
    pub client: Client,
    /// The controller's own namespace.
    pub namespace: String,
}

impl Secrets for ClusterSecrets {
    fn read<'a>(&'a self, need: &'a SecretNeed, namespace: &'a str) -> ReadSecret<'a> {
        let namespace = match need.place {
            SecretPlace::Controller => self.namespace.as_str(),
            SecretPlace::Run => namespace,
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        Box::pin(async move {
            let found = api.get_opt(&need.name).await.map_err(|error| {
                format!("Secret {namespace}/{} cannot be read: {error}", need.name)
            })?;
            Ok(found.map(content))
        })
    }
}

/// What is not text cannot be a key of a provider.
fn content(secret: Secret) -> SecretData {
    let data = secret.data.unwrap_or_default();
    let texts = data
        .into_iter()
        .filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?.into())));
    texts.collect()
}
