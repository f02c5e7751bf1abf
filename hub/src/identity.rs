//! Who is asking and what they may do. In: a client certificate that the TLS layer has verified. Out: a `Peer`, and an
//! `Authorized<Action>` that only `authorize` can make. It must not look at anything a request claims about its sender.

use rustls_pki_types::CertificateDer;

/// Organization of every cluster's certificate.
pub const CLUSTERS_GROUP: &str = "groundswell:clusters";
/// The group that may apply, make tokens and start releases.
pub const ADMINS_GROUP: &str = "groundswell-admins";
/// Several groups stand in one organization attribute, because a subject made by rcgen has one of each kind.
pub const GROUP_SEPARATOR: &str = ",";
/// Groups of this form belong to the program.
const RESERVED_PREFIX: &str = "groundswell:";
/// A name is shown in tables and stored in each history row.
const MAX_NAME: usize = 64;

/// Who is on the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The agent of a cluster.
    Cluster(String),
    /// A person.
    Person {
        /// As in the certificate.
        name: String,
        /// As in the certificate.
        groups: Vec<String>,
    },
    /// No client certificate was shown.
    Anonymous,
}

/// A name that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A cluster.
    #[error(
        "cluster name {0:?} is not usable: use lower-case letters, digits and -, at most 63, as for a DNS label"
    )]
    Cluster(String),
    /// A person.
    #[error("person name {0:?} is not usable: use letters, digits and . _ @ -, at most 64")]
    Person(String),
    /// A group.
    #[error(
        "group {0:?} is not usable: use letters, digits and . _ : -, at most 64, not starting with `groundswell:`"
    )]
    Group(String),
}

/// A certificate that says nothing this program understands.
#[derive(Debug, thiserror::Error)]
#[error(
    "the client certificate names neither a cluster nor a person: {0}; ask an administrator for a new one"
)]
pub struct UnknownSubject(String);

impl Peer {
    /// Reads the subject of a verified certificate.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, UnknownSubject> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| UnknownSubject(error.to_string()))?;
        let subject = parsed.subject();
        let Some(name) = subject
            .iter_common_name()
            .find_map(|value| value.as_str().ok())
        else {
            return Err(UnknownSubject(format!("no common name in {subject}")));
        };
        let groups: Vec<String> = subject
            .iter_organization()
            .filter_map(|value| value.as_str().ok())
            .flat_map(|value| value.split(GROUP_SEPARATOR))
            .filter(|group| !group.is_empty())
            .map(str::to_owned)
            .collect();
        if groups.iter().any(|group| group == CLUSTERS_GROUP) {
            check_cluster(name).map_err(|error| UnknownSubject(error.to_string()))?;
            return Ok(Self::Cluster(name.to_owned()));
        }
        check_person(name).map_err(|error| UnknownSubject(error.to_string()))?;
        Ok(Self::Person {
            name: name.to_owned(),
            groups,
        })
    }

    /// How the history names it.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Cluster(name) => format!("agent:{name}"),
            Self::Person { name, .. } => name.clone(),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}

/// A cluster's name is a DNS label.
pub fn check_cluster(name: &str) -> Result<(), NameError> {
    let shape = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() || name.len() > 63 || !shape || !ends {
        return Err(NameError::Cluster(name.to_owned()));
    }
    Ok(())
}

/// A person's name goes into a certificate and every history row.
pub fn check_person(name: &str) -> Result<(), NameError> {
    if !plain(name, b"._@-") || name.starts_with("agent:") || name == "hub" {
        return Err(NameError::Person(name.to_owned()));
    }
    Ok(())
}

/// A group's name.
pub fn check_group(name: &str) -> Result<(), NameError> {
    if !plain(name, b"._:-") || name.starts_with(RESERVED_PREFIX) {
        return Err(NameError::Group(name.to_owned()));
    }
    Ok(())
}

fn plain(name: &str, extra: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}

/// Something a peer may be allowed to do.
pub trait Action {
    /// The words for it, after "may not".
    fn words(&self) -> String;
    /// Who may.
    fn rule(&self) -> Rule<'_>;
}

/// Who may do something.
#[derive(Debug)]
pub enum Rule<'a> {
    /// The agent of a cluster.
    AnyCluster,
    /// Every person with a certificate.
    AnyPerson,
    /// A person in one of these groups.
    PersonIn(Vec<&'a str>),
}

