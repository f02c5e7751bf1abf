//! What parts do, asked once and remembered: most states share their parts with thousands of others. In: places of parts.
//! Out: places of parts. It must not depend on anything but the parts.

use std::collections::HashMap;
use std::rc::Rc;

use agent_api::Fence as AgentFence;
use hub_store::report::Report;
use proto::v1::{self, ack};

use super::Small;
use super::local::{Facts, Local};
use super::state::CLUSTERS;
use super::tables::{Decided, SESSION, SESSION_BEFORE, Tables};
use crate::store::Error;

/// Reports of one session of one cluster.
#[derive(Debug)]
pub(super) struct Batch {
    cluster: usize,
    session: u64,
    reports: Vec<Report>,
}

impl Batch {
    fn text(&self) -> String {
        format!("{} {} {:?}", self.cluster, self.session, self.reports)
    }
}

/// What came of a set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub(super) agent: u32,
    pub(super) need_full: bool,
    pub(super) fence: AgentFence,
}

/// Answers that are known.
#[derive(Debug, Default)]
pub(super) struct Known {
    decided: HashMap<u32, Rc<Decided>>,
    committed: HashMap<(u32, u32, bool), Result<u32, Error>>,
    facts: HashMap<u32, Rc<Facts>>,
    acted: HashMap<u32, u32>,
    /// By agent, and the set that it stores, if any.
    cuts: HashMap<(u32, Option<u32>), Rc<[u32]>>,
    stored: HashMap<(u32, u32), Option<Came>>,
    batches: HashMap<u32, (u32, u32)>,
    reported: HashMap<(u32, u32), (u32, bool)>,
    acked: HashMap<(u32, usize, u64, AgentFence), u32>,
    connected: HashMap<(u32, u32), Option<(u32, u32)>>,
    closed: HashMap<(u32, usize), u32>,
    later: HashMap<(u32, [Option<u64>; CLUSTERS]), u32>,
    sets: HashMap<Sent, Option<(u32, u16)>>,
    /// Of one agent: by what happens to it.
    alone: HashMap<(u32, Alone), Option<u32>>,
}

/// Which tables, to which agent, and the set that was sent last.
type Sent = (u32, usize, Option<u16>);

/// What happens to an agent and asks nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Alone {
    Lose,
    Unanswered,
    Beat,
    LeaseEnds,
    Restart,
    Verdict(bool),
}

impl Small {
    pub(super) fn keep_tables(&mut self, tables: Tables) -> u32 {
        self.tables.place(&tables.text(), tables)
    }

    pub(super) fn keep_local(&mut self, local: Local) -> u32 {
        self.locals.place(&local.text(), local)
    }

    pub(super) fn decided(&mut self, tables: u32) -> Rc<Decided> {
        if let Some(known) = self.known.decided.get(&tables) {
            return Rc::clone(known);
        }
        let decided = Rc::new(self.tables.get(tables).decide(self.bugs));
        if let Some(wrong) = &decided.wrong {
            self.wrong(wrong.clone());
        }
        self.known.decided.insert(tables, Rc::clone(&decided));
        decided
    }

    pub(super) fn committed(&mut self, tables: u32, draft: u32, once: bool) -> Result<u32, Error> {
        let key = (tables, draft, once);
        if let Some(known) = self.known.committed.get(&key) {
            return *known;
        }
        let decided = self.decided(draft);
        let now = self.tables.get(tables);
        let next = now.commit(&decided, once, &self.keys, self.bugs);
        let next = next.map(|next| self.keep_tables(next));
        self.known.committed.insert(key, next);
        next
    }

    pub(super) fn facts_of(&mut self, agent: u32) -> Rc<Facts> {
        let locals = &self.locals;
        let facts = self.known.facts.entry(agent);
        Rc::clone(facts.or_insert_with(|| Rc::new(locals.get(agent).facts())))
    }

    pub(super) fn acted(&mut self, agent: u32) -> u32 {
        if let Some(known) = self.known.acted.get(&agent) {
            return *known;
        }
        let (whole, wrong) = self.locals.get(agent).act(&self.keys, self.bugs);
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
        let whole = self.keep_local(whole);
        self.one_end(agent, whole);
        self.known.acted.insert(agent, whole);
        whole
    }

