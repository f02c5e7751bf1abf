//! Everything that can happen in a state. In: a state. Out: each move with the state it leads to. Parts move by themselves
//! and are asked once. It must not choose: every order is taken.

use super::Small;
use super::local::Facts;
use super::state::{HUBS, Move, State};
use crate::planted::Planted;
use crate::store::Error;

/// The moves of a state.
pub(super) type Moves = Vec<(Move, State)>;

impl Small {
    /// Every move that changes anything, and where it leads.
    pub(super) fn moves(&mut self, state: &State) -> Moves {
        let mut moves = Vec::new();
        self.of_hubs(state, &mut moves);
        for cluster in 0..self.size.clusters {
            let facts = self.facts_of(state.agents[cluster]);
            match facts.session {
                Some(session) => self.of_stream(state, cluster, session, &facts, &mut moves),
                None => self.of_nobody(state, cluster, &facts, &mut moves),
            }
            self.of_agent(state, cluster, &facts, &mut moves);
        }
        self.of_leftovers(state, &mut moves);
        self.of_time(state, &mut moves);
        moves.retain(|(_, next)| next != state);
        moves
    }

    /// The hubs. What one that was the leader still writes has to be refused, whatever it is: it never changes a state.
    fn of_hubs(&mut self, state: &State, moves: &mut Moves) {
        if let Some(draft) = state.draft {
            self.refused(state.tables, draft);
            let next = State {
                draft: None,
                ..*state
            };
            moves.push((Move::Take, next));
            moves.push((Move::Commit, self.commit(state, draft)));
        } else if !self.decided(state.tables).plan.actions.is_empty() {
            self.refused(state.tables, state.tables);
            let next = if self.size.drafts {
                let draft = Some(state.tables);
                State { draft, ..*state }
            } else {
                self.commit(state, state.tables)
            };
            moves.push((Move::Decide, next));
        }
        for hub in (0..HUBS).filter(|_| state.left.crashes > 0) {
            let mut next = *state;
            next.left.crashes -= 1;
            for cluster in (hub..self.size.clusters).step_by(HUBS) {
                next = self.lost_with_hub(&next, cluster);
            }
            moves.push((Move::HubDies(hub, false), next));
            next.draft = None;
            moves.push((Move::HubDies(hub, true), next));
        }
    }

    fn refused(&mut self, tables: u32, draft: u32) {
        if self.committed(tables, draft, true) != Err(Error::Fenced) {
            self.wrong("S5: a hub wrote in an epoch that was over".to_owned());
        }
    }

    fn commit(&mut self, state: &State, draft: u32) -> State {
        let mut next = *state;
        next.draft = None;
        if let Ok(tables) = self.committed(state.tables, draft, false) {
            next.tables = tables;
        }
        next
    }

    /// A stream is gone, with what was on it.
    fn lost(&mut self, state: &State, cluster: usize) -> State {
        let mut next = *state;
        next.agents[cluster] = self.lose(state.agents[cluster]);
        self.unlinked(&mut next, cluster);
        next
    }

    fn lost_with_hub(&mut self, state: &State, cluster: usize) -> State {
        let mut before = *state;
        // The planted bug: what the hub has not stored is acknowledged.
        if self.bugs.has(Planted::AckBeforeStoring) {
            let facts = self.facts_of(state.agents[cluster]);
            if facts.says && facts.session.is_some() {
                (_, before.agents[cluster]) = self.batch_of(state.agents[cluster]);
            }
        }
        self.lost(&before, cluster)
    }

    fn unlinked(&mut self, next: &mut State, cluster: usize) {
        next.down[cluster] = None;
        next.sent[cluster] = None;
        if next.copy.is_some_and(|(to, _)| usize::from(to) == cluster) {
            next.copy = None;
        }
    }

    fn of_stream(
        &mut self,
        state: &State,
        cluster: usize,
        session: u64,
        facts: &Facts,
        moves: &mut Moves,
    ) {
        if state.down[cluster].is_none()
            && let Some((set, version)) = self.set_of(state.tables, cluster, state.sent[cluster])
        {
            let mut next = *state;
            next.down[cluster] = Some(set);
            next.sent[cluster] = Some(version);
            moves.push((Move::Send(cluster), next));
        }
        if let Some(set) = state.down[cluster] {
            let mut next = *state;
            next.down[cluster] = None;
            self.comes(next, cluster, session, set, Move::Deliver(cluster), moves);
            if state.left.copies > 0 && state.copy.is_none() {
                let mut next = *state;
                next.left.copies -= 1;
                next.copy = Some((short(cluster), set));
                moves.push((Move::Copy(cluster), next));
            }
        }
        if let Some((to, set)) = state.copy
            && usize::from(to) == cluster
        {
            let next = State {
                copy: None,
                ..*state
            };
            self.comes(next, cluster, session, set, Move::CopyComes, moves);
        }
        if facts.says {
            let (batch, told) = self.batch_of(state.agents[cluster]);
            let (tables, _) = self.reported(state.tables, batch);
            let mut next = *state;
            next.agents[cluster] = told;
            next.tables = tables;
            moves.push((Move::Report(cluster), next));
            if state.left.losses > 0 {
                let mut next = *state;
                next.tables = tables;
                next.left.losses -= 1;
                next.agents[cluster] = self.unanswered(state.agents[cluster]);
                self.unlinked(&mut next, cluster);
                moves.push((Move::Unanswered(cluster), next));
            }
        }
        if state.sent[cluster]
            .is_some_and(|sent| facts.fence.is_none_or(|fence| fence.1 <= u64::from(sent)))
        {
            let mut next = *state;
            next.agents[cluster] = self.beat(state.agents[cluster]);
            moves.push((Move::Beat(cluster), next));
        }
        if state.left.losses > 0 {
            let mut next = self.lost(state, cluster);
            next.left.losses -= 1;
            if facts.says && state.old.is_none() {
                let (batch, _) = self.batch_of(state.agents[cluster]);
                next.old = Some((short(cluster), batch));
            }
            moves.push((Move::Lose(cluster), next));
        }
    }

