//! What happened when, on the agents' side of the wire. In: calls of the simulated agents. Out: times, in seconds or as
//! ranks. It must not ask the hub anything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// Shared by all agents of a story.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    /// Of each Rollout: reports that a permit has to follow, in their order.
    freed: BTreeMap<String, VecDeque<Instant>>,
    /// From such a report until the permit that it made possible was at its agent, seconds.
    decisions: Vec<f64>,
    /// Of each Rollout: the first report of the new version and the newest committed outcome.
    releases: BTreeMap<String, Span>,
    /// Agents that hold their whole set since the mark, and when.
    synced: BTreeMap<String, Instant>,
    permits: u64,
    sessions: u64,
    broken: u64,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    begin: Instant,
    end: Option<Instant>,
    outcomes: usize,
}

/// The ranks of some times, seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Ranks {
    /// How many.
    pub count: usize,
    /// Half are below.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// The longest.
    pub most: f64,
}

impl Ranks {
    /// Of these times.
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let rank = |share: f64| {
            let index = (times.len() as f64 * share).ceil() as usize;
            times.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        Self {
            count: times.len(),
            p50: rank(0.5),
            p90: rank(0.9),
            p99: rank(0.99),
            most: times.last().copied().unwrap_or(0.0),
        }
    }
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Each entry is one assignment, so a task that died inside has left the book whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent says that a Rollout has other content.
    pub fn changed(&self, rollout: &str) {
        let now = Instant::now();
        self.book()
            .releases
            .entry(rollout.to_owned())
            .or_insert(Span {
                begin: now,
                end: None,
                outcomes: 0,
            });
    }

    /// An agent has sent an outcome: a permit for another one may follow.
    pub fn freed(&self, rollout: &str) {
        let now = Instant::now();
        self.book()
            .freed
            .entry(rollout.to_owned())
            .or_default()
            .push_back(now);
    }

    /// A permit has come to its agent.
    pub fn permitted(&self, rollout: &str) {
        let now = Instant::now();
        let mut book = self.book();
        book.permits += 1;
        let freed = book.freed.get_mut(rollout).and_then(VecDeque::pop_front);
        if let Some(freed) = freed {
            let waited = now.duration_since(freed).as_secs_f64();
            book.decisions.push(waited);
        }
    }

    /// The hub has said that an outcome is committed.
    pub fn committed(&self, rollout: &str) {
        let now = Instant::now();
        if let Some(span) = self.book().releases.get_mut(rollout) {
            span.end = Some(now);
            span.outcomes += 1;
        }
    }

    /// An agent has a session and the whole set of it.
    pub fn synced(&self, cluster: &str) {
        let now = Instant::now();
        self.book().synced.entry(cluster.to_owned()).or_insert(now);
    }

    /// A session has begun, or one has ended by itself.
    pub fn session(&self, begun: bool) {
        let mut book = self.book();
        if begun {
            book.sessions += 1;
        } else {
            book.broken += 1;
        }
    }

    /// Agents count as synced only from now on.
    pub fn mark(&self) {
        self.book().synced.clear();
    }

    /// How many are synced since the mark.
    pub fn synced_count(&self) -> usize {
        self.book().synced.len()
    }

    /// How long each took since `begin`.
    pub fn sync_times(&self, begin: Instant) -> Ranks {
        let book = self.book();
        let times = book
            .synced
            .values()
            .map(|at| at.duration_since(begin).as_secs_f64());
        Ranks::of(times.collect())
    }

    /// Outcomes that are committed, of all Rollouts.
    pub fn outcomes(&self) -> usize {
        self.book()
            .releases
            .values()
            .map(|span| span.outcomes)
            .sum()
    }

    /// How long each release took, from the first report of its version to its last committed outcome, seconds.
    pub fn releases(&self) -> Vec<f64> {
        let book = self.book();
        let spans = book.releases.values();
        spans
            .filter_map(|span| Some(span.end?.duration_since(span.begin).as_secs_f64()))
            .collect()
    }

    /// From what made a permit possible until it was there.
    pub fn decisions(&self) -> Ranks {
        Ranks::of(self.book().decisions.clone())
    }

    /// Permits that came, sessions that began, sessions that broke.
    pub fn counts(&self) -> (u64, u64, u64) {
        let book = self.book();
        (book.permits, book.sessions, book.broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_few_and_of_many() {
        assert_eq!(Ranks::of(Vec::new()).most, 0.0);
        let ranks = Ranks::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            (ranks.p50, ranks.p90, ranks.p99, ranks.most),
            (50.0, 90.0, 99.0, 100.0)
        );
    }

    #[test]
    fn a_permit_is_matched_with_the_oldest_outcome_of_its_rollout() {
        let ledger = Ledger::default();
        ledger.permitted("a");
        assert_eq!(
            ledger.decisions().count,
            0,
            "the first ones follow a change, not an outcome"
        );
        ledger.freed("a");
        ledger.permitted("b");
        ledger.permitted("a");
        ledger.permitted("a");
        assert_eq!(ledger.decisions().count, 1);
    }

    #[test]
    fn a_release_ends_with_its_last_outcome() {
        let ledger = Ledger::default();
        ledger.committed("a");
        ledger.changed("a");
        assert!(ledger.releases().is_empty());
        ledger.committed("a");
        assert_eq!((ledger.releases().len(), ledger.outcomes()), (1, 1));
    }
}
