//! One pass of the agent over one of its Rollouts. In: what the watches brought, the clocks. Out: the plan, carried out write by
//! write; a conflict or a death ends it in the middle. It must not choose anything: `agent_engine::reconcile` does.

use agent::first_deploy;
use agent::lease_clock::Moment;
use agent::observe::governance;
use agent::spent::{mark, shortened};
use agent::whole::counting;
use agent_api::{Fence, FirstContact, GateStatus, HubLossAction, RolloutStatus, Uid};
use agent_engine::clock::{of_gate, of_rollout};
use agent_engine::effective::spec_digest;
use agent_engine::{
    Action, GateChange, GateObserved, GateRecord, Governance, Observed, Plan, Violation, audit,
    reconcile_with,
};
use jiff::Timestamp;

use super::misread::{by_now, mark_as_stored, misread, with_held, with_revision};
use super::{Agent, Cache, Part, Stopped};
use crate::event::Ms;
use crate::keys::Keys;
use crate::planted::{Bugs, Planted};
use crate::world::stamp;

/// How a pass ended.
#[derive(Debug)]
pub enum Passed {
    /// The cache lacks the agent's own writes.
    Behind,
    /// To its end; look again then.
    Whole(Option<Timestamp>),
    /// Somebody else wrote first.
    Conflict,
    /// The process died after some writes.
    Died,
}

/// What a pass did, beside how it ended.
#[derive(Debug)]
pub struct Done {
    /// How it ended.
    pub passed: Passed,
    /// What the plan breaks.
    pub violations: Vec<Violation>,
    /// Writes, in order, for the trace.
    pub writes: Vec<String>,
    /// What could not be written although nobody else writes it.
    pub wrong: Option<String>,
    /// What was still to be written when the process ended.
    pub left: Option<Box<Stopped>>,
}

impl Done {
    pub(super) fn nothing(passed: Passed) -> Self {
        Self {
            passed,
            violations: Vec::new(),
            writes: Vec::new(),
            wrong: None,
            left: None,
        }
    }
}

/// What one pass is made from, beside its plan.
struct Pass<'a> {
    part: usize,
    now: Ms,
    cache: &'a Cache,
    observed: &'a Observed,
    /// The process dies after so many writes.
    cut: Option<usize>,
    bugs: Bugs,
}

impl Agent {
    /// One pass; `cut`: the process dies after so many writes.
    pub fn pass(
        &mut self,
        part: usize,
        now: Ms,
        cut: Option<usize>,
        keys: &Keys,
        bugs: Bugs,
    ) -> Done {
        let moment = self.moment(now, bugs.has(Planted::LeaseByWallClock));
        let Some(cache) = self
            .process
            .as_ref()
            .and_then(|process| process.known[part].cache.clone())
        else {
            return Done::nothing(Passed::Behind);
        };
        let own = &self.parts[part];
        let seen = cache.own_writes == own.own_writes && cache.member_writes == self.member_writes;
        if !seen && !bugs.has(Planted::OwnWriteUnseen) {
            return Done::nothing(Passed::Behind);
        }
        if own.gone {
            return Done::nothing(Passed::Whole(None));
        }
        // As `program`: nothing is looked at before the kinds are known.
        let unknown = self.kinds_unknown(now);
        if unknown && !bugs.has(Planted::UnknownIsAlone) {
            return Done::nothing(Passed::Whole(None));
        }
        let mut observed = self.view(part, &cache, moment, keys, bugs);
        if unknown {
            observed.gate = GateObserved::stand_alone();
        }
        misread(&mut observed, bugs);
        if bugs.has(Planted::StrategyFollowed) {
            by_now(&mut observed);
        }
        if bugs.has(Planted::RevisionIsContent)
            && let Some(process) = &mut self.process
        {
            with_revision(&mut observed, &mut process.known[part].first);
        }
        let plan = reconcile_with(&observed, bugs.agent);
        let mut done = Done::nothing(Passed::Conflict);
        done.violations = audit(&observed, &plan);
        let pass = Pass {
            part,
            now,
            cache: &cache,
            observed: &observed,
            cut,
            bugs,
        };
        let plan = if bugs.has(Planted::HeldMade) {
            with_held(&observed, plan)
        } else {
            plan
        };
        self.carry_out(&pass, plan, &mut done);
        done
    }

