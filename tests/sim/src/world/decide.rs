//! Who leads, and what the leader decides, as `hub/src` does: a transaction of its own about each FleetRollout. In: ticks,
//! hints. Out: drafts on their way to the commit, commits. It must not choose: `hub_engine::reconcile` does.

use hub_engine::reason::Why;
use hub_engine::release::{Direction, ReleasePhase, TargetState};
use hub_engine::{Action, Observed, Plan, audit};

use super::hubs::POLL;
use super::{World, misread};
use crate::event::{Draft, Event, Ms};
use crate::hub as process;
use crate::planted::Planted;
use crate::store::{Error, Store};

/// As `leader::LEASE`, `RENEW_EVERY` and `MARGIN`.
const LEASE: Ms = 6_000;
const RENEW_EVERY: Ms = 2_000;
const MARGIN: Ms = 1_000;
/// Beside hints, every so many polls everything is looked at.
const LOOK_EVERY: i64 = 5;
/// So many of a hundred permits go to a step and no further, where any do: to one of the first few.
const BOUND: usize = 75;
const BOUND_BELOW: usize = 3;

impl World {
    /// As `leader::keep` and `attempt`.
    pub(super) fn lead(&mut self, hub: usize) {
        let now = self.now;
        let own = &mut self.hubs[hub];
        if now - own.asked < RENEW_EVERY && own.asked != 0 {
            return;
        }
        own.asked = now;
        let until = now + LEASE - MARGIN;
        let still = own.held.filter(|(_, until)| now < *until);
        let answer = match still {
            Some((epoch, _)) => self
                .store
                .lease_renew(hub, epoch, now, LEASE)
                .map(|kept| kept.then_some(epoch)),
            None if self.waits_for_the_dead(hub) => Ok(None),
            None => self.store.epoch_take(hub, now, LEASE),
        };
        let before = self.hubs[hub].held;
        self.hubs[hub].held = match answer {
            Ok(epoch) => epoch.map(|epoch| (epoch, until)),
            Err(_) => still,
        };
        if before.map(|(epoch, _)| epoch) != self.hubs[hub].held.map(|(epoch, _)| epoch) {
            let held = self.hubs[hub].held;
            self.all_hinted(hub);
            self.tell(format!("hub {hub} leads: {held:?}"));
        }
    }

    /// The planted bug: a lease is taken from nobody who has not given it back.
    fn waits_for_the_dead(&self, hub: usize) -> bool {
        let other = self.store.holder.is_some_and(|holder| holder != hub);
        other && self.bugs.has(Planted::LeaseOfTheDead)
    }

    /// As `decide::turns`: one transaction at a time about each FleetRollout.
    pub(super) fn decide(&mut self, hub: usize) {
        let look = (self.now / POLL) % LOOK_EVERY == 0 && !self.bugs.has(Planted::HintsAlone);
        for fleet in 0..self.store.fleets.len() {
            let own = &self.hubs[hub];
            let due = own.hinted.contains(&fleet) || look;
            if due && !own.deciding.contains(&fleet) {
                self.settle(hub, fleet);
            }
        }
    }

    /// As `decide::settle`: the transaction's snapshot is taken now, its commit comes later.
    fn settle(&mut self, hub: usize, fleet: usize) {
        let now = self.now;
        let own = &mut self.hubs[hub];
        let Some((epoch, _)) = own.held.filter(|(_, until)| now < *until) else {
            return;
        };
        own.hinted.remove(&fleet);
        let skew = own.skew;
        let wrong = self.bugs.has(Planted::HubClock);
        let clock = if wrong { now + skew } else { now };
        let store = self.misread(fleet);
        let store = store.as_ref().unwrap_or(&self.store);
        let decided = process::decide(store, fleet, now, clock, self.bugs.hub);
        let Ok((observed, mut plan)) = decided else {
            return;
        };
        self.all_are_seen(fleet, &observed);
        let violation = audit(&observed, &plan).into_iter().next();
        if let Some(violation) = violation.filter(|_| !self.bugs.unaudited) {
            return self.fail(violation.rule, violation.message);
        }
        self.waits(&plan);
        if plan.actions.is_empty() {
            return;
        }
        if self.bugs.has(Planted::BackToGit) {
            back_to_git(&observed, &mut plan);
        }
        if self.bugs.has(Planted::OneDigestForAll) {
            one_digest(&observed, &mut plan);
        }
        self.bound(&mut plan);
        self.hubs[hub].deciding.insert(fleet);
        let life = self.hubs[hub].life;
        let draft = Box::new(Draft {
            fleet,
            epoch,
            snapshot: self.store.commits[fleet],
            observed,
            plan,
        });
        if self.bugs.has(Planted::SentBeforeCommit) {
            self.sends_early(hub, &draft);
        }
        let most = if self.chaos { 400 } else { 20 };
        let after = self.some(1, most);
        self.put(after, Event::Commit { hub, life, draft });
        if self.mishap(15) {
            self.freeze_while_it_decides(hub);
        }
    }

