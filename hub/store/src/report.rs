//! Agents' reports. In: batches of one session. Out: how far they are committed. It must not commit for a session that is
//! over (gate.md L3), nor store one twice.

use hub_engine::observed::{Effect, Outcome, Rollout};
use hub_engine::release::Content;
use hub_engine::{ClusterName, RolloutName};
use jiff::Timestamp;

use crate::Store;
use crate::error::Error;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rising by one in its session.
    pub sequence: u64,
    /// By the agent's clock; for people only.
    pub at: Timestamp,
    /// W3C traceparent, or empty.
    pub traceparent: String,
    /// Which Rollout.
    pub rollout: RolloutName,
    /// What happened.
    pub body: Body,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The latest state.
    State(Rollout),
    /// The content changed while the agent was connected.
    Changed {
        /// What was there; none: the Rollout was new.
        was: Option<Content>,
        /// What is there.
        now: Content,
    },
    /// A permit took effect.
    Effect {
        /// The permit's release, as the agent wrote it.
        release: String,
        /// Which permit, and when.
        effect: Effect,
    },
    /// A permit ended.
    Outcome(Outcome),
    /// Someone promoted, retried, aborted …
    Verb {
        /// Which.
        verb: String,
        /// Whether the gate held it.
        held: bool,
        /// The agent's sentence.
        message: String,
    },
    /// The object is gone.
    Removed,
}

/// How storing a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Everything up to this sequence is committed.
    UpTo(u64),
    /// The session is over; nothing was stored, end its stream.
    SessionOver,
}

impl Store {
    /// Stores a batch in one transaction; reports that are stored already are passed over.
    ///
    /// # Errors
    /// `Unavailable` and what the database refuses.
    pub async fn report_store(&self, _cluster: &ClusterName, _session: u64, _reports: &[Report]) -> Result<Stored, Error> {
        Err(crate::store::later())
    }
}
