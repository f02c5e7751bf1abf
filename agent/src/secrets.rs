//! Secrets that metrics need.
//!
//! In: a name and a namespace. Out: the content, in a type that does not print. It must not keep it for long: a rotated key
//! counts within [`FRESH`], and thousands of runs with one key are one request in that time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_providers::question::ReadSecret;
use agent_providers::{SecretData, SecretNeed, SecretPlace, Secrets};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::key::ObjectKey;

/// How long an answer counts, also that there is no such Secret.
pub const FRESH: Duration = Duration::from_secs(5);
/// Most answers kept; beyond it those that count no more go first, and then all.
const KEPT: usize = 1_024;
/// How long the API server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

type Read = Result<Option<SecretData>, String>;

/// One Secret; whoever comes while it is read waits for the answer.
#[derive(Default)]
struct Entry {
    read: tokio::sync::Mutex<Option<(Instant, Read)>>,
}

/// Secrets of the cluster.
pub struct ClusterSecrets {
    client: Client,
    namespace: String,
    entries: Mutex<HashMap<ObjectKey, Arc<Entry>>>,
}

impl ClusterSecrets {
    /// Those that this client may read; the controller's own namespace is named.
    #[must_use]
    pub fn new(client: Client, namespace: String) -> Self {
        Self {
            client,
            namespace,
            entries: Mutex::default(),
        }
    }

    fn entry(&self, key: &ObjectKey) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= KEPT && !entries.contains_key(key) {
            let now = Instant::now();
            entries.retain(|_, entry| match entry.read.try_lock() {
                Ok(read) => read.as_ref().is_some_and(|(at, _)| is_fresh(*at, now)),
                Err(_) => true,
            });
            if entries.len() >= KEPT {
                entries.clear();
            }
        }
        Arc::clone(entries.entry(key.clone()).or_default())
    }

    async fn content(&self, key: &ObjectKey) -> Read {
        let entry = self.entry(key);
        let mut read = entry.read.lock().await;
        if let Some((at, known)) = read.as_ref()
            && is_fresh(*at, Instant::now())
        {
            return known.clone();
        }
        let found = self.ask(key).await;
        *read = Some((Instant::now(), found.clone()));
        found
    }

    async fn ask(&self, key: &ObjectKey) -> Read {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let why = match tokio::time::timeout(TIMEOUT, api.get_opt(&key.name)).await {
            Ok(Ok(found)) => return Ok(found.map(content)),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                "the agent has no right to: let its role get secrets there".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!(
                "the API server did not answer within {} s",
                TIMEOUT.as_secs()
            ),
        };
        Err(format!("Secret {key} cannot be read: {why}"))
    }
}

impl Secrets for ClusterSecrets {
    fn read<'a>(&'a self, need: &'a SecretNeed, namespace: &'a str) -> ReadSecret<'a> {
        let namespace = match need.place {
            SecretPlace::Controller => self.namespace.as_str(),
            SecretPlace::Run => namespace,
        };
        let key = ObjectKey::new(namespace, need.name.clone());
        Box::pin(async move { self.content(&key).await })
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < FRESH
}

/// What is not text cannot be a key of a provider.
fn content(secret: Secret) -> SecretData {
    let data = secret.data.unwrap_or_default();
    let texts = data
        .into_iter()
        .filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?.into())));
    texts.collect()
}

#[cfg(test)]
mod tests;
