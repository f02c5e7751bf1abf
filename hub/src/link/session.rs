//! One agent's stream. In: what the agent says, which sets are committed. Out: stored reports, sets, renewals. It sends only
//! what is committed, acknowledges only what is committed, and renews only while the database commits (gate.md L1–L4).

mod beat;
mod set;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hub_engine::{ClusterName, Fence};
use hub_store::heard::{Acknowledged, locked};
use hub_store::older::Committed;
use hub_store::report::{self, Report, Stored, Taken};
use hub_store::session::together::ROLLOUTS_TOGETHER;
use hub_store::session::{Begun, Hello, Opened};
use hub_store::{CALL_MAX, Error, within};
use prost::Message as _;
use proto::head::Head;
use proto::v1::agent_message::Body;
use proto::v1::refusal::Code;
use proto::v1::{Ack, AgentMessage, Refusal, ReportAck, ReportBatch, Welcome, ack};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tonic::Streaming;

use crate::link::Link;
use crate::link::hello::{
    End, Member, duplicate_identity, hello, passed, protocol, revoked, superseded,
    too_much_written, unknown_cluster, unread,
};
use crate::link::opening::{Open, Passed, Place};
use crate::link::outbox::Outbox;
use crate::link::pace::Of;
use crate::wire;

/// How often things are tried again that Postgres could not do.
const TICK: Duration = Duration::from_secs(1);
/// So many heartbeats may be lost before the stream counts as dead.
const LOST_HEARTBEATS: u32 = 4;

/// Of one agent's reports so many go into one transaction, with those of many others.
const REPORTS_AT_ONCE: usize = 100;

/// Of what a cluster says that has to wait with its reports, so many bytes are read ahead, and the last message that fits: its
/// heartbeats come behind them. An agent has 256 reports under way, of a few hundred bytes each.
const BEHIND_MAX: usize = 1 << 20;

struct Session {
    link: Link,
    cluster: ClusterName,
    number: u64,
    inbound: Streaming<AgentMessage>,
    outbox: Outbox,
    fences: watch::Receiver<Fence>,
    /// Among the sessions of its cluster on this hub.
    open: Open,
    /// The set that was sent last; none: the next one is sent whole.
    sent: Option<Fence>,
    /// What the database has committed of it: told with every word, so that an older copy of the database is noticed (L5).
    committed: Committed,
    /// The highest that it can have stored: what it showed, and what was sent.
    highest: Fence,
    /// UID of its kube-system namespace, for which fences are signed.
    uid: String,
    /// It came back with less than it had, and has not caught up.
    regressed: bool,
    /// Reports that Postgres could not take yet; nothing more is read from the agent until they are stored.
    unstored: Option<Batch>,
    /// They wait because this cluster's word has left as much for good as it may now.
    paced: bool,
    /// What was read meanwhile, in its order, and its bytes.
    behind: VecDeque<ReportBatch>,
    behind_bytes: usize,
    /// An acknowledgement that Postgres could not take yet.
    unstored_ack: Option<Acknowledged>,
}

#[derive(Debug)]
struct Batch {
    reports: Vec<Report>,
    last: u64,
}

/// Bytes that a batch takes: what says nothing has its place, too.
fn room(batch: &ReportBatch) -> usize {
    let places = size_of_val(batch.reports.as_slice());
    batch.encoded_len().saturating_add(places)
}

/// Runs a stream to its end. What a stream does once or seldom is boxed here and below, and in `set`: its room, some 16 KiB, is not kept for
/// as long as the stream is open, ten thousand times. Not `async` itself: what it is given would have its room for as long, too.
pub fn run(
    link: Link,
    member: Member,
    mut inbound: Streaming<AgentMessage>,
    (outbox, place): (Outbox, Place),
) -> impl Future<Output = ()> + Send {
    let cluster = member.cluster.clone();
    let begun = Box::pin(async move {
        let said = tokio::select! {
            biased;
            () = place.replaced() => Err(passed(Passed::Replaced)),
            said = hello(&link, member, &mut inbound) => said,
        };
        match said {
            Ok(hello) => open(link, hello, (inbound, outbox), &place).await,
            Err(end) => Err((outbox, end)),
        }
    });
    async move {
        match begun.await {
            Ok(session) => session.serve().await,
            Err((outbox, end)) => refuse(&cluster, &outbox, end),
        }
    }
}

fn refuse(cluster: &ClusterName, outbox: &Outbox, end: End) {
    tracing::warn!(%cluster, code = ?end.code, "stream refused: {}", end.message);
    outbox.refuse(Refusal {
        code: end.code.into(),
        message: end.message,
    });
}

