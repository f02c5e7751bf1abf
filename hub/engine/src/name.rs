//! Identifiers. In: text or numbers from documents, agents and the database. Out: types that cannot be mixed up. It must
//! not hold anything that is decided on.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

text! {
    /// A member of the fleet.
    ClusterName
}
text! {
    /// `metadata.name` of a FleetRollout.
    FleetRolloutName
}
text! {
    /// A content or delivery digest, opaque to the hub (`v1:…`).
    Digest
}
text! {
    /// A Git revision as an agent reported it.
    Revision
}
text! {
    /// The common name of a person's certificate.
    Person
}

/// A Rollout by namespace and name: the same pair in every cluster that a FleetRollout selects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for RolloutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A release by its FleetRollout and number, written `checkout#42`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseId {
    /// The FleetRollout it travels through.
    pub fleet_rollout: FleetRolloutName,
    /// Counted from 1 in that FleetRollout.
    pub number: u64,
}

/// Text that should name a release and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a release; write it as checkout#42")]
pub struct NotARelease {
    /// The text.
    pub text: String,
}

impl std::str::FromStr for ReleaseId {
    type Err = NotARelease;

    fn from_str(text: &str) -> Result<Self, NotARelease> {
        let wrong = || NotARelease {
            text: text.to_owned(),
        };
        let (name, number) = text.rsplit_once('#').ok_or_else(wrong)?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().map_err(|_| wrong())?;
        if name.is_empty() || !digits || number == 0 {
            return Err(wrong());
        }
        Ok(Self {
            fleet_rollout: name.into(),
            number,
        })
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = NotARelease;

    fn try_from(text: String) -> Result<Self, NotARelease> {
        text.parse()
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.fleet_rollout, self.number)
    }
}

/// (incarnation, version) of a cluster's desired set (gate.md L1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// Raised only by a restore.
    pub incarnation: u64,
    /// One number a cluster, raised by every change of its set.
    pub version: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.version)
    }
}
