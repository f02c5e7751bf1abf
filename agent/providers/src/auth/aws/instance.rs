//! Keys from the machine's metadata, version 2: a token, the role's name, its keys.
//!
//! In: variables, or an answer. Out: the requests, or the keys. It must not ask without a token (version 1).

use reqwest::Url;
use secrecy::SecretString;

use super::container::{get, of_json};
use super::keys::Keys;
use super::{Error, PLACE_TIMEOUT, Variables, variable};
use crate::quote::quote_bytes;
use crate::transport::{Method, Request};

/// Its name in messages.
pub const PLACE: &str = "the machine's metadata";
/// Where it is.
const ENDPOINT: &str = "http://169.254.169.254/";
/// The same in version 6.
const ENDPOINT_V6: &str = "http://[fd00:ec2::254]/";
/// Seconds that a token holds: it is used at once.
const TOKEN_SECONDS: &str = "300";
/// The longest token or name of a role.
const MAX_TEXT: usize = 1024;

/// The address of the metadata.
pub fn endpoint(variables: &Variables) -> Result<Url, Error> {
    let off = variable(variables, "AWS_EC2_METADATA_DISABLED");
    if off.is_some_and(|off| off.eq_ignore_ascii_case("true")) {
        return Err(Error::Place {
            place: PLACE,
            reason: "AWS_EC2_METADATA_DISABLED is set, and the environment has no keys".to_owned(),
        });
    }
    let mode = variable(variables, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    let standard = if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6")) {
        ENDPOINT_V6
    } else {
        ENDPOINT
    };
    let given = variable(variables, "AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(standard);
    Url::parse(given)
        .ok()
        .filter(|url| !url.cannot_be_a_base())
        .ok_or_else(|| Error::Variable {
            name: "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            reason: "it is no address".to_owned(),
        })
}

fn at(endpoint: &Url, path: &str) -> Url {
    let mut url = endpoint.clone();
    url.set_path(path);
    url
}

/// The request for a token.
#[must_use]
pub fn token(endpoint: &Url) -> Request {
    let seconds = "x-aws-ec2-metadata-token-ttl-seconds".to_owned();
    let headers = vec![(seconds, TOKEN_SECONDS.to_owned().into())];
    Request {
        method: Method::Put,
        ..get(at(endpoint, "/latest/api/token"), headers, PLACE_TIMEOUT)
    }
}

/// The request for the role's name.
#[must_use]
pub fn role(endpoint: &Url, token: &str) -> Request {
    read(endpoint, token, "")
}

/// The request for the role's keys.
#[must_use]
pub fn keys(endpoint: &Url, token: &str, role: &str) -> Request {
    read(endpoint, token, role)
}

fn read(endpoint: &Url, token: &str, role: &str) -> Request {
    let path = format!("/latest/meta-data/iam/security-credentials/{role}");
    let secret: SecretString = token.to_owned().into();
    let headers = vec![("x-aws-ec2-metadata-token".to_owned(), secret)];
    get(at(endpoint, &path), headers, PLACE_TIMEOUT)
}

/// The token, or the role's name: the first line of an answer.
pub fn parse_text(status: u16, body: &[u8]) -> Result<String, Error> {
    if !(200..300).contains(&status) {
        return Err(Error::Refused {
            place: PLACE,
            status,
            quote: quote_bytes(body),
        });
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() || line.len() > MAX_TEXT || line.chars().any(char::is_control) {
        return Err(Error::Place {
            place: PLACE,
            reason: "it names neither a token nor a role".to_owned(),
        });
    }
    Ok(line.to_owned())
}

/// The keys in an answer.
pub fn parse(status: u16, body: &[u8]) -> Result<Keys, Error> {
    of_json(PLACE, status, body)
}
