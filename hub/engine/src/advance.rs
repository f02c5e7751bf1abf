//! What an action does to the tables, as a function. In: an observation and an action. Out: the observation as the next
//! snapshot would show it. The planner, the audit, the properties and the store's own tests all use this one; it must not
//! choose anything.

mod member;
pub(crate) mod obey;

use std::sync::Arc;

use crate::action::Action;
use crate::name::{ClusterName, Digest, Fence, ReleaseId};
use crate::observed::{Cluster, Gate, Observed, PASSED_MAX, PastRelease};
use crate::place;
use crate::plan::Plan;
use crate::release::{
    Direction, Permit, Previous, Release, ReleasePhase, Target, TargetState, Wave, WavePhase,
};

impl Observed {
    /// Everything that a plan writes, in its order, and the raised version of every set that it touches.
    pub fn apply(&mut self, plan: &Plan) {
        for decision in &plan.actions {
            self.advance(&decision.action);
        }
        for cluster in &mut self.clusters {
            let touched = plan
                .actions
                .iter()
                .any(|decision| decision.action.touches() == Some(&cluster.name));
            if touched {
                Arc::make_mut(cluster).desired.version += 1;
            }
        }
    }

    /// One action. A permit's fence is the version that its cluster's set will have after the plan.
    #[allow(clippy::too_many_lines, reason = "one arm a variant")]
    pub fn advance(&mut self, action: &Action) {
        match action {
            Action::Govern { cluster, terms } => {
                if let Some(own) = self.own(cluster) {
                    let gate = Arc::make_mut(own.gate.get_or_insert_default());
                    gate.terms = terms.clone();
                    gate.let_go = None;
                }
            }
            Action::SetWaiting { cluster, waiting } => {
                self.gate(cluster, |gate| gate.waiting = waiting.clone())
            }
            Action::OpenRelease { .. } => self.open(action),
            Action::SettleChange { change, .. } => self.changes.retain(|other| other.id != *change),
            Action::RefuseRequest { request, .. } => {
                self.requests.retain(|other| other.id != *request)
            }
            Action::StartRelease { release } => {
                let now = self.now;
                self.change(*release, |release| {
                    release.phase = ReleasePhase::Progressing;
                    release.started_at = Some(now);
                });
            }
            Action::JoinTarget {
                release,
                cluster,
                wave,
            } => {
                let (cluster, wave, now) = (cluster.clone(), *wave, self.now);
                // Late ones are last, in the order of waves, then clusters.
                self.change(*release, |release| {
                    let before = |target: &Arc<Target>| {
                        !target.late || (target.wave, &target.cluster) < (wave, &cluster)
                    };
                    let place = release.targets.partition_point(before);
                    let late = new_target(cluster.clone(), wave, true, now);
                    release.targets.insert(place, Arc::new(late));
                });
            }
            Action::BindContent {
                release,
                cluster,
                content,
            } => {
                self.change_target(*release, cluster, |target| {
                    target.content = Some(content.clone())
                });
                if let Some(past) = self.past.iter_mut().find(|past| past.number == *release)
                    && let Err(place) = past.digests.binary_search(&content.digest)
                {
                    past.digests.insert(place, content.digest.clone());
                }
            }
            Action::BindDelivery {
                release,
                cluster,
                content,
            } => self.change_target(*release, cluster, |target| {
                target.content = Some(content.clone());
            }),
            Action::SetTargetState {
                release,
                cluster,
                state,
                message,
            } => {
                let now = self.now;
                self.change_target(*release, cluster, |target| {
                    target.since = Some(now);
                    target.state = *state;
                    target.message.clone_from(message);
                    if *state == TargetState::Succeeded {
                        target.succeeded_at = Some(now);
                    }
                });
                self.pass_straggler(*release, cluster, *state);
            }
            Action::RequestApproval {
                release,
                wave,
                stage,
            } => {
                self.change_wave(*release, *wave, |wave| {
                    wave.phase = stage.asks();
                    wave.verdict.clear();
                });
            }
            Action::StartWave { release, wave } => {
                let now = self.now;
                self.change_wave(*release, *wave, |wave| {
                    wave.phase = WavePhase::Running;
                    wave.started_at = Some(now);
                    wave.verdict.clear();
                });
            }
            Action::VoidApprovals {
                release,
                approvals,
                why,
                ..
            } => self.change(*release, |release| {
                for approval in release
                    .approvals
                    .iter_mut()
                    .filter(|one| approvals.contains(&one.id) && one.voided.is_empty())
                {
                    approval.voided.clone_from(why);
                }
            }),
            Action::GrantPermit { .. } => self.grant_next(action),
            Action::RevokePermit { cluster, .. } => self.gate(cluster, |gate| gate.permit = None),
            Action::StartBake {
                release,
                wave,
                until,
            } => self.change_wave(*release, *wave, |wave| {
                wave.phase = WavePhase::Baking;
                wave.bake_until = Some(*until);
                wave.verdict.clear();
            }),
            Action::PassWave { release, wave } => {
                self.end_wave(*release, *wave, WavePhase::Passed, "")
            }
            Action::FailWave { release, wave, why } => {
                self.end_wave(*release, *wave, WavePhase::Failed, why)
            }
            Action::HaltRelease { release, why } => self.change(*release, |release| {
                release.phase = ReleasePhase::Halted;
                release.verdict.clone_from(why);
            }),
            Action::StartRollback { release, why } => self.change(*release, |release| {
                release.phase = ReleasePhase::RollingBack;
                release.verdict.clone_from(why);
            }),
            Action::EndRelease {
                release,
                phase,
                verdict,
            } => self.end(*release, *phase, verdict),
            Action::Bar { release, digest } => {
                let id = self.id(*release);
                // It stays barred by the release that it failed in first.
                self.barred.entry(digest.clone()).or_insert(id);
            }
            Action::Unbar { digest, .. } => {
                self.barred.remove(digest);
            }
            Action::Obey { .. } => self.obey(action),
            Action::Member { change } => self.member(change),
        }
        self.outline();
    }

