//! S1, S12, S19 and S20 on recorded decisions. In: what the rows of one history did, oldest first. Out: the first that was not
//! allowed. It keeps its own account of what happened and asks no engine.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::amount::{Amount, Seconds};
use hub_engine::document::ApprovalSpec;
use hub_engine::name::Person;
use hub_engine::release::{Approval, Cause, Direction, ReleasePhase, Stage, TargetState};
use hub_engine::verb::Verb;
use hub_engine::waves::PlannedWave;
use hub_engine::{Action, ClusterName};
use jiff::Timestamp;

/// What one row did.
pub(crate) enum Done {
    /// A hub decided; with it what the cluster served when it was permitted.
    Decided(Action, Option<String>),
    /// A person approved a wave.
    Approved(Approval),
}

/// One row.
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// The release's name, or empty.
    pub(crate) release: String,
    pub(crate) at: Timestamp,
    pub(crate) done: Done,
}

/// One wave, by its rows alone.
struct Wave {
    plan: PlannedWave,
    /// Clusters of it, those that joined among them.
    clusters: BTreeSet<ClusterName>,
    /// It was passed, or passed over.
    behind: bool,
    started: Option<Timestamp>,
    promoted: bool,
}

/// One release, by its rows alone.
#[derive(Default)]
struct Account {
    waves: Vec<Wave>,
    states: BTreeMap<ClusterName, TargetState>,
    /// When each of its clusters succeeded.
    succeeded: BTreeMap<ClusterName, Timestamp>,
    /// What each cluster served when it was first permitted to go forward.
    forward: BTreeMap<ClusterName, Option<String>>,
    approvals: Vec<Approval>,
    /// Who started it, if a person did.
    author: Option<Person>,
    /// The longest bake of a wave after the first, once a person expedites it.
    expedite: Option<Seconds>,
    expedited: bool,
    paused: bool,
    ended: Option<ReleasePhase>,
    back: bool,
}

/// Every decision in its turn.
pub(super) fn check(entries: &[Entry]) -> Result<(), String> {
    let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.release.is_empty()) {
        let account = accounts.entry(&entry.release).or_default();
        account
            .take(entry)
            .map_err(|why| format!("row {}, {}: {why}", entry.sequence, entry.release))?;
    }
    Ok(())
}