    /// Where it can die while it acts, or while it stores a set.
    pub(super) fn cuts(&mut self, agent: u32, set: Option<u32>) -> Rc<[u32]> {
        if let Some(known) = self.known.cuts.get(&(agent, set)) {
            return Rc::clone(known);
        }
        let local = self.locals.get(agent);
        let dead = match set {
            Some(set) => local.store_cuts(self.sets.get(set), self.bugs),
            None => local.cuts(&self.keys, self.bugs),
        };
        let dead: Rc<[u32]> = dead.into_iter().map(|dead| self.keep_local(dead)).collect();
        for place in dead.iter() {
            self.one_end(agent, *place);
        }
        self.known.cuts.insert((agent, set), Rc::clone(&dead));
        dead
    }

    /// S4: a permit ends once.
    fn one_end(&mut self, before: u32, after: u32) {
        let (before, after) = (self.facts_of(before).outcome, self.facts_of(after).outcome);
        if let (Some((fence, one)), Some((other, two))) = (before, after)
            && fence == other
            && one != two
        {
            self.wrong(format!("S4: a permit ended {one:?} and then {two:?}"));
        }
    }

    pub(super) fn stored(&mut self, agent: u32, set: u32) -> Option<Came> {
        if let Some(known) = self.known.stored.get(&(agent, set)) {
            return *known;
        }
        let stored = self.locals.get(agent).store(self.sets.get(set), self.bugs);
        let came = stored.map(|(whole, ack)| Came {
            need_full: ack.result() == ack::Result::NeedFull,
            fence: agent::wire::fence(ack.fence.as_ref()),
            agent: self.keep_local(whole),
        });
        let before = self.facts_of(agent).fence;
        if let Some(came) = &came
            && self.facts_of(came.agent).fence < before
        {
            self.wrong(format!(
                "S3: {before:?} was stored, and then {}",
                came.fence
            ));
        }
        self.known.stored.insert((agent, set), came);
        came
    }

    /// What an agent has to say, and the agent once the hub has it.
    pub(super) fn batch_of(&mut self, agent: u32) -> (u32, u32) {
        if let Some(known) = self.known.batches.get(&agent) {
            return *known;
        }
        let local = self.locals.get(agent);
        let cluster = self.names.iter().position(|name| *name == local.agent.name);
        let cluster = cluster.expect("every agent has a name");
        let (session, reports, told) = local.report().expect("it has something to say");
        let batch = Batch {
            cluster,
            session,
            reports,
        };
        let both = (
            self.batches.place(&batch.text(), batch),
            self.keep_local(told),
        );
        self.known.batches.insert(agent, both);
        both
    }

    pub(super) fn reported(&mut self, tables: u32, batch: u32) -> (u32, bool) {
        if let Some(known) = self.known.reported.get(&(tables, batch)) {
            return *known;
        }
        let said = self.batches.get(batch);
        let name = &self.names[said.cluster];
        let now = self.tables.get(tables);
        let (next, stored) = now.report(name, said.session, &said.reports, self.bugs);
        let both = (self.keep_tables(next), stored);
        self.known.reported.insert((tables, batch), both);
        both
    }

    /// The same words, once there is a newer session.
    pub(super) fn outdated(&mut self, batch: u32) -> u32 {
        let said = self.batches.get(batch);
        let old = Batch {
            cluster: said.cluster,
            session: SESSION_BEFORE,
            reports: said.reports.clone(),
        };
        self.batches.place(&old.text(), old)
    }

    pub(super) fn is_current(&self, tables: u32, batch: u32) -> bool {
        let said = self.batches.get(batch);
        let row = self
            .tables
            .get(tables)
            .store
            .rows
            .get(&self.names[said.cluster]);
        row.is_some_and(|row| row.session == said.session)
    }

    pub(super) fn acked(
        &mut self,
        tables: u32,
        cluster: usize,
        session: u64,
        fence: AgentFence,
    ) -> u32 {
        let key = (tables, cluster, session, fence);
        if let Some(known) = self.known.acked.get(&key) {
            return *known;
        }
        let next = self.tables.get(tables);
        let next = next.ack(&self.names[cluster], session, fence);
        let next = self.keep_tables(next);
        self.known.acked.insert(key, next);
        next
    }