    /// How every release that is remembered stands follows from what is known of it.
    fn outline(&mut self) {
        for past in &mut self.past {
            if let Some(release) = self
                .releases
                .iter()
                .find(|release| release.id.number == past.number)
            {
                past.phase = release.phase;
            }
        }
    }

    /// A release of this FleetRollout by its number.
    #[must_use]
    pub fn id(&self, number: u64) -> ReleaseId {
        ReleaseId {
            fleet_rollout: self.fleet_rollout.name.clone(),
            number,
        }
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Release)) {
        if let Some(release) = self
            .releases
            .iter_mut()
            .find(|release| release.id.number == number)
        {
            change(release);
        }
    }

    fn change_wave(&mut self, number: u64, wave: u32, change: impl FnOnce(&mut Wave)) {
        self.change(number, |release| {
            if let Some(wave) = release.waves.iter_mut().find(|other| other.number == wave) {
                change(wave);
            }
        });
    }

    fn change_target(
        &mut self,
        number: u64,
        cluster: &ClusterName,
        change: impl FnOnce(&mut Target),
    ) {
        self.change(number, |release| {
            let place = place::of_target(&release.targets, cluster);
            if let Some(target) = place.and_then(|place| release.targets.get_mut(place)) {
                change(Arc::make_mut(target));
            }
        });
    }

    fn own(&mut self, cluster: &ClusterName) -> Option<&mut Cluster> {
        let place = place::of_cluster(&self.clusters, cluster)?;
        self.clusters.get_mut(place).map(Arc::make_mut)
    }

    /// Only `Govern` makes an entry; nothing else has one to change before that.
    fn gate(&mut self, cluster: &ClusterName, change: impl FnOnce(&mut Gate)) {
        if let Some(gate) = self.own(cluster).and_then(|own| own.gate.as_mut()) {
            change(Arc::make_mut(gate));
        }
    }

    fn end_wave(&mut self, release: u64, wave: u32, phase: WavePhase, why: &str) {
        let now = self.now;
        self.change_wave(release, wave, |wave| {
            wave.phase = phase;
            wave.ended_at = Some(now);
            wave.verdict = why.to_owned();
        });
    }

    fn open(&mut self, action: &Action) {
        let Action::OpenRelease {
            release,
            revision,
            images,
            cause,
            plan,
            phase,
            overtook,
        } = action
        else {
            return;
        };
        match cause {
            crate::release::Cause::Change { change, .. } => {
                self.changes.retain(|other| other.id != *change)
            }
            crate::release::Cause::Person { request, .. } => {
                self.requests.retain(|other| other.id != *request)
            }
        }
        let now = self.now;
        let numbered = || (1_u32..).zip(&plan.waves);
        let waves = numbered().map(|(number, wave)| Wave {
            number,
            name: wave.name.clone(),
            phase: WavePhase::Pending,
            started_at: None,
            bake_until: None,
            ended_at: None,
            verdict: String::new(),
            promoted: false,
        });
        let targets = numbered().flat_map(|(number, wave)| {
            wave.clusters
                .iter()
                .map(move |cluster| Arc::new(new_target(cluster.clone(), number, false, now)))
        });
        let opened = Release {
            id: self.id(*release),
            revision: revision.clone(),
            images: images.clone(),
            cause: cause.clone(),
            plan: Arc::new(plan.clone()),
            plan_digest: plan.digest(),
            phase: *phase,
            verdict: String::new(),
            overtook: *overtook,
            opened_at: now,
            started_at: (*phase == ReleasePhase::Progressing).then_some(now),
            ended_at: None,
            waves: waves.collect(),
            targets: targets.collect(),
            approvals: Vec::new(),
            word: crate::verb::Word::default(),
        };
        self.past.push(PastRelease {
            number: *release,
            revision: revision.clone(),
            phase: *phase,
            digests: Vec::new(),
            overtook: *overtook,
            touched: false,
        });
        self.releases.push(opened);
    }

    /// In the version that its cluster's set has after the plan.
    fn grant_next(&mut self, action: &Action) {
        let Some(own) = action.cluster().and_then(|name| self.cluster(name)) else {
            return;
        };
        let fence = Fence {
            incarnation: own.desired.incarnation,
            version: own.desired.version + 1,
        };
        let previous = own.serves();
        self.grant(action, fence, previous);
    }

    /// `previous`: what the cluster serves when it is permitted to leave that; none keeps what is known.
    pub(crate) fn grant(&mut self, action: &Action, fence: Fence, previous: Option<Previous>) {
        let Action::GrantPermit {
            release,
            cluster,
            direction,
            digest,
            delivery,
            start_by,
            max_step,
            why,
            // Beside the permit, with its signature: nothing is decided on it again.
            steps_backwards: _,
        } = action
        else {
            return;
        };
        let permit = Permit {
            release: self.id(*release),
            direction: *direction,
            fence,
            digest: digest.clone(),
            delivery: delivery.clone(),
            start_by: *start_by,
            max_step: *max_step,
            why: why.clone(),
            granted_at: self.now,
        };
        self.gate(cluster, |gate| gate.permit = Some(permit.clone()));
        if let Some(past) = self.past.iter_mut().find(|past| past.number == *release) {
            past.touched = true;
        }
        self.change_target(*release, cluster, |target| {
            if *direction == Direction::Forward && previous.is_some() {
                target.previous = previous;
            }
            target.permit = Some(permit);
        });
    }

    /// A straggler of a release that has passed serves a passed digest, too.
    fn pass_straggler(&mut self, number: u64, cluster: &ClusterName, state: TargetState) {
        let release = self
            .release(number)
            .filter(|release| release.phase == ReleasePhase::Succeeded);
        let content = release.and_then(|release| release.target(cluster)?.content.clone());
        if let Some(content) = content.filter(|_| state == TargetState::Succeeded) {
            self.pass(vec![content.digest]);
        }
    }

    fn pass(&mut self, digests: Vec<Digest>) {
        for digest in digests {
            self.passed.retain(|other| *other != digest);
            self.passed.push(digest);
        }
        let surplus = self.passed.len().saturating_sub(PASSED_MAX);
        self.passed.drain(..surplus);
    }

    fn end(&mut self, number: u64, phase: ReleasePhase, verdict: &str) {
        let now = self.now;
        let mut served = Vec::new();
        self.change(number, |release| {
            release.phase = phase;
            if !verdict.is_empty() {
                verdict.clone_into(&mut release.verdict);
            }
            release.ended_at = release.ended_at.or(Some(now));
            for wave in &mut release.waves {
                if matches!(
                    wave.phase,
                    WavePhase::Pending
                        | WavePhase::WaitingForApproval
                        | WavePhase::Running
                        | WavePhase::Baking
                        | WavePhase::WaitingToPass
                ) {
                    wave.phase = WavePhase::Skipped;
                    wave.ended_at = Some(now);
                }
            }
            if phase == ReleasePhase::Succeeded {
                let good = release
                    .targets
                    .iter()
                    .filter(|target| target.state == TargetState::Succeeded);
                served = good
                    .filter_map(|target| target.content.as_ref())
                    .map(|content| content.digest.clone())
                    .collect();
            }
        });
        self.pass(served);
    }
}

pub(crate) fn new_target(
    cluster: ClusterName,
    wave: u32,
    late: bool,
    now: jiff::Timestamp,
) -> Target {
    Target {
        cluster,
        wave,
        late,
        state: TargetState::Pending,
        message: String::new(),
        content: None,
        previous: None,
        permit: None,
        since: Some(now),
        succeeded_at: None,
    }
}
