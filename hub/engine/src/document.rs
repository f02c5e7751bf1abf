//! The FleetRollout document (design.md section 5). In: YAML text. Out: checked values, or every problem with its path and
//! line. It must not look at clusters: what a document selects is `waves` and `overlap`.

mod approval;
mod check;
mod membership;
mod policy;
pub(crate) mod presence;
mod read;
mod reader;
mod selector;
mod tree;
mod window;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use presence::{LateJoin, Left, Relabelled, Replaced, Restored};
pub use selector::{Expression, Operator, Selector};
pub use window::{WINDOW_KIND, WindowDocument};

use crate::amount::{Amount, Seconds};
use crate::name::{ClusterName, FleetRolloutName, RolloutName};
use crate::window::Calendar;

/// The only API version that is read.
pub const API_VERSION: &str = "fleet.groundswell.dev/v1alpha1";
/// The only kind that is read.
pub const KIND: &str = "FleetRollout";

/// Something in a document that has to be changed before it can be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where, e.g. `spec.waves[1].maxConcurrent`; empty for the document as a whole.
    pub path: String,
    /// 1-based line of the file; 0 when it is not known.
    pub line: u32,
    /// What is wrong and what to write.
    pub message: String,
}

/// One FleetRollout out of a file, with what a person gets back to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The checked values, defaults filled in.
    pub fleet_rollout: FleetRollout,
    /// This document's own YAML text, as written.
    pub text: String,
    /// Line of the file in which it starts, 1-based.
    pub line: u32,
    /// Sentences that the person should read; no problems.
    pub notes: Vec<String>,
    /// Line of the file by path.
    pub lines: BTreeMap<String, u32>,
}

impl Document {
    /// The line of a path, or of the nearest thing around it that is written out; 0 when nothing is.
    #[must_use]
    pub fn line_of(&self, path: &str) -> u32 {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return 0,
            }
        }
    }
}

/// The documents of one file, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// Its FleetRollouts, in their order.
    pub documents: Vec<Document>,
    /// Its FleetWindows, in their order.
    pub windows: Vec<WindowDocument>,
}

/// Reads every document of a file, of both kinds. Either all are good, or every problem of all of them is returned.
///
/// # Errors
/// The problems, in the order of their lines; never an empty list.
pub fn parse_file(text: &str) -> Result<File, Vec<Problem>> {
    read::file(text)
}

/// Reads every FleetRollout of a file. Either all are good, or every problem of all of them is returned.
///
/// # Errors
/// The problems, in the order of their lines; never an empty list.
pub fn parse(text: &str) -> Result<Vec<Document>, Vec<Problem>> {
    read::file(text).map(|file| file.documents)
}

/// The declared intent: which Rollout, in which clusters, in which waves, under which policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FleetRollout {
    /// `metadata.name`.
    pub name: FleetRolloutName,
    /// The Rollout, by the same name in every cluster.
    pub rollout: RolloutName,
    /// Whether waves hold anything.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// The clusters it governs.
    #[serde(default)]
    pub clusters: Selector,
    /// In order; never empty.
    pub waves: Vec<WaveSpec>,
    /// What a failed wave leads to.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long one target may take, from its permit or, without content, from the start of its wave.
    #[serde(default = "default_progress_deadline")]
    pub progress_deadline: Seconds,
    /// How clusters that come, go or are silent are treated.
    #[serde(default)]
    pub membership: Membership,
    /// What an agent does when its lease ends.
    #[serde(default)]
    pub on_hub_loss: OnHubLoss,
    /// The phase of a cluster that the fleet took back.
    #[serde(default)]
    pub rollback_phase: RollbackPhase,
    /// Whether a newer release may overtake one that is past its first wave.
    #[serde(default)]
    pub supersede: Supersede,
    /// FleetRollouts whose newest release must have passed before a wave starts here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<FleetRolloutName>,
    /// How many targets may fail in the whole release; none: only the waves' budgets count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failed: Option<Amount>,
    /// When something may start.
    #[serde(default, skip_serializing_if = "Calendar::is_default")]
    pub calendar: Calendar,
    /// What a release that a person expedites may shorten; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expedite: Option<Expedite>,
}

impl FleetRollout {
    /// The document as one JSON text with sorted keys and every default written out: equal documents have equal texts.
    #[must_use]
    pub fn canonical(&self) -> String {
        crate::canonical::json(self)
    }
}

/// Two hours: longer than a usual canary with its analysis, short enough to notice within a working day.
#[must_use]
pub fn default_progress_deadline() -> Seconds {
    Seconds(7_200)
}

/// Whether held content is really held (gate.md G13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Enforcement {
    /// Held until permitted.
    #[default]
    Enforce,
    /// Waves on paper: nothing is held, and the history tells what would have been.
    Observe,
}

/// One wave as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WaveSpec {
    /// Unique in its document.
    pub name: String,
    /// Its clusters; none, and no names and no share either: every cluster that no other wave names.
    #[serde(default)]
    pub clusters: Option<Selector>,
    /// Exactly these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<ClusterName>,
    /// So many of them: a number, or a share of those that the selector selects, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<Amount>,
    /// Clusters in flight at once.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: Amount,
    /// How long it is watched after its last success before it passes.
    #[serde(default)]
    pub bake: Seconds,
    /// Asked before its first permit.
    #[serde(default)]
    pub approval: Option<ApprovalSpec>,
    /// Asked before it passes, once its bake is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_after: Option<ApprovalSpec>,
    /// How many targets may fail without failing the wave.
    #[serde(default = "default_max_failed")]
    pub max_failed: Amount,
}

