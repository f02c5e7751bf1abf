//! Keys from a container's agent: tasks of ECS, pods of EKS (Pod Identity).
//!
//! In: variables, or an answer. Out: the address and the request, or the keys. It must not ask where the documented
//! rules do not allow: over plain HTTP only the agents' own addresses and loopback.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use serde::Deserialize;

use super::keys::{self, Keys};
use super::{Error, PLACE_TIMEOUT, Variables, variable};
use crate::quote::quote_bytes;
use crate::transport::{Body, Method, Request};

/// Its name in messages.
pub const PLACE: &str = "the container's credentials endpoint";
/// The agent of ECS.
const ECS: &str = "http://169.254.170.2";
/// Addresses that may be asked without TLS: the agents of ECS and EKS.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The agent's address, if the environment names one.
pub fn url(variables: &Variables) -> Result<Option<Url>, Error> {
    if let Some(path) = variable(variables, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let bad = |reason: &str| Error::Variable {
            name: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            reason: reason.to_owned(),
        };
        if !path.starts_with('/') {
            return Err(bad("it must begin with /"));
        }
        let url = Url::parse(&format!("{ECS}{path}"));
        return url.map(Some).map_err(|error| bad(&error.to_string()));
    }
    let Some(text) = variable(variables, "AWS_CONTAINER_CREDENTIALS_FULL_URI") else {
        return Ok(None);
    };
    let bad = |reason: &str| Error::Variable {
        name: "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if url.scheme() == "https" || (url.scheme() == "http" && allowed(&url)) {
        Ok(Some(url))
    } else {
        Err(bad("it is neither https nor an agent's own address"))
    }
}

fn allowed(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    AGENTS.contains(&host)
        || host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The request for keys.
#[must_use]
pub fn request(url: &Url, token: Option<SecretString>) -> Request {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned().into())];
    headers.extend(token.map(|token| ("authorization".to_owned(), token)));
    get(url.clone(), headers, PLACE_TIMEOUT)
}

/// A plain GET.
pub(super) fn get(url: Url, headers: Vec<(String, SecretString)>, timeout: Duration) -> Request {
    Request {
        method: Method::Get,
        url,
        headers,
        body: Body::Empty,
        authentication: None,
        timeout,
        insecure: false,
    }
}

/// Not to be shown: it has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

/// The keys in an answer.
pub fn parse(status: u16, body: &[u8]) -> Result<Keys, Error> {
    of_json(PLACE, status, body)
}

pub(super) fn of_json(place: &'static str, status: u16, body: &[u8]) -> Result<Keys, Error> {
    if !(200..300).contains(&status) {
        return Err(Error::Refused {
            place,
            status,
            quote: quote_bytes(body),
        });
    }
    // What is wrong with it is not quoted: an answer cut short may hold keys.
    let unreadable = || Error::Place {
        place,
        reason: "its answer has no keys".to_owned(),
    };
    let reply: Reply = serde_json::from_slice(body).map_err(|_| unreadable())?;
    if reply.code.as_deref().is_some_and(|code| code != "Success") {
        return Err(unreadable());
    }
    keys::of(
        reply.access_key_id.as_deref(),
        reply.secret_access_key.as_deref(),
        reply.token.as_deref(),
        reply.expiration.as_deref(),
    )
    .ok_or_else(unreadable)
}
