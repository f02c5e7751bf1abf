//! One agent's stream. In: what the agent says, which sets are committed. Out: stored reports, sets, renewals. It sends only
//! what is committed, acknowledges only what is committed, and renews only while the database commits (gate.md L1–L4).

mod set;

use std::time::Duration;

use hub_engine::{ClusterName, Fence, RolloutName};
use hub_store::Error;
use hub_store::report::{Report, Stored};
use hub_store::session::{Hello, Opened};
use proto::head::Head;
use proto::v1::agent_message::Body;
use proto::v1::refusal::Code;
use proto::v1::{Ack, AgentMessage, Refusal, Renewal, ReportAck, ReportBatch, Welcome, ack};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Streaming;

use crate::link::Link;
use crate::link::outbox::Outbox;
use crate::wire;

/// An agent says Hello at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How often things are tried again that Postgres could not do.
const TICK: Duration = Duration::from_secs(1);
/// So many heartbeats may be lost before the stream counts as dead.
const LOST_HEARTBEATS: u32 = 4;

/// Reports in one transaction, which has to end well before the database gives up on it.
const REPORTS_AT_ONCE: usize = 500;

/// Why the hub ends a stream.
#[derive(Debug)]
struct End {
    code: Code,
    message: String,
}

struct Session {
    link: Link,
    cluster: ClusterName,
    number: u64,
    outbox: Outbox,
    fences: watch::Receiver<Fence>,
    /// The set that was sent last; none: the next one is sent whole.
    sent: Option<Fence>,
    /// What the agent has stored, by its own word and committed here.
    stored: Fence,
    /// It came back with less than it had, and has not caught up.
    regressed: bool,
    /// Reports that Postgres could not take yet; nothing more is read from the agent until they are stored.
    unstored: Option<Batch>,
    /// An acknowledgement that Postgres could not take yet.
    unstored_ack: Option<Acknowledged>,
}

#[derive(Debug)]
struct Batch {
    reports: Vec<Report>,
    last: u64,
}

#[derive(Debug, Clone)]
struct Acknowledged {
    fence: Fence,
    set_hash: String,
    problems: Vec<(RolloutName, String)>,
}

/// Whose stream it is, by its certificate.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub cluster: ClusterName,
    /// Hex SHA-256 of the certificate.
    pub fingerprint: String,
}

/// Runs a stream to its end.
pub async fn run(link: Link, member: Member, mut inbound: Streaming<AgentMessage>, outbox: Outbox) {
    let cluster = member.cluster.clone();
    let hello = match hello(&link, member, &mut inbound).await {
        Ok(hello) => hello,
        Err(end) => return refuse(&cluster, &outbox, end),
    };
    match open(link, hello, outbox).await {
        Ok(session) => session.serve(inbound).await,
        Err((outbox, end)) => refuse(&cluster, &outbox, end),
    }
}

fn refuse(cluster: &ClusterName, outbox: &Outbox, end: End) {
    tracing::warn!(%cluster, code = ?end.code, "stream refused: {}", end.message);
    outbox.refuse(Refusal {
        code: end.code.into(),
        message: end.message,
    });
}

fn protocol(message: impl Into<String>) -> End {
    End {
        code: Code::Protocol,
        message: message.into(),
    }
}

fn superseded() -> End {
    let message = "a newer session of this cluster is open; if that one is not yours, two agents share one identity";
    End {
        code: Code::Superseded,
        message: message.to_owned(),
    }
}

fn duplicate_identity() -> End {
    let message = "this identity belongs to another Kubernetes cluster, which keeps its session; join this one under its \
                   own name with a token of `groundswell cluster token`";
    End {
        code: Code::DuplicateIdentity,
        message: message.to_owned(),
    }
}

fn revoked(cluster: &ClusterName) -> End {
    End {
        code: Code::UnknownCluster,
        message: hub_store::certificate::revoked_message(cluster),
    }
}

fn unknown_cluster() -> End {
    let message = "this hub does not know the cluster; make a token with `groundswell cluster token` and join again";
    End {
        code: Code::UnknownCluster,
        message: message.to_owned(),
    }
}

async fn hello(
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
        .map_err(|status| protocol(format!("no Hello: {}", status.message())))?;
    let Some(Body::Hello(hello)) = first.and_then(|message| message.body) else {
        return Err(protocol("the first message must be Hello"));
    };
    if hello.kube_system_uid.is_empty() {
        return Err(protocol("Hello has no kube_system_uid"));
    }
    let mut rollouts = Vec::new();
    for state in hello.rollouts {
        match wire::report::rollout_state(state) {
            Ok(state) => rollouts.push(state),
            // One bad Rollout must not keep the others out.
            Err(error) => tracing::warn!(%cluster, %error, "a Rollout in Hello was passed over"),
        }
    }
    Ok(Hello {
        cluster,
        fingerprint,
        kube_system_uid: hello.kube_system_uid,
        agent_version: hello.agent_version,
        fence: wire::fence(hello.fence.as_ref()),
        set_hash: hello.set_hash,
        rollouts,
        handed: link
            .certifier
            .authority
            .own_head(&hello.audit_head)
            .map(|head| (head.sequence, head.hash)),
        audit_head: hello.audit_head,
        hub: link.hub.clone(),
    })
}

