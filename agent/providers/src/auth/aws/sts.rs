//! Keys from Amazon's Security Token Service.
//!
//! In: a role, or an answer. Out: the request, or the keys. It must not sign: `sigv4` does.

use reqwest::Url;

use super::chain::Role;
use super::keys::{self, Keys};
use super::{Error, PLACE_TIMEOUT, Variables, variable};
use crate::quote::{quote, quote_bytes};
use crate::transport::{Body, Method, Request};

/// Its name in messages.
pub const PLACE: &str = "AWS STS";
/// Version of the API.
const VERSION: &str = "2011-06-15";
/// Name of a session where the environment gives none.
const SESSION: &str = "groundswell";

/// Where and as whom roles are assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its address.
    pub url: Url,
    /// Name of the session, which shows in Amazon's audit log.
    pub session: String,
}

impl Service {
    /// That of a region, or the one that the environment names.
    pub fn of(region: &str, variables: &Variables) -> Result<Self, Error> {
        let given = variable(variables, "AWS_ENDPOINT_URL_STS")
            .or_else(|| variable(variables, "AWS_ENDPOINT_URL"));
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        let standard = format!("https://sts.{region}.amazonaws.com{suffix}/");
        let url = Url::parse(given.unwrap_or(&standard)).map_err(|error| Error::Variable {
            name: if given.is_some() {
                "AWS_ENDPOINT_URL_STS"
            } else {
                "AWS_REGION"
            },
            reason: error.to_string(),
        })?;
        let session = variable(variables, "AWS_ROLE_SESSION_NAME").unwrap_or(SESSION);
        Ok(Self {
            url,
            session: session.to_owned(),
        })
    }
}

/// The request to assume a role; it is to be signed.
#[must_use]
pub fn assume(service: &Service, role: &Role) -> Request {
    let mut fields = vec![("RoleArn", role.arn.as_str())];
    if let Some(id) = &role.external_id {
        fields.push(("ExternalId", id));
    }
    request(service, "AssumeRole", &fields)
}

/// The request to assume a role for a web identity; it is not signed.
#[must_use]
pub fn with_web_identity(service: &Service, role: &str, token: &str) -> Request {
    let fields = [("RoleArn", role), ("WebIdentityToken", token)];
    request(service, "AssumeRoleWithWebIdentity", &fields)
}

fn request(service: &Service, action: &str, fields: &[(&str, &str)]) -> Request {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action);
    form.append_pair("Version", VERSION);
    form.append_pair("RoleSessionName", &service.session);
    form.extend_pairs(fields);
    Request {
        method: Method::Post,
        url: service.url.clone(),
        headers: Vec::new(),
        body: Body::Form(form.finish().into()),
        authentication: None,
        timeout: PLACE_TIMEOUT,
        insecure: false,
    }
}

/// The keys in an answer.
pub fn parse(status: u16, body: &[u8]) -> Result<Keys, Error> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let document = roxmltree::Document::parse(text).ok();
    let find = |name: &str| {
        let found = document.as_ref()?.descendants();
        let mut found = found.filter(|node| node.tag_name().name() == name);
        found.next()?.text()
    };
    if !(200..300).contains(&status) {
        let words = match (find("Code"), find("Message")) {
            (Some(code), message) => quote(&format!("{code} {}", message.unwrap_or_default())),
            (None, _) => quote_bytes(body),
        };
        return Err(Error::Refused {
            place: PLACE,
            status,
            quote: words,
        });
    }
    let (id, secret) = (find("AccessKeyId"), find("SecretAccessKey"));
    keys::of(id, secret, find("SessionToken"), find("Expiration")).ok_or_else(|| Error::Place {
        place: PLACE,
        reason: "its answer has no keys".to_owned(),
    })
}
