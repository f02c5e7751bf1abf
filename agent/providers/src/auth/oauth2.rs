//! Tokens of OAuth 2.0 for client credentials (RFC 6749, section 4.4).
//!
//! In: a client. Out: a token, kept while it holds. It must not send the client's secret anywhere but to its token
//! address.

use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::kept::{Fetched, Held, Kept};
use super::{Client, basic};
use crate::quote::{quote, quote_bytes};
use crate::transport::wire::{self, Purpose, Wire};
use crate::transport::{Answer, Body, Method, Request};

/// How long a token is used whose server does not say how long it holds.
const DEFAULT_HOLDS: Duration = Duration::from_secs(300);
/// Longest time that any token is used, so that a revoked client is noticed.
const MAX_HOLDS: Duration = Duration::from_secs(3600);
/// A token is not used in its last seconds: the request must arrive before its end.
const MARGIN: Duration = Duration::from_secs(10);

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("the token server {host} answered {status}: {quote}; check oauth2's client and scopes")]
    Refused {
        /// The host.
        host: String,
        /// HTTP status.
        status: u16,
        /// Its words.
        quote: String,
    },
    /// Its answer cannot be read.
    #[error("the token server {host}'s answer cannot be read: {reason}")]
    Unreadable {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// It was not reached.
    #[error("no token: {0}")]
    Unreached(String),
}

/// How the client shows who it is: servers take one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In a header.
    Header,
    /// In the body.
    Body,
}

/// Whose token, without showing the client's secret: who does not know it must not get its token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Whose {
    url: String,
    id: String,
    scopes: Vec<String>,
    insecure: bool,
    secret: [u8; 32],
}

impl Whose {
    fn of(client: &Client, insecure: bool) -> Self {
        Self {
            url: client.token_url.to_string(),
            id: client.id.clone(),
            scopes: client.scopes.clone(),
            insecure,
            secret: Sha256::digest(client.secret.expose_secret()).into(),
        }
    }
}

/// The tokens in use.
#[derive(Debug, Default)]
pub struct Tokens {
    kept: Kept<Whose, SecretString, Error>,
}

impl Tokens {
    /// A token of this client.
    pub(crate) async fn get(
        &self,
        wire: &Wire,
        client: &Client,
        insecure: bool,
    ) -> Result<Held<SecretString>, Error> {
        let fetch = || fetch(wire, client, insecure);
        self.kept.get(&Whose::of(client, insecure), fetch).await
    }

    /// The token was refused.
    pub(crate) async fn forget(&self, client: &Client, insecure: bool, held: &Held<SecretString>) {
        self.kept.forget(&Whose::of(client, insecure), held).await;
    }
}

async fn fetch(
    wire: &Wire,
    client: &Client,
    insecure: bool,
) -> Result<Fetched<SecretString>, Error> {
    let mut answer = send(wire, client, Style::Header, insecure).await?;
    if matches!(answer.status, 400 | 401) {
        answer = send(wire, client, Style::Body, insecure).await?;
    }
    parse(&client.token_url, answer.status, &answer.body)
}

async fn send(wire: &Wire, client: &Client, style: Style, insecure: bool) -> Result<Answer, Error> {
    let request = request(client, style, insecure);
    let unreached = |error: crate::transport::Error| Error::Unreached(error.to_string());
    let headers = wire::headers(&request).map_err(unreached)?;
    let sent = wire.exchange(&request, headers, Purpose::metric(insecure));
    sent.await.map_err(unreached)
}

/// The request for a token. Its own time limit does not matter: it is within that of the request it is for.
#[must_use]
pub fn request(client: &Client, style: Style, insecure: bool) -> Request {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !client.scopes.is_empty() {
        form.append_pair("scope", &client.scopes.join(" "));
    }
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned().into())];
    match style {
        // Both are encoded as in a form before they are joined (section 2.3.1).
        Style::Header => headers.push((
            "authorization".to_owned(),
            basic(
                &encoded(&client.id),
                &encoded(client.secret.expose_secret()).into(),
            ),
        )),
        Style::Body => {
            form.append_pair("client_id", &client.id);
            form.append_pair("client_secret", client.secret.expose_secret());
        }
    }
    Request {
        method: Method::Post,
        url: client.token_url.clone(),
        headers,
        body: Body::Form(form.finish().into()),
        authentication: None,
        timeout: crate::transport::MAX_TIMEOUT,
        insecure,
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Not to be shown: it has no `Debug`.
#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
    error: Option<String>,
    error_description: Option<String>,
}

/// The token in an answer.
pub fn parse(url: &Url, status: u16, body: &[u8]) -> Result<Fetched<SecretString>, Error> {
    let host = url.host_str().unwrap_or("of oauth2").to_owned();
    let refused = |words: String| Error::Refused {
        host: host.clone(),
        status,
        quote: words,
    };
    let unreadable = |reason: String| Error::Unreadable {
        host: host.clone(),
        reason,
    };
    let ok = (200..300).contains(&status);
    let granted: Granted = match serde_json::from_slice(body) {
        Ok(granted) => granted,
        Err(_) if !ok => return Err(refused(quote_bytes(body))),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    if let Some(error) = granted.error {
        let more = granted.error_description.unwrap_or_default();
        return Err(refused(quote(format!("{error} {more}").trim())));
    }
    if !ok {
        return Err(refused("it gives no reason".to_owned()));
    }
    if let Some(other) = granted
        .token_type
        .filter(|kind| !kind.eq_ignore_ascii_case("bearer") && !kind.is_empty())
    {
        return Err(unreadable(format!(
            "it gives a token of type {:?}, not bearer",
            quote(&other)
        )));
    }
    let value = granted
        .access_token
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .ok_or_else(|| unreadable("it has no access_token".to_owned()))?;
    let holds = match granted.expires_in.as_ref().and_then(seconds) {
        Some(seconds) => Duration::from_secs(seconds)
            .min(MAX_HOLDS)
            .saturating_sub(MARGIN),
        None => DEFAULT_HOLDS,
    };
    Ok(Fetched { value, holds })
}

/// Some servers write the number as text, some with a fraction.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn seconds(given: &serde_json::Value) -> Option<u64> {
    let number = match given.as_str() {
        Some(text) => text.trim().parse().ok()?,
        None => given.as_f64()?,
    };
    (number > 0.0).then(|| number.min(1e9) as u64)
}

#[cfg(test)]
mod tests;
