//! One cluster and the agent in it. In: messages of the hub, what the API server has. Out: plans carried out on the model
//! cluster, messages to the hub. The shell here follows `agent/src`: the queue of reports, leases, sets, the permit's
//! signature and every conversion are the agent's own; what only does I/O there is a few lines here. It must not decide.

mod pass;
mod records;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use agent::key::ObjectKey;
use agent::lease_clock::{LeaseClock, Moment};
use agent::link::report::Reports;
use agent::link::set::{Held, Taken};
use agent_api::names::LABEL_POD_HASH;
use agent_api::{AnalysisPhase, AnalysisRunStatus, FleetMemberStatus, Outcome, RolloutStatus};
use agent_engine::{GateRecord, HubContact, Observed};
use hub_engine::ClusterName;
use proto::v1;
use tests_golden::agent_cluster::Cluster;
use tests_golden::agent_fixture::template;

use crate::event::{Down, Ms};
use crate::world::stamp;

pub use pass::Passed;
pub use records::Cut;

/// What the watches have brought.
#[derive(Debug, Clone)]
pub struct Cache {
    observed: Observed,
    member: Option<FleetMemberStatus>,
    rollout_version: u64,
    gate_version: u64,
    own_writes: u64,
}

/// What is gone with the process.
#[derive(Debug, Clone)]
pub struct Process {
    /// What the hub is to be told.
    pub reports: Reports,
    leases: LeaseClock,
    /// Contact with the hub.
    pub contact: HubContact,
    held: Held,
    cache: Option<Cache>,
    /// Every Rollout had its first whole pass: the hub may be dialled.
    pub first_done: bool,
    /// The connection and, once Welcome was said, the session.
    pub link: Option<(u64, Option<u64>)>,
    /// The planted bug: an outcome that no record has.
    pub remembered: Option<Outcome>,
}

impl Process {
    fn new() -> Self {
        Self {
            reports: Reports::new(true),
            leases: LeaseClock::default(),
            contact: HubContact::Never,
            held: Held::default(),
            cache: None,
            first_done: false,
            link: None,
            remembered: None,
        }
    }
}

/// The cluster and its agent.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The name in its certificate.
    pub name: ClusterName,
    /// Of the kube-system namespace.
    pub uid: String,
    /// What the API server has: Rollout, ReplicaSets, Gate, kept contents.
    pub cluster: Cluster,
    /// The FleetMember's status.
    pub member: Option<FleetMemberStatus>,
    /// Versions of the Rollout that others than the agent wrote.
    pub rollout_version: u64,
    /// Versions of the Gate.
    pub gate_version: u64,
    /// Writes of the agent.
    pub own_writes: u64,
    /// The process, while it runs.
    pub process: Option<Process>,
    /// Rises with every start.
    pub life: u64,
    /// The wall clock against the true time.
    pub skew: Ms,
    /// Where the monotonic clock begins.
    pub base: Instant,
    /// Its Rollout is deleted.
    pub gone: bool,
    /// How often its Rollout was made again.
    pub made: u64,
    /// It reaches no hub until then.
    pub alone_until: Ms,
    /// Its analyses take until then at least.
    pub slow_until: Ms,
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
    cluster: Cluster,
    member: Option<FleetMemberStatus>,
    gone: bool,
}

impl Agent {
    /// The process starts, with nothing but what the API server has.
    pub fn start(&mut self) {
        self.life += 1;
        self.process = Some(Process::new());
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

    /// The one Rollout.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.cluster.observed.rollout.metadata)
    }

    /// The Gate, if it is there.
    #[must_use]
    pub fn gate(&self) -> Option<&agent_api::Gate> {
        self.cluster.observed.gate.gate()
    }

    /// A client or the applier has written the Rollout.
    pub fn rollout_written(&mut self) {
        self.rollout_version += 1;
    }

    /// Whether a permit to go forward has taken effect here and has not ended.
    #[must_use]
    pub fn under_way(&self) -> bool {
        let Some(gate) = self.gate() else {
            return false;
        };
        let status = gate.status.as_ref();
        let effect = status.and_then(|status| status.effective.as_ref());
        let outcome = status.and_then(|status| status.outcome.as_ref());
        let ended = outcome.map(|outcome| outcome.fence);
        gate.spec.permit.as_ref().is_some_and(|permit| {
            permit.direction == agent_api::Direction::Forward
                && effect.is_some_and(|effect| effect.fence == permit.fence)
                && ended != Some(permit.fence)
        })
    }

