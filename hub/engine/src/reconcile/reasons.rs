//! What is waited for, after every step. In: the state that the plan leads to. Out: reasons, and the next moment at which
//! time alone changes something. It must not act.

mod content;
mod member;
mod paper;
mod slots;
mod wave;
mod window;
mod word;

use std::collections::BTreeSet;

use super::join::held_content;
use super::matching::carries;
use super::rollback::{Need, need};
use crate::clock;
use crate::name::ClusterName;
use crate::observed::{Cluster, Observed};
use crate::paper::observes;
use crate::place::Near;
use crate::reason::{Reason, Why};
use crate::release::{Release, ReleasePhase, Target, TargetState, WavePhase};
use crate::window::Standing;
use slots::Slots;

struct List<'a> {
    state: &'a Observed,
    reasons: Vec<Reason>,
    /// Clusters of which it is said beside a target that their content is barred.
    barred: BTreeSet<ClusterName>,
}

pub(super) fn all(state: &Observed) -> Vec<Reason> {
    let mut list = List {
        state,
        reasons: Vec::new(),
        barred: BTreeSet::new(),
    };
    if !state.clusters.iter().any(|cluster| cluster.selected) {
        list.add(
            None,
            None,
            None,
            Why::NoClusters,
            "groundswell get clusters".to_owned(),
        );
    }
    list.observing();
    list.stop();
    for release in &state.releases {
        list.release(release);
    }
    for cluster in &state.clusters {
        list.cluster(cluster);
    }
    list.reasons
}

