//! Changes that open nothing. In: nothing. Out: why, as a value and a sentence. It must not decide.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::paper::Paper;

/// Why a change opened no release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase", tag = "fate", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are named like what they hold")]
pub enum ChangeFate {
    /// It is content of an open release (gate.md G25).
    Joined { release: u64 },
    /// It is what the cluster serves (gate.md G19).
    Withdrawn,
    /// A first deploy, free (gate.md G10).
    FirstDeploy,
    /// It is content of a release that has ended, and the cluster had nothing newer.
    Older { release: u64 },
    /// It failed before (gate.md G17).
    Barred { release: u64 },
    /// Its generation is not higher than before (gate.md G24).
    NotNewer,
    /// The cluster is not selected (any more).
    NotSelected,
    /// The FleetRollout only observes (gate.md G13): what its waves would have done.
    OnPaper { paper: Paper },
}

impl fmt::Display for ChangeFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { release } => write!(f, "it belongs to release #{release}"),
            Self::Withdrawn => f.write_str("it is what the cluster serves"),
            Self::FirstDeploy => f.write_str("a first deploy is free"),
            Self::Older { release } => {
                write!(f, "it belongs to release #{release}, which has ended")
            }
            Self::Barred { release } => write!(f, "it failed in release #{release}"),
            Self::NotNewer => f.write_str("its generation is not higher than before"),
            Self::NotSelected => f.write_str("the cluster is not selected"),
            Self::OnPaper { paper } => paper.fmt(f),
        }
    }
}
