//! Amazon's keys: the default chain of its tools.
//!
//! In: who signs, and the program's environment. Out: keys and a region, kept while they hold. The order is that of
//! Amazon's tools: the environment, a profile of the shared files, a web identity (IRSA), a container's or pod's
//! credentials, the machine's. It must not run a program for keys, and must not ask where the environment does not say.

pub mod chain;
pub mod container;
pub mod instance;
pub mod keys;
pub mod profile;
pub mod sts;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use self::chain::{Base, Chain, Role, Token};
use self::keys::Keys;
use self::profile::Profiles;
use super::kept::{Fetched, Kept};
use super::{Signer, sigv4};
use crate::transport::wire::{self, Purpose, Wire};
use crate::transport::{Answer, Request};

/// Keys that do not end are read again after this.
const UNENDING_HOLDS: Duration = Duration::from_secs(300);
/// Keys are fetched again so long before their end.
const MARGIN: Duration = Duration::from_secs(300);
/// Largest file read: tokens and profiles are a few kilobytes.
const MAX_FILE: u64 = 1 << 20;
/// How long one place of credentials may take: outside of Amazon's machines nobody answers.
pub(super) const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

/// Variables of the program's environment.
pub type Variables = BTreeMap<String, SecretString>;

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nowhere a region.
    #[error("sigv4 has no region: give it one, or set AWS_REGION")]
    NoRegion,
    /// The profile cannot be used.
    #[error("the AWS profile {name:?} cannot be used: {reason}")]
    Profile {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A variable cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A place of credentials refused.
    #[error("{place} gave no AWS keys: it answered {status}: {quote}")]
    Refused {
        /// Which.
        place: &'static str,
        /// HTTP status.
        status: u16,
        /// Its words.
        quote: String,
    },
    /// A place of credentials was not reached, or its answer cannot be read.
    #[error("{place} gave no AWS keys: {reason}")]
    Place {
        /// Which.
        place: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Keys and where they are used.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The keys.
    pub keys: Keys,
    /// Region.
    pub region: String,
}

/// Whose keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whose {
    region: Option<String>,
    profile: Option<String>,
    role: Option<String>,
}

/// The keys in use.
#[derive(Debug, Default)]
pub struct Aws {
    variables: Variables,
    kept: Kept<Whose, Identity, Error>,
}

impl Aws {
    /// None yet.
    #[must_use]
    pub fn new(variables: Variables) -> Self {
        Self {
            variables,
            kept: Kept::default(),
        }
    }

    /// Keys to sign with.
    pub(crate) async fn identity(
        &self,
        wire: &Wire,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Identity, Error> {
        let whose = Whose {
            region: signer.region.clone(),
            profile: signer.profile.clone(),
            role: signer.role.clone(),
        };
        let fetch = || self.fetch(wire, signer, now);
        Ok(self.kept.get(&whose, fetch).await?.value)
    }

    async fn fetch(
        &self,
        wire: &Wire,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Fetched<Identity>, Error> {
        let (config, credentials) = profile::paths(&self.variables);
        let profiles = Profiles::parse(&optional(&config).await?, &optional(&credentials).await?);
        let chain = chain::resolve(signer, &self.variables, &profiles)?;
        let place = Place {
            wire,
            chain: &chain,
        };
        let mut keys = place.base().await?;
        for role in &chain.roles {
            keys = place.assume(&keys, role).await?;
        }
        let holds = keys.expires.map_or(UNENDING_HOLDS, |end| {
            Duration::try_from(end.duration_since(now))
                .unwrap_or(Duration::ZERO)
                .saturating_sub(MARGIN)
        });
        let region = chain.region;
        Ok(Fetched {
            value: Identity { keys, region },
            holds,
        })
    }
}

/// Where credentials are given out, as the chain says.
struct Place<'a> {
    wire: &'a Wire,
    chain: &'a Chain,
}

impl Place<'_> {
    async fn base(&self) -> Result<Keys, Error> {
        match &self.chain.base {
            Base::Keys(keys) => Ok(keys.clone()),
            Base::WebIdentity { role, token_file } => {
                let token = file(token_file).await?;
                let request = sts::with_web_identity(&self.chain.sts, role, token.trim());
                let answer = self.send(sts::PLACE, &request, &[]).await?;
                sts::parse(answer.status, &answer.body)
            }
            Base::Container { url, token } => {
                let token = match token {
                    Token::None => None,
                    Token::Text(text) => Some(text.clone()),
                    Token::File(path) => Some(file(path).await?.trim().to_owned().into()),
                };
                let request = container::request(url, token);
                let answer = self.send(container::PLACE, &request, &[]).await?;
                container::parse(answer.status, &answer.body)
            }
            Base::Instance { endpoint } => {
                let answer = self.instance(&instance::token(endpoint)).await?;
                let token = instance::parse_text(answer.status, &answer.body)?;
                let answer = self.instance(&instance::role(endpoint, &token)).await?;
                let role = instance::parse_text(answer.status, &answer.body)?;
                let answer = self
                    .instance(&instance::keys(endpoint, &token, &role))
                    .await?;
                instance::parse(answer.status, &answer.body)
            }
        }
    }

    async fn instance(&self, request: &Request) -> Result<Answer, Error> {
        self.send(instance::PLACE, request, &[]).await
    }

    async fn assume(&self, keys: &Keys, role: &Role) -> Result<Keys, Error> {
        let request = sts::assume(&self.chain.sts, role);
        let scope = sigv4::Scope {
            service: "sts",
            region: &self.chain.region,
            time: SystemTime::now(),
        };
        let failed = |reason: String| Error::Place {
            place: sts::PLACE,
            reason,
        };
        let headers = wire::headers(&request).map_err(|error| failed(error.to_string()))?;
        let signed = sigv4::sign(&request, &headers, keys, &scope);
        let signed = signed.map_err(|error| failed(error.to_string()))?;
        let answer = self.send(sts::PLACE, &request, &signed).await?;
        sts::parse(answer.status, &answer.body)
    }

    async fn send(
        &self,
        place: &'static str,
        request: &Request,
        more: &[(http::HeaderName, SecretString)],
    ) -> Result<Answer, Error> {
        let failed = |reason: String| Error::Place { place, reason };
        let mut headers = wire::headers(request).map_err(|error| failed(error.to_string()))?;
        for (name, value) in more {
            let value = wire::secret(value)
                .ok_or_else(|| failed("a key has control characters".to_owned()))?;
            headers.insert(name.clone(), value);
        }
        let sent = self.wire.exchange(request, headers, Purpose::credentials());
        match tokio::time::timeout(PLACE_TIMEOUT, sent).await {
            Ok(sent) => sent.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!(
                "no answer within {} s",
                PLACE_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// A variable that is set to something.
fn variable<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    let found = variables.get(name).map(|value| value.expose_secret());
    found.filter(|value| !value.is_empty())
}

async fn file(path: &str) -> Result<String, Error> {
    let failed = |reason: String| Error::File {
        path: path.to_owned(),
        reason,
    };
    let size = tokio::fs::metadata(path).await;
    let size = size.map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(failed(format!("it is larger than {MAX_FILE} bytes")));
    }
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(|error| failed(error.to_string()))
}

/// The text of a file, empty where there is none.
async fn optional(path: &str) -> Result<String, Error> {
    if tokio::fs::try_exists(path).await.unwrap_or(false) {
        file(path).await
    } else {
        Ok(String::new())
    }
}

#[cfg(test)]
mod tests;
