//! One session after another with the hub, for ever.
//!
//! In: what the hub says, what the reports hold. Out: sets stored and acknowledged, reports sent until acknowledged,
//! leases renewed. It must not act on a set: it hands it to the store, whose fence comes before any effect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_api::Uid;
use http::Uri;
use jiff::Timestamp;
use proto::limit;
use proto::v1::agent_message::Body as Out;
use proto::v1::hub_message::Body as In;
use proto::v1::link_client::LinkClient;
use proto::v1::{self, AgentMessage, ack, refusal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::dial::Proxy;
use super::report::{Reports, Told};
use super::set::{Held, Verdict};
use super::tls;
use crate::backoff::Backoff;
use crate::cache::{Caches, Work, gate_rollout};
use crate::fleet::Fleet;
use crate::gate_store::{self, GateStore};
use crate::hub_clock::HubClock;
use crate::identity::Identity;
use crate::join::VERSION;
use crate::lease_clock::Moment;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::wire;

/// Between sessions; the jitter keeps a fleet from coming back at one instant.
const RECONNECT: Backoff = Backoff {
    first: Duration::from_millis(250),
    most: Duration::from_secs(10),
};
/// After the hub said no: it will say no again until a person did something.
const REFUSED: Duration = Duration::from_secs(15);
/// How long the hub may take for its first word.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);
/// Messages on their way to the hub; the reports wait in their own queue.
const OUTGOING: usize = 16;
/// Sets and acknowledged reports that wait for the store.
const JOBS: usize = 64;
/// How often it is looked whether every Gate is there as the set has it.
const CATCH_UP: Duration = Duration::from_secs(5);
/// The form of digests that this agent makes.
const DIGEST_FORM: &str = "v1";

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Channel(#[from] tls::Error),
    #[error("the stream broke: {0}")]
    Broken(String),
    #[error("the hub ended the stream")]
    Ended,
    #[error("the hub did not say Welcome within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    #[error("the hub refuses this cluster ({code}): {message}")]
    Refused {
        code: &'static str,
        message: String,
        later: bool,
    },
    #[error("{0}")]
    TooMuch(String),
    #[error("the records cannot be kept: {0}")]
    Store(#[from] gate_store::Error),
}

/// The link.
pub struct Link {
    /// The hub.
    pub hub: Uri,
    /// The way there.
    pub proxy: Option<Proxy>,
    /// Who we are; renewed from time to time.
    pub identity: watch::Receiver<Identity>,
    /// UID of kube-system.
    pub cluster_uid: Uid,
    /// The records.
    pub store: Arc<GateStore>,
    /// What the hub is told.
    pub reports: Arc<Reports>,
    /// The fleet's side of this agent.
    pub fleet: Arc<Fleet>,
    /// What there is.
    pub caches: Arc<Caches>,
    /// What is to be looked at again.
    pub queue: Arc<Queue<Work>>,
    /// Counters.
    pub metrics: Metrics,
}

/// What the store is to do for a session.
enum Job {
    Set(v1::DesiredSet),
    Told(Vec<Told>),
    Head(String),
}

impl Link {
    /// Keeps a session with the hub for ever.
    pub async fn run(self: Arc<Self>) {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let Err(error) = self.session().await;
            let at = Moment::read();
            self.metrics.hub_connected(false);
            if self.fleet.lost(at) {
                failures = 0;
                self.look_again();
            }
            failures = failures.saturating_add(1);
            let wait = match &error {
                Error::Refused { later: true, .. } | Error::TooMuch(_) => REFUSED,
                Error::Refused { .. }
                | Error::Channel(_)
                | Error::Broken(_)
                | Error::Ended
                | Error::NoWelcome
                | Error::Store(_) => RECONNECT.after(failures),
            };
            tracing::warn!(%error, lasted_s = began.elapsed().as_secs(), wait_ms = wait.as_millis(), "no session with the hub");
            tokio::time::sleep(wait).await;
        }
    }

    /// Contact has changed: what waits for the hub, or for its silence, is looked at.
    fn look_again(&self) {
        for gate in self.caches.gates.keys() {
            let metadata = agent_api::ObjectMeta {
                name: Some(gate.name),
                ..agent_api::ObjectMeta::default()
            };
            if let Some(rollout) = gate_rollout(&metadata) {
                self.queue.add(Work::Rollout(rollout));
            }
        }
    }

    async fn session(&self) -> Result<std::convert::Infallible, Error> {
        let identity = self.identity.borrow().clone();
        let channel = tls::identified(&self.hub, self.proxy.as_ref(), &identity).await?;
        let mut client = LinkClient::new(channel).max_decoding_message_size(limit::MESSAGE_MAX);
        let (out, outgoing) = mpsc::channel(OUTGOING);
        let hello = self.hello().await?;
        if let Some(much) = limit::too_much(&hello) {
            return Err(Error::TooMuch(much));
        }
        send(&out, Out::Hello(hello)).await?;
        let opening = timeout(WELCOME_TIMEOUT, client.open(ReceiverStream::new(outgoing)));
        let opened = opening
            .await
            .map_err(|_| Error::NoWelcome)?
            .map_err(|status| broken(&status))?;
        let mut inbound = opened.into_inner();
        let welcome = welcome(&mut inbound).await?;
        tracing::info!(session = welcome.session, hub = %self.hub, "connected to the hub");
        self.told_time(welcome.at.as_ref(), HubClock::welcome);
        self.fleet.connected();
        self.metrics.hub_connected(true);
        self.look_again();
        let (jobs, queued) = mpsc::channel(JOBS);
        if let Some(head) = self.trusted_head(&welcome) {
            jobs.send(Job::Head(head)).await.map_err(|_| Error::Ended)?;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_records(
            Arc::clone(&self.store),
            welcome.session,
            queued,
            out.clone(),
        ));
        self.turns(&welcome, &mut inbound, &out, &jobs, &mut tasks)
            .await
    }

    /// The history head that the hub hands out, if its signature is the hub's.
    fn trusted_head(&self, welcome: &v1::Welcome) -> Option<String> {
        let text = &welcome.audit_head;
        let (head, signature) = proto::head::Head::parse(text)?;
        let key = self.fleet.permit_key()?;
        let good = key.signed(&head.signing_bytes(), signature);
        if !good {
            tracing::warn!("the hub's history head is not signed by the hub; it is not kept");
        }
        good.then(|| text.clone())
    }

    async fn hello(&self) -> Result<v1::Hello, Error> {
        let stored = self.store.stored().await?;
        Ok(v1::Hello {
            kube_system_uid: self.cluster_uid.0.clone(),
            agent_version: VERSION.to_owned(),
            fence: Some(wire::fence_to_wire(
                stored
                    .as_ref()
                    .map(|status| status.fence)
                    .unwrap_or_default(),
            )),
            audit_head: stored
                .as_ref()
                .and_then(|status| status.audit_head.clone())
                .unwrap_or_default(),
            fence_signature: stored
                .as_ref()
                .and_then(|status| status.fence_signature.clone())
                .unwrap_or_default(),
            set_hash: stored
                .and_then(|status| status.set_hash)
                .unwrap_or_default(),
            rollouts: self.reports.begin(),
            digest_forms: vec![DIGEST_FORM.to_owned()],
        })
    }

    async fn turns(
        &self,
        welcome: &v1::Welcome,
        inbound: &mut Streaming<v1::HubMessage>,
        out: &mpsc::Sender<AgentMessage>,
        jobs: &mpsc::Sender<Job>,
        tasks: &mut JoinSet<Result<(), Error>>,
    ) -> Result<std::convert::Infallible, Error> {
        let mut beats = interval(Duration::from_secs(u64::from(
            welcome.heartbeat_seconds.max(1),
        )));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(batch) = self.reports.batch(welcome.session) {
                send(out, Out::Reports(batch)).await?;
            }
            tokio::select! {
                message = inbound.message() => {
                    let message = message.map_err(|status| broken(&status))?.ok_or(Error::Ended)?;
                    self.hear(message, jobs).await?;
                }
                () = self.reports.ready() => {}
                _ = beats.tick() => {
                    send(out, Out::Heartbeat(self.heartbeat(Moment::read()))).await?;
                }
                Some(ended) = tasks.join_next() => match ended {
                    Ok(Ok(())) => return Err(Error::Ended),
                    Ok(Err(error)) => return Err(error),
                    Err(error) => return Err(Error::Broken(error.to_string())),
                },
            }
        }
    }

    fn heartbeat(&self, at: Moment) -> v1::Heartbeat {
        let hub = self.fleet.hub_clock(|clock| clock.time(at.mono));
        v1::Heartbeat {
            at: Some(proto::time::to_wire(at.now)),
            hub_at: hub.map(|hub| proto::time::to_wire(hub.now)),
        }
    }

    /// The hub has said its time, unless it is an older one. Returns whether it is news how this cluster's clock stands.
    fn told_time(
        &self,
        said: Option<&prost_types::Timestamp>,
        take: fn(&mut HubClock, Timestamp, Moment) -> bool,
    ) -> bool {
        let said = said.and_then(proto::time::from_wire);
        said.is_some_and(|said| {
            self.fleet
                .hub_clock(|clock| take(clock, said, Moment::read()))
        })
    }

    async fn hear(&self, message: v1::HubMessage, jobs: &mpsc::Sender<Job>) -> Result<(), Error> {
        match message.body {
            Some(In::Set(set)) => jobs.send(Job::Set(set)).await.map_err(|_| Error::Ended),
            Some(In::ReportAck(ack)) => {
                let told = self.reports.acknowledged(ack.sequence);
                if told.is_empty() {
                    return Ok(());
                }
                jobs.send(Job::Told(told)).await.map_err(|_| Error::Ended)
            }
            Some(In::Renewal(renewal)) => {
                // First, because what the renewal revives is judged by it.
                if self.told_time(renewal.at.as_ref(), HubClock::say) {
                    self.look_again();
                }
                let fence = wire::fence(renewal.fence.as_ref());
                for rollout in self
                    .fleet
                    .leases(|leases| leases.renew(fence, Moment::read()))
                {
                    self.queue.add(Work::Rollout(rollout));
                }
                Ok(())
            }
            Some(In::Refusal(refusal)) => Err(refused(&refusal)),
            // Welcome is said once; a newer hub may say more than this agent understands.
            Some(In::Welcome(_)) | None => Ok(()),
        }
    }
}

