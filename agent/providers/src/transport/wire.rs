//! One exchange over HTTP.
//!
//! In: a request with all of its headers. Out: status and body, or why there are none. It must not authenticate: that is
//! done by the time a request comes here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Response};
use secrecy::{ExposeSecret as _, SecretString};

use super::guard::{Filtered, Forbidden, Guard};
use super::names::Names;
use super::room::{FREE, Full, Room};
use super::{Answer, Body, Error, Method, Request, Settings, address, host};
use crate::quote::quote;

/// Largest answer, in bytes after decompression: the value of a metric is a few numbers.
pub(super) const MAX_BODY: usize = 1 << 20;
/// By how much the room for an answer grows at a time; what is free is the first step.
const STEP: usize = FREE;
/// Most redirects inside one origin.
const MAX_REDIRECTS: usize = 3;
/// How long a connection may take to come up, within the request's own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed after this, so that a moved server is found again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What the standard library puts before the number of a system's error.
const OS_ERROR: &str = " (os error ";
/// How often a request is sent: again when a kept connection was closed under it. More is the run engine's to decide.
const MAX_SENDS: usize = 2;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Purpose {
    /// Certificates are not verified.
    insecure: bool,
    /// Redirects are followed; a signature holds for one address only.
    follow: bool,
    /// The places where clouds give out credentials may be asked.
    credentials: bool,
}

impl Purpose {
    /// To ask for a metric.
    pub fn metric(insecure: bool) -> Self {
        Self {
            insecure,
            follow: true,
            credentials: false,
        }
    }

    /// To ask for credentials where the program's own environment says that they are.
    pub fn credentials() -> Self {
        Self {
            insecure: false,
            follow: false,
            credentials: true,
        }
    }

    /// With a signature.
    pub fn signed(self) -> Self {
        Self {
            follow: false,
            ..self
        }
    }
}

/// The connections.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    settings: Settings,
    authorities: Vec<Certificate>,
    names: Arc<Names>,
    pub(super) room: Room,
    /// Each made when first needed; a handful, as purposes are.
    clients: Mutex<HashMap<Purpose, reqwest::Client>>,
}

impl Wire {
    /// No connection yet.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let authorities = match &settings.authorities {
            None => Vec::new(),
            Some(bundle) => Certificate::from_pem_bundle(bundle)
                .map_err(|error| Error::Authorities(last_cause(error)))?,
        };
        if settings.authorities.is_some() && authorities.is_empty() {
            return Err(Error::Authorities("it has no certificate".to_owned()));
        }
        Ok(Self {
            names: Arc::new(Names::new(Arc::clone(&settings.lookup))),
            room: Room::default(),
            settings,
            authorities,
            clients: Mutex::default(),
        })
    }

    /// Sends a request with these headers and reads the answer.
    pub async fn exchange(
        &self,
        request: &Request,
        headers: HeaderMap,
        purpose: Purpose,
    ) -> Result<Answer, Error> {
        let guard = self.guard(purpose);
        guard.check_url(&request.url)?;
        let client = self.client(purpose, guard)?;
        let mut sends: usize = 1;
        let response = loop {
            match build(&client, request, headers.clone()).send().await {
                Ok(response) => break response,
                Err(error) if sends < MAX_SENDS && repeatable(request, &error) => {
                    sends = sends.saturating_add(1);
                }
                Err(error) => return Err(failed(request, error)),
            }
        };
        self.read(request, response).await
    }

    fn guard(&self, purpose: Purpose) -> Guard {
        if purpose.credentials {
            self.settings.guard.with_credentials()
        } else {
            self.settings.guard
        }
    }

    fn client(&self, purpose: Purpose, guard: Guard) -> Result<reqwest::Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&purpose) {
            return Ok(client.clone());
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(if purpose.follow {
                Policy::custom(follow)
            } else {
                Policy::none()
            })
            .dns_resolver(Arc::new(Filtered {
                guard,
                names: Arc::clone(&self.names),
            }))
            .tls_certs_merge(self.authorities.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .danger_accept_invalid_certs(purpose.insecure)
            .build()
            .map_err(|error| Error::Client(last_cause(error)))?;
        clients.insert(purpose, client.clone());
        Ok(client)
    }

    /// The room is the body's until it is whole. It is parsed within the same step of its task, of which as many go at a time
    /// as there are cores.
    async fn read(&self, request: &Request, mut response: Response) -> Result<Answer, Error> {
        let too_large = || Error::TooLarge {
            host: host(&request.url),
        };
        let status = response.status().as_u16();
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |length| length > MAX_BODY) {
            return Err(too_large());
        }
        let mut room = self.room.answer(request.timeout);
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| failed(request, error))? else {
                return Ok(Answer { status, body });
            };
            let size = body.len().saturating_add(chunk.len());
            if size > MAX_BODY {
                return Err(too_large());
            }
            if size > body.capacity() {
                // In steps, or an answer of one byte a chunk would be copied as often as it has bytes.
                let capacity = size.next_multiple_of(STEP);
                let grown = room.grow_to(capacity).await;
                grown.map_err(|Full| Error::NoRoom {
                    host: host(&request.url),
                })?;
                body.reserve_exact(capacity.saturating_sub(body.len()));
            }
            body.extend_from_slice(&chunk);
        }
    }
}

fn build(
    client: &reqwest::Client,
    request: &Request,
    headers: HeaderMap,
) -> reqwest::RequestBuilder {
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
    builder.headers(headers)
}

/// Whether the request changes nothing and the connection was closed before a byte of an answer.
fn repeatable(request: &Request, error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<hyper::Error>() {
            return request.method == Method::Get
                && (cause.is_incomplete_message() || cause.is_canceled());
        }
        source = cause.source();
    }
    false
}

fn failed(request: &Request, error: reqwest::Error) -> Error {
    if let Some(forbidden) = forbidden(&error) {
        return Error::Forbidden(forbidden);
    }
    Error::Failed {
        address: address(&request.url),
        reason: last_cause(error),
    }
}

/// The guard let no address of the name pass.
fn forbidden(error: &reqwest::Error) -> Option<Forbidden> {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let mut found = causes.filter_map(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>();
        let inner = inner.and_then(std::io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<Forbidden>());
        inner.or(cause.downcast_ref::<Forbidden>()).copied()
    });
    found.next()
}

/// Headers that the client alone writes: others in their place would split the request in two.
const OURS: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];

/// The headers that a request names; of those with one name the last counts.
pub(crate) fn headers(request: &Request) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let bad = || Error::Header(name.clone());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let value = secret(value).ok_or_else(bad)?;
        if !OURS.contains(&key) {
            headers.insert(key, value);
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

/// A header's value that is not to be shown.
pub(crate) fn secret(value: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What is at the bottom of an error, in its own words: those above it name the layers of the client. Without the URL, whose
/// query may hold a secret, and without the system's number.
fn last_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let text = last.to_string();
    let plain = text.split(OS_ERROR).next().unwrap_or_default();
    quote(plain)
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
