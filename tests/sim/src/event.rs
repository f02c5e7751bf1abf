//! What is still to happen. In: events with their time. Out: the next one; of two at one time the one that was put first.
//! It must not draw random numbers.

use std::collections::BTreeMap;

use hub_engine::{Observed, Plan};
use proto::v1;

use crate::agent::{Answer, Asked, Stopped};

/// Milliseconds since the beginning.
pub type Ms = i64;

/// A Rollout in a cluster: which cluster, and which of its Rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The cluster, and its agent.
    pub agent: usize,
    /// The Rollout: it has the same number in every cluster.
    pub part: usize,
}

/// Something that is to happen.
#[derive(Debug)]
pub enum Event {
    /// A hub's clock ticks.
    HubTick {
        /// Which hub, in which of its lives.
        hub: usize,
        life: u64,
    },
    /// A hub that was stopped by its machine goes on.
    Thaw {
        /// Which hub, in which of its lives.
        hub: usize,
        life: u64,
    },
    /// A deciding transaction reaches its commit.
    Commit {
        /// Which hub, in which of its lives.
        hub: usize,
        life: u64,
        /// What was decided, on what.
        draft: Box<Draft>,
    },
    /// A process starts.
    HubStart(usize),
    /// A process starts.
    AgentStart(usize),
    /// An agent looks at a Rollout.
    Pass {
        /// Which, and in which life of the agent.
        place: Place,
        life: u64,
    },
    /// A watch brings an agent what its API server has of a Rollout, and the member record.
    Watch {
        /// Which, and in which life of the agent.
        place: Place,
        life: u64,
    },
    /// An agent dials a hub.
    Dial {
        /// Which agent, in which of its lives.
        agent: usize,
        life: u64,
    },
    /// An agent's certificate is to be renewed.
    Renew {
        /// Which agent, in which of its lives.
        agent: usize,
        life: u64,
    },
    /// A heartbeat is due.
    Beat {
        /// Which agent, on which connection.
        agent: usize,
        connection: u64,
    },
    /// A message reaches a hub.
    Up {
        /// On which connection.
        connection: u64,
        message: Up,
    },
    /// A message reaches an agent.
    Down {
        /// On which connection.
        connection: u64,
        message: Down,
    },
    /// An end of a connection learns that the other is gone.
    Broken {
        /// Which connection.
        connection: u64,
        /// The agent's end.
        agent_end: bool,
    },
    /// A process of an agent that was stopped goes on.
    GoesOn {
        /// Which agent's.
        agent: usize,
        /// What it had still to write.
        left: Box<Stopped>,
        /// When it renewed its Lease last.
        renewed: Ms,
    },
    /// Pods of a Rollout come and go.
    Kubelet(Place),
    /// A server answers what a run has asked, or is waited for no longer.
    Answered {
        /// Of which Rollout, in which life of the agent.
        place: Place,
        life: u64,
        /// What.
        asked: Box<Asked>,
        answer: Answer,
    },
    /// Analysis runs of a Rollout end.
    RunsEnd(Place),
    /// An agent has written the Gates of a set and now writes its fence.
    Fence {
        /// Which agent, in which of its lives.
        agent: usize,
        life: u64,
    },
    /// A Rollout that was deleted is made again.
    RolloutMade(Place),
    /// Git gets something new for one Rollout.
    Push(usize),
    /// The applier brings one Rollout in one cluster what Git has.
    Applied {
        /// Which.
        place: Place,
        /// The version.
        version: String,
        revision: String,
    },
    /// The applier brings what is older than what it brought last.
    AppliedLate {
        /// Which.
        place: Place,
        /// The version.
        version: String,
        revision: String,
    },
    /// A person does something.
    Person,
    /// A person applies a document that only observed, so that it holds from then on.
    Enforced(usize),
    /// Something breaks.
    Fault,
    /// Postgres answers again.
    DatabaseUp,
    /// The database is put back from the copy of a moment ago.
    MomentLost,
    /// The database is put back from a copy of before it was recovered.
    OlderCopy,
    /// A cluster is put back to before the end of a permit.
    EndLost(usize),
    /// Nothing breaks any more.
    Calm,
    /// A person stops, or aborts, while nothing breaks.
    Alarm,
}

/// A decision on its way to the commit.
#[derive(Debug)]
pub struct Draft {
    /// About which FleetRollout.
    pub fleet: usize,
    /// In which epoch it was made.
    pub epoch: i64,
    /// The number of commits about it that its snapshot has.
    pub snapshot: u64,
    /// What it was made from.
    pub observed: Observed,
    /// What it is.
    pub plan: Plan,
}

/// From agent to hub.
#[derive(Debug, Clone)]
pub enum Up {
    /// First.
    Hello(Box<v1::Hello>),
    /// Reports.
    Reports(v1::ReportBatch),
    /// A set was stored, or not.
    Ack(v1::Ack),
    /// A heartbeat.
    Beat,
}

/// From hub to agent.
#[derive(Debug, Clone)]
pub enum Down {
    /// First: the session, the newest row of the history, and the database's time.
    Welcome(u64, (usize, String), Ms),
    /// What should be held.
    Set(v1::DesiredSet),
    /// Reports are committed.
    ReportAck(u64),
    /// Leases are renewed, at this time of the database's.
    Renewal(v1::Fence, Ms),
    /// The stream ends; later: not before a while.
    Refusal {
        /// It will be refused again.
        later: bool,
    },
}

/// Everything that is still to happen.
#[derive(Debug, Default)]
pub struct Queue {
    events: BTreeMap<(Ms, u64), Event>,
    count: u64,
}

impl Queue {
    /// Puts an event.
    pub fn put(&mut self, at: Ms, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// Takes the next one.
    pub fn take(&mut self) -> Option<(Ms, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing is to happen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