    pub(super) fn connected(
        &mut self,
        tables: u32,
        agent: u32,
        cluster: usize,
    ) -> Option<(u32, u32)> {
        if let Some(known) = self.known.connected.get(&(tables, agent)) {
            return *known;
        }
        // A Hello begins the queue of reports anew, so it is said by a copy.
        let local = self.locals.get(agent).clone();
        let hello = local.agent.hello();
        let opened = self.tables.get(tables).open(&self.names[cluster], hello);
        let both = opened.map(|next| (next, local.welcome(SESSION)));
        let both = both.map(|(next, welcome)| (self.keep_tables(next), self.keep_local(welcome)));
        self.known.connected.insert((tables, agent), both);
        both
    }

    pub(super) fn closed(&mut self, tables: u32, cluster: usize) -> u32 {
        if let Some(known) = self.known.closed.get(&(tables, cluster)) {
            return *known;
        }
        let next = self.tables.get(tables).close(&self.names[cluster]);
        let next = self.keep_tables(next);
        self.known.closed.insert((tables, cluster), next);
        next
    }

    pub(super) fn later(
        &mut self,
        tables: u32,
        now: crate::event::Ms,
        agents: &[u32; CLUSTERS],
    ) -> u32 {
        let mut sessions = [None; CLUSTERS];
        for (session, agent) in sessions.iter_mut().zip(agents).take(self.names.len()) {
            *session = self.facts_of(*agent).session;
        }
        if let Some(known) = self.known.later.get(&(tables, sessions)) {
            return *known;
        }
        let heard = self.names.iter().cloned().zip(sessions);
        let heard: Vec<_> = heard
            .filter_map(|(name, session)| Some((name, session?)))
            .collect();
        let next = self.tables.get(tables).later(now, &heard);
        let next = self.keep_tables(next);
        self.known.later.insert((tables, sessions), next);
        next
    }

    /// The set that is to be sent, and its version.
    pub(super) fn set_of(
        &mut self,
        tables: u32,
        cluster: usize,
        sent: Option<u16>,
    ) -> Option<(u32, u16)> {
        let key = (tables, cluster, sent);
        if let Some(known) = self.known.sets.get(&key) {
            return *known;
        }
        let set: Option<v1::DesiredSet> = self.tables.get(tables).set(&self.names[cluster], sent);
        let both = set.map(|set| {
            let version = hub::wire::fence(set.fence.as_ref()).version;
            let text = format!("{cluster} {set:?}");
            let version = u16::try_from(version).expect("a small world has few versions");
            (self.sets.place(&text, set), version)
        });
        self.known.sets.insert(key, both);
        both
    }

    fn alone(&mut self, agent: u32, what: Alone) -> Option<u32> {
        if let Some(known) = self.known.alone.get(&(agent, what)) {
            return *known;
        }
        let local = self.locals.get(agent);
        let next = match what {
            Alone::Lose => Some(local.lose(self.bugs)),
            Alone::Unanswered => Some(local.unanswered()),
            Alone::Beat => Some(local.beat()),
            Alone::LeaseEnds => local.lease_ends(),
            Alone::Verdict(good) => Some(local.verdict(good)),
            Alone::Restart => {
                let mut dead = local.clone();
                dead.restart();
                Some(dead)
            }
        };
        let next = next.map(|next| self.keep_local(next));
        self.known.alone.insert((agent, what), next);
        next
    }

    pub(super) fn lose(&mut self, agent: u32) -> u32 {
        self.alone(agent, Alone::Lose).unwrap_or(agent)
    }

    pub(super) fn unanswered(&mut self, agent: u32) -> u32 {
        self.alone(agent, Alone::Unanswered).unwrap_or(agent)
    }

    pub(super) fn beat(&mut self, agent: u32) -> u32 {
        self.alone(agent, Alone::Beat).unwrap_or(agent)
    }

    pub(super) fn restarted(&mut self, agent: u32) -> u32 {
        self.alone(agent, Alone::Restart).unwrap_or(agent)
    }

    pub(super) fn verdict(&mut self, agent: u32, good: bool) -> u32 {
        let what = Alone::Verdict(good);
        self.alone(agent, what).unwrap_or(agent)
    }

    pub(super) fn lease_ended(&mut self, agent: u32) -> Option<u32> {
        self.alone(agent, Alone::LeaseEnds)
    }
}