async fn open(link: Link, hello: Hello, outbox: Outbox) -> Result<Session, (Outbox, End)> {
    let opened = {
        let _turn = link.hellos.acquire().await;
        link.store.session_open(&hello).await
    };
    let (cluster, session, desired, regressed, head) = match opened {
        Ok(Opened::Session {
            cluster,
            session,
            desired,
            regressed,
            head,
        }) => (cluster, session, desired, regressed, head),
        Ok(Opened::DuplicateIdentity) => return Err((outbox, duplicate_identity())),
        Ok(Opened::UnknownCluster) => return Err((outbox, unknown_cluster())),
        Ok(Opened::Revoked) => return Err((outbox, revoked(&hello.cluster))),
        Err(error) => {
            return Err((
                outbox,
                End {
                    code: Code::Unavailable,
                    message: error.to_string(),
                },
            ));
        }
    };
    tracing::info!(%cluster, session, fence = %hello.fence, %desired, regressed, "agent connected");
    outbox.welcome(Welcome {
        session,
        heartbeat_seconds: u32::try_from(link.heartbeat.as_secs()).unwrap_or(1),
        audit_head: head
            .map(|(sequence, hash)| link.certifier.authority.head(&Head { sequence, hash }))
            .unwrap_or_default(),
    });
    let fences = link.fences.subscribe(&cluster, desired);
    Ok(Session {
        link,
        cluster,
        number: session,
        outbox,
        fences,
        sent: None,
        stored: hello.fence,
        regressed,
        unstored: None,
        unstored_ack: None,
    })
}

impl Session {
    async fn serve(mut self, mut inbound: Streaming<AgentMessage>) {
        let reason = match self.turns(&mut inbound).await {
            Ok(reason) => reason,
            Err(end) => {
                let reason = end.message.clone();
                refuse(&self.cluster, &self.outbox, end);
                reason
            }
        };
        tracing::info!(cluster = %self.cluster, session = self.number, "stream ended: {reason}");
        if let Err(error) = self
            .link
            .store
            .session_close(&self.cluster, self.number)
            .await
        {
            // The cluster counts as gone a little later, when it has not been heard.
            tracing::debug!(cluster = %self.cluster, %error, "the end of the session was not stored");
        }
    }

    /// One turn for each thing that happens. Ticks are at least a second apart, so a message that is there is heard
    /// between two of them: silence is counted in ticks and not by the clock, which also runs while Postgres is waited for.
    async fn turns(&mut self, inbound: &mut Streaming<AgentMessage>) -> Result<String, End> {
        let patience = LOST_HEARTBEATS * u32::try_from(self.link.heartbeat.as_secs()).unwrap_or(1);
        let mut silent_ticks = 0;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.link.stop.clone();
        self.send_set().await;
        loop {
            tokio::select! {
                message = inbound.message(), if self.unstored.is_none() => match message {
                    Ok(Some(message)) => {
                        silent_ticks = 0;
                        self.hear(message).await?;
                    }
                    Ok(None) => return Ok("the agent closed it".to_owned()),
                    Err(status) => return Ok(format!("the connection broke: {}", status.message())),
                },
                Ok(()) = self.fences.changed() => self.send_set().await,
                () = stop.cancelled() => return Ok("the hub stops".to_owned()),
                _ = ticks.tick() => {
                    if self.outbox.abandoned() {
                        return Ok("the agent is gone".to_owned());
                    }
                    if self.unstored.is_none() {
                        silent_ticks += 1;
                    }
                    if silent_ticks > patience {
                        return Ok(format!("nothing was heard for {patience} s"));
                    }
                    self.try_again().await?;
                    self.send_set().await;
                }
            }
        }
    }

    async fn hear(&mut self, message: AgentMessage) -> Result<(), End> {
        match message.body {
            Some(Body::Hello(_)) => Err(protocol("Hello is said once")),
            Some(Body::Reports(batch)) => self.reports(batch).await,
            Some(Body::Ack(ack)) => self.acknowledged(ack).await,
            Some(Body::Heartbeat(_)) => self.heartbeat().await,
            // A newer agent may say more than this hub understands.
            None => Ok(()),
        }
    }

