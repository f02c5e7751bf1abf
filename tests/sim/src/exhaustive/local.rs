//! One cluster and its agent, by themselves. In: what comes to it. Out: the same cluster afterwards, and what it says. The
//! agent is the simulation's, and with it the real engine, queue, leases and judgement of sets. It must not see the others.

use agent::lease_clock::Moment;
use agent_api::names::ANNOTATION_DIGEST;
use agent_api::{AnalysisPhase, OutcomeResult};
use hub_store::report::Report;
use proto::v1;

use super::state::PART;
use crate::agent::{Agent, Cut, Passed, Process};
use crate::check::{At, at};
use crate::event::Ms;
use crate::keys::Keys;
use crate::planted::{Bugs, Planted};

/// Passes after which an agent that is left alone must have come to rest.
const PASSES_MAX: usize = 60;
/// The other moment of an agent's clock: every lease from before is over, and no deadline of a Rollout is.
const AFTER_LEASE: Ms = 60_000;

/// The cluster; its time has two values.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) agent: Agent,
    pub(super) now: Ms,
}

/// What is true of a cluster, whatever the hub knows.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) session: Option<u64>,
    /// It had its first whole pass.
    pub(super) may_dial: bool,
    pub(super) analyses: bool,
    pub(super) says: bool,
    pub(super) fence: Option<At>,
    /// The permit that has taken effect.
    pub(super) effect: Option<At>,
    /// … and goes forward, and has not ended.
    pub(super) under_way: bool,
    pub(super) outcome: Option<(At, OutcomeResult)>,
    /// The content that it has told the hub of, by its own record.
    pub(super) told: Option<String>,
    /// Contents that have pods, or are to have some.
    pub(super) runs: Vec<String>,
    pub(super) enough: bool,
}

impl Local {
    pub(super) fn text(&self) -> String {
        format!("{} {} {}", self.agent.name, self.now, self.agent.outline())
    }

    fn moment(&self) -> Moment {
        self.agent.moment(self.now, false)
    }

    /// The process dies and is started again.
    pub(super) fn restart(&mut self) {
        self.agent.die();
        self.agent.start();
    }

    /// Passes, and pods that come at once, until nothing is written any more; what is wrong, if anything. `each` sees the
    /// cluster before every pass, and how often the pass writes.
    fn acts(
        &mut self,
        keys: &Keys,
        bugs: Bugs,
        mut each: impl FnMut(&Self, usize),
    ) -> Option<String> {
        let name = self.agent.name.clone();
        for _ in 0..PASSES_MAX {
            self.agent.watch(PART, self.now);
            let before = self.clone();
            let done = self.agent.pass(PART, self.now, None, keys, bugs);
            each(&before, done.writes.len());
            let violation = done.violations.first();
            let broken = violation.map(|one| format!("{}: {name}: {}", one.rule, one.detail));
            let refused = done.wrong.map(|wrong| format!("S15: {name}: {wrong}"));
            let ended = !matches!(done.passed, Passed::Whole(_));
            let ended = ended.then(|| format!("S15: {name}: somebody else wrote first"));
            let wrong = broken.or(refused).or(ended);
            let moved = self.pods();
            if wrong.is_some() || (done.writes.is_empty() && !moved) {
                if let Some(process) = &mut self.agent.process {
                    process.known[PART].first_done = true;
                }
                return wrong;
            }
        }
        Some(format!("L5: {name} does not come to rest"))
    }

    /// It does what it may, until it has to wait; what is wrong, if anything.
    pub(super) fn act(&self, keys: &Keys, bugs: Bugs) -> (Self, Option<String>) {
        let mut whole = self.clone();
        let wrong = whole.acts(keys, bugs, |_, _| {});
        (whole, wrong)
    }

    /// The same, but it dies at each of its writes in turn, and is started again.
    pub(super) fn cuts(&self, keys: &Keys, bugs: Bugs) -> Vec<Self> {
        let (mut whole, mut cuts) = (self.clone(), Vec::new());
        whole.acts(keys, bugs, |before, writes| {
            for cut in 0..writes {
                let mut dead = before.clone();
                dead.agent.pass(PART, dead.now, Some(cut), keys, bugs);
                dead.restart();
                cuts.push(dead);
            }
        });
        cuts
    }

    fn pods(&mut self) -> bool {
        let cluster = &mut self.agent.parts[PART].cluster;
        let before = cluster.observed.replica_sets.clone();
        cluster.tick(0, i32::MAX);
        before != cluster.observed.replica_sets
    }

    /// Every run that goes on ends.
    pub(super) fn verdict(&self, good: bool) -> Self {
        let mut next = self.clone();
        next.agent.parts[PART].runs_end(|_| !good);
        next
    }

    fn take(&self, set: &v1::DesiredSet, cut: Cut, bugs: Bugs) -> Option<(Self, Option<v1::Ack>)> {
        let connection = self.agent.process.as_ref()?.link?.0;
        let mut next = self.clone();
        let moment = next.moment();
        let ack = next.agent.take((connection, set), moment, cut, bugs);
        Some((next, ack))
    }

    /// A set comes, and is answered.
    pub(super) fn store(&self, set: &v1::DesiredSet, bugs: Bugs) -> Option<(Self, v1::Ack)> {
        let (next, ack) = self.take(set, Cut::Never, bugs)?;
        Some((next, ack?))
    }

