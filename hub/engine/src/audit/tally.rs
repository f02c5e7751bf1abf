//! What of a release is counted for each of its permits. In: a state, and the actions by which it goes on. Out: each wave's
//! numbers. It counts targets and nothing else, once for each plan: counted anew for each permit, ten thousand targets would be
//! looked at ten thousand times.

use std::collections::BTreeMap;

use super::permit::{moving, untouched_yet};
use crate::action::Action;
use crate::name::ClusterName;
use crate::observed::Observed;
use crate::reconcile::counts_as_failed;
use crate::release::{Release, Stage, Target};

/// A wave's targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) all: usize,
    pub(super) in_flight: usize,
    pub(super) failed: usize,
    pub(super) touched: usize,
    /// On their way back, and not late.
    pub(super) moving: usize,
    /// On their way back, or not on it yet.
    pub(super) to_go_back: usize,
    /// What they bring, with how many bring it, where persons are asked.
    images: BTreeMap<String, usize>,
}

impl Tally {
    fn count(&mut self, (state, release): (&Observed, &Release), target: &Target, one: Step) {
        let goes_back = moving(state, release, target);
        let numbers = [
            (&mut self.all, true),
            (&mut self.in_flight, target.state.in_flight()),
            (&mut self.failed, counts_as_failed(release, target)),
            (&mut self.touched, target.touched()),
            (&mut self.moving, goes_back),
            (
                &mut self.to_go_back,
                goes_back || untouched_yet(release, target),
            ),
        ];
        for (number, _) in numbers.into_iter().filter(|(_, counts)| *counts) {
            one.take(number);
        }
        let asked = release.approval_of(target.wave, Stage::Before).is_some();
        let brought = target.content.iter().filter(|_| asked);
        for image in brought.flat_map(|content| &content.images) {
            let number = self.images.entry(image.clone()).or_default();
            one.take(number);
            if *number == 0 {
                self.images.remove(image);
            }
        }
    }

    /// What an approval of the wave would cover, beside what the release itself names.
    pub(super) fn images(&self) -> impl Iterator<Item = &String> {
        self.images.keys()
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    In,
    Out,
}

impl Step {
    fn take(self, number: &mut usize) {
        *number = match self {
            Self::In => number.saturating_add(1),
            Self::Out => number.saturating_sub(1),
        };
    }
}

/// Whose targets an action changes.
enum Changes<'a> {
    Nobodys,
    One(&'a ClusterName),
    Any,
}

/// The tallies of one release, where it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tallies {
    of: Option<(u64, BTreeMap<u32, Tally>)>,
}

impl Tallies {
    /// Of each wave that has targets.
    pub(super) fn of(&mut self, state: &Observed, release: &Release) -> &BTreeMap<u32, Tally> {
        let number = release.id.number;
        if self.of.as_ref().is_none_or(|(known, _)| *known != number) {
            self.of = None;
        }
        let counted = || {
            let mut waves = BTreeMap::<u32, Tally>::new();
            for target in &release.targets {
                let tally = waves.entry(target.wave).or_default();
                tally.count((state, release), target, Step::In);
            }
            (number, waves)
        };
        &self.of.get_or_insert_with(counted).1
    }

    /// The state goes on by an action, and the tallies with it.
    pub(super) fn advance(&mut self, state: &mut Observed, action: &Action) {
        match changes(action) {
            Changes::Nobodys => state.advance(action),
            Changes::One(cluster) => {
                self.count(state, cluster, Step::Out);
                state.advance(action);
                self.count(state, cluster, Step::In);
            }
            Changes::Any => {
                self.of = None;
                state.advance(action);
            }
        }
    }

    /// Whether counting anew comes to the same.
    pub(super) fn are_right(&self, state: &Observed) -> bool {
        let Some((number, waves)) = &self.of else {
            return true;
        };
        let mut anew = Self::default();
        let release = state.release(*number);
        release.is_none_or(|release| anew.of(state, release) == waves)
    }

    fn count(&mut self, state: &Observed, cluster: &ClusterName, one: Step) {
        let Some((number, waves)) = &mut self.of else {
            return;
        };
        let Some(release) = state.release(*number) else {
            return;
        };
        if let Some(target) = release.target(cluster) {
            let tally = waves.entry(target.wave).or_default();
            tally.count((state, release), target, one);
        }
    }
}

fn changes(action: &Action) -> Changes<'_> {
    match action {
        Action::Govern { .. } | Action::SetWaiting { .. } | Action::SettleChange { .. } => {
            Changes::Nobodys
        }
        Action::BindContent { cluster, .. }
        | Action::BindDelivery { cluster, .. }
        | Action::SetTargetState { cluster, .. }
        | Action::GrantPermit { cluster, .. }
        | Action::RevokePermit { cluster, .. } => Changes::One(cluster),
        Action::OpenRelease { .. }
        | Action::RefuseRequest { .. }
        | Action::Obey { .. }
        | Action::StartRelease { .. }
        | Action::JoinTarget { .. }
        | Action::RequestApproval { .. }
        | Action::StartWave { .. }
        | Action::VoidApprovals { .. }
        | Action::StartBake { .. }
        | Action::PassWave { .. }
        | Action::FailWave { .. }
        | Action::HaltRelease { .. }
        | Action::StartRollback { .. }
        | Action::EndRelease { .. }
        | Action::Bar { .. }
        | Action::Unbar { .. }
        | Action::Member { .. } => Changes::Any,
    }
}