    /// A set reaches an agent.
    fn comes(
        &mut self,
        state: State,
        cluster: usize,
        session: u64,
        set: u32,
        by: Move,
        moves: &mut Moves,
    ) {
        let of = state.agents[cluster];
        let Some(came) = self.stored(of, set) else {
            return;
        };
        let mut next = state;
        next.agents[cluster] = self.acted(came.agent);
        if came.need_full {
            next.sent[cluster] = None;
        } else {
            next.tables = self.acked(state.tables, cluster, session, came.fence);
        }
        moves.push((by, next));
        if state.left.crashes == 0 {
            return;
        }
        // Before the answer, and after it.
        let early = self.bugs.has(Planted::AckBeforeFence);
        let said = if early { next.tables } else { state.tables };
        let storing = (self.cuts(of, Some(set)), said);
        let acting = (self.cuts(came.agent, None), next.tables);
        for (cuts, tables) in [storing, acting] {
            for (at, dead) in (0..).zip(cuts.iter()) {
                let mut next = State { tables, ..state };
                next.left.crashes -= 1;
                next.agents[cluster] = *dead;
                self.unlinked(&mut next, cluster);
                moves.push((Move::DiesStoring(cluster, at), next));
            }
        }
    }

    /// There is no stream.
    fn of_nobody(&mut self, state: &State, cluster: usize, facts: &Facts, moves: &mut Moves) {
        if facts.may_dial
            && let Some((tables, agent)) =
                self.connected(state.tables, state.agents[cluster], cluster)
        {
            let mut next = *state;
            (next.tables, next.agents[cluster]) = (tables, agent);
            next.sent[cluster] = None;
            if let Some((whose, batch)) = state.old
                && usize::from(whose) == cluster
            {
                next.old = Some((whose, self.outdated(batch)));
            }
            moves.push((Move::Connect(cluster), next));
        }
        let mut next = *state;
        next.tables = self.closed(state.tables, cluster);
        moves.push((Move::Notice(cluster), next));
        if let Some(agent) = self.lease_ended(state.agents[cluster]) {
            let mut next = *state;
            next.agents[cluster] = agent;
            moves.push((Move::LeaseEnds(cluster), next));
        }
    }

    fn of_agent(&mut self, state: &State, cluster: usize, facts: &Facts, moves: &mut Moves) {
        let mut begins = vec![(Move::Act(cluster), state.agents[cluster])];
        if facts.analyses {
            for good in [true, false] {
                let ended = self.verdict(state.agents[cluster], good);
                begins.push((Move::Verdict(cluster, good), ended));
            }
        }
        for (by, agent) in begins {
            let mut next = *state;
            next.agents[cluster] = self.acted(agent);
            moves.push((by, next));
            if state.left.crashes == 0 {
                continue;
            }
            let cuts = self.cuts(agent, None);
            for (at, dead) in (0..).zip(cuts.iter()) {
                let mut next = *state;
                next.left.crashes -= 1;
                next.agents[cluster] = *dead;
                self.unlinked(&mut next, cluster);
                moves.push((Move::AgentDies(cluster, at), next));
            }
        }
        if state.left.crashes > 0 {
            let mut next = *state;
            next.left.crashes -= 1;
            next.agents[cluster] = self.restarted(state.agents[cluster]);
            self.unlinked(&mut next, cluster);
            moves.push((Move::AgentDies(cluster, usize::MAX), next));
        }
    }

    /// What was said on a stream that broke arrives after all.
    fn of_leftovers(&mut self, state: &State, moves: &mut Moves) {
        let Some((cluster, batch)) = state.old else {
            return;
        };
        let (tables, stored) = self.reported(state.tables, batch);
        let current = self.is_current(state.tables, batch);
        if stored && !current {
            self.wrong(format!("S9: an old session of c{cluster} wrote"));
        }
        let next = State {
            old: None,
            tables,
            ..*state
        };
        moves.push((Move::Late, next));
    }

    /// The next deadline: the end of a bake comes by itself, the others only where everybody is late.
    fn of_time(&mut self, state: &State, moves: &mut Moves) {
        let Some((at, bakes)) = self.decided(state.tables).wake else {
            return;
        };
        if !bakes && state.left.delays == 0 {
            return;
        }
        let mut next = *state;
        next.tables = self.later(state.tables, at, &state.agents);
        if !bakes {
            next.left.delays -= 1;
        }
        let by = if bakes { Move::Baked } else { Move::Delay };
        moves.push((by, next));
    }
}

fn short(cluster: usize) -> u8 {
    u8::try_from(cluster).unwrap_or(u8::MAX)
}