impl WaveSpec {
    /// Whether it takes every cluster that is left.
    #[must_use]
    pub fn is_rest(&self) -> bool {
        self.clusters.is_none() && self.names.is_empty() && self.take.is_none()
    }
}

/// One at a time: the careful choice when a document says nothing.
#[must_use]
pub fn default_max_concurrent() -> Amount {
    Amount::Count(1)
}

/// None: the careful choice when a document says nothing.
#[must_use]
pub fn default_max_failed() -> Amount {
    Amount::Count(0)
}

/// Who has to agree before a wave starts, or before it passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// So many different persons.
    pub required: u32,
    /// Each of one of these groups.
    pub groups: Vec<String>,
    /// Whoever started the release, and the change's author where that is known, does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclude_author: bool,
    /// An approval counts so long; none: until its wave is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Seconds>,
}

/// What a failed wave leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum OnFailure {
    /// Nothing new starts; what is in flight ends by its own analysis.
    #[default]
    Halt,
    /// Every cluster that the release touched goes back, last wave first.
    #[serde(rename_all = "camelCase")]
    Rollback {
        /// Clusters going back at once, of those touched.
        max_concurrent: Amount,
        /// How each of them goes back.
        #[serde(default, skip_serializing_if = "presence::is_default")]
        steps: RollbackSteps,
    },
}

/// What becomes of the canary's steps where a cluster goes back that had finished (gate.md G22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RollbackSteps {
    /// They are skipped: what was healthy is served again at once.
    #[default]
    Skip,
    /// The canary backwards: by the steps, pauses and analysis of what is gone back to.
    Backwards,
}

/// How clusters that come, go or are silent are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Membership {
    /// A target whose Rollout is not there.
    #[serde(default)]
    pub missing: Missing,
    /// A target whose content the release did not change.
    #[serde(default)]
    pub unchanged: Unchanged,
    /// After so long without contact …
    #[serde(default = "default_unreachable_after")]
    pub unreachable_after: Seconds,
    /// … this.
    #[serde(default)]
    pub unreachable: Unreachable,
    /// A cluster that joins late.
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub late_join: LateJoin,
    /// A target whose cluster is not in the fleet any more.
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub left: Left,
    /// A target whose cluster is not selected any more.
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub relabelled: Relabelled,
    /// A target whose name is another cluster's now.
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub replaced: Replaced,
    /// A target whose cluster came out of a backup.
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub restored: Restored,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            missing: Missing::default(),
            unchanged: Unchanged::default(),
            unreachable_after: default_unreachable_after(),
            unreachable: Unreachable::default(),
            late_join: LateJoin::default(),
            left: Left::default(),
            relabelled: Relabelled::default(),
            replaced: Replaced::default(),
            restored: Restored::default(),
        }
    }
}

/// A quarter of an hour: longer than an agent's restart or a node's drain.
#[must_use]
pub fn default_unreachable_after() -> Seconds {
    Seconds(900)
}

/// A target whose Rollout is not there (gate.md G27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Missing {
    /// Counts as failed.
    #[default]
    Fail,
    /// Does not count.
    Skip,
}

/// A target that has not reported the release's content when its wave starts (gate.md G25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Unchanged {
    /// Is waited for until its deadline.
    #[default]
    Wait,
    /// Is skipped, and that is recorded.
    Skip,
}

/// A target without contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Unreachable {
    /// Counts as failed.
    #[default]
    CountAsFailed,
    /// Is waited for until its deadline.
    Wait,
    /// Does not count.
    Skip,
}

/// What an agent does when its lease ends (gate.md G21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum OnHubLoss {
    /// Goes on to the permitted step under local analysis.
    #[default]
    Finish,
    /// Stops at the next step boundary.
    Hold,
    /// Takes an unfinished canary back to its own stable version.
    Abort {
        /// So long after the lease.
        after: Seconds,
    },
}

/// The phase shown while a cluster serves an older version than its spec asks for (gate.md G22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RollbackPhase {
    /// Alerts see it.
    #[default]
    Degraded,
    /// Alerts do not.
    Paused,
}

impl RollbackPhase {
    /// As written in the document and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
        }
    }
}

/// What an expedited release may shorten (gate.md G30); never its first wave, nor analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Expedite {
    /// The longest bake of a wave after the first.
    pub bake: Seconds,
    /// The FleetRollout's own windows, for the waves after the first.
    #[serde(default, skip_serializing_if = "presence::is_default")]
    pub windows: ExpediteWindows,
}

/// What becomes of the FleetRollout's own windows in an expedited release. Its freezes, and whatever is written for the fleet,
/// hold all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ExpediteWindows {
    /// It waits for them.
    #[default]
    Wait,
    /// It passes.
    Pass,
}

/// Whether a newer release may overtake one that is past its first wave (gate.md G26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Supersede {
    /// No: it finishes first.
    #[default]
    Finish,
    /// Yes.
    Replace,
}
