//! A simulated agent: a fake of `groundswell-agent` that speaks its link and runs no cluster. In: an identity, Rollouts,
//! versions that Git wants. Out: what an agent says to the hub, and times in the ledger. It must not move a Rollout without
//! a permit, nor report what it has not been told to store.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto::v1::agent_message::Body as Say;
use proto::v1::gate_entry::Governance;
use proto::v1::hub_message::Body as Told;
use proto::v1::report::Body;
use proto::v1::{
    Ack, AgentMessage, DesiredSet, Fence, GateEntry, Heartbeat, Hello, Report, ReportBatch, ack,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::identity::Member;
use super::ledger::Ledger;
use super::rollout::Rollout;
use super::script::{Script, Seen};

/// As the agent: between sessions, doubled up to the most, with jitter.
const RECONNECT_FIRST: Duration = Duration::from_millis(250);
const RECONNECT_MOST: Duration = Duration::from_secs(10);
/// Messages on their way to the hub.
const OUTGOING: usize = 16;
/// Reports in one message, as the agent.
const BATCH: usize = 100;

/// One simulated agent.
#[derive(Debug)]
pub struct Agent {
    member: Member,
    rollouts: BTreeMap<String, Rollout>,
    /// When a permit that was taken up will have been carried out.
    due: BTreeMap<String, Instant>,
    /// How long that takes.
    takes: Takes,
    entries: BTreeMap<String, GateEntry>,
    fence: Option<Fence>,
    set_hash: String,
    fence_signature: String,
    /// The newest head of the history that it was handed.
    audit_head: String,
    /// Not acknowledged yet, oldest first, with their numbers in this session.
    reports: VecDeque<(u64, Body)>,
    /// Number of the last report that was made, and of the last that was sent.
    made: u64,
    sent: u64,
    ledger: Ledger,
    /// Of a test.
    script: Option<Script>,
    /// The longest time between two sessions.
    reconnect_most: Duration,
    /// Of the jitter; every agent has another.
    seed: u64,
}

/// How long a target takes.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// Each of them so long: those that start together end together.
    Exactly(Duration),
    /// Between half and one and a half of it, as clusters differ.
    About(Duration),
}

/// A session's end.
struct Ended;

impl Agent {
    /// An agent whose Rollouts serve their first version.
    pub fn new(
        member: Member,
        rollouts: &[String],
        takes: Takes,
        ledger: Ledger,
        seed: u64,
    ) -> Self {
        let rollouts = rollouts
            .iter()
            .map(|name| (name.clone(), Rollout::new(name, &member.cluster)))
            .collect();
        Self {
            member,
            rollouts,
            due: BTreeMap::new(),
            takes,
            entries: BTreeMap::new(),
            fence: None,
            set_hash: String::new(),
            fence_signature: String::new(),
            audit_head: String::new(),
            reports: VecDeque::new(),
            made: 0,
            sent: 0,
            ledger,
            script: None,
            reconnect_most: RECONNECT_MOST,
            seed,
        }
    }

    /// The same, as a test's script has it, and never longer than this between two sessions.
    #[must_use]
    pub fn scripted(self, script: Script, reconnect_most: Duration) -> Self {
        Self {
            script: Some(script),
            reconnect_most,
            ..self
        }
    }

    /// As its program would start again: what is in the cluster is there, what only waited to be sent is not. Its next Hello
    /// says all of it.
    #[must_use]
    pub fn restarted(mut self) -> Self {
        self.reports.clear();
        self
    }

    /// The same cluster out of a backup.
    #[must_use]
    pub fn regressed(mut self, to: Fence) -> Self {
        self.fence = Some(to);
        self.set_hash = String::new();
        self.restarted()
    }

    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// What is there.
    pub fn rollout(&self, name: &str) -> Option<&Rollout> {
        self.rollouts.get(name)
    }

    /// The fence that it has stored.
    pub fn fence(&self) -> Option<Fence> {
        self.fence
    }

    fn note(&self, seen: Seen) {
        if let Some(script) = &self.script {
            script.note(seen);
        }
    }

    /// One session after another until `wanted` is dropped; the cluster as it is then.
    pub async fn run(mut self, mut wanted: watch::Receiver<u64>) -> Self {
        let mut failures = 0_u32;
        while wanted.has_changed().is_ok() {
            if self.session(&mut wanted, &mut failures).await.is_ok() {
                break;
            }
            self.ledger.session(false);
            self.note(Seen::Broken);
            failures = failures.saturating_add(1);
            let whole = RECONNECT_FIRST
                .saturating_mul(1 << failures.min(10))
                .min(self.reconnect_most);
            let again = Instant::now() + whole.mul_f64(0.5 + self.jitter() / 2.0);
            self.alone(again).await;
        }
        self
    }

