//! What hubs do with ticks, messages and their database, as `hub/src` does: leadership, deciding, sessions. In: events. Out:
//! transactions, messages. It must not choose: `hub_engine::reconcile` does.

use hub_engine::{Fence, audit};
use hub_store::older::Committed;
use hub_store::report::{Body, Report};
use proto::v1;

use super::{Connection, World};
use crate::event::{Down, Draft, Event, Ms, Up};
use crate::hub::{self as process, Session};
use crate::planted::Planted;
use crate::store::{Error, Opened};

/// As `leader::LEASE`, `RENEW_EVERY` and `MARGIN`.
const LEASE: Ms = 6_000;
const RENEW_EVERY: Ms = 2_000;
const MARGIN: Ms = 1_000;
/// As the loops' `POLL`.
const POLL: Ms = 1_000;
/// Beside hints, every so many polls everything is looked at.
const LOOK_EVERY: i64 = 5;

impl World {
    pub(super) fn hub_start(&mut self, hub: usize) {
        if self.hubs[hub].alive {
            return;
        }
        self.hubs[hub].start();
        self.tell(format!("hub {hub} starts"));
        let life = self.hubs[hub].life;
        self.put(100, Event::HubTick { hub, life });
    }

    /// Stopped by its machine: the event waits.
    fn frozen(&self, hub: usize) -> Option<Ms> {
        let left = self.hubs[hub].frozen_until - self.now;
        (left > 0).then_some(left)
    }

    pub(super) fn hub_tick(&mut self, hub: usize, life: u64) {
        if !self.hubs[hub].alive || self.hubs[hub].life != life {
            return;
        }
        if let Some(left) = self.frozen(hub) {
            return self.put(left, Event::HubTick { hub, life });
        }
        self.put(POLL, Event::HubTick { hub, life });
        self.lead(hub);
        self.decide(hub);
        for connection in self.hubs[hub].sessions.keys().copied().collect::<Vec<_>>() {
            self.work_off(hub, connection);
            self.send_set(hub, connection);
        }
    }

    /// As `leader::keep` and `attempt`.
    fn lead(&mut self, hub: usize) {
        let now = self.now;
        let own = &mut self.hubs[hub];
        if now - own.asked < RENEW_EVERY && own.asked != 0 {
            return;
        }
        own.asked = now;
        let until = now + LEASE - MARGIN;
        let still = own.held.filter(|(_, until)| now < *until);
        let answer = match still {
            Some((epoch, _)) => self
                .store
                .lease_renew(hub, epoch, now, LEASE)
                .map(|kept| kept.then_some(epoch)),
            None => self.store.epoch_take(hub, now, LEASE),
        };
        let before = self.hubs[hub].held;
        self.hubs[hub].held = match answer {
            Ok(epoch) => epoch.map(|epoch| (epoch, until)),
            Err(_) => still,
        };
        if before.map(|(epoch, _)| epoch) != self.hubs[hub].held.map(|(epoch, _)| epoch) {
            let held = self.hubs[hub].held;
            self.hubs[hub].hinted = true;
            self.tell(format!("hub {hub} leads: {held:?}"));
        }
    }

    /// As `decide::settle`: one transaction at a time; its snapshot is taken now, its commit comes later.
    fn decide(&mut self, hub: usize) {
        let now = self.now;
        let look = (now / POLL) % LOOK_EVERY == 0;
        let own = &mut self.hubs[hub];
        let leads = own.held.filter(|(_, until)| now < *until);
        let Some((epoch, _)) = leads.filter(|_| (own.hinted || look) && !own.deciding) else {
            return;
        };
        own.hinted = false;
        let skew = own.skew;
        let wrong = self.bugs.has(Planted::HubClock);
        let clock = if wrong { now + skew } else { now };
        let Ok((observed, plan)) = process::decide(&self.store, now, clock, self.bugs.hub) else {
            return;
        };
        let violation = audit(&observed, &plan).into_iter().next();
        if let Some(violation) = violation {
            return self.fail(violation.rule, violation.message);
        }
        if plan.actions.is_empty() {
            return;
        }
        self.hubs[hub].deciding = true;
        let life = self.hubs[hub].life;
        let draft = Box::new(Draft {
            epoch,
            snapshot: self.store.commits,
            observed,
            plan,
        });
        let most = if self.chaos { 400 } else { 20 };
        let after = self.some(1, most);
        self.put(after, Event::Commit { hub, life, draft });
        if self.mishap(15) {
            self.freeze_while_it_decides(hub);
        }
    }

