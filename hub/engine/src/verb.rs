//! What a person can say about a release, and what of it still holds. In: rows. Out: their types. It must not decide whether
//! it makes sense: `reconcile::verbs` does, in the deciding transaction.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::member::LetGo;
use crate::name::{ClusterName, Person};

/// A person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", tag = "verb", deny_unknown_fields)]
pub enum Verb {
    /// Open a release of what the clusters hold.
    Start {
        /// It may shorten what `spec.expedite` allows (gate.md G30).
        #[serde(default)]
        expedite: bool,
    },
    /// Start nothing new; what is in flight goes on.
    Pause,
    /// Go on.
    Resume,
    /// End it. What is in flight goes back to what its cluster served.
    Abort {
        /// What becomes of the clusters that had finished; none: as after a failed wave.
        #[serde(default)]
        scope: Option<Scope>,
    },
    /// Take it back everywhere, also when it has ended.
    Rollback,
    /// Let a target that failed start again.
    Retry {
        /// Which.
        cluster: ClusterName,
    },
    /// Pass over a target; it never counts as success.
    SkipTarget {
        /// Which.
        cluster: ClusterName,
    },
    /// Pass over every target of a wave.
    SkipWave {
        /// Its name.
        wave: String,
    },
    /// End a wave's bake.
    Promote {
        /// Its name; none: the one that bakes.
        #[serde(default)]
        wave: Option<String>,
    },
    /// Let it shorten from now on what `spec.expedite` allows (gate.md G30).
    Expedite,
    /// End governance (gate.md G9).
    Ungovern {
        /// Where; none: everywhere.
        #[serde(default)]
        cluster: Option<ClusterName>,
        /// What becomes of held content.
        mode: LetGo,
    },
    /// Govern again what was let go.
    Govern {
        /// Where; none: everywhere.
        #[serde(default)]
        cluster: Option<ClusterName>,
    },
}

impl Default for Verb {
    fn default() -> Self {
        Self::Start { expedite: false }
    }
}

/// Which clusters go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every one that the release ever permitted.
    Touched,
    /// The ones that had not finished.
    Unfinished,
}

/// Who said something, why and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// By certificate.
    pub person: Person,
    /// What they wrote.
    pub reason: String,
    /// By the database's clock.
    pub at: Timestamp,
}

/// What persons said about a release, as far as it still holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Word {
    /// Nothing of it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<By>,
    /// It may shorten what the plan allows to be shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expedited: Option<By>,
    /// It goes back by a person's word, and how far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Back>,
}

/// A release that goes back by a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Back {
    /// Which clusters.
    pub scope: Scope,
    /// Whose word.
    pub by: By,
}

/// Nothing starts, in one FleetRollout or in all (gate.md G30).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The whole fleet.
    #[serde(default)]
    pub all: bool,
    /// Whose word.
    pub by: By,
}

impl Stop {
    /// What a stopped Rollout shows.
    #[must_use]
    pub fn message(&self) -> String {
        let what = if self.all { "the whole fleet is" } else { "" };
        let by = format!("stopped by {}: {}", self.by.person, self.by.reason);
        format!("{what} {by}").trim_start().to_owned()
    }
}

impl Verb {
    /// The history row's kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "ReleaseAsked",
            Self::Pause => "ReleasePaused",
            Self::Resume => "ReleaseResumed",
            Self::Abort { .. } => "ReleaseAborted",
            Self::Rollback => "RollbackAsked",
            Self::Retry { .. } => "TargetRetried",
            Self::SkipTarget { .. } => "TargetPassedOver",
            Self::SkipWave { .. } => "WavePassedOver",
            Self::Promote { .. } => "WavePromoted",
            Self::Expedite => "ReleaseExpedited",
            Self::Ungovern { .. } => "GovernanceEnded",
            Self::Govern { .. } => "GovernanceResumed",
        }
    }

    /// After the person's name: what they do to a release.
    #[must_use]
    pub fn sentence(&self, release: u64) -> String {
        match self {
            Self::Start { expedite: false } => format!("starts release #{release}"),
            Self::Start { expedite: true } => format!("starts release #{release}, expedited"),
            Self::Pause => format!("pauses release #{release}"),
            Self::Resume => format!("resumes release #{release}"),
            Self::Abort {
                scope: Some(Scope::Touched),
            } => format!("aborts release #{release}, and all that it touched goes back"),
            Self::Abort {
                scope: Some(Scope::Unfinished),
            } => format!("aborts release #{release}, and what had finished stays"),
            Self::Abort { scope: None } => format!("aborts release #{release}"),
            Self::Rollback => format!("takes release #{release} back"),
            Self::Retry { cluster } => format!("lets {cluster} of release #{release} start again"),
            Self::SkipTarget { cluster } => format!("passes over {cluster} of release #{release}"),
            Self::SkipWave { wave } => format!("passes over wave {wave} of release #{release}"),
            Self::Promote { wave: Some(wave) } => {
                format!("ends the bake of wave {wave} of release #{release}")
            }
            Self::Promote { wave: None } => format!("ends a bake of release #{release}"),
            Self::Expedite => format!("expedites release #{release}"),
            Self::Ungovern { cluster, mode } => {
                format!(
                    "ends governance {} ({})",
                    place(cluster.as_ref()),
                    mode.as_str()
                )
            }
            Self::Govern { cluster } => format!("governs again {}", place(cluster.as_ref())),
        }
    }
}

fn place(cluster: Option<&ClusterName>) -> String {
    cluster.map_or_else(
        || "in every cluster".to_owned(),
        |name| format!("in {name}"),
    )
}
