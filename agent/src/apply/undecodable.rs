//! A Rollout that cannot be decoded, said in its own status.
//!
//! In: its metadata and what is wrong. Out: the InvalidSpec condition, once for each generation. It must not touch
//! anything else: what runs goes on running.

use agent_api::names::condition;
use agent_api::{ObjectMeta, Phase, Rollout};
use jiff::Timestamp;
use serde_json::json;

use super::{Applier, Error};
use crate::key::ObjectKey;
use crate::observe::uid_of;
use crate::written::Kind;

impl Applier {
    /// Says what is wrong with a Rollout, to people and to the hub.
    pub async fn say_undecodable(&self, metadata: &ObjectMeta, error: &str) -> Result<(), Error> {
        let (key, uid) = (ObjectKey::of(metadata), uid_of(metadata));
        let generation = metadata.generation.unwrap_or(0);
        let message = format!("The Rollout {:?} is invalid: {error}", key.name);
        self.reports.state(
            &key,
            proto::v1::RolloutState {
                rollout: Some(proto::v1::RolloutRef {
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    uid: uid.0.clone(),
                }),
                phase: Phase::Degraded.to_string(),
                message: format!("InvalidSpec: {message}"),
                ..proto::v1::RolloutState::default()
            },
        );
        if self.undecodable.lock().get(&uid) == Some(&generation) {
            return Ok(());
        }
        let now = agent_api::StatusTime::from(Timestamp::now());
        let patch = json!({
            "metadata": {"resourceVersion": metadata.resource_version},
            "status": {
                "observedGeneration": generation.to_string(),
                "phase": Phase::Degraded,
                "message": format!("InvalidSpec: {message}"),
                "conditions": [{
                    "type": condition::INVALID_SPEC,
                    "status": "True",
                    "reason": condition::INVALID_SPEC,
                    "message": message,
                    "lastUpdateTime": now,
                    "lastTransitionTime": now,
                }],
            },
        });
        let stored = self.writer.merge_status::<Rollout>(&key, &patch).await?;
        let version = stored.resource_version.as_deref().unwrap_or_default();
        self.written.wrote(Kind::Rollout, &uid, &uid, version);
        self.undecodable.lock().insert(uid, generation);
        Ok(())
    }
}
