//! The only HTTP client of the providers.
//!
//! In: a request built by a provider. Out: the status and the body, within limits of time and size. It must not follow
//! a redirect to another origin, use a proxy from the environment, or reach an address that the guard forbids.
//! Where the first implementation of these providers follows redirects to other servers, this one does not: headers with
//! credentials would go along.

pub mod guard;
mod names;
mod room;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_api::provider::Header;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use reqwest::Url;
use secrecy::SecretString;

use crate::auth::aws::{self, Aws};
use crate::auth::oauth2::{self, Tokens};
use crate::auth::{Client, Credentials, Signer, basic, bearer, sigv4};
use guard::{Forbidden, Guard, Lookup, System};
use wire::{Purpose, Wire};

/// Longest time that a metric may ask for; a verdict that takes longer is none.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// What a request carries; may hold a secret.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// A form, encoded.
    Form(SecretString),
    /// JSON.
    Json(SecretString),
    /// Text of whatever kind; the request's headers say which.
    Text(SecretString),
}

/// A request of a provider.
#[derive(Clone)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers to send along.
    pub headers: Vec<(String, SecretString)>,
    /// What.
    pub body: Body,
    /// How to authenticate.
    pub authentication: Option<Credentials>,
    /// How long the whole may take.
    pub timeout: Duration,
    /// Do not verify the server's certificate.
    pub insecure: bool,
}

/// Paths, queries, headers and bodies may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

/// A metric's headers as they are sent: any of them may hold a secret.
pub(crate) fn secret_headers(given: &[Header]) -> Vec<(String, SecretString)> {
    let pair = |one: &Header| (one.key.clone(), SecretString::from(one.value.clone()));
    given.iter().map(pair).collect()
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address may not be asked.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] oauth2::Error),
    /// There are no keys of Amazon's.
    #[error(transparent)]
    Keys(#[from] aws::Error),
    /// The request cannot be signed.
    #[error(transparent)]
    Signature(#[from] sigv4::Error),
    /// A header cannot be sent.
    #[error("header {0:?} cannot be sent: check its name and value")]
    Header(String),
    /// The certificates of the authorities cannot be read.
    #[error("the bundle of certificate authorities cannot be read: {0}; it must be PEM")]
    Authorities(String),
    /// The client could not be made.
    #[error("cannot make an http client: {0}")]
    Client(String),
    /// The request failed.
    #[error("{address} cannot be reached: {reason}; look whether it runs and at the address")]
    Failed {
        /// Host and port.
        address: String,
        /// What went wrong, without the layers that it came through.
        reason: String,
    },
    /// It took too long.
    #[error(
        "{host} did not answer within {seconds} s: raise the metric's timeout or look at the server"
    )]
    Timeout {
        /// The host.
        host: String,
        /// Seconds allowed.
        seconds: u64,
    },
    /// The body is too large.
    #[error("the answer of {host} is larger than {limit} bytes: aggregate the query", limit = wire::MAX_BODY)]
    TooLarge {
        /// The host.
        host: String,
    },
    /// Other answers hold what there is.
    #[error(
        "the answer of {host} is larger than {free} bytes and the {limit} bytes for all such answers are in use: aggregate \
         the query or measure less often",
        free = room::FREE,
        limit = room::ROOM
    )]
    NoRoom {
        /// The host.
        host: String,
    },
}

/// What holds for every request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which addresses may be asked.
    pub guard: Guard,
    /// Certificates of authorities trusted beside the system's: a PEM bundle.
    pub authorities: Option<Vec<u8>>,
    /// Where names are looked up.
    pub lookup: Arc<dyn Lookup>,
    /// The program's environment, which says where Amazon's keys are; other variables in it do not matter.
    pub variables: BTreeMap<String, SecretString>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            authorities: None,
            lookup: Arc::new(System),
            variables: BTreeMap::new(),
        }
    }
}

/// The HTTP client; clones share its connections, tokens and keys.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wire: Wire,
    tokens: Tokens,
    aws: Aws,
}

impl Transport {
    /// One with these settings.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let aws = Aws::new(settings.variables.clone());
        Ok(Self {
            inner: Arc::new(Inner {
                wire: Wire::new(settings)?,
                tokens: Tokens::default(),
                aws,
            }),
        })
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let limit = request.timeout;
        let sent = tokio::time::timeout(limit, self.authenticated(request)).await;
        sent.map_err(|_| Error::Timeout {
            host: host(&request.url),
            seconds: limit.as_secs(),
        })?
    }

    async fn authenticated(&self, request: &Request) -> Result<Answer, Error> {
        let mut headers = wire::headers(request)?;
        let plain = Purpose::metric(request.insecure);
        match &request.authentication {
            None => {}
            Some(Credentials::Basic { username, password }) => {
                set(&mut headers, AUTHORIZATION, &basic(username, password))?;
            }
            Some(Credentials::OAuth2(client)) => {
                // Boxed, as is the next one: what few requests do would take room in every one that waits.
                return Box::pin(self.with_token(request, headers, client)).await;
            }
            Some(Credentials::SigV4(signer)) => {
                let signed = Box::pin(self.signed(request, headers, signer)).await?;
                return self
                    .inner
                    .wire
                    .exchange(request, signed, plain.signed())
                    .await;
            }
        }
        self.inner.wire.exchange(request, headers, plain).await
    }

    /// With a token; one that was kept from earlier and is refused now is fetched again, once.
    async fn with_token(
        &self,
        request: &Request,
        mut headers: HeaderMap,
        client: &Client,
    ) -> Result<Answer, Error> {
        let (wire, tokens) = (&self.inner.wire, &self.inner.tokens);
        let purpose = Purpose::metric(request.insecure);
        let held = tokens.get(wire, client, request.insecure).await?;
        set(&mut headers, AUTHORIZATION, &bearer(&held.value))?;
        let answer = wire.exchange(request, headers.clone(), purpose).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        tokens.forget(client, request.insecure, &held).await;
        if held.fresh {
            return Ok(answer);
        }
        let held = tokens.get(wire, client, request.insecure).await?;
        set(&mut headers, AUTHORIZATION, &bearer(&held.value))?;
        wire.exchange(request, headers, purpose).await
    }

    async fn signed(
        &self,
        request: &Request,
        mut headers: HeaderMap,
        signer: &Signer,
    ) -> Result<HeaderMap, Error> {
        let (now, time) = (Timestamp::now(), SystemTime::now());
        let identity = self
            .inner
            .aws
            .identity(&self.inner.wire, signer, now)
            .await?;
        let scope = sigv4::Scope {
            service: &signer.service,
            region: &identity.region,
            time,
        };
        for (name, value) in sigv4::sign(request, &headers, &identity.keys, &scope)? {
            set(&mut headers, name, &value)?;
        }
        Ok(headers)
    }
}

/// Sets a header whose value is not to be shown.
fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &SecretString) -> Result<(), Error> {
    let value = wire::secret(value).ok_or_else(|| Error::Header(name.to_string()))?;
    headers.insert(name, value);
    Ok(())
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or("the server").to_owned()
}

/// The same with the port.
fn address(url: &Url) -> String {
    match url.port_or_known_default() {
        Some(port) => format!("{}:{port}", host(url)),
        None => host(url),
    }
}

#[cfg(test)]
mod tests;