    /// Somebody deletes the Gate.
    pub fn delete_gate(&mut self) -> bool {
        let there = self.gate().is_some();
        self.cluster.observed.gate.record = GateRecord::Missing;
        self.gate_version += 1;
        there
    }

    /// Somebody deletes the Rollout, and with it go its ReplicaSets and runs.
    pub fn delete_rollout(&mut self) {
        self.gone = true;
        let observed = &mut self.cluster.observed;
        observed.replica_sets.clear();
        observed.analysis_runs.clear();
        self.rollout_version += 1;
        let uid = observed.rollout.metadata.uid.clone().unwrap_or_default();
        let key = self.key();
        if let Some(process) = &self.process {
            process.reports.removed(&key, &uid);
        }
    }

    /// A copy of what the API server has.
    #[must_use]
    pub fn copied(&self) -> Copied {
        Copied {
            cluster: self.cluster.clone(),
            member: self.member.clone(),
            gone: self.gone,
        }
    }

    /// Put back from a copy; nothing that was seen of it before holds any more.
    pub fn put_back(&mut self, copy: Copied) {
        self.cluster = copy.cluster;
        self.member = copy.member;
        self.gone = copy.gone;
        self.rollout_version += 1;
        self.gate_version += 1;
        self.own_writes += 1;
    }

    /// The watches bring what there is.
    pub fn watch(&mut self, now: Ms) {
        self.cluster.observed.now = stamp(now);
        self.cluster.look();
        let cache = Cache {
            observed: self.cluster.observed.clone(),
            member: self.member.clone(),
            rollout_version: self.rollout_version,
            gate_version: self.gate_version,
            own_writes: self.own_writes,
        };
        if let Some(process) = &mut self.process {
            process.cache = Some(cache);
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
        }
        true
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

    /// The measurements' verdict on every run that goes on: which content is bad. What ended, and how.
    pub fn runs_end(&mut self, bad: impl Fn(&str) -> bool) -> Vec<String> {
        let mut ended = Vec::new();
        for run in &mut self.cluster.observed.analysis_runs {
            let phase = run.status.as_ref().and_then(|status| status.phase);
            if phase.is_some_and(AnalysisPhase::is_completed) {
                continue;
            }
            let labels = run.metadata.labels.as_ref();
            let of = labels.and_then(|all| all.get(LABEL_POD_HASH));
            let stopped = run.spec.terminate == Some(true);
            let phase = if !stopped && of.is_some_and(|hash| bad(hash)) {
                AnalysisPhase::Failed
            } else {
                AnalysisPhase::Successful
            };
            run.status = Some(AnalysisRunStatus {
                phase: Some(phase),
                ..AnalysisRunStatus::default()
            });
            let name = run.metadata.name.clone().unwrap_or_default();
            ended.push(format!("{name} {phase:?}"));
        }
        ended
    }

    /// Git's applier brings a version.
    pub fn applied(&mut self, version: &str, revision: &str) {
        let rollout = &mut self.cluster.observed.rollout;
        let template = template(version);
        if rollout.spec.template.as_ref() != Some(&template) {
            rollout.spec.template = Some(template);
            let generation = &mut rollout.metadata.generation;
            *generation = Some(generation.unwrap_or(0) + 1);
        }
        rollout.metadata.annotations.get_or_insert_default().insert(
            "fleet.groundswell.dev/revision".to_owned(),
            revision.to_owned(),
        );
        self.rollout_written();
    }

    /// Everything that what it does next depends on, as text: two agents with the same one do the same. Counters that only tell
    /// one write from another are not in it, nor are numbers and times of reports.
    #[must_use]
    pub fn outline(&self) -> String {
        let Self {
            cluster, member, ..
        } = self;
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
                first_done,
                link,
                remembered,
                ..
            } = process;
            format!(
                "{unsaid:?} {states:?} {leases:?} {contact:?} {held:?} {first_done} {link:?} {remembered:?}"
            )
        });
        let made = cluster.made.len();
        format!("{member:?} {made} {:?} {process:?}", cluster.observed)
    }

    /// The status, the default before the first pass.
    #[must_use]
    pub fn status(&self) -> RolloutStatus {
        self.cluster.status()
    }
}
