//! Versions beside each other (S14): hubs and agents of a later version, which say words that the other does not know. In: what is
//! sent. Out: the same, with such a word now and then. It must not say anything else with it: what the message is about stays.

use proto::v1;
use proto::v1::gate_entry::Governance;
use proto::v1::report::Body;
use tests_golden::hub_random::Random;

use super::World;
use crate::planted::{Bugs, Planted};

/// In so many of a hundred lives.
const LIVES: usize = 20;
/// So many of a hundred sets, and of a hundred ends of permits, are said in words of a later version.
const SETS: usize = 12;
const ENDS: usize = 50;
/// A value of an enumeration that no version has yet.
const LATER: i32 = 99;

impl World {
    fn is_skewed(&self) -> bool {
        let mut of_the_life = Random::new(self.config.seed).aside(149);
        self.chaos && of_the_life.percent(LIVES)
    }

    /// A hub of a later version: an entry of a set has a word that the agent does not know. Drawn aside, so that every other life
    /// stays what it was.
    pub(super) fn speaks_later(&mut self, agent: usize, set: &mut v1::DesiredSet) {
        let mut aside = self.random.aside(151);
        if !self.is_skewed() || set.entries.is_empty() || !aside.percent(SETS) {
            return;
        }
        let fence = agent::wire::fence(set.fence.as_ref());
        let at = aside.below(set.entries.len());
        let entry = &mut set.entries[at];
        unread(entry, &mut aside);
        let key = (entry.name.clone(), (fence.incarnation, entry.version));
        let name = self.agents[agent].name.clone();
        self.tell(format!(
            "{name} is told of {key:?} in words of a later version"
        ));
        self.meets("LaterWord");
    }

    /// An agent of a later version: a permit has ended in a way that the hub does not know, whenever it is told. Not in the first
    /// word of a stream: what is missing there, a hub takes for lost.
    pub(super) fn says_later(&mut self, agent: usize, batch: &mut v1::ReportBatch) {
        if !self.is_skewed() {
            return;
        }
        for ended in batch.reports.iter_mut().filter_map(end) {
            let fence = agent::wire::fence(ended.fence.as_ref());
            let name = &self.agents[agent].name;
            let number = fence.version * 31 + u64::try_from(agent).unwrap_or(0);
            let mut of_the_end = Random::new(self.config.seed).aside(157 + number);
            if of_the_end.percent(ENDS) {
                ended.result = LATER;
                let line =
                    format!("{name} tells of the end of {fence} in words of a later version");
                self.tell(line);
                self.meets("LaterEnd");
                self.ghost
                    .unread(agent, (format!("the end of {fence}"), (0, 0)));
            }
        }
    }

    /// Nobody is of another version any more: whoever was told what it does not know starts anew.
    pub(super) fn same_versions(&mut self) {
        for agent in self.ghost.all_unread() {
            self.kill_agent(agent);
        }
    }
}

/// One of its words becomes one of a later version.
fn unread(entry: &mut v1::GateEntry, random: &mut Random) {
    match &mut entry.governance {
        Some(Governance::Governed(governed)) => {
            let which = random.below(4);
            match (&mut governed.permit, &mut governed.policy) {
                (Some(permit), _) if which < 2 => permit.direction = LATER,
                (_, Some(policy)) if which == 2 => policy.on_hub_loss = LATER,
                (_, Some(policy)) if which == 3 => policy.enforcement = "Rehearse".to_owned(),
                (_, _) => entry.governance = None,
            }
        }
        Some(Governance::Ungovern(ended)) => ended.mode = LATER,
        None => {}
    }
}

/// The planted bug: what an agent does not know is what it knows best.
pub(crate) fn known_words(set: &v1::DesiredSet, bugs: Bugs) -> v1::DesiredSet {
    let mut set = set.clone();
    for entry in set
        .entries
        .iter_mut()
        .filter(|_| bugs.has(Planted::UnknownWordObeyed))
    {
        match &mut entry.governance {
            Some(Governance::Governed(governed)) => {
                if let Some(permit) = governed
                    .permit
                    .as_mut()
                    .filter(|one| one.direction == LATER)
                {
                    permit.direction = v1::permit::Direction::Forward.into();
                }
                if let Some(policy) = &mut governed.policy {
                    if policy.on_hub_loss == LATER {
                        policy.on_hub_loss = v1::policy::OnHubLoss::Finish.into();
                    }
                    policy.enforcement = "Enforce".to_owned();
                }
            }
            Some(Governance::Ungovern(ended)) => {
                ended.mode = v1::ungovern::Mode::ReleaseHeld.into();
            }
            None => {}
        }
    }
    set
}

/// The end of a permit that a report tells.
fn end(report: &mut v1::Report) -> Option<&mut v1::Outcome> {
    match &mut report.body {
        Some(Body::Outcome(ended)) => Some(ended),
        Some(Body::State(state)) => state.outcome.as_mut(),
        Some(
            Body::Changed(_)
            | Body::Effect(_)
            | Body::Verb(_)
            | Body::BrokenGlass(_)
            | Body::Removed(_),
        )
        | None => None,
    }
}

/// The planted bug: an end that a hub does not know is a good one.
pub(super) fn known_ends(batch: &mut v1::ReportBatch) {
    let ends = batch.reports.iter_mut().filter_map(end);
    for ended in ends.filter(|ended| ended.result == LATER) {
        ended.result = v1::outcome::Result::Served.into();
    }
}

/// The ends of a batch that no hub of this version knows.
pub(super) fn later_ends(batch: &v1::ReportBatch) -> Vec<v1::Outcome> {
    let ends = batch
        .reports
        .iter()
        .filter_map(|report| match &report.body {
            Some(Body::Outcome(ended)) => Some(ended.clone()),
            Some(Body::State(state)) => {
                let rollout = state.rollout.clone();
                let ended = state.outcome.clone()?;
                Some(v1::Outcome { rollout, ..ended })
            }
            Some(
                Body::Changed(_)
                | Body::Effect(_)
                | Body::Verb(_)
                | Body::BrokenGlass(_)
                | Body::Removed(_),
            )
            | None => None,
        });
    ends.filter(|ended| ended.result == LATER).collect()
}
