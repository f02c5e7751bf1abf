//! One cluster, its Rollouts and the agent in it. In: messages of the hub, what the API server has. Out: plans carried out on
//! the model cluster, messages to the hub. Rollouts have Gates, caches and passes of their own; the fence, the session, the
//! queue of reports and the member record are the cluster's. The shell here follows `agent/src`: the queue of reports, leases, sets, the permit's
//! signature and every conversion are the agent's own; what only does I/O there is a few lines here. It must not decide.

mod measured;
mod misread;
mod part;
mod pass;
mod records;
mod stopped;
mod told;
mod unread;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use agent::hub_clock::HubClock;
use agent::key::ObjectKey;
use agent::lease_clock::{LeaseClock, Moment};
use agent::link::report::Reports;
use agent::link::set::{Held, Taken};
use agent::moments::Moments;
use agent_api::{Fence, FleetMemberStatus, Outcome};
use agent_engine::{HubContact, Observed};
use hub_engine::ClusterName;
use proto::v1;

use crate::event::{Down, Ms};
use crate::world::{millis, stamp};

pub use measured::{Answer, Asked, Ended, Measuring, goes_on};
pub use part::Part;
pub use pass::Passed;
pub use records::Cut;
pub use stopped::{LEASE, Stopped};

/// What the watches have brought for one Rollout.
#[derive(Debug, Clone)]
pub struct Cache {
    observed: Observed,
    member: Option<FleetMemberStatus>,
    rollout_version: u64,
    gate_version: u64,
    own_writes: u64,
    member_writes: u64,
}

/// What is gone with the process, of one Rollout.
#[derive(Debug, Clone, Default)]
pub struct Known {
    cache: Option<Cache>,
    /// It had its first whole pass.
    pub first_done: bool,
    /// The planted bug: an outcome that no record has.
    pub remembered: Option<Outcome>,
    /// Another one: a content, and the revision that it came under first.
    first: Option<(String, String)>,
}

/// What is gone with the process.
#[derive(Debug, Clone)]
pub struct Process {
    /// What the hub is to be told.
    pub reports: Reports,
    leases: LeaseClock,
    /// The hub's time.
    pub hub_clock: HubClock,
    moments: Moments,
    /// What is being measured, by Rollout and run.
    pub measuring: BTreeMap<(usize, String), Measuring>,
    /// Contact with the hub.
    pub contact: HubContact,
    /// How far the wall clock was set when that was lost.
    skew_then: Ms,
    held: Held,
    /// The connection and, once Welcome was said, the session.
    pub link: Option<(u64, Option<u64>)>,
    /// By Rollout.
    pub known: Vec<Known>,
}

impl Process {
    fn new(parts: usize) -> Self {
        Self {
            reports: Reports::new(true),
            leases: LeaseClock::default(),
            hub_clock: HubClock::default(),
            moments: Moments::default(),
            measuring: BTreeMap::new(),
            contact: HubContact::Never,
            skew_then: 0,
            held: Held::default(),
            link: None,
            known: vec![Known::default(); parts],
        }
    }

    /// Every Rollout had its first whole pass: the hub may be dialled.
    #[must_use]
    pub fn first_done(&self) -> bool {
        self.known.iter().all(|known| known.first_done)
    }
}

/// The cluster and its agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The name in its certificate.
    pub name: ClusterName,
    /// Of the kube-system namespace.
    pub uid: String,
    /// Its Rollouts and what belongs to them.
    pub parts: Vec<Part>,
    /// The FleetMember's status.
    pub member: Option<FleetMemberStatus>,
    /// Writes of the agent to it.
    pub member_writes: u64,
    /// The process, while it runs.
    pub process: Option<Process>,
    /// Rises with every start.
    pub life: u64,
    /// The wall clock against the true time.
    pub skew: Ms,
    /// Where the monotonic clock begins.
    pub base: Instant,
    /// It reaches no hub until then.
    pub alone_until: Ms,
    /// Its analyses take until then at least.
    pub slow_until: Ms,
    /// Its API server does not say until then whether the fleet's kinds are there.
    pub unknown_until: Ms,
    /// It has the policy that admits break-glass from those with the right alone.
    pub glass_admitted: bool,
    /// A set whose Gates are written and whose fence is not, and what came meanwhile.
    pub pending: Option<Pending>,
}