fn must(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Of so many clusters, rounded down, as the documents say.
fn share(amount: Amount, clusters: usize) -> usize {
    match amount {
        Amount::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Amount::Percent(percent) => clusters * usize::from(percent) / 100,
    }
}

fn in_flight(state: TargetState) -> bool {
    let states = [
        TargetState::Permitted,
        TargetState::Progressing,
        TargetState::Paused,
    ];
    states.contains(&state)
}

impl Wave {
    fn planned(plan: PlannedWave) -> Self {
        Self {
            clusters: plan.clusters.iter().cloned().collect(),
            plan,
            behind: false,
            started: None,
            promoted: false,
        }
    }
}

impl Account {
    fn take(&mut self, entry: &Entry) -> Result<(), String> {
        match &entry.done {
            Done::Approved(approval) => {
                self.approvals.push(approval.clone());
                Ok(())
            }
            Done::Decided(action, previous) => self.decided(action, previous.as_ref(), entry.at),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not named moves no wave"
    )]
    fn decided(
        &mut self,
        action: &Action,
        previous: Option<&String>,
        at: Timestamp,
    ) -> Result<(), String> {
        match action {
            Action::OpenRelease { plan, cause, .. } => {
                self.waves = plan.waves.iter().cloned().map(Wave::planned).collect();
                self.expedite = plan.expedite.map(|expedite| expedite.bake);
                if let Cause::Person {
                    person, expedite, ..
                } = cause
                {
                    self.author = Some(person.clone());
                    self.expedited = *expedite;
                }
            }
            Action::JoinTarget { cluster, wave, .. } => {
                self.wave(*wave)?.clusters.insert(cluster.clone());
            }
            Action::GrantPermit {
                cluster,
                direction: Direction::Forward,
                ..
            } => return self.forward(cluster, previous, at),
            Action::GrantPermit {
                cluster, digest, ..
            } => {
                let served = self.forward.get(cluster);
                let served = served.ok_or(format!("S20: {cluster} never went forward"))?;
                return must(served.as_ref() == Some(&digest.to_string()), || {
                    format!("S20: {cluster} goes to {digest} and served {served:?}")
                });
            }
            Action::SetTargetState { cluster, state, .. } => {
                self.states.insert(cluster.clone(), *state);
                if *state == TargetState::Succeeded {
                    self.succeeded.insert(cluster.clone(), at);
                }
            }
            Action::StartWave { wave, .. } => {
                self.wave(*wave)?.started.get_or_insert(at);
            }
            Action::VoidApprovals { approvals, .. } => {
                self.approvals.retain(|one| !approvals.contains(&one.id));
            }
            Action::PassWave { wave, .. } => return self.pass(*wave, at),
            Action::Obey { verb, .. } => self.word(verb)?,
            Action::StartRollback { .. } | Action::HaltRelease { .. } => self.back = true,
            Action::EndRelease { phase, .. } => self.ended = Some(*phase),
            _ => {}
        }
        Ok(())
    }

    fn wave(&mut self, number: u32) -> Result<&mut Wave, String> {
        let wave = self.waves.get_mut(place(number));
        wave.ok_or(format!("S1: wave {number} is not of the plan"))
    }

    /// S1, S19. One that was left behind by a release that ended well may follow it.
    fn forward(
        &mut self,
        cluster: &ClusterName,
        previous: Option<&String>,
        at: Timestamp,
    ) -> Result<(), String> {
        let of = |wave: &Wave| wave.clusters.contains(cluster);
        let index = self.waves.iter().position(of);
        let index = index.ok_or(format!("S1: {cluster} is in no wave"))?;
        let (before, from) = self.waves.split_at(index);
        let open = before.iter().find(|wave| !wave.behind);
        let follows = self.ended == Some(ReleasePhase::Succeeded);
        must(
            open.is_none() && !self.back && (self.ended.is_none() || follows),
            || {
                let open = open.map(|wave| wave.plan.name.as_str());
                format!(
                    "S1: {cluster} starts before {open:?} (ended {:?}, back {})",
                    self.ended, self.back
                )
            },
        )?;
        must(!self.paused || follows, || {
            format!("S19: {cluster} starts while the release is paused")
        })?;
        let wave = from.first().ok_or("S1: no such wave")?;
        let asked = wave.plan.approval.as_ref();
        self.approved(index, Stage::Before, asked, wave.started.unwrap_or(at))?;
        if !follows {
            let others = wave.clusters.iter().filter(|one| *one != cluster);
            let moving = others.filter(|one| self.states.get(one).copied().is_some_and(in_flight));
            let (moving, clusters) = (moving.count(), wave.plan.clusters.len());
            let most = share(wave.plan.max_concurrent, clusters).max(1);
            must(moving < most, || {
                format!("S1: {cluster} starts beside {moving} others of {most}")
            })?;
        }
        let first = self.forward.entry(cluster.clone());
        first.or_insert_with(|| previous.cloned());
        self.states.insert(cluster.clone(), TargetState::Permitted);
        Ok(())
    }

    /// S1: so many different persons of the groups have agreed, and their word still counted.
    fn approved(
        &self,
        index: usize,
        stage: Stage,
        asked: Option<&ApprovalSpec>,
        at: Timestamp,
    ) -> Result<(), String> {
        let Some(asked) = asked else {
            return Ok(());
        };
        let fresh = |one: &Approval| {
            let until = asked.expires.map(|expires| expires.after(one.at));
            until.is_none_or(|until| at <= until)
        };
        let counts = |one: &&Approval| {
            place(one.wave) == index
                && one.stage == stage
                && one.groups.iter().any(|group| asked.groups.contains(group))
                && !(asked.exclude_author && self.author.as_ref() == Some(&one.person))
                && fresh(one)
        };
        let approvals = self.approvals.iter().filter(counts);
        let persons: BTreeSet<&Person> = approvals.map(|one| &one.person).collect();
        let wanted = usize::try_from(asked.required).unwrap_or(usize::MAX);
        must(persons.len() >= wanted, || {
            format!(
                "S1: wave {} has {} of {wanted} approvals",
                index + 1,
                persons.len()
            )
        })
    }

    /// S1, S12: the bake is counted here, from the last success of the wave, and not taken from the row that says until when.
    fn pass(&mut self, number: u32, at: Timestamp) -> Result<(), String> {
        let (index, expedited) = (place(number), self.expedited.then_some(self.expedite));
        let wave = self.wave(number)?;
        wave.behind = true;
        let (clusters, plan, promoted) = (wave.clusters.clone(), wave.plan.clone(), wave.promoted);
        let of = |state: fn(TargetState) -> bool| {
            let is = |one: &&ClusterName| self.states.get(*one).copied().is_some_and(state);
            clusters.iter().filter(is).collect::<Vec<_>>()
        };
        let moving = of(in_flight);
        must(moving.is_empty(), || {
            format!("S1: wave {number} passed while {moving:?} are on their way")
        })?;
        let failed = of(|state| state == TargetState::Failed).len();
        let most = share(plan.max_failed, clusters.len());
        must(failed <= most, || {
            format!("S1: wave {number} passed with {failed} failed of {most}")
        })?;
        let good = of(|state| state == TargetState::Succeeded);
        let last = good.iter().filter_map(|one| self.succeeded.get(*one)).max();
        let bake = match expedited.flatten() {
            Some(most) if index > 0 => plan.bake.min(most),
            _ => plan.bake,
        };
        if let Some(last) = last
            && !promoted
        {
            let until = bake.after(*last);
            must(at >= until, || {
                format!("S12: wave {number} passed at {at} and bakes until {until}")
            })?;
        }
        self.approved(index, Stage::After, plan.approval_after.as_ref(), at)
    }

    fn word(&mut self, verb: &Verb) -> Result<(), String> {
        match verb {
            Verb::SkipWave { wave } => {
                let named = self.waves.iter_mut().find(|one| one.plan.name == *wave);
                let named = named.ok_or(format!("S1: {wave} is skipped and not of the plan"))?;
                named.behind = true;
            }
            Verb::Promote { wave } => {
                let is = |one: &Wave| wave.as_ref().is_none_or(|wave| one.plan.name == *wave);
                for one in self.waves.iter_mut().filter(|one| is(one)) {
                    one.promoted = true;
                }
            }
            Verb::Retry { cluster } => {
                // Its wave runs again, and bakes whole.
                for one in &mut self.waves {
                    one.promoted &= !one.clusters.contains(cluster);
                }
                self.back = false;
            }
            Verb::Abort { .. } | Verb::Rollback => self.back = true,
            Verb::Pause => self.paused = true,
            Verb::Resume => self.paused = false,
            Verb::Expedite => self.expedited = true,
            Verb::Start { .. }
            | Verb::SkipTarget { .. }
            | Verb::Ungovern { .. }
            | Verb::Govern { .. } => {}
        }
        Ok(())
    }
}

/// Of a wave by its number, from 1; none has the last place of all.
fn place(number: u32) -> usize {
    let index = number.checked_sub(1).map(usize::try_from);
    index.and_then(Result::ok).unwrap_or(usize::MAX)
}