    /// The Gate as it counts: without a permit above the stored fence.
    fn record(
        &self,
        part: usize,
        observed: &Observed,
        stored: Option<Fence>,
        bugs: Bugs,
    ) -> GateRecord {
        let mut record = observed.gate.record.clone();
        let GateRecord::Present(gate) = &mut record else {
            return record;
        };
        if !bugs.has(Planted::FenceAfterEffect) {
            counting(gate, stored);
        }
        if bugs.has(Planted::SilenceAborts) {
            gate.spec.policy.on_hub_loss.action = HubLossAction::Abort;
        }
        if bugs.has(Planted::LossFinishes) {
            gate.spec.policy.on_hub_loss.action = HubLossAction::Finish;
        }
        // Only the planted bug remembers anything that no record has.
        let process = self.process.as_ref();
        if let Some(known) = process.and_then(|process| process.known[part].remembered.clone()) {
            gate.status.get_or_insert_default().outcome = Some(known);
        }
        record
    }

    fn view(
        &mut self,
        part: usize,
        cache: &Cache,
        moment: Moment,
        keys: &Keys,
        bugs: Bugs,
    ) -> Observed {
        let mut observed = cache.observed.clone();
        observed.now = moment.now;
        let key = self.parts[part].key();
        let status = cache.member.as_ref();
        let stored = status.map(|status| status.fence);
        let record = self.record(part, &observed, stored, bugs);
        let selector = status.and_then(|status| {
            let named = |one: &&agent_api::GovernedSelector| {
                one.namespace == key.namespace && one.name == key.name
            };
            status.governed.iter().find(named)
        });
        let missing = matches!(record, GateRecord::Missing);
        let gate = match &record {
            GateRecord::Present(gate) => Some(gate.as_ref()),
            GateRecord::Missing | GateRecord::Undecodable(_) => None,
        };
        if let Some(process) = &mut self.process {
            let times = of_rollout(observed.rollout.status.as_ref(), &observed.replica_sets);
            let times = times.chain(of_gate(gate));
            observed.clock_set = process.moments.look(&key, times, moment);
        }
        let governance = governance(selector.is_some(), gate, &spec_digest(&observed), false);
        let permit = gate.and_then(|gate| gate.spec.permit.as_ref());
        let rollout_uid = Uid(observed.rollout.metadata.uid.clone().unwrap_or_default());
        let distrust = permit.and_then(|permit| self.distrust(permit, keys, &rollout_uid));
        let rest = gate.map(|gate| &gate.spec.rest);
        let free = first_deploy::free(gate, stored);
        let lease_until = self.lease_until(part, gate, moment, bugs);
        let process = self.process.as_ref();
        let hub_time = process.and_then(|process| process.hub_clock.time(moment.mono));
        let ended = !self.is_connected() && bugs.has(Planted::LeaseEndsWithContact);
        let lease_until = lease_until.filter(|_| !ended);
        observed.gate = GateObserved {
            governance: if missing && bugs.has(Planted::AbsenceFrees) {
                Governance::Free
            } else {
                governance
            },
            governed_by: selector.map(|selector| selector.fleet_rollout.to_string()),
            distrust,
            hub: self.contact(),
            hub_time,
            lease_live: lease_until.is_some(),
            lease_until,
            spent: status
                .filter(|_| !bugs.has(Planted::PermitSpentTwice))
                .and_then(|status| status.spent.get(rollout_uid.as_str()).cloned()),
            served_before: status
                .and_then(|status| status.served.get(&key.to_string()))
                .map(|mark| mark.digest.clone()),
            first_contact_done: status.is_some_and(|status| status.first_contact_done),
            first_contact: FirstContact::Hold,
            first_deploy_free: free.all,
            passed: free.passed,
            stopped: rest
                .and_then(|rest| rest.get(agent::wire::STOPPED)?.as_str())
                .map(str::to_owned),
            kept: std::mem::take(&mut observed.gate.kept),
            missing_config: self.parts[part].missing_config(bugs),
            break_glass_admitted: self.glass_admitted,
            record,
        };
        observed
    }