/// A set that is half stored: its connection, and what the hub sent meanwhile.
#[derive(Debug, Clone)]
pub struct Pending {
    /// By which it came.
    pub connection: u64,
    taken: Taken,
    /// In order.
    pub later: VecDeque<Down>,
}

/// A copy of everything that a cluster's API server has.
#[derive(Debug, Clone)]
pub struct Copied {
    parts: Vec<Part>,
    member: Option<FleetMemberStatus>,
}

impl Copied {
    /// The fence that was stored.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.member.as_ref().map(|member| member.fence)
    }
}

impl Agent {
    /// The process starts, with nothing but what the API server has.
    pub fn start(&mut self) {
        self.life += 1;
        self.process = Some(Process::new(self.parts.len()));
    }

    /// The process dies.
    pub fn die(&mut self) {
        self.pending = None;
        self.process = None;
    }

    /// Both clocks.
    #[must_use]
    pub fn moment(&self, now: Ms, by_wall: bool) -> Moment {
        let wall = now + self.skew;
        let mono = if by_wall { wall } else { now };
        // An hour before the beginning, so that a clock that is set back stays in range.
        let since = u64::try_from(mono + 3 * 3_600_000).unwrap_or(0);
        Moment {
            now: stamp(wall),
            mono: self
                .base
                .checked_add(Duration::from_millis(since))
                .unwrap_or(self.base),
        }
    }

    /// Whether what a pass of a Rollout is made from is what others have written last.
    #[must_use]
    pub fn saw_what_git_has(&self, part: usize) -> bool {
        let known = self.process.as_ref().map(|process| &process.known[part]);
        let cache = known.and_then(|known| known.cache.as_ref());
        cache.is_some_and(|cache| cache.rollout_version == self.parts[part].rollout_version)
    }

    /// Whether the API server has not said yet if the fleet's kinds are there.
    #[must_use]
    pub fn kinds_unknown(&self, now: Ms) -> bool {
        now < self.unknown_until
    }

    /// Whether a permit to go forward has taken effect in a Rollout here and has not ended.
    #[must_use]
    pub fn under_way(&self) -> bool {
        self.parts.iter().any(Part::under_way)
    }

    /// Which of its Rollouts has this name.
    #[must_use]
    pub fn part_of(&self, key: &ObjectKey) -> Option<usize> {
        self.parts.iter().position(|part| part.key() == *key)
    }

    /// Somebody deletes a Rollout, and with it go its ReplicaSets and runs.
    pub fn delete_rollout(&mut self, part: usize) {
        let own = &mut self.parts[part];
        own.delete_rollout();
        let uid = own.uid();
        if let Some(process) = &self.process {
            process.reports.removed(&own.key(), &uid);
        }
    }

    /// A copy of what the API server has.
    #[must_use]
    pub fn copied(&self) -> Copied {
        Copied {
            parts: self.parts.clone(),
            member: self.member.clone(),
        }
    }

    /// Put back from a copy; nothing that was seen of it before holds any more.
    pub fn put_back(&mut self, copy: Copied) {
        for (own, copy) in self.parts.iter_mut().zip(copy.parts) {
            own.put_back(copy);
        }
        self.member = copy.member;
        self.member_writes += 1;
    }

    /// The watches bring what there is of a Rollout.
    pub fn watch(&mut self, part: usize, now: Ms) {
        let own = &mut self.parts[part];
        own.cluster.observed.now = stamp(now);
        own.cluster.look();
        let cache = Cache {
            observed: own.cluster.observed.clone(),
            member: self.member.clone(),
            rollout_version: own.rollout_version,
            gate_version: own.gate_version,
            own_writes: own.own_writes,
            member_writes: self.member_writes,
        };
        if let Some(process) = &mut self.process {
            process.known[part].cache = Some(cache);
        }
    }

