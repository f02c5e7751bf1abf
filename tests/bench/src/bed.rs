//! The cluster that a controller is measured on. In: what the controller may do. Out: a sandbox with an audit log, the
//! CRDs, a namespace, and a kubeconfig for the controller. Each controller gets a cluster of its own, as fresh as the last.

use std::path::PathBuf;

use tests_fleet::programs::workspace;
use tests_fleet::{AgentAccess, Cluster, Result, RunDir, Sandbox, apply};

use crate::manifest::NAMESPACE;

/// As whom the controller is known to the API server.
pub const USER: &str = "system:serviceaccount:groundswell:groundswell-agent";

/// How much a controller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// What deploy/agent gives.
    Shipped,
    /// Everything: what a foreign controller needs is not ours to say.
    All,
}

/// The cluster.
#[derive(Debug)]
pub struct Bed {
    sandbox: Sandbox,
    cluster: Cluster,
    access: AgentAccess,
}

impl Bed {
    /// Brings it up.
    pub async fn up(run: &RunDir, rights: Rights) -> Result<Self> {
        let policy = workspace().join("tests/bench/audit-policy.yaml");
        // What pods do is not measured, so they need no processes.
        let more = [
            "--instant-pods".to_owned(),
            "--audit-policy".to_owned(),
            policy.display().to_string(),
        ];
        let sandbox = Sandbox::up_with(run, &["bench"], &more).await?;
        let cluster = sandbox.cluster("bench")?.clone();
        let access = AgentAccess::install(run, &cluster).await?;
        let client = cluster.client().await?;
        apply::yaml(&client, &namespace(), "the benchmark's namespace").await?;
        if rights == Rights::All {
            apply::yaml(&client, &all_rights(), "the controller's rights").await?;
        }
        Ok(Self {
            sandbox,
            cluster,
            access,
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The file that the controller reads.
    pub fn kubeconfig(&self) -> PathBuf {
        self.access.kubeconfig().to_path_buf()
    }

    /// An error if the sandbox has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.sandbox.process().must_run()
    }
}

fn namespace() -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}\n")
}

fn all_rights() -> String {
    "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bench-controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
- {kind: ServiceAccount, namespace: groundswell, name: groundswell-agent}
"
    .to_owned()
}