    pub(super) fn commit(&mut self, hub: usize, life: u64, draft: Box<Draft>) {
        if !self.hubs[hub].alive || self.hubs[hub].life != life {
            return;
        }
        if let Some(left) = self.frozen(hub) {
            return self.put(left, Event::Commit { hub, life, draft });
        }
        self.hubs[hub].deciding = false;
        self.hubs[hub].hinted = true;
        let guarded = !self.bugs.has(Planted::EpochUnchecked);
        let before = self.store.epoch;
        match self.store.commit(&draft, &self.keys, guarded) {
            Ok(()) => {
                for decision in &draft.plan.actions {
                    self.tell(format!("hub {hub}: {}", decision.action));
                }
                self.quiet_since = self.now;
                self.committed(&draft, before);
                if self.mishap(10) {
                    self.kill_hub(hub);
                    return;
                }
                for hub in &mut self.hubs {
                    hub.hinted = true;
                }
                self.decide(hub);
                self.wake_sessions();
            }
            Err(Error::Fenced) => {
                self.tell(format!("hub {hub} is fenced"));
                self.hubs[hub].held = None;
            }
            Err(Error::Busy | Error::Away | Error::Held) => {}
        }
    }

    /// A hint to every session: hints can be lost.
    pub(super) fn wake_sessions(&mut self) {
        for hub in 0..self.hubs.len() {
            if !self.hubs[hub].alive || self.frozen(hub).is_some() || self.mishap(200) {
                continue;
            }
            for connection in self.hubs[hub].sessions.keys().copied().collect::<Vec<_>>() {
                self.send_set(hub, connection);
            }
        }
    }

    pub(super) fn up(&mut self, connection: u64, message: Up) {
        let Some(link) = self.connections.get(&connection).copied() else {
            return;
        };
        let hub = link.hub;
        if link.cut || !self.hubs[hub].alive || self.hubs[hub].life != link.hub_life {
            return;
        }
        if let Some(left) = self.frozen(hub) {
            self.hubs[hub].kept.push_back((connection, message));
            let life = link.hub_life;
            return self.put(left, Event::Thaw { hub, life });
        }
        self.thaw(hub, link.hub_life);
        self.hear(link, connection, message);
    }

    /// What came while the hub was stopped is heard in its order.
    pub(super) fn thaw(&mut self, hub: usize, life: u64) {
        if self.hubs[hub].life != life || self.frozen(hub).is_some() {
            return;
        }
        for (connection, message) in std::mem::take(&mut self.hubs[hub].kept) {
            if let Some(link) = self.connections.get(&connection).copied() {
                self.hear(link, connection, message);
            }
        }
    }

    fn hear(&mut self, link: Connection, connection: u64, message: Up) {
        let hub = link.hub;
        if let Up::Hello(hello) = message {
            return self.hello(link, connection, &hello);
        }
        if let Some(session) = self.hubs[hub].sessions.get_mut(&connection) {
            session.inbox.push_back(message);
        }
        self.work_off(hub, connection);
    }

    fn hello(&mut self, link: Connection, connection: u64, hello: &v1::Hello) {
        let (now, hub) = (self.now, link.hub);
        let cluster = self.agents[link.agent].name.clone();
        let brought = hello.rollouts.first().cloned();
        let brought = brought.and_then(|state| hub::wire::report::rollout_state(state).ok());
        let fence = hub::wire::fence(hello.fence.as_ref());
        let mut uid = hello.kube_system_uid.clone();
        if self.bugs.has(Planted::CloneAccepted) {
            uid.clone_from(&self.agents[link.agent].uid);
        }
        let state = brought.map(|(_, state)| state);
        let handed = self.agents[link.agent].handed(&hello.kube_system_uid);
        match self
            .store
            .session_open(&cluster, &uid, fence, state, handed, now)
        {
            Ok(Opened::Session(number, desired, regressed)) => {
                self.tell(format!(
                    "hub {hub}: session {number} of {cluster} at {fence}, desired {desired}, regressed {regressed}"
                ));
                self.session_opened(&cluster, &hello.kube_system_uid);
                let session = Session {
                    cluster,
                    number,
                    sent: None,
                    committed: Committed {
                        stored: fence,
                        ..Committed::default()
                    },
                    regressed,
                    inbox: std::collections::VecDeque::new(),
                };
                self.hubs[hub].sessions.insert(connection, session);
                self.hubs[hub].hinted = true;
                let head = self.store.head();
                self.send_down(connection, Down::Welcome(number, head));
                self.send_set(hub, connection);
            }
            Ok(Opened::Duplicate) => {
                self.tell(format!("hub {hub}: DuplicateIdentity for {cluster}"));
                self.refuse(connection, true);
            }
            Err(_) => self.refuse(connection, false),
        }
    }