    fn distrust(&self, permit: &agent_api::Permit, keys: &Keys, rollout: &Uid) -> Option<String> {
        let cluster = Uid(self.uid.clone());
        let verified = agent::permit::verify(permit, Some(&keys.public), &cluster, rollout);
        verified.err().map(|error| error.to_string())
    }

    /// When the lease of the permit ends, by the true time.
    #[must_use]
    pub fn lease_ends(&self, part: usize, now: Ms, bugs: Bugs) -> Option<Ms> {
        let moment = self.moment(now, bugs.has(Planted::LeaseByWallClock));
        let ends = self
            .process
            .as_ref()?
            .leases
            .ends(&self.parts[part].key(), moment)?
            .saturating_duration_since(moment.mono);
        Some(now + i64::try_from(ends.as_millis()).unwrap_or(i64::MAX / 2))
    }

    fn carry_out(&mut self, pass: &Pass<'_>, plan: Plan, done: &mut Done) {
        let &Pass {
            part,
            now,
            cache,
            observed,
            cut,
            bugs,
        } = pass;
        self.parts[part].cluster.observed.now = stamp(now);
        let mut record = observed.gate.gate().and_then(|gate| gate.status.clone());
        let Plan {
            actions,
            status,
            reasons,
            wake,
        } = plan;
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            if matches!(action, Action::Event(_)) {
                continue;
            }
            if cut == Some(done.writes.len()) {
                let left = std::iter::once(action).chain(actions).collect();
                return self.dies(pass, (left, status), done);
            }
            if let Action::RecordGate { status, .. } = &action {
                if cache.gate_version != self.parts[part].gate_version {
                    return;
                }
                record = Some((**status).clone());
            }
            let action = self.forgetful(part, action, bugs);
            if let Action::RecordGate {
                status: recorded,
                changes,
            } = &action
                && !bugs.has(Planted::OutcomeInMemory)
                && self.remember(part, recorded, changes, done)
                && cut == Some(done.writes.len())
            {
                let left = std::iter::once(action).chain(actions).collect();
                return self.dies(pass, (left, status), done);
            }
            let newer = cache.rollout_version != self.parts[part].rollout_version;
            if newer && matches!(action, Action::PatchRollout { .. }) {
                return;
            }
            if let Err(error) = self.parts[part].write(&action, &status, done, bugs) {
                done.wrong = Some(format!("{error} ({action:?})"));
                return;
            }
            if let Action::RecordGate { changes, .. } = &action {
                self.report_record(part, observed, record.as_ref(), changes);
            }
        }
        if self.parts[part].cluster.observed.rollout.status.as_ref() != Some(&status) {
            if cut == Some(done.writes.len()) {
                return self.dies(pass, (Vec::new(), status), done);
            }
            if cache.rollout_version != self.parts[part].rollout_version {
                return;
            }
            self.parts[part].write_status(&status, now, done);
        }
        // Before it knows of the fleet there is nobody to be told.
        if !self.kinds_unknown(now) {
            self.report(part, observed, &status, record.as_ref(), &reasons, bugs);
        }
        self.keep_states(part, bugs);
        done.passed = Passed::Whole(wake);
    }

    fn dies(&mut self, pass: &Pass<'_>, left: (Vec<Action>, RolloutStatus), done: &mut Done) {
        done.left = Some(Box::new(self.stopped(pass.part, left)));
        self.die();
        done.passed = Passed::Died;
    }

    /// The planted bug: the outcome stays in memory.
    fn forgetful(&mut self, part: usize, action: Action, bugs: Bugs) -> Action {
        let Action::RecordGate {
            mut status,
            changes,
        } = action
        else {
            return action;
        };
        if bugs.has(Planted::HoldKept) && status.held.is_none() {
            let before = self.parts[part].gate();
            let before = before.and_then(|gate| gate.status.as_ref());
            status.held = before.and_then(|status| status.held.clone());
        }
        if bugs.has(Planted::OutcomeInMemory) {
            let before = self.parts[part].gate();
            let before = before.and_then(|gate| gate.status.as_ref());
            let before = before.and_then(|status| status.outcome.clone());
            let outcome = std::mem::replace(&mut status.outcome, before);
            if let Some(process) = &mut self.process {
                process.known[part].remembered = outcome;
            }
        }
        Action::RecordGate { status, changes }
    }

    /// As `spent::remember`: an outcome, and what is served, go to the member record before the Gate has them.
    fn remember(
        &mut self,
        part: usize,
        status: &GateStatus,
        changes: &[GateChange],
        done: &mut Done,
    ) -> bool {
        let is_new = |change: &GateChange| matches!(change, GateChange::Outcome(_));
        let uid = self.parts[part].uid();
        let marked = self.mark(part, status, changes, done);
        let (Some(outcome), Some(member)) = (status.outcome.as_ref(), &mut self.member) else {
            return marked;
        };
        let known = member.spent.get(&uid).map(|known| known.fence);
        if !changes.iter().any(is_new) || known.is_some_and(|known| known >= outcome.fence) {
            return marked;
        }
        member.spent.insert(uid, shortened(outcome));
        self.member_writes += 1;
        done.writes
            .push(format!("member: {} has ended", outcome.fence));
        true
    }

    fn mark(
        &mut self,
        part: usize,
        status: &GateStatus,
        changes: &[GateChange],
        done: &mut Done,
    ) -> bool {
        let is_new = |change: &GateChange| matches!(change, GateChange::Served(_));
        let key = self.parts[part].key().to_string();
        let (Some(served), Some(member)) = (&status.served, &mut self.member) else {
            return false;
        };
        let known = member.served.get(&key).map(|mark| &mark.digest);
        if !changes.iter().any(is_new) || known == Some(&served.digest) {
            return false;
        }
        member.served.insert(key, mark(served));
        self.member_writes += 1;
        done.writes
            .push(format!("member: {} was served", served.digest));
        true
    }
}

