//! Sessions of agents. In: what Hello, Ack and Heartbeat say. Out: the session's number, or why there is none. It must not
//! open a release or change a set (gate.md G24, L1).

use hub_engine::observed::Rollout;
use hub_engine::{ClusterName, Fence, RolloutName};

use crate::Store;
use crate::error::Error;

/// A cluster counts as connected so long after its last word: three missed heartbeats of `HEARTBEAT_SECONDS`.
pub const CONNECTED_SECONDS: i32 = 15;
/// What Welcome asks for.
pub const HEARTBEAT_SECONDS: u32 = 5;

/// What Hello says.
#[derive(Debug, Clone)]
pub struct Hello {
    /// From the certificate.
    pub cluster: ClusterName,
    /// UID of the kube-system namespace.
    pub kube_system_uid: String,
    /// The agent's version.
    pub agent_version: String,
    /// The fence it has stored.
    pub fence: Fence,
    /// Hash of the set that it holds at that fence.
    pub set_hash: String,
    /// Everything that it has.
    pub rollouts: Vec<(RolloutName, Rollout)>,
    /// The newest history head that it was handed.
    pub audit_head: String,
    /// Which hub process has the stream, for people.
    pub hub: String,
}

/// How Hello ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Go on.
    Session {
        /// Raised by one; older sessions of this cluster are over.
        session: u64,
        /// What it should hold.
        desired: Fence,
        /// Its fence was lower than one it had: everything is sent again, nothing starts until it is equal.
        regressed: bool,
    },
    /// Another cluster uses this certificate (gate.md L4); recorded, and the bound one keeps its session.
    DuplicateIdentity,
    /// No such cluster, or nobody has joined for it.
    UnknownCluster,
}

impl Store {
    /// Opens a session and stores everything that the agent brought.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn session_open(&self, _hello: &Hello) -> Result<Opened, Error> {
        Err(crate::store::later())
    }

    /// The agent was heard. False: the session is over, end its stream.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn session_seen(&self, _cluster: &ClusterName, _session: u64) -> Result<bool, Error> {
        Err(crate::store::later())
    }

    /// The stream ended. Without effect on a newer session.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn session_close(&self, _cluster: &ClusterName, _session: u64) -> Result<(), Error> {
        Err(crate::store::later())
    }

    /// The agent stored a set. False: the session is over, end its stream. `problems`: (namespace/name, message) of gates
    /// that it could not write.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn session_ack(
        &self,
        _cluster: &ClusterName,
        _session: u64,
        _fence: Fence,
        _set_hash: &str,
        _problems: &[(RolloutName, String)],
    ) -> Result<bool, Error> {
        Err(crate::store::later())
    }
}
