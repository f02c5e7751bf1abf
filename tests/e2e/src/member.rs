//! Members of the fleet without clusters: they speak the agent's part of the link, keep what an agent would keep through
//! a hub's death, and serve at once what they are permitted. In: a token, new content. Out: every permit as it was
//! received. They trust nothing that an agent would check.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1::agent_message::Body;
use proto::v1::hub_message::Body as Told;
use proto::v1::link_client::LinkClient;
use proto::v1::{
    Ack, AgentMessage, DesiredSet, Heartbeat, Hello, HubMessage, JoinRequest, Report, ReportBatch,
    ack, report,
};
use rcgen::{CertificateParams, KeyPair};
use tests_fleet::{Error, Result};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::door;
use crate::ledger::{Ledger, Received};

/// Between two heartbeats; the hub tells how often it wants them, and this is oftener.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages that may wait to be sent.
const OUTBOX: usize = 64;
/// Between two tries to reach a hub that is dead.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
/// For one try of it.
const CONNECT: Duration = Duration::from_secs(5);

/// A member. Dropping it ends its stream.
#[derive(Debug)]
pub struct Member {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    ca: String,
    certificate: String,
    key: String,
    ledger: Mutex<Ledger>,
    changed: Notify,
}

impl Member {
    /// Joins with a token and goes on coming back until it is dropped. `order` counts permits over all members.
    pub async fn join(
        url: &str,
        ca: &str,
        token: &str,
        cluster: &str,
        order: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let what = || format!("the join of {cluster}");
        let key = KeyPair::generate().map_err(Error::parse(what()))?;
        let request = CertificateParams::default().serialize_request(&key);
        let request = request
            .and_then(|request| request.pem())
            .map_err(Error::parse(what()))?;
        let mut parts = token.split('.');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let request = JoinRequest {
            token_id: part(),
            token_secret: part(),
            csr_pem: request,
            kube_system_uid: uid(cluster),
            cluster: cluster.to_owned(),
            agent_version: "test".into(),
        };
        let channel = door::channel(url, ca, None)?;
        let joined = LinkClient::new(channel).join(request).await;
        let joined = joined.map_err(Error::parse(what()))?.into_inner();
        let shared = Arc::new(Shared {
            url: url.to_owned(),
            ca: ca.to_owned(),
            certificate: joined.certificate_pem,
            key: key.serialize_pem(),
            ledger: Mutex::new(Ledger::new(cluster, order.clone())),
            changed: Notify::new(),
        });
        let task = tokio::spawn(come_back(shared.clone()));
        Ok(Self { shared, task })
    }

    /// New content is applied to this cluster.
    pub fn apply(&self, version: u64) {
        self.shared.ledger().apply(version);
        self.shared.changed.notify_one();
    }

    /// Every permit that was received, in order; the same one sent again is listed once.
    pub fn received(&self) -> Vec<Received> {
        self.shared.ledger().received.clone()
    }

    /// What it saw that must never be.
    pub fn violations(&self) -> Vec<String> {
        self.shared.ledger().violations.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Whoever failed while holding it fails the test anyway.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The UID by which a cluster is known.
pub fn uid(cluster: &str) -> String {
    format!("uid-{cluster}")
}

async fn come_back(shared: Arc<Shared>) {
    let mut tries = tokio::time::interval(BETWEEN_TRIES);
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tries.tick().await;
        // A stream that ended, however it did, is opened again.
        let _ = session(&shared).await;
    }
}

async fn session(shared: &Shared) -> Result<()> {
    let channel = door::channel(
        &shared.url,
        &shared.ca,
        Some((&shared.certificate, &shared.key)),
    )?;
    let (say, said) = mpsc::channel(OUTBOX);
    let hello = Body::Hello(shared.ledger().hello());
    let mut stream = Stream {
        say,
        session: 0,
        sent: Vec::new(),
        sequence: 0,
    };
    stream.say(hello).await?;
    let mut client = LinkClient::new(channel);
    let opened = tokio::time::timeout(CONNECT, client.open(ReceiverStream::new(said))).await;
    let opened = opened.map_err(Error::parse("stream"))?;
    let mut told = opened.map_err(Error::parse("stream"))?.into_inner();
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            message = next(&mut told) => match message? {
                None => return Ok(()),
                Some(message) => stream.hear(shared, message).await?,
            },
            () = shared.changed.notified() => stream.flush(shared).await?,
            _ = beat.tick() => stream.say(Body::Heartbeat(Heartbeat::default())).await?,
        }
    }
}

