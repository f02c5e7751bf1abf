//! The small world, whole: two hubs, three clusters (or two) in two waves, one release, and everything that can happen in any
//! order: with nothing broken, or with one of its processes dying at any moment.
//!
//! In: what may break, bugs. Out: how many states there are, and the first one that is wrong, with the way to it. Both real
//! engines, the model store, the agents' own queue, leases and judgement of sets take part. It must not draw random numbers.
//!
//! Breadth first from three clusters that serve v1 while Git brings v2. In every state the invariants are checked
//! ([`check`]), and each engine's audit runs on every plan. At the end the graph is walked backwards: from every state
//! there has to be a way to one at rest, so no state is a dead one, and where nothing can happen any more all has ended.
//!
//! What was left out of a state, and why nothing is lost by it:
//! - **Up.** What an agent says is committed and acknowledged in one move, at any later time. A message up changes only the
//!   hub's copy of the agent's state, and streams keep order: a late message is the same as an agent that moves on later.
//!   Answers that are lost ([`Move::Unanswered`]) and words of a broken stream ([`Move::Late`]) are moves of their own.
//! - **Down.** One set at a time is on its way to an agent. A set is the whole, so a second one behind it is the one that is
//!   sent later; an old one that comes after a newer one is [`Move::CopyComes`], which is more than a stream does.
//! - **Agents** store a set, say so and act until they have to wait, in one move; their own steps are seen by nobody before they report, and a death
//!   at each of their writes is a move. Pods come at once and caches are never behind: the random lives have both.
//! - **Leadership.** The lease may pass to the other hub at any moment, which is more than clocks allow. What an old leader
//!   still writes, decided before or after, is tried in every state where there is something to decide, and has to be
//!   refused: it never changes a state, so only the leader's decision under way is part of one. A decision on tables that
//!   another commit has changed is busy and changes nothing. Hubs have streams: c0 and c2, and c1.
//! - **Decisions** may be one move with their commit (`drafts`: false). What agents say in between changes rows that the
//!   commit does not write, so it may as well come after it; with `drafts` the two are looked at apart, crashes or not.
//! - **Crashes.** A hub dies in any state, with its streams and all that is on them, as the leader (with its decision) or
//!   not; an agent dies in any state, before each of its writes, and while it stores a set before the fence and before the
//!   answer. What died is started again at once: as long as it is down nothing of it happens, and "later" is any order.
//! - **Time** of the database stands still until the end of a bake, or jumps to the next deadline ([`Move::Delay`]). The
//!   clock of a cluster has two values: before the end of its lease without a hub, and after it.
//! - **Numbers** that only tell one row, session or epoch from another, and whose change opened the release, are the same in
//!   all states; what differs is whether they are the newest.
//! - **Words for people** in an agent's state as the hub has it (its message, reasons, step, whether its lease is live,
//!   which permit it holds) have no part in a state: no decision is made from them, and the next state replaces them whole.
//!   They stay in the agent's own part, where they decide whether it has something to say. The document is always the same,
//!   and a release's plan is told by its digest. Numbers of sets stay as they are: ranks would make 2.4 times fewer states
//!   at most, and every permit would have to be signed anew.
//! - **A queue** of an agent without a stream is told as its next Hello begins it.
//!
//! No two moves are taken for one because they commute: what is left are all orders.

mod asked;
mod begin;
mod check;
mod local;
mod parts;
mod state;
mod steps;
mod tables;

use std::collections::{HashMap, HashSet};

use hub_engine::ClusterName;
use proto::v1;

use crate::keys::Keys;
use crate::planted::Bugs;
use asked::{Batch, Known};
use local::Local;
use parts::Parts;
use state::State;
use tables::Tables;

pub use state::{Left, Move};

/// More states than this are not looked at: each takes about 300 bytes, and they have to fit into 6 GB.
pub const STATES_MAX: usize = 16_000_000;

/// How small it is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// One in the first wave, the others in the second: two or three.
    pub clusters: usize,
    /// A decision and its commit are two moves.
    pub drafts: bool,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// States, each once.
    pub states: usize,
    /// Moves between them.
    pub moves: usize,
    /// States that are at rest.
    pub at_rest: usize,
    /// Databases, and clusters, that are different.
    pub parts: (usize, usize),
    /// The first thing that is wrong, and the moves that lead to it.
    pub wrong: Option<(String, Vec<Move>)>,
}