    /// The planted bug: what is decided is sent as if it were committed.
    fn sends_early(&mut self, hub: usize, draft: &Draft) {
        let mut early = self.store.clone();
        if early.commit(draft, &self.keys, true).is_err() {
            return;
        }
        let committed = std::mem::replace(&mut self.store, early);
        for connection in self.hubs[hub].sessions.keys().copied().collect::<Vec<_>>() {
            self.send_set(hub, connection);
        }
        self.store = committed;
    }

    /// What a hub with a planted bug makes of its database; none: it reads it as it is.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are bugs of other parts"
    )]
    fn misread(&self, fleet: usize) -> Option<Store> {
        match self.bugs.shell? {
            Planted::StopOfOneIsOfAll => Some(self.all_stopped()),
            Planted::OwnerUnseen => Some(self.nobody_beside(fleet)),
            Planted::AfterUnseen => Some(self.nothing_before(fleet)),
            Planted::ImagesUnseen => Some(self.all_seen(fleet)),
            Planted::OneLeftBehind => Some(self.one_back(fleet)),
            Planted::FirstHastened
            | Planted::OvertakesAnyway
            | Planted::OvertakenForgotten
            | Planted::MissingPassedOver => Some(misread::of(&self.store, fleet, self.bugs)),
            _ => None,
        }
    }

    /// As a hub of a later version may: a permit goes to a step and no further. Drawn aside, so that every other life stays what it
    /// was.
    fn bound(&self, plan: &mut Plan) {
        let mut aside = self.random.aside(67);
        for decision in &mut plan.actions {
            if let Action::GrantPermit {
                direction: Direction::Forward,
                max_step,
                ..
            } = &mut decision.action
                && self.bounds
                && self.chaos
                && aside.percent(BOUND)
            {
                *max_step = u32::try_from(aside.below(BOUND_BELOW)).ok();
            }
        }
    }

    /// For reach: what is waited for; a FleetRollout of this life that another one waits for is a kind of its own.
    fn waits(&mut self, plan: &Plan) {
        for reason in &plan.reasons {
            self.meets(reason.code());
            if let Why::WaitingForFleetRollout { release, .. } = &reason.why
                && self.store.named(&release.fleet_rollout).is_some()
            {
                self.meets("WaitingForOneOfItsLife");
            }
        }
    }

    /// The planted bug: what stops one stops every other.
    fn all_stopped(&self) -> Store {
        let mut store = self.store.clone();
        let mut stops = store.fleets.iter();
        let stop = stops.find_map(|tables| tables.stopped.clone());
        for tables in &mut store.fleets {
            tables.stopped = tables.stopped.take().or_else(|| stop.clone());
        }
        store
    }

    /// The planted bug: nobody else governs anything.
    fn nobody_beside(&self, fleet: usize) -> Store {
        let mut store = self.store.clone();
        let mut tables = store.fleets.iter_mut().enumerate();
        let others = tables.by_ref().filter(|(other, _)| *other != fleet);
        for own in others.flat_map(|(_, tables)| &mut tables.clusters) {
            std::sync::Arc::make_mut(own).gate = None;
        }
        store
    }

    /// The planted bug: it comes after nothing.
    fn nothing_before(&self, fleet: usize) -> Store {
        let mut store = self.store.clone();
        store.fleets[fleet].fleet_rollout.after.clear();
        store
    }

    /// The planted bug: whoever approved a wave has seen all that it brings.
    fn all_seen(&self, fleet: usize) -> Store {
        let mut store = self.store.clone();
        for release in &mut store.fleets[fleet].releases {
            let mut approvals = std::mem::take(&mut release.approvals);
            for approval in &mut approvals {
                approval.images = release.images_of_wave(approval.wave);
            }
            release.approvals = approvals;
        }
        store
    }

    /// The planted bug: the first cluster that serves what is taken back is taken for one that went back.
    fn one_back(&self, fleet: usize) -> Store {
        let mut store = self.store.clone();
        let releases = store.fleets[fleet].releases.iter_mut();
        for release in releases.filter(|one| one.phase == ReleasePhase::RollingBack) {
            let mut targets = release.targets.iter_mut();
            if let Some(target) = targets.find(|one| one.state == TargetState::Succeeded) {
                std::sync::Arc::make_mut(target).state = TargetState::RolledBack;
            }
        }
        store
    }

    pub(super) fn commit(&mut self, hub: usize, life: u64, draft: Box<Draft>) {
        if !self.hubs[hub].alive || self.hubs[hub].life != life {
            return;
        }
        if let Some(left) = self.frozen(hub) {
            return self.put(left, Event::Commit { hub, life, draft });
        }
        let fleet = draft.fleet;
        self.hubs[hub].deciding.remove(&fleet);
        self.hubs[hub].hinted.insert(fleet);
        let guarded = !self.bugs.has(Planted::EpochUnchecked);
        let (before, rows) = (self.store.epoch, self.rows());
        // A hub with a planted bug that misreads its database has its own rule to break.
        let older = self.misread(fleet).is_none() && self.is_older(&draft);
        match self.store.commit(&draft, &self.keys, guarded) {
            Ok(()) => {
                let of = self.of_fleet(fleet);
                for decision in &draft.plan.actions {
                    self.tell(format!("hub {hub}{of}: {}", decision.action));
                }
                self.quiet_since = self.now;
                self.newest_is_decided_on(&draft, older);
                self.committed(&draft, before, rows);
                if self.mishap(10) {
                    self.kill_hub(hub);
                    return;
                }
                // As `due::is`: whoever names the same Rollout looks, too, and whoever comes after this one.
                let rollout = draft.observed.fleet_rollout.rollout;
                let followers = self.store.followers(fleet);
                for other in self.store.over(&rollout).chain(followers) {
                    for hub in &mut self.hubs {
                        hub.hinted.insert(other);
                    }
                }
                self.decide(hub);
                self.wake_sessions();
            }
            Err(Error::Fenced) => {
                self.tell(format!("hub {hub} is fenced"));
                self.hubs[hub].held = None;
            }
            Err(Error::Busy | Error::Away | Error::Held) => {}
        }
    }

    /// As the trace names what is said of it: nothing where there is only one.
    fn of_fleet(&self, fleet: usize) -> String {
        match self.store.fleets.len() {
            1 => String::new(),
            _ => format!(" of {}", self.fleet_name(fleet)),
        }
    }
}

/// The planted bug: what a rollback goes to is what the spec has.
fn back_to_git(observed: &Observed, plan: &mut Plan) {
    for decision in &mut plan.actions {
        if let Action::GrantPermit {
            cluster,
            digest,
            direction: Direction::Rollback,
            ..
        } = &mut decision.action
        {
            let state = observed.cluster(cluster);
            let state = state.and_then(|own| own.rollout.as_ref());
            let spec = state.and_then(|state| state.spec.as_ref());
            if let Some(spec) = spec {
                digest.clone_from(&spec.digest);
            }
        }
    }
}

/// The planted bug: what the first target brings is permitted in every cluster.
fn one_digest(observed: &Observed, plan: &mut Plan) {
    for decision in &mut plan.actions {
        if let Action::GrantPermit {
            release,
            digest,
            direction: Direction::Forward,
            ..
        } = &mut decision.action
        {
            let release = observed.release(*release);
            let targets = release.into_iter().flat_map(|own| &own.targets);
            let mut bound = targets.filter_map(|target| target.content.as_ref());
            if let Some(first) = bound.next() {
                digest.clone_from(&first.digest);
            }
        }
    }
}