/// Read clusters, documents, releases, history.
#[derive(Debug)]
pub struct Read;
/// Store FleetRollout documents.
#[derive(Debug)]
pub struct Apply;
/// Make a join token.
#[derive(Debug)]
pub struct MakeToken;
/// Open a release by a person's word.
#[derive(Debug)]
pub struct StartRelease;
/// Say something about a release: pause, resume, abort, roll back, retry, skip, promote.
#[derive(Debug)]
pub struct Act;
/// Stop a FleetRollout or the fleet, or let it go on.
#[derive(Debug)]
pub struct Stop;
/// Deny a cluster's certificates.
#[derive(Debug)]
pub struct Revoke;
/// Change a cluster's labels, name or identity, or remove it.
#[derive(Debug)]
pub struct ChangeMember;
/// End governance, or begin it again.
#[derive(Debug)]
pub struct Ungovern;
/// Decide again after a restored database.
#[derive(Debug)]
pub struct Recover;
/// Open the link of a cluster.
#[derive(Debug)]
pub struct OpenLink;
/// Get the next certificate for the cluster whose one is shown.
#[derive(Debug)]
pub struct Renew {
    /// Of the one that is shown.
    pub fingerprint: String,
}
/// Approve a wave.
#[derive(Debug)]
pub struct ApproveWave {
    /// Groups that the wave names; none: administrators.
    pub groups: Vec<String>,
}

impl Action for Read {
    fn words(&self) -> String {
        "read the fleet".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::AnyPerson
    }
}
impl Action for Apply {
    fn words(&self) -> String {
        "apply FleetRollouts".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for MakeToken {
    fn words(&self) -> String {
        "make join tokens".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for StartRelease {
    fn words(&self) -> String {
        "start releases".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for Act {
    fn words(&self) -> String {
        "run releases".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for Stop {
    fn words(&self) -> String {
        "stop the fleet".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for Revoke {
    fn words(&self) -> String {
        "revoke certificates of clusters".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for ChangeMember {
    fn words(&self) -> String {
        "change who is a member of the fleet".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for Ungovern {
    fn words(&self) -> String {
        "end governance".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for Recover {
    fn words(&self) -> String {
        "let the hub decide after a restored database".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::PersonIn(vec![ADMINS_GROUP])
    }
}
impl Action for Renew {
    fn words(&self) -> String {
        "renew a cluster's certificate".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::AnyCluster
    }
}
impl Action for OpenLink {
    fn words(&self) -> String {
        "open the link of a cluster".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        Rule::AnyCluster
    }
}
impl Action for ApproveWave {
    fn words(&self) -> String {
        "approve this wave".to_owned()
    }
    fn rule(&self) -> Rule<'_> {
        if self.groups.is_empty() {
            return Rule::PersonIn(vec![ADMINS_GROUP]);
        }
        Rule::PersonIn(self.groups.iter().map(String::as_str).collect())
    }
}

/// Proof that a peer may do one thing. Only `authorize` makes it.
#[derive(Debug)]
pub struct Authorized<A> {
    peer: String,
    groups: Vec<String>,
    action: A,
}

impl<A> Authorized<A> {
    /// Who was allowed: a person's name or a cluster's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.peer
    }

    /// The groups of the person; none for a cluster.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// What was allowed.
    #[must_use]
    pub fn action(&self) -> &A {
        &self.action
    }
}

/// A refusal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No certificate.
    #[error(
        "a client certificate is needed to {0}; use a client configuration made by `groundswell-hub person`"
    )]
    Unauthenticated(String),
    /// The wrong one.
    #[error("{who} may not {what}: {needs}")]
    Forbidden {
        /// The peer.
        who: String,
        /// The action.
        what: String,
        /// What would be needed.
        needs: String,
    },
}

/// The one place where it is decided who may do what.
pub fn authorize<A: Action>(peer: &Peer, action: A) -> Result<Authorized<A>, Denied> {
    let forbidden = |needs: String| Denied::Forbidden {
        who: peer.actor(),
        what: action.words(),
        needs,
    };
    let (name, groups) = match peer {
        Peer::Anonymous => return Err(Denied::Unauthenticated(action.words())),
        Peer::Cluster(name) => match action.rule() {
            Rule::AnyCluster => (name.clone(), Vec::new()),
            Rule::AnyPerson | Rule::PersonIn(_) => {
                return Err(forbidden(
                    "only people may, and this is a cluster".to_owned(),
                ));
            }
        },
        Peer::Person { name, groups } => match action.rule() {
            Rule::AnyCluster => {
                return Err(forbidden(
                    "only clusters may, and this is a person".to_owned(),
                ));
            }
            Rule::AnyPerson => (name.clone(), groups.clone()),
            Rule::PersonIn(allowed) => {
                if !groups.iter().any(|group| allowed.contains(&group.as_str())) {
                    return Err(forbidden(format!(
                        "it needs a member of {}",
                        allowed.join(" or ")
                    )));
                }
                (name.clone(), groups.clone())
            }
        },
    };
    Ok(Authorized {
        peer: name,
        groups,
        action,
    })
}

impl From<Denied> for tonic::Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated(_) => Self::unauthenticated(denied.to_string()),
            Denied::Forbidden { .. } => Self::permission_denied(denied.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