impl Part {
    pub(super) fn write(
        &mut self,
        action: &Action,
        status: &agent_api::RolloutStatus,
        done: &mut Done,
        bugs: Bugs,
    ) -> Result<(), tests_golden::agent_cluster::Error> {
        let mut one = Plan {
            actions: vec![action.clone()],
            status: status.clone(),
            reasons: Vec::new(),
            wake: None,
        };
        // The limit keeps the status back: it is the last write of a pass.
        if bugs.has(Planted::DigestOfStored)
            && let Action::CreateReplicaSet { replica_set } = &mut one.actions[0]
        {
            mark_as_stored(replica_set);
        }
        self.cluster.apply(&one, Some(1))?;
        self.own_writes += 1;
        self.gate_version += u64::from(matches!(action, Action::RecordGate { .. }));
        done.writes.push(action.to_string().replace('\n', " | "));
        Ok(())
    }

    /// The last write of a pass.
    pub(super) fn write_status(
        &mut self,
        status: &agent_api::RolloutStatus,
        now: Ms,
        done: &mut Done,
    ) {
        done.writes.push(format!(
            "status {:?} {}",
            status.phase,
            status.message.clone().unwrap_or_default()
        ));
        self.cluster.observed.rollout.status = Some(status.clone());
        self.cluster.observed.status_written = Some(stamp(now));
        self.own_writes += 1;
    }
}