    /// Until the next try: what is permitted is carried out without the hub, too.
    async fn alone(&mut self, until: Instant) {
        loop {
            let next = self.due.values().min().copied();
            let next = next.filter(|due| *due < until);
            comes(next.unwrap_or(until)).await;
            self.carried_out();
            if next.is_none() {
                return;
            }
        }
    }

    /// Between 0 and 1 (xorshift).
    fn jitter(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % 1_000_000) as f64 / 1_000_000.0
    }

    fn takes(&mut self) -> Duration {
        match self.takes {
            Takes::Exactly(time) => time,
            Takes::About(time) => time.mul_f64(0.5 + self.jitter()),
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            kube_system_uid: self.member.uid.clone(),
            agent_version: "simulated".to_owned(),
            fence: self.fence,
            set_hash: self.set_hash.clone(),
            rollouts: self.rollouts.values().map(Rollout::state).collect(),
            audit_head: self.audit_head.clone(),
            digest_forms: vec!["v1".to_owned()],
            fence_signature: self.fence_signature.clone(),
        }
    }

    /// `Ok`: the story is over.
    async fn session(
        &mut self,
        wanted: &mut watch::Receiver<u64>,
        failures: &mut u32,
    ) -> Result<(), Ended> {
        let mut client = self.member.connect().await.map_err(|_| Ended)?;
        let (say, said) = mpsc::channel(OUTGOING);
        tell(&say, Say::Hello(self.hello())).await?;
        let opened = client.open(ReceiverStream::new(said)).await;
        let mut told: Streaming<_> = opened.map_err(|_| Ended)?.into_inner();
        let first = told.message().await.map_err(|_| Ended)?;
        let welcome = match first.and_then(|message| message.body) {
            Some(Told::Welcome(welcome)) => welcome,
            Some(Told::Refusal(refusal)) => {
                self.note(Seen::Refused(refusal));
                return Err(Ended);
            }
            Some(Told::Set(_) | Told::ReportAck(_) | Told::Renewal(_)) | None => return Err(Ended),
        };
        self.ledger.session(true);
        self.note(Seen::Session(welcome.session));
        self.audit_head = welcome.audit_head.clone();
        *failures = 0;
        self.renumber();
        let mut beat = interval(Duration::from_secs(welcome.heartbeat_seconds.max(1).into()));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.send(&say, welcome.session).await?;
            let next = self.due.values().min().copied();
            tokio::select! {
                message = told.message() => {
                    let message = message.map_err(|_| Ended)?.ok_or(Ended)?;
                    self.told(&say, message.body).await?;
                }
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.want(*wanted.borrow_and_update());
                }
                _ = beat.tick() => tell(&say, Say::Heartbeat(Heartbeat::default())).await?,
                () = comes(next.unwrap_or_else(Instant::now)), if next.is_some() => self.carried_out(),
            }
        }
    }

    /// What was not acknowledged is said again, counted anew.
    fn renumber(&mut self) {
        self.made = 0;
        self.sent = 0;
        for (number, _) in &mut self.reports {
            self.made += 1;
            *number = self.made;
        }
    }

    fn say(&mut self, bodies: Vec<Body>) {
        for body in bodies {
            self.made += 1;
            self.reports.push_back((self.made, body));
        }
    }

    async fn send(&mut self, say: &mpsc::Sender<AgentMessage>, session: u64) -> Result<(), Ended> {
        while self.sent < self.made {
            let sent = self.sent;
            let waiting = self
                .reports
                .iter()
                .filter(|(number, _)| *number > sent)
                .take(BATCH);
            let reports: Vec<Report> = waiting
                .map(|(number, body)| Report {
                    sequence: *number,
                    body: Some(body.clone()),
                    ..Report::default()
                })
                .collect();
            let Some(last) = reports.last().map(|report| report.sequence) else {
                return Ok(());
            };
            self.sent = last;
            tell(say, Say::Reports(ReportBatch { session, reports })).await?;
        }
        Ok(())
    }

    async fn told(
        &mut self,
        say: &mpsc::Sender<AgentMessage>,
        told: Option<Told>,
    ) -> Result<(), Ended> {
        match told {
            Some(Told::Set(set)) => {
                let ack = self.store(set);
                tell(say, Say::Ack(ack)).await
            }
            Some(Told::ReportAck(ack)) => {
                self.acknowledged(ack.sequence);
                Ok(())
            }
            Some(Told::Renewal(_)) => {
                self.note(Seen::Renewed);
                Ok(())
            }
            Some(Told::Welcome(_)) | None => Ok(()),
            Some(Told::Refusal(refusal)) => {
                self.note(Seen::Refused(refusal));
                Err(Ended)
            }
        }
    }

    fn acknowledged(&mut self, sequence: u64) {
        while self
            .reports
            .front()
            .is_some_and(|(number, _)| *number <= sequence)
        {
            if let Some((_, Body::Outcome(outcome))) = self.reports.pop_front()
                && let Some(rollout) = &outcome.rollout
            {
                self.ledger.committed(&rollout.name);
                self.note(Seen::Committed(outcome));
            }
        }
    }

    /// Stores a set, takes up its permits, and says so.
    fn store(&mut self, set: DesiredSet) -> Ack {
        let order = |fence: Option<Fence>| fence.map(|fence| (fence.incarnation, fence.version));
        if order(set.fence) < order(self.fence) {
            self.note(Seen::Stale(set.fence.unwrap_or_default()));
            return Ack {
                fence: self.fence,
                set_hash: self.set_hash.clone(),
                problems: Vec::new(),
                result: ack::Result::Stale.into(),
            };
        }
        if set.full {
            self.entries.clear();
        }
        let mut permits = Vec::new();
        for entry in set.entries {
            if let Some(Governance::Governed(governed)) = &entry.governance
                && let Some(permit) = &governed.permit
                // One for another cluster of this name is none (gate.md L4).
                && permit.cluster_uid == self.member.uid
            {
                permits.push((entry.name.clone(), permit.clone()));
            }
            self.entries.insert(entry.name.clone(), entry);
        }
        self.fence = set.fence;
        self.fence_signature = set.fence_signature;
        self.set_hash = proto::set::hash(self.entries.values());
        self.ledger.synced(&self.member.cluster);
        self.note(Seen::Stored(set.fence.unwrap_or_default()));
        for (name, permit) in permits {
            let Some(rollout) = self.rollouts.get_mut(&name) else {
                continue;
            };
            let said = rollout.permit(&permit);
            if !said.is_empty() {
                self.ledger.permitted(&name);
                let takes = self.takes();
                self.due.insert(name, Instant::now() + takes);
                self.say(said);
                self.note(Seen::Permit(permit));
            }
        }
        let result = if self.set_hash == set.set_hash {
            ack::Result::Stored
        } else {
            ack::Result::NeedFull
        };
        Ack {
            fence: set.fence,
            set_hash: self.set_hash.clone(),
            problems: Vec::new(),
            result: result.into(),
        }
    }

    fn want(&mut self, version: u64) {
        let names: Vec<String> = self.rollouts.keys().cloned().collect();
        for name in names {
            let Some(rollout) = self.rollouts.get_mut(&name) else {
                continue;
            };
            let said = rollout.want(version);
            if !said.is_empty() {
                self.ledger.changed(&name);
                self.say(said);
            }
        }
    }

    fn carried_out(&mut self) {
        let now = Instant::now();
        let over: Vec<String> = self
            .due
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in over {
            self.due.remove(&name);
            let Some(rollout) = self.rollouts.get_mut(&name) else {
                continue;
            };
            let bad = |script: &Script| rollout.moving_to().is_some_and(|to| script.is_bad(to));
            let said = if self.script.as_ref().is_some_and(bad) {
                rollout.fail()
            } else {
                rollout.serve()
            };
            let outcome = rollout.outcome().cloned();
            if !said.is_empty() {
                self.ledger.freed(&name);
                self.say(said);
                if let Some(outcome) = outcome {
                    self.note(Seen::Ended(outcome));
                }
            }
        }
    }
}

/// A moment of the play: a canary is through, an agent tries again. Nothing is tested by waiting for it.
async fn comes(at: Instant) {
    interval_at(at, RECONNECT_MOST).tick().await;
}

async fn tell(say: &mpsc::Sender<AgentMessage>, body: Say) -> Result<(), Ended> {
    let message = AgentMessage {
        trace: None,
        body: Some(body),
    };
    say.send(message).await.map_err(|_| Ended)
}