/// With many others where there is nothing to say about it, else by itself.
async fn opened(link: &Link, hello: &Hello, outbox: &Outbox, place: &Place) -> Result<Opened, End> {
    if hello.rollouts.len() <= ROLLOUTS_TOGETHER {
        match link.gather.hello(hello.clone()).await {
            Ok(Some(begun)) => return Ok(Opened::Session(begun)),
            Ok(None) => {}
            Err(error) => return Err(away(&error)),
        }
    }
    let _alone = place.alone(outbox).await.map_err(passed)?;
    let opened = within(CALL_MAX, link.store.session_open(hello)).await;
    opened.map_err(|error| away(&error))
}

fn away(error: &Error) -> End {
    End {
        code: Code::Unavailable,
        message: error.to_string(),
    }
}

/// Opens its session in the store, when it is this stream's turn.
async fn begin(link: &Link, hello: &Hello, outbox: &Outbox, place: &Place) -> Result<Begun, End> {
    let _turn = place.turn(outbox).await.map_err(passed)?;
    let said_by = &hello.cluster;
    if let Some(wait) = link.paces.wait(said_by, Of::Hello, Instant::now()) {
        return Err(too_much_written(said_by, wait));
    }
    match opened(link, hello, outbox, place).await? {
        Opened::Session(begun) => {
            // By the name that it was looked at by.
            link.paces.spend(said_by, begun.rows, Instant::now());
            Ok(begun)
        }
        Opened::DuplicateIdentity => Err(duplicate_identity()),
        Opened::UnknownCluster => Err(unknown_cluster()),
        Opened::Revoked => Err(revoked(said_by)),
        Opened::Unproven { message } => Err(protocol(message)),
    }
}

async fn open(
    link: Link,
    hello: Hello,
    (inbound, outbox): (Streaming<AgentMessage>, Outbox),
    place: &Place,
) -> Result<Box<Session>, (Outbox, End)> {
    let begun = match begin(&link, &hello, &outbox, place).await {
        Ok(begun) => begun,
        Err(end) => return Err((outbox, end)),
    };
    let Begun {
        cluster,
        session,
        desired,
        regressed,
        head,
        at,
        rows: _,
    } = begun;
    tracing::info!(%cluster, session, fence = %hello.fence, %desired, regressed, "agent connected");
    outbox.welcome(Welcome {
        session,
        heartbeat_seconds: u32::try_from(link.heartbeat.as_secs()).unwrap_or(1),
        audit_head: head
            .map(|(sequence, hash)| link.certifier.authority.head(&Head { sequence, hash }))
            .unwrap_or_default(),
        at: at.map(proto::time::to_wire),
    });
    let fences = link.fences.subscribe(&cluster, desired);
    let open = link.openings.open(&cluster, session, &link.stop);
    Ok(Box::new(Session {
        link,
        cluster,
        number: session,
        inbound,
        outbox,
        fences,
        open,
        sent: None,
        committed: Committed {
            stored: hello.fence,
            ..Committed::default()
        },
        highest: hello.fence,
        uid: hello.kube_system_uid,
        regressed,
        unstored: None,
        paced: false,
        behind: VecDeque::new(),
        behind_bytes: 0,
        unstored_ack: None,
    }))
}

impl Session {
    async fn serve(mut self: Box<Self>) {
        let reason = match self.turns().await {
            Ok(reason) => reason,
            Err(end) => {
                let reason = end.message.clone();
                refuse(&self.cluster, &self.outbox, end);
                reason
            }
        };
        tracing::info!(cluster = %self.cluster, session = self.number, "stream ended: {reason}");
        let closed = self.link.store.session_close(&self.cluster, self.number);
        if let Err(error) = Box::pin(within(CALL_MAX, closed)).await {
            // The cluster counts as gone a little later, when it has not been heard.
            tracing::debug!(cluster = %self.cluster, %error, "the end of the session was not stored");
        }
    }

    /// One turn for each thing that happens. Ticks are at least a second apart, so a message that is there is heard
    /// between two of them: silence is counted in ticks and not by the clock, which also runs while Postgres is waited for.
    async fn turns(&mut self) -> Result<String, End> {
        let patience = LOST_HEARTBEATS * u32::try_from(self.link.heartbeat.as_secs()).unwrap_or(1);
        let mut silent_ticks = 0;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let over = self.open.over();
        self.send_set().await;
        loop {
            tokio::select! {
                message = self.inbound.message(), if self.reads() => match message {
                    Ok(Some(message)) => {
                        silent_ticks = 0;
                        Box::pin(self.hear(message)).await?;
                    }
                    Ok(None) => return Ok("the agent closed it".to_owned()),
                    Err(status) => return unread(&status)
                        .map_or_else(|| Ok(format!("the connection broke: {}", status.message())), Err),
                },
                Ok(()) = self.fences.changed() => self.send_set().await,
                () = over.cancelled() => {
                    let stops = self.link.stop.is_cancelled();
                    return if stops { Ok("the hub stops".to_owned()) } else { Err(superseded()) };
                }
                _ = ticks.tick() => {
                    if self.outbox.abandoned() {
                        return Ok("the agent is gone".to_owned());
                    }
                    if self.reads() {
                        silent_ticks += 1;
                    }
                    if silent_ticks > patience {
                        return Ok(format!("nothing was heard for {patience} s"));
                    }
                    if self.owes() {
                        Box::pin(self.try_again()).await?;
                    }
                    self.send_set().await;
                }
            }
        }
    }

