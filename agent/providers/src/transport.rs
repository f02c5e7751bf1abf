//! The only HTTP client of the providers.
//!
//! In: a request built by a provider. Out: the status and the body, within limits of time and size. It must not follow
//! a redirect to another origin, use a proxy from the environment, or reach link-local addresses, where clouds keep
//! their credentials.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_api::provider::Authentication;
use http::header::CONTENT_TYPE;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};

/// Longest time that a metric may ask for; a verdict that takes longer is none.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// Largest answer: the value of a metric is a few numbers.
const MAX_BODY: usize = 1 << 20;
/// Most redirects inside one origin.
const MAX_REDIRECTS: usize = 3;
/// How long a connection may take to come up, within the request's own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed after this, so that a moved server is found again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

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
#[derive(Debug, Clone)]
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
    pub authentication: Option<Authentication>,
    /// How long the whole may take.
    pub timeout: Duration,
    /// Do not verify the server's certificate.
    pub insecure: bool,
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
    #[error("{0} is a link-local address and may not be asked: point the metric elsewhere")]
    Forbidden(IpAddr),
    /// Authentication other than by a header.
    #[error("authentication is not built into this agent: use a header")]
    Authentication,
    /// A header cannot be sent.
    #[error("header {0:?} cannot be sent: check its name and value")]
    Header(String),
    /// The client could not be made.
    #[error("cannot make an http client: {0}")]
    Client(String),
    /// The request failed.
    #[error("request to {host} failed: {reason}")]
    Failed {
        /// The host.
        host: String,
        /// What went wrong.
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
    #[error("the answer of {host} is larger than {MAX_BODY} bytes: aggregate the query")]
    TooLarge {
        /// The host.
        host: String,
    },
}

/// The HTTP client; clones share its connections.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// Verifying and not verifying, each made when first needed.
    clients: Arc<Mutex<[Option<Client>; 2]>>,
}

impl Transport {
    /// Sends a request and reads the answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let host = host(&request.url);
        let limit = request.timeout;
        let timeout = || Error::Timeout {
            host: host.clone(),
            seconds: limit.as_secs(),
        };
        tokio::time::timeout(limit, self.exchange(request, &host))
            .await
            .map_err(|_| timeout())?
    }

    async fn exchange(&self, request: &Request, host: &str) -> Result<Answer, Error> {
        if let Some(address) = literal(&request.url).filter(|address| forbidden(*address)) {
            return Err(Error::Forbidden(address));
        }
        let failed = |error: reqwest::Error| Error::Failed {
            host: host.to_owned(),
            reason: chain(&error),
        };
        if request.authentication.is_some() {
            return Err(Error::Authentication);
        }
        let client = self.client(request.insecure)?;
        let url = request.url.clone();
        let builder = match request.method {
            Method::Get => client.get(url),
            Method::Post => client.post(url),
            Method::Put => client.put(url),
        };
        let mut builder = match &request.body {
            Body::Empty => builder,
            Body::Form(text) => builder
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(text.expose_secret().to_owned()),
            Body::Json(text) => builder
                .header(CONTENT_TYPE, "application/json")
                .body(text.expose_secret().to_owned()),
            Body::Text(text) => builder.body(text.expose_secret().to_owned()),
        };
        for (name, value) in &request.headers {
            let mut secret = http::HeaderValue::from_str(value.expose_secret())
                .map_err(|_| Error::Header(name.clone()))?;
            secret.set_sensitive(true);
            builder = builder.header(name, secret);
        }
        let mut response = builder.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY {
                return Err(Error::TooLarge {
                    host: host.to_owned(),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    fn client(&self, insecure: bool) -> Result<Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let [verifying, trusting] = &mut *clients;
        let slot = if insecure { trusting } else { verifying };
        if let Some(client) = slot {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::custom(follow))
            .dns_resolver(Arc::new(Filtered))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .danger_accept_invalid_certs(insecure)
            .build()
            .map_err(|error| Error::Client(chain(&error)))?;
        *slot = Some(client.clone());
        Ok(client)
    }
}

/// An error with its causes: reqwest says only "error sending request" at the top.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or("the server").to_owned()
}

/// The address in a URL that names one; other names go through [`Filtered`].
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|inner| inner.is_link_local())
        }
    }
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same = attempt
        .previous()
        .first()
        .is_some_and(|first| first.origin() == attempt.url().origin());
    if !same {
        return attempt.error("it redirects to another server, which is not followed");
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("it redirects too often");
    }
    attempt.follow()
}

/// The system's resolver without the addresses that may not be asked: checked after resolving, so that a name cannot
/// stand for one of them.
#[derive(Debug)]
struct Filtered;

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|one| !forbidden(one.ip()))
                .collect();
            if let (Some(one), true) = (found.first(), allowed.is_empty()) {
                return Err(Error::Forbidden(one.ip()).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_is_forbidden_in_every_spelling() {
        for url in [
            "http://169.254.169.254/",
            "http://2852039166/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.1.1]/",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(literal(&url).is_some_and(forbidden), "{url}");
        }
        for url in [
            "http://127.0.0.1:9090/",
            "http://10.0.0.1/",
            "http://[::1]/",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(!literal(&url).is_some_and(forbidden), "{url}");
        }
    }
}
