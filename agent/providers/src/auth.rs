//! How requests are authenticated.
//!
//! In: what a metric says of it, with its arguments filled in. Out: credentials that the transport can use. It must not
//! send anything: tokens and signatures are made when the request is sent.

pub mod aws;
pub mod kept;
pub mod oauth2;
pub mod sigv4;

use agent_api::provider::{Authentication, BasicAuth, OAuth2, SigV4};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

/// What a request is authenticated with.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Name and password.
    Basic {
        /// Name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// A token that is fetched with the client's own credentials (RFC 6749, section 4.4).
    OAuth2(Client),
    /// Amazon's signature, version 4.
    SigV4(Signer),
}

/// A client of an OAuth 2.0 server.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where tokens are given out.
    pub token_url: Url,
    /// Its name.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
    /// What it asks for.
    pub scopes: Vec<String>,
}

/// Who signs for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Amazon's name of the service, such as `aps` or `monitoring`.
    pub service: String,
    /// Region; the environment's where it is not given.
    pub region: Option<String>,
    /// Profile of the shared configuration; the environment's where it is not given.
    pub profile: Option<String>,
    /// Role to assume.
    pub role: Option<String>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Several ways at once.
    #[error("authentication names more than one of basicAuth, oauth2 and sigv4: keep one")]
    Several,
    /// A part is missing.
    #[error("authentication.{0} is missing: give it a value")]
    Missing(&'static str),
    /// The token's address is not usable.
    #[error("authentication.oauth2.tokenUrl {url:?} is not usable: write https://host/path")]
    TokenUrl {
        /// The address.
        url: String,
    },
}

/// The credentials that a metric asks for. Empty objects count as not given; `service` is Amazon's name of the service
/// that is asked.
pub fn credentials(given: &Authentication, service: &str) -> Result<Option<Credentials>, Error> {
    let basic = given.basic_auth.as_ref().filter(|one| {
        text(one.username.as_ref()).is_some() || text(one.password.as_ref()).is_some()
    });
    let oauth2 = given
        .oauth2
        .as_ref()
        .filter(|one| text(one.token_url.as_ref()).is_some());
    let sigv4 = given.sigv4.as_ref().filter(|one| {
        [&one.region, &one.profile, &one.role_arn]
            .into_iter()
            .any(|part| text(part.as_ref()).is_some())
    });
    match (basic, oauth2, sigv4) {
        (None, None, None) => Ok(None),
        (Some(one), None, None) => Ok(Some(by_name(one))),
        (None, Some(one), None) => by_token(one).map(Some),
        (None, None, Some(one)) => Ok(Some(by_signature(one, service))),
        (_, _, _) => Err(Error::Several),
    }
}

/// The credentials that a metric asks for, if it says anything of them.
pub(crate) fn asked_for(
    given: Option<&Authentication>,
    service: &str,
) -> Result<Option<Credentials>, Error> {
    let found = given.map(|given| credentials(given, service));
    Ok(found.transpose()?.flatten())
}

fn text(given: Option<&String>) -> Option<&String> {
    given.filter(|text| !text.is_empty())
}

fn by_name(given: &BasicAuth) -> Credentials {
    Credentials::Basic {
        username: given.username.clone().unwrap_or_default(),
        password: given.password.clone().unwrap_or_default().into(),
    }
}

fn by_token(given: &OAuth2) -> Result<Credentials, Error> {
    let url = given.token_url.clone().unwrap_or_default();
    let token_url = Url::parse(&url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
        .ok_or(Error::TokenUrl { url })?;
    let id = text(given.client_id.as_ref()).ok_or(Error::Missing("oauth2.clientId"))?;
    let secret = text(given.client_secret.as_ref()).ok_or(Error::Missing("oauth2.clientSecret"))?;
    Ok(Credentials::OAuth2(Client {
        token_url,
        id: id.clone(),
        secret: secret.clone().into(),
        scopes: given.scopes.clone(),
    }))
}

fn by_signature(given: &SigV4, service: &str) -> Credentials {
    Credentials::SigV4(Signer {
        service: service.to_owned(),
        region: text(given.region.as_ref()).cloned(),
        profile: text(given.profile.as_ref()).cloned(),
        role: text(given.role_arn.as_ref()).cloned(),
    })
}

/// The header of name and password (RFC 7617).
pub(crate) fn basic(username: &str, password: &SecretString) -> SecretString {
    let joined = format!("{username}:{}", password.expose_secret());
    format!("Basic {}", STANDARD.encode(joined)).into()
}

/// The header of a token (RFC 6750).
pub(crate) fn bearer(token: &SecretString) -> SecretString {
    format!("Bearer {}", token.expose_secret()).into()
}