    /// While Postgres cannot take reports nothing more is read; while they wait for the pace, the agent is still heard.
    fn reads(&self) -> bool {
        self.unstored.is_none() || self.paced && self.behind_bytes < BEHIND_MAX
    }

    async fn hear(&mut self, message: AgentMessage) -> Result<(), End> {
        match message.body {
            Some(Body::Hello(_)) => Err(protocol("Hello is said once")),
            Some(Body::Reports(batch)) if self.unstored.is_some() => {
                self.behind_bytes = self.behind_bytes.saturating_add(room(&batch));
                self.behind.push_back(batch);
                Ok(())
            }
            Some(Body::Reports(batch)) => self.reports(batch).await,
            Some(Body::Ack(ack)) => self.acknowledged(ack).await,
            Some(Body::Heartbeat(beat)) => self.heartbeat(beat).await,
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
            if self.waits_for_pace("its reports wait") {
                self.unstored = Some(batch);
                return Ok(());
            }
            let part = batch
                .reports
                .get(..REPORTS_AT_ONCE)
                .unwrap_or(&batch.reports);
            let (taken, end) = (part.len(), part.last().map(|report| report.sequence));
            let gathered = report::Batch {
                cluster: self.cluster.clone(),
                session: self.number,
                committed: self.committed,
                reports: part.to_vec(),
            };
            let taken_up = self.link.gather.reports(gathered).await;
            match taken_up.map(|up| self.spent(up)) {
                Ok(Stored::UpTo(sequence)) => self.committed.reported = sequence,
                Ok(Stored::SessionOver) => return Err(superseded()),
                Ok(Stored::Locked) => {
                    self.away(&locked(), "reports wait");
                    self.unstored = Some(batch);
                    return Ok(());
                }
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
        let fence = wire::fence(ack.fence.as_ref());
        if fence > self.highest {
            let most = self.highest;
            return Err(protocol(format!(
                "an acknowledgement of {fence}, above {most}: nothing so high was sent or shown"
            )));
        }
        let set_hash = wire::text("set_hash", ack.set_hash);
        let set_hash = set_hash.map_err(|error| protocol(error.to_string()))?;
        self.unstored_ack = Some(Acknowledged {
            cluster: self.cluster.clone(),
            session: self.number,
            committed: self.committed,
            fence,
            set_hash,
            problems: wire::report::problems(ack.problems),
        });
        self.store_ack().await
    }

    async fn store_ack(&mut self) -> Result<(), End> {
        let Some(ack) = self.unstored_ack.take() else {
            return Ok(());
        };
        let problems = u32::try_from(ack.problems.len()).unwrap_or(u32::MAX);
        if problems > 0 && self.waits_for_pace("an acknowledgement waits") {
            self.unstored_ack = Some(ack);
            return Ok(());
        }
        match self.link.gather.acknowledged(ack.clone()).await {
            Ok(true) => {
                self.link
                    .paces
                    .spend(&self.cluster, problems, Instant::now());
                self.committed.stored = ack.fence;
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

    /// Whether something that it said is not stored.
    fn owes(&self) -> bool {
        self.unstored.is_some() || !self.behind.is_empty() || self.unstored_ack.is_some()
    }

    async fn try_again(&mut self) -> Result<(), End> {
        self.store_reports().await?;
        while self.unstored.is_none()
            && let Some(next) = self.behind.pop_front()
        {
            self.behind_bytes = self.behind_bytes.saturating_sub(room(&next));
            self.reports(next).await?;
        }
        self.store_ack().await
    }

    fn spent(&self, taken: Taken) -> Stored {
        let now = Instant::now();
        self.link.paces.spend(&self.cluster, taken.rows, now);
        taken.stored
    }

    /// Whether what it says has to wait; told once.
    fn waits_for_pace(&mut self, consequence: &str) -> bool {
        let now = Instant::now();
        let wait = self.link.paces.wait(&self.cluster, Of::Words, now);
        if let (Some(wait), false) = (wait, self.paced) {
            let message = too_much_written(&self.cluster, wait).message;
            tracing::warn!("{message}; {consequence}, none is lost");
        }
        self.paced = wait.is_some();
        self.paced
    }

    fn away(&self, error: &Error, consequence: &str) {
        self.outbox.retract_renewal();
        tracing::warn!(cluster = %self.cluster, %error, "{consequence}; the stream is kept");
    }
}