/// Stores sets in order, and answers each.
async fn keep_records(
    store: Arc<GateStore>,
    session: u64,
    mut jobs: mpsc::Receiver<Job>,
    out: mpsc::Sender<AgentMessage>,
) -> Result<(), Error> {
    let mut held = Held::default();
    let mut rounds = interval(CATCH_UP);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(Job::Set(set)) => {
                    let answer = take(&store, session, &mut held, &set).await?;
                    send(&out, Out::Ack(answer)).await?;
                }
                Some(Job::Told(told)) => {
                    for one in told {
                        store.note_told(&one).await?;
                    }
                }
                Some(Job::Head(head)) => store.note_head(&head).await?,
                None => return Ok(()),
            },
            _ = rounds.tick() => {
                if store.catch_up(held.entries(), held.fence()).await {
                    send(&out, Out::Ack(has(&store, ack::Result::Already).await?)).await?;
                }
            }
        }
    }
}

/// An answer that says what is stored.
async fn has(store: &GateStore, result: ack::Result) -> Result<v1::Ack, Error> {
    let stored = store.stored().await?.unwrap_or_default();
    Ok(v1::Ack {
        fence: Some(wire::fence_to_wire(stored.fence)),
        set_hash: stored.set_hash.unwrap_or_default(),
        problems: Vec::new(),
        result: result.into(),
    })
}

