//! What must hold of every commit. In: a draft that was committed, the tables after it. Out: the first thing that is wrong.
//! It must not ask the engine: what it compares with is what really happened in the clusters.

use hub_engine::document::Enforcement;
use hub_engine::observed::Rollout;
use hub_engine::release::{Direction, Release, ReleasePhase, Stage, TargetState, WavePhase};
use hub_engine::{Action, ClusterName, Fence, RolloutName};
use jiff::Timestamp;

use super::{Said, Word};
use crate::event::{Draft, Place};
use crate::world::World;

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
            self.on_paper(draft.fleet, &decision.action);
            if let Some(cluster) = decision.action.touches() {
                self.ghost.raised.insert(cluster.clone(), self.now);
            }
            self.action_committed(draft, &decision.action);
        }
        self.holds_when_closed(draft);
        self.order_noted();
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named changes nothing that a cluster sees"
    )]
    fn action_committed(&mut self, draft: &Draft, action: &Action) {
        let fleet = draft.fleet;
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
                    self.may_be_permitted(draft, *release, cluster);
                    self.in_turn(fleet, *release, cluster);
                    self.few_enough(draft, *release, cluster, digest.as_str());
                    self.its_own(fleet, *release, cluster, digest.as_str());
                    self.in_window(draft, *release, cluster, *start_by);
                } else {
                    self.goes_back(draft, action);
                }
            }
            Action::EndRelease { release, phase, .. } => match phase {
                ReleasePhase::RolledBack => self.nobody_left(fleet, *release),
                ReleasePhase::Superseded => self.overtaken(draft, *release),
                _ => {}
            },
            Action::OpenRelease { release, cause, .. } => {
                self.number_is_new(draft, *release);
                self.opened_by(draft, *release, cause);
                self.opens_for_git(draft, cause);
            }
            Action::SettleChange { change, .. } => {
                self.change_is_told(draft, *change);
            }
            Action::StartWave { release, wave } => {
                self.in_order(draft, *wave);
                self.agreed(draft, *release, *wave, Stage::Before);
            }
            Action::RevokePermit { cluster, .. } => self.said(fleet, cluster, Said::Held),
            Action::PassWave { release, wave } => self.passes(draft, action, *release, *wave),
            Action::SetTargetState {
                release,
                cluster,
                state: TargetState::Removed,
                ..
            } => self.is_missing(draft, *release, cluster),
            Action::SetTargetState {
                release,
                cluster,
                state: TargetState::Succeeded | TargetState::RolledBack,
                ..
            } => self.really(draft, *release, cluster),
            _ => {}
        }
        self.ghost.said_in_history(fleet, action);
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
        draft: &Draft,
        release: u64,
        cluster: &ClusterName,
        start_by: Option<Timestamp>,
    ) {
        let before = &draft.observed;
        let windows = &before.fleet_rollout.calendar.windows;
        // G30: what a person hastens passes them where the document says so, but never its first wave.
        let hurried = self.store.fleets[draft.fleet].release(release);
        let expedited = hurried.is_some_and(Release::expedited);
        let hurried = hurried.is_some_and(|own| {
            let wave = own.target(cluster).map_or(0, |target| target.wave);
            self.passes_windows(draft.fleet, own, wave)
        });
        let rule = if expedited { "G30" } else { "S12" };
        let (_, every, open) = self.opening;
        let since = before.now.as_second().rem_euclid(every);
        let ends = before.now.as_second() - since + i64::from(open);
        let windowed = !windows.is_empty() && !hurried;
        if windowed && since >= i64::from(open) {
            let message = format!("{cluster} starts at {}, outside of its window", before.now);
            return self.fail(rule, message);
        }
        if windowed && start_by.is_none_or(|start_by| start_by.as_second() > ends) {
            let message = format!("{cluster} may start until {start_by:?}, after its window");
            return self.fail(rule, message);
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
        if self.ghost.restored && ahead {
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
                let observed = gate.terms.enforcement == Enforcement::Observe;
                let said = match gate.let_go {
                    Some(_) => Said::LetGo,
                    None if observed => Said::LetGo,
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
        self.heard(cluster);
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
        self.heard(cluster);
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
        self.revisions_are_said(cluster);
        self.heard(cluster);
        let current = self.store.rows.get(cluster).map(|row| row.session);
        if current != Some(session) {
            let message = format!("session {session} of {cluster} wrote in {current:?}");
            self.fail("S9", message);
        }
    }
}
