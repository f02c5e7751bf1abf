//! The first word of an agent, and the ways in which a stream is refused. In: a certificate's owner, the first message. Out:
//! Hello as the store takes it, with what this hub has signed in it; or why the stream ends. It must not open a session.

use std::time::Duration;

use hub_engine::ClusterName;
use hub_store::session::Hello;
use proto::limit;
use proto::v1::AgentMessage;
use proto::v1::agent_message::Body;
use proto::v1::refusal::Code;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::link::Link;
use crate::link::opening::Passed;
use crate::link::pace::ROWS_AT_ONCE;
use crate::wire;

/// An agent says Hello at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
// What Hello may name is what is kept.
const _: () = assert!(limit::ROLLOUTS_MAX == hub_store::report::ROLLOUTS_MAX);

/// Why the hub ends a stream.
#[derive(Debug)]
pub(super) struct End {
    /// For the agent.
    pub code: Code,
    /// For people.
    pub message: String,
}

/// Whose stream it is, by its certificate.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub cluster: ClusterName,
    /// Hex SHA-256 of the certificate.
    pub fingerprint: String,
}

pub(super) fn protocol(message: impl Into<String>) -> End {
    End {
        code: Code::Protocol,
        message: message.into(),
    }
}

pub(super) fn superseded() -> End {
    let message = "a newer session of this cluster is open, or the hub's database is older than this one; if neither is so, \
                   two agents share one identity";
    End {
        code: Code::Superseded,
        message: message.to_owned(),
    }
}

pub(super) fn passed(why: Passed) -> End {
    let message = match why {
        Passed::Replaced => {
            "a newer stream of this cluster is being opened; if its agent opened none, two agents share one identity"
        }
        Passed::Abandoned => "the agent was gone before its turn came; it dials again by itself",
    };
    End {
        code: Code::Superseded,
        message: message.to_owned(),
    }
}

pub(super) fn duplicate_identity() -> End {
    let message = "this identity belongs to another Kubernetes cluster, which keeps its session; join this one under its \
                   own name with a token of `groundswell cluster token`";
    End {
        code: Code::DuplicateIdentity,
        message: message.to_owned(),
    }
}

pub(super) fn revoked(cluster: &ClusterName) -> End {
    End {
        code: Code::UnknownCluster,
        message: hub_store::certificate::revoked_message(cluster),
    }
}

pub(super) fn unknown_cluster() -> End {
    let message = "this hub does not know the cluster; make a token with `groundswell cluster token` and join again";
    End {
        code: Code::UnknownCluster,
        message: message.to_owned(),
    }
}

/// What waits for the pace.
pub(super) fn too_much_written(cluster: &ClusterName, wait: Duration) -> End {
    let message = format!(
        "cluster {cluster} has had {ROWS_AT_ONCE} rows of the hub's history more than one a second, and goes on in {} s: see \
         `groundswell history --cluster {cluster}` for what it says so often; if its agent is not what it was, \
         `groundswell cluster revoke {cluster}`",
        wait.as_secs()
    );
    End {
        code: Code::Unavailable,
        message,
    }
}

fn no_hello(status: &Status) -> End {
    // What is too long is not read at all.
    if status.code() == tonic::Code::OutOfRange {
        return protocol(limit::too_long("too many Rollouts"));
    }
    unread(status).unwrap_or_else(|| protocol(format!("no Hello: {}", status.message())))
}

/// A message that this hub does not take, so that its agent is told; none: the connection broke.
pub(super) fn unread(status: &Status) -> Option<End> {
    let refused = matches!(
        status.code(),
        tonic::Code::ResourceExhausted | tonic::Code::OutOfRange
    );
    refused.then(|| protocol(status.message()))
}

/// Waits for the first message, which has to be Hello.
pub(super) async fn hello(
    link: &Link,
    member: Member,
    inbound: &mut Streaming<AgentMessage>,
) -> Result<Hello, End> {
    let Member {
        cluster,
        fingerprint,
    } = member;
    let first = timeout(HELLO_TIMEOUT, inbound.message())
        .await
        .map_err(|_| protocol("no Hello within 10 s"))?
        .map_err(|status| no_hello(&status))?;
    let Some(Body::Hello(hello)) = first.and_then(|message| message.body) else {
        return Err(protocol("the first message must be Hello"));
    };
    if hello.kube_system_uid.is_empty() {
        return Err(protocol("Hello has no kube_system_uid"));
    }
    if let Some(much) = limit::too_much(&hello) {
        return Err(protocol(much));
    }
    let bounded = |field, value: String| {
        wire::text(field, value).map_err(|error| protocol(error.to_string()))
    };
    let mut rollouts = Vec::new();
    for state in hello.rollouts {
        match wire::report::rollout_state(state) {
            Ok(state) => rollouts.push(state),
            // One bad Rollout must not keep the others out.
            Err(error) => tracing::warn!(%cluster, %error, "a Rollout in Hello was passed over"),
        }
    }
    let authority = &link.certifier.authority;
    let proven = hello.fence.is_some_and(|fence| {
        authority.own_fence(&hello.kube_system_uid, &fence, &hello.fence_signature)
    });
    Ok(Hello {
        cluster,
        fingerprint,
        kube_system_uid: bounded("kube_system_uid", hello.kube_system_uid)?,
        agent_version: bounded("agent_version", hello.agent_version)?,
        fence: wire::fence(hello.fence.as_ref()),
        set_hash: bounded("set_hash", hello.set_hash)?,
        rollouts,
        proven,
        handed: authority
            .own_head(&hello.audit_head)
            .map(|head| (head.sequence, head.hash)),
        audit_head: bounded("audit_head", hello.audit_head)?,
        hub: link.hub.clone(),
    })
}
