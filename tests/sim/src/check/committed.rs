//! What must hold of every commit. In: a draft that was committed, the tables after it. Out: the first thing that is wrong.
//! It must not ask the engine: what it compares with is what really happened in the clusters.

use agent_api::OutcomeResult;
use hub_engine::observed::Rollout;
use hub_engine::release::{Direction, ReleasePhase, Target, TargetState, WavePhase};
use hub_engine::{Action, ClusterName, Fence, Observed, RolloutName};
use jiff::Timestamp;

use super::{Said, Word};
use crate::event::{Draft, Place};
use crate::world::{World, stamp};

impl World {
    /// A deciding transaction has committed.
    pub(crate) fn committed(&mut self, draft: &Draft, epoch: i64, rows: usize) {
        if draft.epoch != epoch {
            let message = format!("epoch {} wrote in epoch {epoch}", draft.epoch);
            return self.fail("S5", message);
        }
        self.knows_better();
        self.rows_of(draft, rows);
        for decision in &draft.plan.actions {
            self.meets(decision.action.kind());
            self.addressed(draft, &decision.action);
            if let Some(cluster) = decision.action.touches() {
                self.ghost.raised.insert(cluster.clone(), self.now);
            }
            self.action_committed(draft, &decision.action);
        }
        self.order_noted();
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named changes nothing that a cluster sees"
    )]
    fn action_committed(&mut self, draft: &Draft, action: &Action) {
        let (fleet, before) = (draft.fleet, &draft.observed);
        match action {
            Action::GrantPermit {
                cluster,
                digest,
                direction,
                release,
                max_step,
                start_by,
                ..
            } => {
                self.said(fleet, cluster, Said::Permitted(digest.to_string()));
                self.bounded(fleet, cluster, *max_step);
                self.begun_by(fleet, cluster, *start_by);
                self.nothing_lost(cluster);
                if *direction == Direction::Forward {
                    self.in_turn(fleet, *release, cluster);
                    self.few_enough(draft, *release, cluster, digest.as_str());
                    self.its_own(fleet, *release, cluster, digest.as_str());
                    self.in_window(before, *release, cluster, *start_by);
                    self.ghost.said_in_history(fleet, action);
                } else {
                    self.taken_back(fleet, *release, cluster, digest.as_str());
                }
            }
            Action::EndRelease {
                release,
                phase: ReleasePhase::RolledBack,
                ..
            } => self.nobody_left(fleet, *release),
            Action::OpenRelease { release, .. } => self.number_is_new(draft, *release),
            Action::Obey { .. } => self.ghost.said_in_history(fleet, action),
            Action::StartWave { wave, .. } => self.in_order(draft, *wave),
            Action::RevokePermit { cluster, .. } => self.said(fleet, cluster, Said::Held),
            Action::PassWave { release, wave } => self.baked(draft, *release, *wave),
            Action::SetTargetState {
                release,
                cluster,
                state: TargetState::Succeeded | TargetState::RolledBack,
                ..
            } => self.really(draft, *release, cluster),
            _ => {}
        }
    }

    pub(super) fn said(&mut self, fleet: usize, cluster: &ClusterName, said: Said) {
        let own = self.store.rows.get(cluster);
        let fence = own.map_or((0, 0), |own| (own.desired.incarnation, own.desired.version));
        let key = (cluster.clone(), self.part_of(fleet));
        let words = self.ghost.words.entry(key).or_default();
        words.push(Word {
            fence,
            permit: fence,
            said,
        });
    }

    /// S1, S19: every earlier wave has passed, and the release goes forward.
    fn in_turn(&mut self, fleet: usize, number: u64, cluster: &ClusterName) {
        let Some(release) = self.store.fleets[fleet].release(number) else {
            return;
        };
        let wave = release.target(cluster).map_or(0, |target| target.wave);
        let earlier = release.waves.iter().filter(|other| other.number < wave);
        let open = earlier
            .filter(|other| !matches!(other.phase, WavePhase::Passed | WavePhase::Skipped))
            .map(|other| other.number)
            .next();
        let forward = matches!(
            release.phase,
            ReleasePhase::Progressing | ReleasePhase::Succeeded
        );
        let phase = release.phase;
        // A pause ends with its release: who was left behind follows one that has passed.
        let paused = !phase.ended() && self.ghost.paused.contains(&(fleet, number));
        if paused || self.ghost.aborted.contains(&(fleet, number)) {
            self.fail(
                "S19",
                format!("{cluster} starts in #{number} after a person's word"),
            );
        } else if self.store.fleets[fleet].stopped.is_some() {
            self.fail("G30", format!("{cluster} starts although it is stopped"));
        } else if let Some(open) = open {
            self.fail("S1", format!("{cluster} starts before wave {open} passed"));
        } else if !forward {
            let message = format!("{cluster} starts while release #{number} is {phase:?}");
            self.fail("S19", message);
        }
    }

    /// S12: no freeze that the decision saw covers the cluster, and where there is a window it is open, and nothing may begin after
    /// its end.
    fn in_window(
        &mut self,
        before: &Observed,
        release: u64,
        cluster: &ClusterName,
        start_by: Option<Timestamp>,
    ) {
        let windows = &before.fleet_rollout.calendar.windows;
        let hurried = before
            .release(release)
            .is_some_and(hub_engine::release::Release::expedited);
        let (_, every, open) = self.opening;
        let since = before.now.as_second().rem_euclid(every);
        let ends = before.now.as_second() - since + i64::from(open);
        let windowed = !windows.is_empty() && !hurried;
        if windowed && since >= i64::from(open) {
            let message = format!("{cluster} starts at {}, outside of its window", before.now);
            return self.fail("S12", message);
        }
        if windowed && start_by.is_none_or(|start_by| start_by.as_second() > ends) {
            let message = format!("{cluster} may start until {start_by:?}, after its window");
            return self.fail("S12", message);
        }
        let labels = before.cluster(cluster).map(|own| &own.labels);
        let now = before.now;
        let frozen = before.windows.iter().any(|window| {
            let mut wanted = window.clusters.match_labels.iter();
            let here =
                wanted.all(|(key, value)| labels.and_then(|all| all.get(key)) == Some(value));
            let mut freezes = window.calendar.freezes.iter();
            here && freezes.any(|freeze| freeze.from <= now && now < freeze.to)
        });
        if frozen {
            self.fail("S12", format!("{cluster} starts while it is frozen"));
        }
    }

    /// S6: nothing is granted by a database that is known to have lost something.
    fn nothing_lost(&mut self, cluster: &ClusterName) {
        let row = self.store.rows.get(cluster);
        let ahead = row.is_some_and(|row| row.stored > row.desired);
        let started = self.store.recovery.started;
        let heard = |row: &&crate::store::Row| row.heard >= Some(started);
        let heard = self.store.rows.values().filter(heard).count();
        let few = heard * 2 < self.store.rows.len();
        let word = self.store.recovery.recovered >= Some(started) && started > 0;
        if self.ghost.restored && (ahead || few && !word) {
            let message =
                format!("{cluster} gets a permit from a database that has lost something");
            self.fail("S6", message);
        }
    }

    /// A person has recovered the database: S6, its incarnation is above every one that an agent has seen.
    pub(crate) fn recovered(&mut self, incarnation: u64) {
        self.ghost.restored = false;
        self.ghost.known_lost = false;
        self.incarnation_is_new(incarnation);
        // Every set is said again under its new number.
        for (fleet, tables) in self.store.fleets.iter().enumerate() {
            let part = self.part_of(fleet);
            for own in &tables.clusters {
                let Some(gate) = &own.gate else { continue };
                let permit = gate.permit.as_ref();
                let number = permit.map(|permit| (permit.fence.incarnation, permit.fence.version));
                let said = permit.map(|permit| Said::Permitted(permit.digest.to_string()));
                let said = match gate.let_go {
                    Some(_) => Said::LetGo,
                    None => said.unwrap_or(Said::Held),
                };
                let words = self
                    .ghost
                    .words
                    .entry((own.name.clone(), part))
                    .or_default();
                words.push(Word {
                    fence: (own.desired.incarnation, own.desired.version),
                    permit: number.unwrap_or_default(),
                    said,
                });
            }
        }
        let seen = self.agents.iter().filter_map(|own| own.member.as_ref());
        let seen = seen.map(|member| member.fence.incarnation).max();
        if seen >= Some(incarnation) {
            self.fail(
                "S6",
                format!("incarnation {incarnation} is not above {seen:?}"),
            );
        }
    }

    /// S20: only to what was served there, and only where the release was permitted.
    fn taken_back(&mut self, fleet: usize, release: u64, cluster: &ClusterName, digest: &str) {
        let part = self.part_of(fleet);
        let agent = self.agents.iter().position(|own| &own.name == cluster);
        let served = agent.and_then(|agent| self.ghost.served.get(&Place { agent, part }));
        let touched = ((fleet, release), cluster.clone());
        if !served.is_some_and(|all| all.contains(digest)) {
            let message = format!("{cluster} goes back to {digest}, which it never served");
            self.fail("S20", message);
        } else if !self.ghost.touched.contains(&touched) {
            let message = format!("{cluster} goes back in #{release}, which never touched it");
            self.fail("S20", message);
        }
    }

    /// S20: a release that has gone back leaves nobody on what it brought, but whom a person or a policy left out of it.
    fn nobody_left(&mut self, fleet: usize, number: u64) {
        let part = self.part_of(fleet);
        let Some(release) = self.store.fleets[fleet].release(number) else {
            return;
        };
        let left = release.targets.iter().find(|target| {
            let went = matches!(
                target.state,
                TargetState::RolledBack | TargetState::Skipped | TargetState::Removed
            );
            let touched = ((fleet, number), target.cluster.clone());
            let mut agents = self.agents.iter();
            let own = agents.find(|own| own.name == target.cluster);
            let gate = own.and_then(|own| own.parts[part].gate());
            let gate = gate.filter(|gate| gate.spec.governed);
            let served = gate.and_then(|gate| gate.status.as_ref()?.served.as_ref());
            let serves = served
                .zip(target.content.as_ref())
                .is_some_and(|(served, content)| served.digest.as_str() == content.digest.as_str());
            serves && !went && self.ghost.touched.contains(&touched)
        });
        if let Some(target) = left {
            let (name, state) = (&target.cluster, target.state);
            let message = format!("#{number} has gone back, and {name}, {state:?}, serves it");
            self.fail("S20", message);
        }
    }

    /// When a target's permit really came to its end well, as far as a decision could know.
    fn served_at(&self, part: usize, target: &Target, before: &Observed) -> Option<Timestamp> {
        let permit = target.permit.as_ref()?;
        let fence = (permit.fence.incarnation, permit.fence.version);
        let key = (target.cluster.clone(), part, fence);
        // A cluster that was put back may come to the same end once more: the first one counts until the hub has heard that
        // it was.
        let restored = before.cluster(&target.cluster).and_then(|own| own.restored);
        let told = self.ghost.told.get(&key);
        let told = told.filter(|(_, at)| restored.is_none_or(|restored| restored < stamp(*at)));
        let (result, at) = told.or_else(|| self.ghost.outcomes.get(&key))?;
        (*result == OutcomeResult::Served).then(|| stamp(*at))
    }

    /// S1, S12: the whole bake lies between the last real success and now.
    fn baked(&mut self, draft: &Draft, number: u64, wave: u32) {
        let fleet = draft.fleet;
        let part = self.part_of(fleet);
        let Some(release) = self.store.fleets[fleet].release(number) else {
            return;
        };
        let Some(planned) = release.plan.wave(wave) else {
            return;
        };
        let good = release
            .targets_of(wave)
            .filter(|target| target.state == TargetState::Succeeded);
        let before = &draft.observed;
        let last = good
            .filter_map(|target| self.served_at(part, target, before))
            .max();
        let promoted = release.wave(wave).is_some_and(|wave| wave.promoted);
        let bake = i64::from(planned.bake.0);
        let passed = promoted
            || last.is_none_or(|last| {
                let since = last.duration_until(stamp(self.now));
                since.as_secs() >= bake
            });
        if !promoted {
            self.failed_enough(draft, number, wave, "it passes");
        }
        if !passed {
            let message = format!("wave {wave} of #{number} passed before {bake} s were over");
            self.fail("S12", message);
        }
    }

    /// S1, G18: a target has ended well only if its cluster says so of this permit: the one it had before the plan, which
    /// may give it another.
    fn really(&mut self, draft: &Draft, number: u64, cluster: &ClusterName) {
        let part = self.part_of(draft.fleet);
        let target = draft
            .observed
            .release(number)
            .and_then(|release| release.target(cluster));
        let Some(target) = target.cloned() else {
            return;
        };
        if target.permit.is_some() && self.served_at(part, &target, &draft.observed).is_none() {
            let message = format!("{cluster} has not come to the end of its permit in #{number}");
            self.fail("G18", message);
        }
    }

    /// A session was opened (L4).
    pub(crate) fn session_opened(&mut self, cluster: &ClusterName, uid: &str) {
        let bound = self.store.rows.get(cluster).map(|row| row.uid.clone());
        self.ghost.returned.remove(cluster);
        if bound.as_deref() != Some(uid) {
            self.fail("link L4", format!("{uid} has a session as {cluster}"));
        }
    }

    /// L4, G10: whether all that an agent says less of than the hub has are ends of former Rollouts' permits: nothing was lost with
    /// those.
    pub(crate) fn lacks_former_ends(
        &self,
        agent: usize,
        brought: &[(RolloutName, Rollout)],
    ) -> bool {
        let own = &self.agents[agent];
        let Some(row) = self.store.rows.get(&own.name) else {
            return false;
        };
        let ended = |state: &Rollout| {
            let ended = state.outcome.as_ref();
            ended.map(|one| (one.fence.incarnation, one.fence.version))
        };
        let lacking = brought.iter().filter_map(|(name, now)| {
            let known = row.state(name).filter(|known| known.uid == now.uid)?;
            let fence = ended(known).filter(|_| ended(known) > ended(now))?;
            let part = self.rollouts.iter().position(|one| one == name)?;
            let end = (own.name.clone(), part, fence);
            let maps = [&self.ghost.outcomes, &self.ghost.told];
            let when = maps.into_iter().find_map(|map| map.get(&end));
            let made = self.ghost.made.get(&Place { agent, part });
            Some(when.is_some_and(|(_, when)| made.is_some_and(|made| made >= when)))
        });
        let lacking: Vec<bool> = lacking.collect();
        !lacking.is_empty() && lacking.into_iter().all(|former| former)
    }

    /// L4, G18: once an agent has said everything the hub has no end of a permit that its cluster does not have: what was put back
    /// to before one is known to be. Not where it died since it dialled.
    pub(crate) fn nothing_more(&mut self, agent: usize, life: u64) {
        let own = &self.agents[agent];
        let (Some(row), Some(_)) = (self.store.rows.get(&own.name), &own.process) else {
            return;
        };
        let member = own.member.as_ref();
        let mut parts = own.parts.iter().filter(|part| !part.gone);
        let more = parts.find_map(|part| {
            let key = part.key();
            let rollout = hub_engine::RolloutName {
                namespace: key.namespace,
                name: key.name,
            };
            let known = row
                .state(&rollout)
                .filter(|state| state.uid == part.uid())?;
            let known = known.outcome.as_ref().map(|one| one.fence)?;
            let gate = part.gate().and_then(|gate| gate.status.as_ref());
            let gate = gate.and_then(|status| status.outcome.as_ref());
            let spent = member.and_then(|member| member.spent.get(&part.uid()));
            let has = gate
                .into_iter()
                .chain(spent)
                .map(|one| super::at(one.fence));
            let known = (known.incarnation, known.version);
            let part = self.rollouts.iter().position(|one| *one == rollout)?;
            let lost = (own.name.clone(), part, known);
            // Whoever deletes a Rollout and its Gate takes the end with them, too; that of the former one is kept for its release
            // alone.
            let (_, told) = self.ghost.told.get(&lost)?;
            let made = self.ghost.made.get(&Place { agent, part });
            if made.is_some_and(|made| made >= told) {
                return None;
            }
            (has.max() < Some(known)).then_some((rollout.name, known))
        });
        if let (Some((rollout, known)), true) = (more, own.life == life) {
            let message = format!(
                "{} has no end of {known:?} of {rollout}, and the hub has one",
                own.name
            );
            self.fail("link L4", message);
        }
    }

    /// An agent's word that it has stored a set is committed (S3: what was said is there, whoever dies).
    pub(crate) fn acknowledged(&mut self, cluster: &ClusterName, fence: Fence) {
        let said = (fence.incarnation, fence.version);
        let mut agents = self.agents.iter();
        let own = agents.find(|own| &own.name == cluster);
        let stored = own.and_then(|own| own.member.as_ref());
        let stored = stored.map(|member| super::at(member.fence));
        if stored < Some(said) && !self.ghost.returned.contains(cluster) {
            let message = format!("{cluster} has said {said:?} and has stored {stored:?}");
            self.fail("S3", message);
        }
    }

    /// Reports were committed (L3, S9, S10: by the current session only).
    pub(crate) fn reports_stored(&mut self, cluster: &ClusterName, session: u64) {
        for (fleet, tables) in self.store.fleets.iter().enumerate() {
            let part = self.part_of(fleet);
            for change in &tables.changes {
                let key = (change.cluster.clone(), part, change.now.digest.to_string());
                self.ghost.changes.insert(key);
            }
        }
        let current = self.store.rows.get(cluster).map(|row| row.session);
        if current != Some(session) {
            let message = format!("session {session} of {cluster} wrote in {current:?}");
            self.fail("S9", message);
        }
    }
}
