//! One state of the small world, and what can happen in it. In: nothing. Out: plain values. It must not hold what a part
//! holds: parts are named by their place among all parts that were ever seen.

/// Clusters of the small world: one in the first wave, the others in the second.
pub const CLUSTERS: usize = 3;
/// Its hubs.
pub const HUBS: usize = 2;
/// Each cluster has one Rollout.
pub(super) const PART: usize = 0;

/// What may still break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// A process dies: a hub, or an agent at any of its writes.
    pub crashes: u8,
    /// A stream breaks, with what is on it.
    pub losses: u8,
    /// A set comes once more, at any later time.
    pub copies: u8,
    /// Nobody does anything until the next deadline is over.
    pub delays: u8,
}

/// The small world at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// The database and its time.
    pub(super) tables: u32,
    /// The tables that a decision of the leader on its way to the commit was made from.
    pub(super) draft: Option<u32>,
    /// Each cluster with its agent.
    pub(super) agents: [u32; CLUSTERS],
    /// The set that is on its way to each.
    pub(super) down: [Option<u32>; CLUSTERS],
    /// The version that was sent last in the session of each.
    pub(super) sent: [Option<u16>; CLUSTERS],
    /// A copy of a set, to whom.
    pub(super) copy: Option<(u8, u32)>,
    /// Reports of a session whose stream broke, by whom.
    pub(super) old: Option<(u8, u32)>,
    pub(super) left: Left,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The other hub takes the lease: it has run out, whether the leader knows or not.
    Take,
    /// The leader looks and decides.
    Decide,
    /// What it decided reaches the commit.
    Commit,
    /// The hub of a cluster's stream sends what is committed.
    Send(usize),
    /// A set reaches an agent, which stores it, says so and does what it may.
    Deliver(usize),
    /// An agent does what it may, until it has to wait.
    Act(usize),
    /// Its analysis ends.
    Verdict(usize, bool),
    /// What it has to say is committed and acknowledged.
    Report(usize),
    /// A heartbeat renews its lease.
    Beat(usize),
    /// It dials.
    Connect(usize),
    /// The hub learns that its stream is gone.
    Notice(usize),
    /// The bake of a wave is over.
    Baked,
    /// The lease of a cluster without a stream is over.
    LeaseEnds(usize),
    /// A stream breaks.
    Lose(usize),
    /// The reports reach the hub, the stream breaks under the answer.
    Unanswered(usize),
    /// Reports of a broken stream arrive after all.
    Late,
    /// A set on its way is copied.
    Copy(usize),
    /// A copy arrives.
    CopyComes,
    /// A deadline is over before anybody did anything.
    Delay,
    /// An agent dies at this write, and is started again.
    AgentDies(usize, usize),
    /// An agent dies while it stores a set: before the fence, or before the answer.
    DiesStoring(usize, usize),
    /// A hub dies with its streams, and is started again: the leader, or the other one.
    HubDies(usize, bool),
}

impl Move {
    /// Whether it brings things on by itself: without such a move the world has come to rest. Leadership alone moves nothing.
    pub(super) fn is_work(self) -> bool {
        match self {
            Self::Decide
            | Self::Commit
            | Self::Send(_)
            | Self::Deliver(_)
            | Self::Act(_)
            | Self::Verdict(..)
            | Self::Report(_)
            | Self::Beat(_)
            | Self::Connect(_)
            | Self::Notice(_)
            | Self::Baked => true,
            Self::Take
            | Self::LeaseEnds(_)
            | Self::Lose(_)
            | Self::Unanswered(_)
            | Self::Late
            | Self::Copy(_)
            | Self::CopyComes
            | Self::Delay
            | Self::AgentDies(..)
            | Self::DiesStoring(..)
            | Self::HubDies(..) => false,
        }
    }
}