    fn refuse(&mut self, connection: u64, later: bool) {
        self.send_down(connection, Down::Refusal { later });
        if let Some(link) = self.connections.get(&connection) {
            let hub = link.hub;
            self.end_session(hub, connection);
        }
    }

    /// The stream is over for the hub.
    pub(super) fn end_session(&mut self, hub: usize, connection: u64) {
        if let Some(session) = self.hubs[hub].sessions.remove(&connection)
            && self
                .store
                .session_close(&session.cluster, session.number)
                .is_err()
        {
            self.tell(format!(
                "hub {hub}: the end of session {} was not stored",
                session.number
            ));
        }
    }

    /// Hears what waits, until the database is away: nothing more is read before that is stored.
    fn work_off(&mut self, hub: usize, connection: u64) {
        loop {
            let Some(session) = self.hubs[hub].sessions.get(&connection) else {
                return;
            };
            let cluster = session.cluster.clone();
            let (number, committed) = self.seen_in(session);
            let Some(message) = session.inbox.front().cloned() else {
                return;
            };
            let current = match message {
                Up::Hello(_) => Ok(true),
                Up::Beat => {
                    let seen = self
                        .store
                        .session_seen(&cluster, (number, &committed), self.now);
                    self.renew(hub, connection, seen);
                    // A heartbeat that was not stored is not stored later: the next one is.
                    Ok(seen.unwrap_or(true))
                }
                Up::Ack(ack) => self.hear_ack(hub, connection, &ack),
                Up::Reports(batch) => self.hear_reports(hub, connection, batch),
            };
            match current {
                Ok(true) => {
                    if let Some(session) = self.hubs[hub].sessions.get_mut(&connection) {
                        session.inbox.pop_front();
                    }
                }
                Ok(false) => return self.refuse(connection, true),
                Err(_) => return,
            }
        }
    }

