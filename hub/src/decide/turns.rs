//! Whose turn it is, and turns that go on side by side. In: wake-ups, names, how turns end. Out: turns begun, each name's one at
//! a time. It must not let one turn keep another one waiting: a slow one has its place and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use hub_engine::FleetRolloutName;
use hub_store::Error;
use tokio_util::sync::CancellationToken;

use super::due::{self, Due, Settled};
use crate::hints::News;

/// FleetRollouts decided at the same time: while some wait for the disk, together, others are worked out, and a few that hang
/// keep nobody waiting. Those that meet in a cluster wait for each other there, and look again.
const AT_ONCE: usize = 8;

/// How a turn ended.
#[derive(Debug)]
pub(super) enum Turn {
    /// Nothing more is to be done before news or its wake-up.
    Settled(Settled),
    /// It was not decided, or is gone.
    Again,
    /// This hub may not decide any more.
    Over,
}

/// What turns are made of.
pub(super) trait Work {
    /// Whether this hub may decide now.
    fn may(&self) -> bool;
    /// What was committed since the last call.
    fn news(&self) -> News;
    /// Waits until there may be news, or whether it may decide has changed.
    fn woken(&mut self) -> BoxFuture<'_, ()>;
    /// Every FleetRollout.
    fn names(&self) -> BoxFuture<'static, Result<Vec<FleetRolloutName>, Error>>;
    /// Decides about one.
    fn turn(&self, name: FleetRolloutName) -> BoxFuture<'static, Result<Turn, Error>>;
}

/// What has ended.
enum Ended {
    Names(Result<Vec<FleetRolloutName>, Error>),
    Turn(FleetRolloutName, Result<Turn, Error>),
}

