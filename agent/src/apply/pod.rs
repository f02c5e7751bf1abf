//! Evictions and changes of pods.
//!
//! In: the plan's words about pods. Out: one request each. It must not delete a pod: the Eviction API is what knows the
//! budgets, and its refusal is what the next pass decides from.

use std::time::Duration;

use agent_api::{Pod, Uid};
use agent_engine::{PodChange, Refusal};
use futures::StreamExt as _;
use serde_json::json;

use super::{Error, Pass};
use crate::key::ObjectKey;
use crate::observe::uid_of;
use crate::writer::{self, Eviction, Writer};
use crate::written::Kind;

/// Pods changed at a time, as many as Argo Rollouts does by default.
const AT_A_TIME: usize = 10;
/// How long a ReplicaSet may take to say that it lost a pod; one whose pod did not count (it had failed) never says so.
const SAYS_SO: Duration = Duration::from_secs(30);

impl Pass<'_> {
    pub(super) async fn evict_pod(
        &mut self,
        name: &str,
        uid: &Uid,
        set: &str,
    ) -> Result<(), Error> {
        let key = ObjectKey::new(self.key.namespace.clone(), name);
        match self.applier.writer.evict(&key, uid.as_str()).await? {
            Eviction::Done => {
                tracing::info!(rollout = %self.key, pod = name, "evicted for a restart");
                // What may be missing is read off the ReplicaSet, so nothing is decided before it has changed.
                let (_, metadata) = self.observed_set(set)?;
                let version = metadata.resource_version.as_deref().unwrap_or_default();
                let of = uid_of(&metadata);
                let written = &self.applier.written;
                written.moves(Kind::ReplicaSet, &of, &self.uid, version, SAYS_SO);
            }
            Eviction::Refused(message) => {
                tracing::info!(rollout = %self.key, pod = name, message, "not evicted");
                self.refused = true;
                let refusal = Refusal {
                    pod: name.to_owned(),
                    uid: uid.clone(),
                    message,
                    at: self.observed.now,
                };
                self.applier.refusals.add(&self.uid, refusal);
            }
        }
        Ok(())
    }

    pub(super) async fn change_pods(&mut self, pods: Vec<PodChange>) -> Result<(), Error> {
        let writes = pods.into_iter().map(|pod| {
            let (writer, namespace) = (self.applier.writer.clone(), self.key.namespace.clone());
            async move { change(&writer, namespace, pod).await }
        });
        let mut writes = futures::stream::iter(writes).buffer_unordered(AT_A_TIME);
        while let Some(done) = writes.next().await {
            done?;
        }
        Ok(())
    }
}

async fn change(writer: &Writer, namespace: String, pod: PodChange) -> Result<(), writer::Error> {
    let key = ObjectKey::new(namespace, pod.name);
    let patch = json!({"metadata": {
        "uid": pod.uid,
        "labels": pod.labels,
        "annotations": pod.annotations,
    }});
    match writer.merge::<Pod>(&key, &patch).await {
        // It is gone, or another one has its name by now: the next list says so.
        Ok(_) | Err(writer::Error::NotFound { .. } | writer::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
