//! Membership as a decision sees it. In: what persons and agents did to a cluster. Out: values and their sentences. It must
//! not say what becomes of a release: `reconcile::membership` does, by the plan's policy.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::advance::obey::SKIPPED_BY;
use crate::observed::Cluster;
use crate::release::{Release, Target, TargetState};
use crate::verb::By;

/// A cluster in which nothing of this FleetRollout starts any more, by a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    /// In which way.
    pub how: Departure,
    /// Whose word.
    pub by: By,
}

/// In which way a cluster went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Departure {
    /// It is no member of the fleet any more: `groundswell cluster remove`.
    Left,
    /// This FleetRollout governs it no more: `groundswell ungovern`.
    LetGo(LetGo),
}

/// What becomes of held content where governance ends (gate.md G9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LetGo {
    /// It stays held until Git says something else.
    KeepServing,
    /// It starts.
    ReleaseHeld,
}

impl LetGo {
    /// As stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeepServing => "KeepServing",
            Self::ReleaseHeld => "ReleaseHeld",
        }
    }
}

/// What stands in front of the message of a target whose cluster left.
const LEFT: &str = "left the fleet";
/// … whose cluster was let go.
const LET_GO: &str = "let go";
/// … whose cluster is not selected any more.
pub(crate) const RELABELLED: &str = "is not selected any more";
/// … whose name another cluster has.
const REPLACED: &str = "another cluster has its name";
/// … whose cluster came out of a backup.
const RESTORED: &str = "came out of a backup";
/// … whose cluster was out of contact.
pub(crate) const UNREACHABLE: &str = "unreachable for";

impl Gone {
    /// One sentence for the target.
    #[must_use]
    pub fn sentence(&self) -> String {
        let what = match self.how {
            Departure::Left => LEFT,
            Departure::LetGo(_) => LET_GO,
        };
        format!("{what}, by {}: {}", self.by.person, self.by.reason)
    }
}

/// One sentence for a target whose cluster's name another one has.
pub(crate) fn replaced_sentence(at: Timestamp) -> String {
    format!("{REPLACED} since {at}")
}

/// One sentence for a target whose cluster came out of a backup.
pub(crate) fn restored_sentence(at: Timestamp) -> String {
    format!("{RESTORED} at {at}")
}

/// Whether a target was passed over because of what its cluster is, and not because Git took its content back.
#[must_use]
pub fn left_out(target: &Target) -> bool {
    target.state == TargetState::Skipped && by_membership(target)
}

/// Whether it has its turn after all when its cluster is back. Another cluster under the name, and one out of a backup, do
/// not come back to what they were.
pub(crate) fn may_return(target: &Target) -> bool {
    let started = |start: &&str| target.message.starts_with(*start);
    let ways = [LEFT, LET_GO, RELABELLED, UNREACHABLE];
    target.state == TargetState::Skipped && ways.iter().any(started)
}

fn by_membership(target: &Target) -> bool {
    [LEFT, LET_GO, RELABELLED, REPLACED, RESTORED, UNREACHABLE]
        .iter()
        .any(|start| target.message.starts_with(start))
}

/// Whether a target that did not come to serve the content counts against no budget, by the plan's policy.
pub(crate) fn excused(release: &Release, target: &Target) -> bool {
    use crate::document::{Left, Replaced, Unreachable};
    let membership = release.plan.membership;
    let says = |start: &str| target.message.starts_with(start);
    target.state == TargetState::Failed
        && (says(UNREACHABLE) && membership.unreachable == Unreachable::Skip
            || (says(LEFT) || says(LET_GO)) && membership.left == Left::Skip
            || says(REPLACED) && membership.replaced == Replaced::Skip)
}

/// Whether nothing is known of what the release would have done in a target: it came to no end of its own, good or bad.
fn silent(release: &Release, target: &Target) -> bool {
    left_out(target) || excused(release, target)
}

/// Whether nothing speaks for a wave: clusters were left out of it and none came to an end of its own. Unknown is not success,
/// so a person has to pass over it.
pub(crate) fn emptied(release: &Release, wave: u32) -> bool {
    let proves_nothing = |target: &Target| {
        let by_hand = target.message.starts_with(SKIPPED_BY);
        target.state == TargetState::Removed || target.state == TargetState::Skipped && by_hand
    };
    let mut targets = release.targets_of(wave);
    release
        .targets_of(wave)
        .any(|target| silent(release, target))
        && targets.all(|target| silent(release, target) || proves_nothing(target))
}

/// Whether a person may pass over a wave in spite of this target: it has not started, or nobody waits for it any more.
pub(crate) fn may_be_passed_over(release: &Release, target: &Target) -> bool {
    !target.touched() || silent(release, target) || target.state == TargetState::Removed
}

/// Whether what a target reached was reached by another cluster of that name.
pub(crate) fn replaced_since(target: &Target, cluster: &Cluster) -> Option<Timestamp> {
    cluster
        .replaced
        .filter(|at| target.since.is_none_or(|since| since < *at))
}

/// Whether its cluster came out of a backup after what it reached.
pub(crate) fn restored_since(target: &Target, cluster: &Cluster) -> Option<Timestamp> {
    cluster
        .restored
        .filter(|at| target.since.is_none_or(|since| since < *at))
}
