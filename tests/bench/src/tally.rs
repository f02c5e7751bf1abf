//! Requests, counted. In: requests of one controller. Out: how many of each verb on each object, how many wrote. It keeps
//! apart what was refused, and leaves leases out of the writes: whether one is held is a matter of flags.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::Request;

/// What was asked, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `rollouts/status`.
    pub target: String,
    /// The verb, `rehearse` for a write that is not to be stored.
    pub verb: String,
    /// HTTP status, of a request that was refused.
    pub refused: Option<u16>,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.target)?;
        match self.refused {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

/// How often what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<Asked, u64>,
    /// Requests that wrote or tried to.
    pub writes: u64,
    /// Those of them that were not events.
    pub object_writes: u64,
}

impl Tally {
    /// Counts requests.
    pub fn of<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Self {
        let mut tally = Self::default();
        for request in requests {
            tally.add(request);
        }
        tally
    }

    fn add(&mut self, request: &Request) {
        let verb = if request.rehearsal {
            "rehearse"
        } else {
            &request.verb
        };
        let asked = Asked {
            target: request.target.clone(),
            verb: verb.to_owned(),
            refused: (!request.succeeded()).then_some(request.code),
        };
        if request.writes() && request.target != "leases" {
            self.writes += 1;
            self.object_writes += u64::from(request.target != "events");
        }
        *self.counts.entry(asked).or_default() += 1;
    }

    /// Every kind of request with its number.
    pub fn iter(&self) -> impl Iterator<Item = (&Asked, u64)> {
        self.counts.iter().map(|(asked, count)| (asked, *count))
    }

    /// How many requests of a verb on a target were answered with what was asked for.
    pub fn count(&self, verb: &str, target: &str) -> u64 {
        let of_it = self.iter().filter(|(asked, _)| {
            asked.verb == verb && asked.target == target && asked.refused.is_none()
        });
        of_it.map(|(_, count)| count).sum()
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (asked, count) in other.iter() {
            *both.counts.entry(asked.clone()).or_default() += count;
        }
        both.writes += other.writes;
        both.object_writes += other.object_writes;
        both
    }
}

impl Serialize for Tally {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(asked, count)| (asked.to_string(), count)))
    }
}