/// Gives turns until it is told to stop; those that have begun then come to their end. The database away: it says so once, and
/// goes on by itself.
pub(super) async fn run<W: Work>(mut work: W, stop: CancellationToken) {
    let mut turns = Turns::new();
    turns.look(&work);
    loop {
        turns.begin(&work);
        let left = turns.due.sleep(now());
        tokio::select! {
            Some(ended) = turns.going.next() => turns.ended(ended, &work),
            () = work.woken() => turns.look(&work),
            () = tokio::time::sleep(left) => turns.look(&work),
            () = stop.cancelled() => break,
        }
    }
    while turns.going.next().await.is_some() {}
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A look at every FleetRollout, which lasts until each has had its turn.
struct Sweep {
    began: Instant,
    left: BTreeSet<FleetRolloutName>,
}

struct Turns {
    due: Due,
    /// Turns, and a question for the names.
    going: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Whose turn goes on, and whether there was news of it meanwhile, which it may not have seen.
    begun: BTreeMap<FleetRolloutName, bool>,
    /// Whose turn is next, in this order.
    waiting: VecDeque<FleetRolloutName>,
    /// What was committed since names were looked through.
    news: News,
    /// Names are asked for.
    asking: bool,
    /// Something woke it since it asked.
    again: bool,
    sweep: Option<Sweep>,
    /// What cannot be decided, or that not even the names could be read.
    failing: BTreeSet<Option<FleetRolloutName>>,
}

impl Turns {
    fn new() -> Self {
        Self {
            due: Due::new(now()),
            going: FuturesUnordered::new(),
            begun: BTreeMap::new(),
            waiting: VecDeque::new(),
            news: News::default(),
            asking: false,
            again: false,
            sweep: None,
            failing: BTreeSet::new(),
        }
    }

    /// Something may be due.
    fn look(&mut self, work: &impl Work) {
        if !work.may() {
            self.due = Due::new(now() + due::SWEEP_MIN);
            self.waiting.clear();
            self.sweep = None;
            return;
        }
        self.news.join(work.news());
        if self.asking {
            self.again = true;
            return;
        }
        self.asking = true;
        self.going.push(work.names().map(Ended::Names).boxed());
    }

    /// As many turns as there is room for.
    fn begin(&mut self, work: &impl Work) {
        while self.begun.len() < AT_ONCE
            && let Some(name) = self.waiting.pop_front()
        {
            self.begun.insert(name.clone(), false);
            let turn = work.turn(name.clone());
            let turn = turn.map(|end| Ended::Turn(name, end));
            self.going.push(turn.boxed());
        }
    }

    fn ended(&mut self, ended: Ended, work: &impl Work) {
        match ended {
            Ended::Names(names) => {
                self.asking = false;
                match names {
                    Ok(names) => {
                        self.answers(None);
                        self.due_of(&names);
                    }
                    Err(error) => self.fails(None, &error),
                }
                if std::mem::take(&mut self.again) {
                    self.look(work);
                }
            }
            Ended::Turn(name, end) => self.turned(name, end),
        }
    }

    /// Everybody whose turn it is waits for it; whose turn goes on gets another one if there is news of it.
    fn due_of(&mut self, names: &[FleetRolloutName]) {
        let (news, now) = (std::mem::take(&mut self.news), now());
        let sweeps = self.due.sweeps(&news, now);
        let gone =
            |one: &Option<FleetRolloutName>| one.as_ref().is_some_and(|one| !names.contains(one));
        self.failing.retain(|one| !gone(one));
        let waiting: BTreeSet<FleetRolloutName> = self.waiting.iter().cloned().collect();
        for name in names {
            if let Some(again) = self.begun.get_mut(name) {
                *again |= self.due.concerns(name, &news);
            } else if self.due.is(name, &news, now) && !waiting.contains(name) {
                self.due.unsettle(name);
                self.waiting.push_back(name.clone());
            }
        }
        if sweeps {
            // However long one takes, lost news of the others wait no longer.
            self.due.swept(due::SWEEP_MAX, now);
            let begun = self.begun.keys();
            let left = begun.chain(&self.waiting).cloned().collect();
            self.sweep = Some(Sweep { began: now, left });
            self.swept(None);
        }
    }

    fn turned(&mut self, name: FleetRolloutName, end: Result<Turn, Error>) {
        let again = self.begun.remove(&name) == Some(true);
        match end {
            Ok(Turn::Settled(settled)) => {
                self.answers(Some(&name));
                self.due.settle(&name, settled);
                if again {
                    self.due.unsettle(&name);
                    self.waiting.push_back(name.clone());
                }
            }
            Ok(Turn::Again) => self.answers(Some(&name)),
            Ok(Turn::Over) => {
                self.waiting.clear();
                self.sweep = None;
            }
            Err(error) => {
                // What was not decided is not settled; it is tried again soon, and not with every hint.
                self.due.pause(&name, now() + due::SWEEP_MIN);
                self.fails(Some(name.clone()), &error);
            }
        }
        self.swept(Some(&name));
    }

    /// A turn of a sweep is over; the last one says how long it took.
    fn swept(&mut self, name: Option<&FleetRolloutName>) {
        let Some(sweep) = &mut self.sweep else { return };
        if let Some(name) = name {
            sweep.left.remove(name);
        }
        if sweep.left.is_empty() {
            let now = now();
            self.due
                .swept(now.saturating_duration_since(sweep.began), now);
            self.sweep = None;
        }
    }

    fn fails(&mut self, what: Option<FleetRolloutName>, error: &Error) {
        let first = self.failing.is_empty();
        let shown = what
            .as_ref()
            .map_or("the list of them", FleetRolloutName::as_str);
        if first {
            tracing::error!(fleet_rollout = shown, %error, "it cannot be decided; streams are kept, and it is tried again and again");
        } else {
            tracing::debug!(fleet_rollout = shown, %error, "nor can this one");
        }
        self.failing.insert(what);
    }

    fn answers(&mut self, what: Option<&FleetRolloutName>) {
        if self.failing.remove(&what.cloned()) && self.failing.is_empty() {
            tracing::info!("the database answers again; deciding goes on");
        }
    }
}

#[cfg(test)]
mod tests;