impl List<'_> {
    fn add(
        &mut self,
        release: Option<&Release>,
        wave: Option<u32>,
        cluster: Option<&Cluster>,
        why: Why,
        next: String,
    ) {
        self.reasons.push(Reason {
            release: release.map(|release| release.id.clone()),
            wave,
            cluster: cluster.map(|cluster| cluster.name.clone()),
            why,
            next,
        });
    }

    fn release(&mut self, release: &Release) {
        self.word(release);
        match release.phase {
            ReleasePhase::Waiting => {
                if let Some(active) = self.state.active() {
                    let next = format!("groundswell release show {}", active.id);
                    self.add(
                        Some(release),
                        None,
                        None,
                        Why::WaitingForRelease {
                            release: active.id.clone(),
                        },
                        next,
                    );
                }
            }
            ReleasePhase::Progressing => {
                if let Some(wave) = release.waves.iter().find(|wave| !wave.phase.behind()) {
                    self.wave(release, wave);
                }
            }
            ReleasePhase::Halted => {
                let next = format!("groundswell history {}", release.id);
                self.add(
                    Some(release),
                    None,
                    None,
                    Why::Halted {
                        verdict: release.verdict.clone(),
                    },
                    next,
                );
            }
            ReleasePhase::RollingBack => {
                let remaining = self.remaining(release);
                let next = format!("groundswell release show {}", release.id);
                self.add(
                    Some(release),
                    None,
                    None,
                    Why::RollingBack { remaining },
                    next,
                );
            }
            ReleasePhase::Succeeded
            | ReleasePhase::Failed
            | ReleasePhase::RolledBack
            | ReleasePhase::RolledBackPartially
            | ReleasePhase::Superseded
            | ReleasePhase::Withdrawn
            | ReleasePhase::Aborted => {}
        }
        let slots = Slots::of(release);
        let (state, mut near) = (self.state, Near::default());
        for target in &release.targets {
            if let Some(cluster) = near.cluster(&state.clusters, &target.cluster) {
                self.target(release, target, cluster, &slots);
            }
        }
    }

    fn remaining(&self, release: &Release) -> u32 {
        let open = release.targets.iter().filter(|target| {
            matches!(
                need(release, target, self.state.cluster(&target.cluster)),
                Need::Permit | Need::Outcome
            )
        });
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    fn target(&mut self, release: &Release, target: &Target, cluster: &Cluster, slots: &Slots) {
        let explain = || {
            format!(
                "groundswell explain {} --cluster {}",
                release.id, target.cluster
            )
        };
        self.other_content(release, target, cluster);
        match target.state {
            TargetState::Pending
            | TargetState::WaitingForContent
            | TargetState::Held
            | TargetState::Behind => {
                self.barred_content(release, target, cluster);
                if let Some(why) = self.before_permit(release, target, cluster, slots) {
                    let anew = matches!(why, Why::NotApproved { .. });
                    let next = if anew { self.start() } else { String::new() };
                    self.add(Some(release), Some(target.wave), Some(cluster), why, next);
                }
            }
            TargetState::Permitted => self.add(
                Some(release),
                Some(target.wave),
                Some(cluster),
                Why::NotStarted {
                    clock_ahead: over_by_its_clock(self.state, target, cluster),
                },
                explain(),
            ),
            TargetState::Progressing | TargetState::Paused => {
                self.held_at_step(release, target, cluster);
                let Some(rollout) = &cluster.rollout else {
                    return;
                };
                let why = Why::InFlight {
                    step: rollout.step,
                    steps: rollout.steps,
                    phase: rollout.phase.clone(),
                    message: rollout.message.clone(),
                };
                let next = format!(
                    "kubectl argo rollouts get rollout {} -n {}",
                    self.state.fleet_rollout.rollout.name,
                    self.state.fleet_rollout.rollout.namespace
                );
                self.add(Some(release), Some(target.wave), Some(cluster), why, next);
            }
            TargetState::Unknown => {
                let why = disconnected(cluster);
                self.add(
                    Some(release),
                    Some(target.wave),
                    Some(cluster),
                    why,
                    "groundswell get clusters".to_owned(),
                );
            }
            TargetState::Succeeded | TargetState::Failed | TargetState::RollingBack => {
                self.going_back(release, target, cluster, slots)
            }
            TargetState::RolledBack | TargetState::Skipped | TargetState::Removed => {}
        }
    }

    fn before_permit(
        &self,
        release: &Release,
        target: &Target,
        cluster: &Cluster,
        slots: &Slots,
    ) -> Option<Why> {
        let wave = release.wave(target.wave)?;
        if release.phase.ended() {
            return self.behind_the_others(release, target, cluster, slots);
        }
        let current =
            release.phase == ReleasePhase::Progressing && wave.phase == WavePhase::Running;
        if !current {
            let waves = release.plan.len();
            return Some(Why::WaitingForWave {
                wave: wave.number,
                waves,
                name: wave.name.clone(),
                release: release.id.clone(),
            });
        }
        let rollout = cluster.rollout.as_ref();
        if !cluster.connected {
            return Some(disconnected(cluster));
        }
        if let Some(why) = member::began_again(self.state, release, target, cluster) {
            return Some(why);
        }
        if target.content.is_none() {
            if let (TargetState::Behind, Some(digest)) = (
                target.state,
                rollout.and_then(|rollout| rollout.held.clone()),
            ) {
                return Some(Why::Behind { digest });
            }
            if rollout.is_none() {
                return Some(Why::NotReported);
            }
            let until = wave.started_at.map(|started| {
                let since = super::silent_since(self.state, started);
                release.plan.progress_deadline.after(since)
            });
            return Some(Why::WaitingForContent { until });
        }
        self.bound(release, target, cluster, slots)
    }

    /// What a cluster waits for that follows a release which has succeeded.
    fn behind_the_others(
        &self,
        release: &Release,
        target: &Target,
        cluster: &Cluster,
        slots: &Slots,
    ) -> Option<Why> {
        if !cluster.connected {
            return Some(disconnected(cluster));
        }
        if !super::catch_up::may_follow(self.state, release) || target.state != TargetState::Held {
            return None;
        }
        if let Some(images) = super::approvals::missing(release, target, self.state.now) {
            let wave = release.wave(target.wave)?;
            return Some(Why::NotApproved {
                wave: wave.number,
                name: wave.name.clone(),
                images,
            });
        }
        self.bound(release, target, cluster, slots)
    }

    /// What keeps a cluster whose content is bound and whose turn it is.
    fn bound(
        &self,
        release: &Release,
        target: &Target,
        cluster: &Cluster,
        slots: &Slots,
    ) -> Option<Why> {
        if cluster.regressed {
            return Some(Why::Regressed);
        }
        let rollout = cluster.rollout.as_ref();
        if rollout.is_some_and(|rollout| rollout.undecodable_gate) {
            return Some(Why::UndecodableGate);
        }
        if let Some(other) = self.state.conflicts.get(&cluster.name) {
            return Some(Why::Conflict {
                other: other.clone(),
            });
        }
        if let Some(why) = word::held_back(self.state, release)
            .or_else(|| closed(self.state, Some(release), target))
        {
            return Some(why);
        }
        if super::windows::over_there(self.state, release, target, cluster) {
            return Some(Why::ClockAhead {
                seconds: cluster.clock_ahead,
            });
        }
        slots.forward(release, target)
    }

    fn going_back(&mut self, release: &Release, target: &Target, cluster: &Cluster, slots: &Slots) {
        if !matches!(
            release.phase,
            ReleasePhase::RollingBack | ReleasePhase::RolledBackPartially
        ) {
            return;
        }
        let why = match need(release, target, Some(cluster)) {
            Need::Nothing => return,
            Need::Lost => Why::NotTakenBack {
                message: target.message.clone(),
            },
            Need::Outcome if cluster.connected => {
                let Some(rollout) = &cluster.rollout else {
                    return;
                };
                let (step, steps) = (rollout.step, rollout.steps);
                Why::InFlight {
                    step,
                    steps,
                    phase: rollout.phase.clone(),
                    message: rollout.message.clone(),
                }
            }
            Need::Outcome => match &target.permit {
                Some(permit) => Why::RollbackUnreachable {
                    digest: permit.digest.clone(),
                },
                None => return,
            },
            Need::Permit
                if self.state.fleet_rollout.calendar.rollback_waits
                    && closed(self.state, None, target).is_some() =>
            {
                match closed(self.state, None, target) {
                    Some(why) => why,
                    None => return,
                }
            }
            Need::Permit => match slots.back(release) {
                Some(why) => why,
                None => return,
            },
        };
        let next = format!(
            "groundswell explain {} --cluster {}",
            release.id, target.cluster
        );
        self.add(Some(release), Some(target.wave), Some(cluster), why, next);
    }

    /// What a cluster waits for outside of any open release.
    fn cluster(&mut self, cluster: &Cluster) {
        // Handed over to it, it is no conflict.
        let other = self.state.conflicts.get(&cluster.name);
        if let Some(other) = other.filter(|_| cluster.selected) {
            let next = format!("groundswell get fleetrollouts {other}");
            self.add(
                None,
                None,
                Some(cluster),
                Why::Conflict {
                    other: other.clone(),
                },
                next,
            );
        }
        if let Some(gone) = &cluster.gone {
            let (why, next) = member::gone(self.state, cluster, gone);
            self.add(None, None, Some(cluster), why, next);
            return;
        }
        if !cluster.selected {
            self.add(
                None,
                None,
                Some(cluster),
                Why::NoLongerSelected,
                "groundswell get clusters".to_owned(),
            );
        }
        if observes(self.state) {
            self.on_paper(cluster);
        } else {
            self.holding(cluster);
        }
    }

    /// The command that makes a release of what is held.
    fn start(&self) -> String {
        let name = &self.state.fleet_rollout.name;
        format!("groundswell release start {name} --reason TEXT")
    }

    /// What it holds that no release brings.
    fn holding(&mut self, cluster: &Cluster) {
        let Some(rollout) = &cluster.rollout else {
            return;
        };
        let Some(held) = rollout.held.clone() else {
            return;
        };
        if let Some(release) = self.state.barred.get(&held) {
            if self.barred.contains(&cluster.name) {
                return;
            }
            let why = Why::Barred {
                digest: held,
                release: release.clone(),
            };
            let next = self.start();
            self.add(None, None, Some(cluster), why, next);
            return;
        }
        let spec = rollout.spec.as_ref().filter(|spec| spec.digest == held);
        let covered = self.state.releases.iter().any(|release| {
            spec.is_some_and(|spec| carries(release, spec))
                || release.target(&cluster.name).is_some_and(|target| {
                    target
                        .content
                        .as_ref()
                        .is_some_and(|content| content.digest == held)
                        || held_content(release, target, cluster).is_some()
                })
        });
        let known = covered
            || self
                .state
                .past
                .iter()
                .any(|past| spec.is_some_and(|spec| super::matching::past_carries(past, spec)));
        if !known {
            self.add(
                None,
                None,
                Some(cluster),
                Why::Ahead { digest: held },
                self.start(),
            );
        }
    }
}

/// How far ahead the cluster's clock is, where by that the time to start in is over and by the database's it is not.
fn over_by_its_clock(state: &Observed, target: &Target, cluster: &Cluster) -> i64 {
    let start_by = target.permit.as_ref().and_then(|permit| permit.start_by);
    let there = clock::there(state.now, cluster.clock_ahead);
    let over = start_by.is_some_and(|start_by| start_by < there);
    if over { cluster.clock_ahead } else { 0 }
}

fn disconnected(cluster: &Cluster) -> Why {
    Why::Disconnected {
        since: cluster.last_seen,
    }
}

/// The window or freeze that keeps a cluster from starting.
fn closed(state: &Observed, release: Option<&Release>, target: &Target) -> Option<Why> {
    let standing = match release {
        Some(release) => super::windows::standing_for(state, release, target),
        None => super::windows::standing(state, &target.cluster),
    };
    match standing {
        Standing::Closed { until, why } => Some(Why::WindowClosed { until, why }),
        Standing::Open { .. } => None,
    }
}