    /// The same, but it dies before the fence, and before the answer, and is started again.
    pub(super) fn store_cuts(&self, set: &v1::DesiredSet, bugs: Bugs) -> Vec<Self> {
        let cuts = [Cut::BeforeFence, Cut::BeforeAnswer];
        let dead = cuts.into_iter().filter_map(|cut| self.take(set, cut, bugs));
        let dead = dead.filter(|(_, answer)| answer.is_none());
        dead.map(|(mut dead, _)| {
            dead.restart();
            dead
        })
        .collect()
    }

    /// What it has to say, numbered from one, and the cluster once the hub has it.
    pub(super) fn report(&self) -> Option<(u64, Vec<Report>, Self)> {
        let mut next = self.clone();
        let (_, batch) = next.agent.batch()?;
        let last = batch.reports.iter().map(|report| report.sequence).max();
        let reports = (1..).zip(batch.reports).filter_map(|(sequence, report)| {
            let report = v1::Report {
                sequence,
                at: Some(proto::time::to_wire(crate::world::stamp(0))),
                ..report
            };
            hub::wire::report::report(report).ok().flatten()
        });
        let reports = reports.collect();
        let process = next.agent.process.as_ref()?;
        let told = process.reports.acknowledged(last.unwrap_or(0));
        next.agent.note_told(&told);
        Some((batch.session, reports, next))
    }

    /// The same, but the answer is lost with the stream.
    pub(super) fn unanswered(&self) -> Self {
        let next = self.clone();
        let _sent = next.agent.batch();
        next.lose(Bugs::default())
    }

    /// Its stream breaks; what was not acknowledged waits for the next one.
    pub(super) fn lose(&self, bugs: Bugs) -> Self {
        let mut next = self.clone();
        // The planted bug: what is on the stream that breaks counts as told.
        if bugs.has(Planted::ToldWhenSent)
            && let Some((_, _, told)) = self.report()
        {
            next = told;
        }
        let link = next.agent.process.as_ref().and_then(|process| process.link);
        if let Some((connection, _)) = link {
            next.agent.lost(connection, next.now);
        }
        if let Some(process) = &next.agent.process {
            process.reports.begin();
        }
        next
    }

    /// The hub has welcomed it.
    pub(super) fn welcome(&self, session: u64) -> Self {
        let mut next = self.clone();
        // As in its Hello.
        if let Some(process) = &next.agent.process {
            process.reports.begin();
        }
        next.agent.welcome(session, session);
        next
    }

    /// A heartbeat, its answer, and Gates that were not written.
    pub(super) fn beat(&self) -> Self {
        let mut next = self.clone();
        let moment = next.moment();
        next.agent.catch_up(moment);
        let fence = next.agent.member.as_ref().map(|member| member.fence);
        let fence = agent::wire::fence_to_wire(fence.unwrap_or_default());
        next.agent.renew(&fence, moment);
        next
    }

    /// Time passes without a word of the hub, where a permit has not ended: elsewhere nothing depends on it.
    pub(super) fn lease_ends(&self) -> Option<Self> {
        let gate = self.agent.parts[PART].gate()?;
        let outcome = gate
            .status
            .as_ref()
            .and_then(|status| status.outcome.as_ref());
        let permit = gate.spec.permit.as_ref()?;
        let ended = outcome.is_some_and(|outcome| outcome.fence == permit.fence);
        let mut next = self.clone();
        next.now = AFTER_LEASE;
        (!ended && self.now < AFTER_LEASE).then_some(next)
    }

    pub(super) fn facts(&self) -> Facts {
        let own = &self.agent;
        let part = &own.parts[PART];
        let process = own.process.as_ref();
        let status = part.gate().and_then(|gate| gate.status.as_ref());
        let effect = status.and_then(|status| status.effective.as_ref());
        let effect = effect.map(|effect| at(effect.fence));
        let observed = &part.cluster.observed;
        let outcome = status.and_then(|status| status.outcome.as_ref());
        let spent = observed.rollout.metadata.uid.as_ref();
        let spent = spent.and_then(|uid| own.member.as_ref()?.spent.get(uid));
        let known = process.and_then(|process| process.known[PART].remembered.as_ref());
        let outcome = [outcome, spent, known].into_iter().flatten();
        let outcome = outcome.max_by_key(|outcome| at(outcome.fence));
        let mut going = observed.analysis_runs.iter().map(|run| {
            let phase = run.status.as_ref().and_then(|status| status.phase);
            !phase.is_some_and(AnalysisPhase::is_completed)
        });
        let wanted = observed.replica_sets.iter().filter(|set| set.desired() > 0);
        let digest = |set: &agent_api::ReplicaSet| {
            let all = set.metadata.annotations.as_ref()?;
            all.get(ANNOTATION_DIGEST).cloned()
        };
        let pods: i32 = wanted.clone().map(agent_api::ReplicaSet::desired).sum();
        Facts {
            session: process.and_then(|process| process.link?.1),
            may_dial: process.is_some_and(Process::first_done),
            analyses: going.any(|going| going),
            says: process.is_some_and(|process| process.reports.clone().batch(0).is_some()),
            fence: own.member.as_ref().map(|member| at(member.fence)),
            effect,
            under_way: own.under_way(),
            outcome: outcome.map(|outcome| (at(outcome.fence), outcome.result)),
            told: part.told().map(|(digest, _)| digest),
            runs: wanted.filter_map(digest).collect(),
            enough: pods >= observed.rollout.spec.replicas(),
        }
    }
}