async fn take(
    store: &GateStore,
    session: u64,
    held: &mut Held,
    set: &v1::DesiredSet,
) -> Result<v1::Ack, Error> {
    let stored = store.stored().await?.map(|status| status.fence);
    match held.judge(stored, set) {
        Verdict::Answer(result) => {
            let fence = wire::fence(set.fence.as_ref());
            tracing::debug!(%fence, answer = result.as_str_name(), "a set is not taken");
            if result == ack::Result::Already {
                store.note_signature(fence, &set.fence_signature).await?;
            }
            has(store, result).await
        }
        Verdict::Take(taken) => {
            let problems = store.store(&taken, session).await?;
            let (fence, entries) = (taken.fence, taken.entries.len());
            tracing::info!(%fence, entries, problems = problems.len(), "set stored");
            Ok(v1::Ack {
                fence: Some(wire::fence_to_wire(taken.fence)),
                set_hash: taken.set_hash,
                problems,
                result: ack::Result::Stored.into(),
            })
        }
    }
}

async fn welcome(inbound: &mut Streaming<v1::HubMessage>) -> Result<v1::Welcome, Error> {
    let first = timeout(WELCOME_TIMEOUT, inbound.message())
        .await
        .map_err(|_| Error::NoWelcome)?;
    match first
        .map_err(|status| broken(&status))?
        .ok_or(Error::Ended)?
        .body
    {
        Some(In::Welcome(welcome)) => Ok(welcome),
        Some(In::Refusal(refusal)) => Err(refused(&refusal)),
        Some(In::Set(_) | In::ReportAck(_) | In::Renewal(_)) | None => Err(Error::NoWelcome),
    }
}

fn refused(refusal: &v1::Refusal) -> Error {
    let code = refusal.code();
    let later = match code {
        refusal::Code::DuplicateIdentity
        | refusal::Code::UnknownCluster
        | refusal::Code::Protocol
        | refusal::Code::Superseded => true,
        refusal::Code::Unavailable | refusal::Code::Unspecified => false,
    };
    Error::Refused {
        code: code.as_str_name(),
        message: refusal.message.clone(),
        later,
    }
}

fn broken(status: &tonic::Status) -> Error {
    let cause = tls::causes(status);
    Error::Broken(if status.message().is_empty() {
        cause
    } else {
        status.message().to_owned()
    })
}

async fn send(out: &mpsc::Sender<AgentMessage>, body: Out) -> Result<(), Error> {
    let message = AgentMessage {
        trace: None,
        body: Some(body),
    };
    out.send(message).await.map_err(|_| Error::Ended)
}