/// Everything that is known of the small world.
pub(crate) struct Small {
    bugs: Bugs,
    size: Size,
    keys: Keys,
    names: Vec<ClusterName>,
    tables: Parts<Tables>,
    locals: Parts<Local>,
    sets: Parts<v1::DesiredSet>,
    batches: Parts<Batch>,
    known: Known,
    /// Tables, a cluster of them, and what is in it.
    checked: HashSet<(u32, u8, u32)>,
    wrong: Option<String>,
}

/// The graph as far as it is known.
#[derive(Default)]
struct Graph {
    states: Vec<State>,
    places: HashMap<State, u32>,
    /// By whom, and how, each was reached first.
    from: Vec<Option<(u32, Move)>>,
    /// Every move, as (from, to).
    edges: Vec<(u32, u32)>,
}

impl Graph {
    fn add(&mut self, state: State, from: Option<(u32, Move)>) -> u32 {
        let next = u32::try_from(self.states.len()).expect("fewer states than places");
        let place = *self.places.entry(state).or_insert(next);
        if place == next {
            self.states.push(state);
            self.from.push(from);
        }
        place
    }

    fn way_to(&self, mut place: u32) -> Vec<Move> {
        let mut way = Vec::new();
        while let Some((before, by)) = self.from[place as usize] {
            way.push(by);
            place = before;
        }
        way.reverse();
        way
    }

    /// The first state without a way to one of these.
    fn without_a_way(&self, goals: &[u32]) -> Option<u32> {
        let mut starts = vec![0_usize; self.states.len() + 1];
        for (_, to) in &self.edges {
            starts[*to as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut ends = starts.clone();
        let mut before = vec![0_u32; self.edges.len()];
        for (from, to) in &self.edges {
            let end = &mut ends[*to as usize];
            before[*end] = *from;
            *end += 1;
        }
        let mut reached = vec![false; self.states.len()];
        let mut waiting = goals.to_vec();
        while let Some(place) = waiting.pop() {
            let place = place as usize;
            if !std::mem::replace(&mut reached[place], true) {
                waiting.extend(&before[starts[place]..starts[place + 1]]);
            }
        }
        let lost = reached.iter().position(|reached| !reached)?;
        u32::try_from(lost).ok()
    }
}

impl Small {
    fn new(size: Size, bugs: Bugs) -> Self {
        Self {
            bugs,
            size,
            keys: Keys::new(),
            names: Vec::new(),
            tables: Parts::default(),
            locals: Parts::default(),
            sets: Parts::default(),
            batches: Parts::default(),
            known: Known::default(),
            checked: HashSet::new(),
            wrong: None,
        }
    }

    fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    fn explore(&mut self, left: Left, graph: &mut Graph) -> (Vec<u32>, Option<u32>) {
        let first = self.begin(left);
        graph.add(first, None);
        let mut rests = Vec::new();
        let mut place = 0;
        while let Some(state) = graph.states.get(place).copied() {
            let from = u32::try_from(place).expect("fewer states than places");
            place += 1;
            self.check(&state);
            let moves = self.moves(&state);
            let still = !moves.iter().any(|(by, _)| by.is_work());
            if self.at_rest(&state) {
                rests.push(from);
            } else if still {
                self.wrong("L1: nothing can happen, and it is not over".to_owned());
            }
            if self.wrong.is_some() {
                return (rests, Some(from));
            }
            for (by, next) in moves {
                let to = graph.add(next, Some((from, by)));
                graph.edges.push((from, to));
            }
            if graph.states.len() > STATES_MAX {
                self.wrong("the small world is not small".to_owned());
                return (rests, Some(from));
            }
        }
        let lost = graph.without_a_way(&rests);
        if lost.is_some() {
            self.wrong("L1: there is no way to rest from here".to_owned());
        }
        (rests, lost)
    }
}

/// Looks at everything.
#[must_use]
pub fn explore(left: Left, size: Size, bugs: Bugs) -> Found {
    let (mut small, mut graph) = (Small::new(size, bugs), Graph::default());
    let (rests, place) = small.explore(left, &mut graph);
    let way = place.map(|place| graph.way_to(place)).unwrap_or_default();
    Found {
        states: graph.states.len(),
        moves: graph.edges.len(),
        at_rest: rests.len(),
        parts: (small.tables.len(), small.locals.len()),
        wrong: small.wrong.map(|wrong| (wrong, way)),
    }
}