    async fn reports(&mut self, batch: ReportBatch) -> Result<(), End> {
        if batch.session != self.number {
            return Err(End {
                code: Code::Superseded,
                message: format!(
                    "reports of session {} on the stream of session {}",
                    batch.session, self.number
                ),
            });
        }
        let Some(last) = batch.reports.iter().map(|report| report.sequence).max() else {
            return Ok(());
        };
        let mut reports = Vec::new();
        for report in batch.reports {
            match wire::report::report(report) {
                Ok(Some(report)) => reports.push(report),
                Ok(None) => {}
                // One bad report must not stand in the way of those behind it for ever.
                Err(error) => {
                    tracing::warn!(cluster = %self.cluster, %error, "a report was passed over")
                }
            }
        }
        self.unstored = Some(Batch { reports, last });
        self.store_reports().await
    }

    /// Part by part, each acknowledged as soon as it is committed.
    async fn store_reports(&mut self) -> Result<(), End> {
        let Some(mut batch) = self.unstored.take() else {
            return Ok(());
        };
        loop {
            let part = batch
                .reports
                .get(..REPORTS_AT_ONCE)
                .unwrap_or(&batch.reports);
            let (taken, end) = (part.len(), part.last().map(|report| report.sequence));
            match self
                .link
                .store
                .report_store(&self.cluster, self.number, part)
                .await
            {
                Ok(Stored::UpTo(_)) => {}
                Ok(Stored::SessionOver) => return Err(superseded()),
                Err(error) => {
                    self.away(&error, "reports wait");
                    self.unstored = Some(batch);
                    return Ok(());
                }
            }
            batch.reports.drain(..taken);
            let done = batch.reports.is_empty();
            // Reports that were passed over count as stored: they would be passed over again.
            let sequence = if done {
                batch.last
            } else {
                end.unwrap_or_default()
            };
            self.outbox.report_ack(ReportAck {
                session: self.number,
                sequence,
            });
            if done {
                return Ok(());
            }
        }
    }

    async fn acknowledged(&mut self, ack: Ack) -> Result<(), End> {
        match ack.result() {
            ack::Result::NeedFull => {
                // The next tick sends it: not at once, or an agent that always asks would keep the hub busy.
                self.sent = None;
                return Ok(());
            }
            ack::Result::Stale => {
                tracing::warn!(cluster = %self.cluster, "the agent holds a newer set than this hub; was the database restored?");
            }
            ack::Result::Stored | ack::Result::Already => {}
            // A newer agent's word is never taken for another (S14).
            ack::Result::Unspecified => return Ok(()),
        }
        let problem = |one: proto::v1::GateProblem| {
            (
                RolloutName {
                    namespace: one.namespace,
                    name: one.name,
                },
                one.message,
            )
        };
        self.unstored_ack = Some(Acknowledged {
            fence: wire::fence(ack.fence.as_ref()),
            set_hash: ack.set_hash,
            problems: ack.problems.into_iter().map(problem).collect(),
        });
        self.store_ack().await
    }

    async fn store_ack(&mut self) -> Result<(), End> {
        let Some(ack) = self.unstored_ack.take() else {
            return Ok(());
        };
        let store = &self.link.store;
        match store
            .session_ack(
                &self.cluster,
                self.number,
                ack.fence,
                &ack.set_hash,
                &ack.problems,
            )
            .await
        {
            Ok(true) => {
                self.stored = ack.fence;
                if Some(ack.fence) == self.sent {
                    self.regressed = false;
                }
                Ok(())
            }
            Ok(false) => Err(superseded()),
            Err(error) => {
                self.away(&error, "an acknowledgement waits");
                self.unstored_ack = Some(ack);
                Ok(())
            }
        }
    }

    /// A heartbeat is a commit of this session: whoever can write it may renew leases.
    async fn heartbeat(&mut self) -> Result<(), End> {
        match self
            .link
            .store
            .session_seen(&self.cluster, self.number)
            .await
        {
            Ok(true) => {
                // An agent that holds more than this database knows: it was restored, and nothing is renewed (L5).
                let ahead = self.sent.is_none_or(|sent| self.stored > sent);
                if !self.regressed && !ahead {
                    self.outbox.renewal(Renewal {
                        fence: Some(wire::wire_fence(self.stored)),
                    });
                }
                Ok(())
            }
            Ok(false) => Err(superseded()),
            Err(error) => {
                self.away(&error, "no lease is renewed");
                Ok(())
            }
        }
    }

    async fn try_again(&mut self) -> Result<(), End> {
        self.store_reports().await?;
        self.store_ack().await
    }

    fn away(&self, error: &Error, consequence: &str) {
        self.outbox.retract_renewal();
        tracing::warn!(cluster = %self.cluster, %error, "{consequence}; the stream is kept");
    }
}