    /// A heartbeat is a commit of this session: whoever can write it may renew leases.
    fn renew(&mut self, hub: usize, connection: u64, seen: Result<bool, Error>) {
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return;
        };
        let ahead = session
            .sent
            .is_none_or(|sent| session.committed.stored > sent);
        let (stored, regressed) = (session.committed.stored, session.regressed);
        let cluster = session.cluster.clone();
        let blindly = self.bugs.has(Planted::RenewedBlindly);
        if (seen == Ok(true) || blindly) && !regressed && !ahead {
            if seen == Ok(true) {
                self.ghost.renewed(&cluster, self.now);
            }
            let fence = hub::wire::wire_fence(stored);
            self.send_down(connection, Down::Renewal(fence));
        }
    }

    fn hear_ack(&mut self, hub: usize, connection: u64, ack: &v1::Ack) -> Result<bool, Error> {
        use v1::ack::Result as Answer;
        let Some(session) = self.hubs[hub].sessions.get_mut(&connection) else {
            return Ok(true);
        };
        match ack.result() {
            Answer::NeedFull => {
                session.sent = None;
                return Ok(true);
            }
            Answer::Unspecified => return Ok(true),
            Answer::Stored | Answer::Already | Answer::Stale => {}
        }
        let fence = hub::wire::fence(ack.fence.as_ref());
        let cluster = session.cluster.clone();
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return Ok(true);
        };
        let (number, committed) = self.seen_in(session);
        let current = self
            .store
            .session_ack(&cluster, (number, &committed), fence, self.now)?;
        if current {
            self.acknowledged(&cluster, fence);
        }
        if let Some(session) = self.hubs[hub].sessions.get_mut(&connection) {
            session.committed.stored = fence;
            if Some(fence) == session.sent {
                session.regressed = false;
            }
        }
        self.hint();
        Ok(current)
    }

    /// In which session something is said, and what that has seen committed.
    fn seen_in(&self, session: &Session) -> (u64, Committed) {
        let unseen = self.bugs.has(Planted::OlderCopyUnseen);
        let committed = if unseen {
            Committed::default()
        } else {
            session.committed
        };
        (session.number, committed)
    }

    fn hear_reports(
        &mut self,
        hub: usize,
        connection: u64,
        batch: v1::ReportBatch,
    ) -> Result<bool, Error> {
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return Ok(true);
        };
        let cluster = session.cluster.clone();
        let (number, committed) = self.seen_in(session);
        if batch.session != number {
            return Ok(false);
        }
        let last = batch.reports.iter().map(|report| report.sequence).max();
        if self.bugs.has(Planted::AckBeforeStoring) {
            self.send_down(connection, Down::ReportAck(last.unwrap_or(0)));
        }
        let mut reports: Vec<Report> = batch
            .reports
            .into_iter()
            .filter_map(|report| hub::wire::report::report(report).ok().flatten())
            .collect();
        if self.bugs.has(Planted::PhaseIsProof) {
            let row = self.store.rows.get(&cluster);
            let permit = row.and_then(|row| row.permit.as_ref().map(|one| &one.permit));
            for report in &mut reports {
                proven_by_phase(report, permit);
            }
        }
        let checked = !self.bugs.has(Planted::OldSessionStored);
        let said = (number, &committed);
        let stored = self
            .store
            .report_store(&cluster, said, &reports, self.now, checked)?;
        let Some(reported) = stored else {
            return Ok(false);
        };
        if let Some(session) = self.hubs[hub].sessions.get_mut(&connection) {
            session.committed.reported = reported;
        }
        self.reports_stored(&cluster, number);
        self.hint();
        self.send_down(connection, Down::ReportAck(last.unwrap_or(0)));
        Ok(true)
    }

    /// The deciding hub hears of a commit: or not, hints can be lost.
    pub(super) fn hint(&mut self) {
        for hub in 0..self.hubs.len() {
            if !self.mishap(200) {
                self.hubs[hub].hinted = true;
            }
        }
    }

    /// As `session::send_set`.
    fn send_set(&mut self, hub: usize, connection: u64) {
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return;
        };
        let Ok(newest) = self.store.desired_fence(&session.cluster) else {
            return;
        };
        if session.sent.is_some_and(|sent| sent >= newest) {
            return;
        }
        if !self.first_word_is_there(session) {
            return;
        }
        let Ok(set) = self.store.desired_set(&session.cluster) else {
            return;
        };
        // An older copy of the database: the next word ends the session.
        if set.fence < self.seen_in(session).1.sent {
            return;
        }
        let base = session
            .sent
            .filter(|sent| sent.incarnation == set.fence.incarnation && *sent < set.fence);
        let wire = hub::wire::set::desired(&set, base);
        if let Some(session) = self.hubs[hub].sessions.get_mut(&connection) {
            session.sent = Some(set.fence);
            session.committed.sent = set.fence;
        }
        self.send_down(connection, Down::Set(wire));
    }

    /// As `session::first_word_is_there`: what its first set does not name is free for an agent.
    fn first_word_is_there(&self, session: &Session) -> bool {
        let first = session.sent.is_none() && session.committed.stored == Fence::default();
        let lacks = || self.store.lacks_first_word(&session.cluster);
        !first || self.bugs.has(Planted::FirstSetAtOnce) || lacks() == Ok(false)
    }
}

/// The planted bug: what shows Healthy has served its permit.
fn proven_by_phase(report: &mut Report, permit: Option<&hub_engine::release::Permit>) {
    if let (Body::State(state), Some(permit)) = (&mut report.body, permit)
        && state.phase == "Healthy"
        && state
            .outcome
            .as_ref()
            .is_none_or(|known| known.fence != permit.fence)
    {
        state.outcome = Some(hub_engine::observed::Outcome {
            fence: permit.fence,
            release: permit.release.to_string(),
            digest: permit.digest.clone(),
            result: hub_engine::observed::OutcomeResult::Served,
            message: String::new(),
            generation: 0,
        });
    }
}
