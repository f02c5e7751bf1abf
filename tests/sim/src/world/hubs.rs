//! What hubs do with ticks, messages and their database, as `hub/src` does: sessions; how they decide is `decide`. In: events.
//! Out: transactions, messages. It must not choose.

use hub_engine::observed::Rollout;
use hub_engine::{ClusterName, Fence, RolloutName};
use hub_store::desired::{DesiredSet, Entry, Governance};
use hub_store::older::Committed;
use hub_store::report::{Body, Report};
use proto::v1;

use super::skew::{known_ends, later_ends};
use super::{Connection, World};
use crate::event::{Down, Event, Ms, Up};
use crate::hub::Session;
use crate::planted::Planted;
use crate::store::{Error, Opened};

/// As the loops' `POLL`.
pub(super) const POLL: Ms = 1_000;
/// The planted bug: room for so many messages.
const INBOX: usize = 2;
/// The planted bug: sets are sent so often, and not in the moment in which the alarm is given.
const LATE: Ms = 26_000;

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
    pub(super) fn frozen(&self, hub: usize) -> Option<Ms> {
        let left = self.hubs[hub].frozen_until - self.now;
        (left > 0).then_some(left)
    }

    pub(super) fn hub_tick(&mut self, hub: usize, life: u64) {
        if !self.hubs[hub].alive || self.hubs[hub].life != life {
            return;
        }
        if let Some(left) = self.frozen(hub) {
            self.counts_anew(hub);
            return self.put(left, Event::HubTick { hub, life });
        }
        self.put(POLL, Event::HubTick { hub, life });
        self.lead(hub);
        self.decide(hub);
        self.nobody_waits(hub);
        self.certificates_last();
        for connection in self.hubs[hub].sessions.keys().copied().collect::<Vec<_>>() {
            if self.blocks(connection) {
                break;
            }
            self.work_off(hub, connection);
            self.send_set(hub, connection);
        }
    }

    /// A hint to every session: hints can be lost.
    pub(super) fn wake_sessions(&mut self) {
        for hub in 0..self.hubs.len() {
            if !self.hubs[hub].alive || self.frozen(hub).is_some() || self.mishap(200) {
                continue;
            }
            for connection in self.hubs[hub].sessions.keys().copied().collect::<Vec<_>>() {
                if self.blocks(connection) {
                    break;
                }
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
            // The planted bug: what has to wait is kept in little room, and the oldest goes.
            if self.bugs.has(Planted::InboxDropsOldest) && session.inbox.len() >= INBOX {
                session.inbox.pop_front();
            }
            session.inbox.push_back(message);
        }
        self.little_is_heard(hub, connection);
        self.work_off(hub, connection);
    }

    fn hello(&mut self, link: Connection, connection: u64, hello: &v1::Hello) {
        let (now, hub) = (self.now, link.hub);
        let cluster = self.agents[link.agent].name.clone();
        let brought = hello.rollouts.iter().cloned();
        let brought = brought.filter_map(|state| hub::wire::report::rollout_state(state).ok());
        let brought: Vec<_> = brought.collect();
        let fence = self.read(&cluster, hello.fence.as_ref());
        let mut uid = hello.kube_system_uid.clone();
        if self.bugs.has(Planted::CloneAccepted) {
            uid.clone_from(&self.agents[link.agent].uid);
        }
        let handed = self.agents[link.agent].handed(&hello.kube_system_uid);
        let stored = self.store.rows.get(&cluster).map(|row| row.stored);
        self.opens_at_hello(&cluster, &brought);
        let whole = Some(fence) >= stored
            && !self.ghost.tells_later_ends(link.agent)
            && self.lacks_former_ends(link.agent, &brought);
        match self
            .store
            .session_open(&cluster, &uid, fence, brought.clone(), handed, now)
        {
            Ok(Opened::Session(number, desired, regressed)) => {
                self.tell(format!(
                    "hub {hub}: session {number} of {cluster} at {fence}, desired {desired}, regressed {regressed}"
                ));
                if regressed && whole {
                    self.fail(
                        "link L4",
                        format!("{cluster} is taken for one that was put back"),
                    );
                }
                self.session_opened(&cluster, &hello.kube_system_uid);
                self.session_begins(&cluster, number);
                self.says_first(&cluster, number, &brought);
                self.nothing_more(link.agent, link.agent_life);
                self.shown(hub::wire::fence(hello.fence.as_ref()), desired);
                let session = Session {
                    cluster,
                    number,
                    sent: None,
                    committed: Committed {
                        stored: fence,
                        ..Committed::default()
                    },
                    regressed,
                    back_until: None,
                    inbox: std::collections::VecDeque::new(),
                };
                self.hubs[hub].sessions.insert(connection, session);
                self.all_hinted(hub);
                let head = self.store.head();
                self.send_down(connection, Down::Welcome(number, head, now));
                self.send_set(hub, connection);
            }
            Ok(Opened::Duplicate) => {
                self.tell(format!("hub {hub}: DuplicateIdentity for {cluster}"));
                if self.store.rows.contains_key(&cluster) {
                    self.refusal_of("Hello", cluster.as_str());
                }
                self.refuse(connection, true);
            }
            Err(_) => self.refuse(connection, false),
        }
    }

    /// The planted bug: what is held at connect is taken for a change.
    fn opens_at_hello(&mut self, cluster: &ClusterName, brought: &[(RolloutName, Rollout)]) {
        if !self.bugs.has(Planted::HelloOpens) {
            return;
        }
        for (rollout, state) in brought {
            let spec = state.spec.as_ref();
            let held = spec.filter(|spec| state.held.as_ref() == Some(&spec.digest));
            if let Some(now) = held {
                self.store.changed(cluster, rollout, None, now.clone());
            }
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
                    if seen == Ok(true) {
                        self.heard(&cluster);
                    }
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
            self.send_down(connection, Down::Renewal(fence, self.now));
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
        let cluster = session.cluster.clone();
        let fence = self.read(&cluster, ack.fence.as_ref());
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return Ok(true);
        };
        let (number, committed) = self.seen_in(session);
        let current = self
            .store
            .session_ack(&cluster, (number, &committed), fence, self.now)?;
        if current {
            self.one_session(&cluster, number);
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

    fn hear_reports(
        &mut self,
        hub: usize,
        connection: u64,
        mut batch: v1::ReportBatch,
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
        let later = later_ends(&batch);
        let ends = (!later.is_empty()).then(|| self.ends_of(&cluster));
        if self.bugs.has(Planted::UnknownEndServed) {
            known_ends(&mut batch);
        }
        let mut reports: Vec<Report> = batch
            .reports
            .into_iter()
            .filter_map(|report| hub::wire::report::report(report).ok().flatten())
            .collect();
        if self.bugs.has(Planted::PhaseIsProof) {
            let row = self.store.rows.get(&cluster);
            for report in &mut reports {
                let gate = row.and_then(|row| row.gates.get(&report.rollout));
                let permit = gate.and_then(|gate| gate.permit.as_ref());
                proven_by_phase(report, permit.map(|one| &one.permit));
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
        self.changes_seen(&cluster, &reports);
        self.reports_stored(&cluster, number);
        self.glass_told(&cluster, &reports);
        self.newest_is_kept(&cluster, number, &reports);
        self.no_end_is_guessed(&cluster, &later, &ends.unwrap_or_default());
        self.hint();
        self.send_down(connection, Down::ReportAck(last.unwrap_or(0)));
        Ok(true)
    }

    /// The deciding hub hears of a commit: or not, hints can be lost.
    pub(super) fn hint(&mut self) {
        for hub in 0..self.hubs.len() {
            if !self.mishap(200) {
                self.all_hinted(hub);
            }
        }
    }

    pub(super) fn all_hinted(&mut self, hub: usize) {
        self.hubs[hub].hinted = (0..self.store.fleets.len()).collect();
    }

    /// As `session::send_set`.
    pub(super) fn send_set(&mut self, hub: usize, connection: u64) {
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return;
        };
        let Ok(newest) = self.store.desired_fence(&session.cluster) else {
            return;
        };
        if session.sent.is_some_and(|sent| sent >= newest) {
            return;
        }
        let now_and_then = self.now % LATE < POLL;
        if self.bugs.has(Planted::SetsLate) && session.sent.is_some() && !now_and_then {
            return;
        }
        if !self.first_word_is_there(session) || self.is_kept_back(hub, connection) {
            return;
        }
        let Some(session) = self.hubs[hub].sessions.get(&connection) else {
            return;
        };
        let Ok(mut set) = self.store.desired_set(&session.cluster) else {
            return;
        };
        // An older copy of the database: the next word ends the session.
        if set.fence < self.seen_in(session).1.sent {
            return;
        }
        if self.bugs.has(Planted::LetGoTogether) {
            let_go_together(&mut set);
        }
        let base = session
            .sent
            .filter(|sent| sent.incarnation == set.fence.incarnation && *sent < set.fence);
        let mut wire = hub::wire::set::desired(&set, base);
        if let Some(session) = self.hubs[hub].sessions.get_mut(&connection) {
            session.sent = Some(set.fence);
            session.committed.sent = set.fence;
            self.ghost.sent(&session.cluster, set.fence);
        }
        self.all_are_named(connection, &set);
        self.lacks(&mut wire);
        if let Some(link) = self.connections.get(&connection) {
            self.speaks_later(link.agent, &mut wire);
        }
        self.send_down(connection, Down::Set(wire));
    }

    /// As `session::first_word_is_there`: what its first set does not name is free for an agent.
    fn first_word_is_there(&self, session: &Session) -> bool {
        let first = session.sent.is_none() && session.committed.stored == Fence::default();
        let whole = || {
            let lacking = self.store.first_word(&session.cluster);
            lacking.is_ok_and(|names| names.is_empty())
        };
        let some = || {
            let set = self.store.desired_set(&session.cluster);
            set.is_ok_and(|set| !set.entries.is_empty())
        };
        let early = self.bugs.has(Planted::FirstSetAtOnce)
            || self.bugs.has(Planted::FirstSetOfOne) && some();
        !first || early || whole()
    }
}

/// The planted bug: governance ends for all entries of a set where it ends for one.
fn let_go_together(set: &mut DesiredSet) {
    let ended = |one: &Entry| matches!(one.governance, Governance::Ungovern { .. });
    if let Some(first) = set.entries.iter().find(|one| ended(one)).cloned() {
        for entry in &mut set.entries {
            entry.governance.clone_from(&first.governance);
        }
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
