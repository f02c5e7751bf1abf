//! Records of the names that this cluster had before (gate.md L1). In: what the watch shows, the record of the name of now.
//! Out: those that still hold something, read past the cache; and the same, empty. It must not delete one: the agent may not.

use agent_api::FleetMember;
use kube::Api;
use serde_json::json;

use super::{Error, GateStore};
use crate::key::ObjectKey;
use crate::observe::decoded;
use crate::writer;

impl GateStore {
    /// The records of this very cluster under other names that hold something.
    pub(super) async fn former(&self) -> Result<Vec<FleetMember>, Error> {
        let shown: Vec<FleetMember> = decoded(self.caches.members.all());
        let mut former = Vec::new();
        for member in shown {
            let name = member.metadata.name.unwrap_or_default();
            let is_ours = member.spec.kube_system_uid == self.member.kube_system_uid;
            if name == self.member.cluster || !is_ours || member.status.is_none() {
                continue;
            }
            let api: Api<FleetMember> = Api::namespaced(self.client.clone(), &self.namespace);
            let found = api.get_opt(&name).await.map_err(|source| Error::Read {
                what: format!("FleetMember {name}"),
                source: Box::new(source),
            })?;
            former.extend(found.filter(|member| member.status.is_some()));
        }
        Ok(former)
    }

    /// What they held is the own record's now: whoever reads an old one is not told what was true once. One that was changed
    /// since it was read is a conflict, so that nothing of it is lost.
    pub(super) async fn empty(&self, former: &[FleetMember]) -> Result<(), writer::Error> {
        for member in former {
            let key = ObjectKey::of(&member.metadata);
            let version = &member.metadata.resource_version;
            let patch = json!({"metadata": {"resourceVersion": version}, "status": null});
            self.writer.merge::<FleetMember>(&key, &patch).await?;
            tracing::info!(former = %key.name, own = %self.member.cluster, "the records of the former name are taken over");
        }
        Ok(())
    }
}
