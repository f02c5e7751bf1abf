//! The only HTTP client of the providers.
//!
//! In: a request built by a provider. Out: the status and the body, within limits of time and size. It must not follow
//! a redirect to another origin, use a proxy from the environment, or reach an address that the guard forbids.
//! Where the first implementation of these providers follows redirects to other servers, this one does not: headers with
//! credentials would go along.

pub mod guard;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::auth::{Credentials, basic};
use guard::{Filtered, Forbidden, Guard, Lookup, System};

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
    pub authentication: Option<Credentials>,
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
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// There is no way yet to authenticate so.
    #[error("authentication by oauth2 or sigv4 is not built into this agent: use a header")]
    Authentication,
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

/// What holds for every request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which addresses may be asked.
    pub guard: Guard,
    /// Certificates of authorities trusted beside the system's: a PEM bundle.
    pub authorities: Option<Vec<u8>>,
    /// Where names are looked up.
    pub lookup: Arc<dyn Lookup>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            authorities: None,
            lookup: Arc::new(System),
        }
    }
}

/// What a client is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Purpose {
    /// Certificates are not verified.
    insecure: bool,
}

/// The HTTP client; clones share its connections.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    settings: Settings,
    authorities: Vec<Certificate>,
    /// Each made when first needed.
    clients: Mutex<HashMap<Purpose, Client>>,
}

impl Transport {
    /// One with these settings.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let authorities = match &settings.authorities {
            None => Vec::new(),
            Some(bundle) => Certificate::from_pem_bundle(bundle)
                .map_err(|error| Error::Authorities(chain(error)))?,
        };
        if settings.authorities.is_some() && authorities.is_empty() {
            return Err(Error::Authorities("it has no certificate".to_owned()));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                authorities,
                clients: Mutex::default(),
            }),
        })
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let host = host(&request.url);
        let limit = request.timeout;
        let timeout = || Error::Timeout {
            host: host.clone(),
            seconds: limit.as_secs(),
        };
        tokio::time::timeout(limit, self.authenticated(request, &host))
            .await
            .map_err(|_| timeout())?
    }

    async fn authenticated(&self, request: &Request, host: &str) -> Result<Answer, Error> {
        let mut headers = headers(request)?;
        match &request.authentication {
            None => {}
            Some(Credentials::Basic { username, password }) => {
                let mut value = HeaderValue::from_str(basic(username, password).expose_secret())
                    .map_err(|_| Error::Header(AUTHORIZATION.to_string()))?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Some(Credentials::OAuth2(_) | Credentials::SigV4(_)) => {
                return Err(Error::Authentication);
            }
        }
        self.exchange(request, headers, host).await
    }

    async fn exchange(
        &self,
        request: &Request,
        headers: HeaderMap,
        host: &str,
    ) -> Result<Answer, Error> {
        self.inner.settings.guard.check_url(&request.url)?;
        let failed = |error: reqwest::Error| Error::Failed {
            host: host.to_owned(),
            reason: chain(error),
        };
        let too_large = || Error::TooLarge {
            host: host.to_owned(),
        };
        let client = self.client(request.insecure)?;
        let url = request.url.clone();
        let builder = match request.method {
            Method::Get => client.get(url),
            Method::Post => client.post(url),
            Method::Put => client.put(url),
        };
        let builder = match &request.body {
            Body::Empty => builder,
            Body::Form(text) | Body::Json(text) | Body::Text(text) => {
                builder.body(text.expose_secret().to_owned())
            }
        };
        let mut response = builder.headers(headers).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).is_ok_and(|length| length > MAX_BODY) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > MAX_BODY {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }

    fn client(&self, insecure: bool) -> Result<Client, Error> {
        let purpose = Purpose { insecure };
        let mut clients = self
            .inner
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&purpose) {
            return Ok(client.clone());
        }
        let settings = &self.inner.settings;
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::custom(follow))
            .dns_resolver(Arc::new(Filtered {
                guard: settings.guard,
                lookup: Arc::clone(&settings.lookup),
            }))
            .tls_certs_merge(self.inner.authorities.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .danger_accept_invalid_certs(insecure)
            .build()
            .map_err(|error| Error::Client(chain(error)))?;
        clients.insert(purpose, client.clone());
        Ok(client)
    }
}

/// Headers that the client alone writes: others in their place would split the request in two.
const OURS: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];

/// The headers of a request; of those with one name the last counts.
fn headers(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let bad = || Error::Header(name.clone());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut secret = HeaderValue::from_str(value.expose_secret()).map_err(|_| bad())?;
        secret.set_sensitive(true);
        if !OURS.contains(&key) {
            headers.insert(key, secret);
        }
    }
    let kind = match &request.body {
        Body::Empty | Body::Text(_) => return Ok(headers),
        Body::Form(_) => "application/x-www-form-urlencoded",
        Body::Json(_) => "application/json",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(headers)
}

/// An error with its causes, without the URL, whose query may hold a secret: reqwest says only "error sending request"
/// at the top.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or("the server").to_owned()
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