    /// What it says first.
    #[must_use]
    pub fn hello(&self) -> v1::Hello {
        let stored = self.member.as_ref();
        let rollouts = self
            .process
            .as_ref()
            .map(|process| process.reports.begin())
            .unwrap_or_default();
        v1::Hello {
            kube_system_uid: self.uid.clone(),
            fence: Some(agent::wire::fence_to_wire(
                stored.map(|status| status.fence).unwrap_or_default(),
            )),
            set_hash: stored
                .and_then(|status| status.set_hash.clone())
                .unwrap_or_default(),
            rollouts,
            ..v1::Hello::default()
        }
    }

    /// The stream is up.
    pub fn welcome(&mut self, connection: u64, session: u64) {
        if let Some(process) = &mut self.process {
            process.contact = HubContact::Connected;
            process.held = Held::default();
            process.link = Some((connection, Some(session)));
        }
    }

    /// Whether the process hears a hub.
    pub fn is_connected(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.contact == HubContact::Connected)
    }

    /// The stream is down, if it was this one.
    pub fn lost(&mut self, connection: u64, now: Ms) -> bool {
        let since = stamp(now + self.skew);
        let Some(process) = &mut self.process else {
            return false;
        };
        if process.link.is_none_or(|(known, _)| known != connection) {
            return false;
        }
        process.link = None;
        if process.contact == HubContact::Connected {
            process.contact = HubContact::Lost { since };
            process.skew_then = self.skew;
        }
        true
    }

    /// Contact with the hub, by the clock as it is set now.
    fn contact(&self) -> HubContact {
        match self
            .process
            .as_ref()
            .map(|own| (own.contact, own.skew_then))
        {
            None => HubContact::Never,
            Some((HubContact::Lost { since }, then)) => HubContact::Lost {
                since: stamp(millis(since) + self.skew - then),
            },
            Some((contact @ (HubContact::Connected | HubContact::Never), _)) => contact,
        }
    }

    /// Leases up to a fence are renewed.
    pub fn renew(&mut self, fence: &v1::Fence, moment: Moment) {
        if let Some(process) = &mut self.process {
            process
                .leases
                .renew(agent::wire::fence(Some(fence)), moment);
        }
    }

    /// The next batch of reports for the session.
    #[must_use]
    pub fn batch(&self) -> Option<(u64, v1::ReportBatch)> {
        let process = self.process.as_ref()?;
        let (connection, session) = process.link?;
        Some((connection, process.reports.batch(session?)?))
    }

    /// Everything that what it does next depends on, as text: two agents with the same one do the same. Counters that only tell
    /// one write from another are not in it, nor are numbers and times of reports.
    #[must_use]
    pub fn outline(&self) -> String {
        let Self { parts, member, .. } = self;
        let process = self.process.as_ref().map(|process| {
            let reports = process.reports.clone();
            // Without a stream the next thing that is said is a Hello, which begins the queue anew.
            let states = match process.link {
                Some(_) => reports.clone().begin(),
                None => reports.begin(),
            };
            let unsaid = reports.batch(0).unwrap_or_default().reports;
            let unsaid: Vec<_> = unsaid.into_iter().map(|one| one.body).collect();
            let Process {
                leases,
                contact,
                held,
                link,
                known,
                ..
            } = process;
            let known = known.iter().map(|one| (one.first_done, &one.remembered));
            let known: Vec<_> = known.collect();
            format!("{unsaid:?} {states:?} {leases:?} {contact:?} {held:?} {link:?} {known:?}")
        });
        let parts = parts.iter().map(|part| {
            let cluster = &part.cluster;
            (cluster.made.len(), &cluster.observed)
        });
        let parts: Vec<_> = parts.collect();
        format!("{member:?} {parts:?} {process:?}")
    }
}