async fn next(told: &mut Streaming<HubMessage>) -> Result<Option<Told>> {
    let message = told.message().await.map_err(Error::parse("stream"))?;
    Ok(message.and_then(|message| message.body))
}

/// One open stream: which reports were sent on it under which sequence.
struct Stream {
    say: mpsc::Sender<AgentMessage>,
    session: u64,
    sent: Vec<(u64, u64)>,
    sequence: u64,
}

impl Stream {
    async fn say(&self, body: Body) -> Result<()> {
        let message = AgentMessage {
            trace: None,
            body: Some(body),
        };
        self.say.send(message).await.map_err(Error::parse("stream"))
    }

    async fn hear(&mut self, shared: &Shared, told: Told) -> Result<()> {
        match told {
            Told::Welcome(welcome) => {
                self.session = welcome.session;
                self.flush(shared).await
            }
            Told::Set(set) => {
                let ack = store(&mut shared.ledger(), &set);
                self.say(Body::Ack(ack)).await?;
                shared.ledger().act();
                self.flush(shared).await
            }
            Told::ReportAck(ack) => {
                if ack.session == self.session {
                    let mut ledger = shared.ledger();
                    for (_, id) in self
                        .sent
                        .iter()
                        .filter(|(sequence, _)| *sequence <= ack.sequence)
                    {
                        ledger.committed(*id);
                    }
                }
                Ok(())
            }
            Told::Renewal(_) => Ok(()),
            Told::Refusal(refusal) => Err(Error::Check(format!("refused: {}", refusal.message))),
        }
    }

    /// Sends what was not sent on this stream yet; before Welcome there is no session to send in.
    async fn flush(&mut self, shared: &Shared) -> Result<()> {
        if self.session == 0 {
            return Ok(());
        }
        let pending: Vec<(u64, report::Body)> = shared.ledger().pending();
        let mut reports = Vec::new();
        for (id, body) in pending {
            if self.sent.iter().any(|(_, sent)| *sent == id) {
                continue;
            }
            self.sequence += 1;
            self.sent.push((self.sequence, id));
            reports.push(Report {
                sequence: self.sequence,
                at: None,
                trace: None,
                body: Some(body),
            });
        }
        if reports.is_empty() {
            return Ok(());
        }
        let session = self.session;
        self.say(Body::Reports(ReportBatch { session, reports }))
            .await
    }
}

/// Takes a set over, as gate.md L1 and L2 say.
fn store(ledger: &mut Ledger, set: &DesiredSet) -> Ack {
    let result = ledger.store(set);
    Ack {
        fence: ledger.fence,
        set_hash: ledger.set_hash(),
        problems: Vec::new(),
        result: ack::Result::into(result),
    }
}

impl Ledger {
    /// Everything it has.
    fn hello(&self) -> Hello {
        Hello {
            kube_system_uid: uid(&self.cluster),
            agent_version: "test".into(),
            fence: self.fence,
            set_hash: self.set_hash(),
            rollouts: vec![self.state()],
            digest_forms: vec!["v1".into()],
            ..Hello::default()
        }
    }
}

/// A counter for the permits of all members.
pub fn order() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(0))
}

/// The next number of it.
pub(crate) fn tick(order: &AtomicU64) -> u64 {
    order.fetch_add(1, Ordering::SeqCst)
}
