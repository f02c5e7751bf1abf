//! Where keys come from.
//!
//! In: who signs, the environment, the profiles. Out: one source and the roles assumed from there. It must not fetch
//! anything.

use reqwest::Url;
use secrecy::SecretString;

use super::keys::{self, Keys};
use super::profile::Profiles;
use super::{Error, Variables, container, instance, sts, variable};
use crate::auth::Signer;

/// Most roles assumed one from another.
const MAX_ROLES: usize = 4;

/// Where keys come from.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The first keys.
    pub base: Base,
    /// Roles assumed from there, in order.
    pub roles: Vec<Role>,
    /// Region.
    pub region: String,
    /// Where roles are assumed.
    pub sts: sts::Service,
}

/// The first keys.
#[derive(Debug, Clone)]
pub enum Base {
    /// They are known.
    Keys(Keys),
    /// For a token in a file (IRSA).
    WebIdentity {
        /// The role.
        role: String,
        /// Where the token is.
        token_file: String,
    },
    /// From the container's or pod's agent.
    Container {
        /// Its address.
        url: Url,
        /// What it wants to see.
        token: Token,
    },
    /// From the machine.
    Instance {
        /// The address of its metadata.
        endpoint: Url,
    },
}

/// What the container's agent wants to see.
#[derive(Debug, Clone)]
pub enum Token {
    /// Nothing.
    None,
    /// A word.
    Text(SecretString),
    /// A word in a file, which changes.
    File(String),
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub arn: String,
    /// What its owner wants to see.
    pub external_id: Option<String>,
}

/// Finds the source.
pub fn resolve(
    signer: &Signer,
    variables: &Variables,
    profiles: &Profiles,
) -> Result<Chain, Error> {
    let chosen = signer
        .profile
        .as_deref()
        .or_else(|| variable(variables, "AWS_PROFILE"));
    let profile = chosen.unwrap_or("default");
    if chosen.is_some() && !profiles.has(profile) {
        return Err(bad(profile, "the shared files do not have it"));
    }
    let region = signer
        .region
        .as_deref()
        .or_else(|| variable(variables, "AWS_REGION"))
        .or_else(|| variable(variables, "AWS_DEFAULT_REGION"))
        .or_else(|| profiles.get(profile, "region"))
        .ok_or(Error::NoRegion)?
        .to_owned();
    let mut roles = Vec::new();
    let named = signer.profile.is_some();
    let environment = environment(variables)?;
    let base = match environment.filter(|_| !named) {
        Some(base) => base,
        None => match of_profile(profile, variables, profiles, &mut roles)? {
            Some(base) => base,
            None if named => return Err(bad(profile, "it has neither keys nor a role")),
            None => ambient(variables)?,
        },
    };
    roles.reverse();
    roles.extend(signer.role.clone().map(|arn| Role {
        arn,
        external_id: None,
    }));
    Ok(Chain {
        base,
        roles,
        sts: sts::Service::of(&region, variables)?,
        region,
    })
}

fn bad(profile: &str, reason: &str) -> Error {
    Error::Profile {
        name: profile.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Keys or a web identity in the environment.
fn environment(variables: &Variables) -> Result<Option<Base>, Error> {
    let get = |name| variable(variables, name);
    let (id, secret) = (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"));
    if let Some(keys) = keys::of(id, secret, get("AWS_SESSION_TOKEN"), None) {
        return Ok(Some(Base::Keys(keys)));
    }
    if id.is_some() != secret.is_some() {
        return Err(Error::Variable {
            name: "AWS_ACCESS_KEY_ID",
            reason: "it and AWS_SECRET_ACCESS_KEY go together: set both".to_owned(),
        });
    }
    match (get("AWS_WEB_IDENTITY_TOKEN_FILE"), get("AWS_ROLE_ARN")) {
        (Some(file), Some(role)) => Ok(Some(Base::WebIdentity {
            role: role.to_owned(),
            token_file: file.to_owned(),
        })),
        (Some(_), None) => Err(Error::Variable {
            name: "AWS_WEB_IDENTITY_TOKEN_FILE",
            reason: "AWS_ROLE_ARN is not set".to_owned(),
        }),
        (None, _) => Ok(None),
    }
}

/// The source that a profile names; roles are added last first.
fn of_profile(
    name: &str,
    variables: &Variables,
    profiles: &Profiles,
    roles: &mut Vec<Role>,
) -> Result<Option<Base>, Error> {
    let get = |key| profiles.get(name, key);
    if get("credential_process").is_some()
        || get("sso_session").is_some()
        || get("sso_start_url").is_some()
    {
        return Err(bad(
            name,
            "keys from a program or a sign-on are not read here: use a role",
        ));
    }
    let own = || {
        let token = get("aws_session_token");
        keys::of(
            get("aws_access_key_id"),
            get("aws_secret_access_key"),
            token,
            None,
        )
    };
    let Some(arn) = get("role_arn") else {
        return Ok(own().map(Base::Keys));
    };
    if let Some(file) = get("web_identity_token_file") {
        return Ok(Some(Base::WebIdentity {
            role: arn.to_owned(),
            token_file: file.to_owned(),
        }));
    }
    if roles.len() >= MAX_ROLES {
        return Err(bad(name, "too many roles are assumed one from another"));
    }
    roles.push(Role {
        arn: arn.to_owned(),
        external_id: get("external_id").map(str::to_owned),
    });
    let nothing = || bad(name, "its role has no source of keys");
    match (get("source_profile"), get("credential_source")) {
        (Some(source), _) if source == name => own().map(Base::Keys).map(Some).ok_or_else(nothing),
        (Some(source), _) => {
            let found = of_profile(source, variables, profiles, roles)?;
            found.map(Some).ok_or_else(nothing)
        }
        (None, Some("Environment")) => environment(variables)?.map(Some).ok_or_else(nothing),
        (None, Some("EcsContainer")) => container(variables)?.map(Some).ok_or_else(nothing),
        (None, Some("Ec2InstanceMetadata")) => machine(variables).map(Some),
        (None, _) => Err(nothing()),
    }
}

/// What is around the program: its container, else its machine.
fn ambient(variables: &Variables) -> Result<Base, Error> {
    match container(variables)? {
        Some(base) => Ok(base),
        None => machine(variables),
    }
}

fn container(variables: &Variables) -> Result<Option<Base>, Error> {
    let Some(url) = container::url(variables)? else {
        return Ok(None);
    };
    let token = if let Some(path) = variable(variables, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Token::File(path.to_owned())
    } else if let Some(text) = variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN") {
        Token::Text(text.clone())
    } else {
        Token::None
    };
    Ok(Some(Base::Container { url, token }))
}

fn machine(variables: &Variables) -> Result<Base, Error> {
    instance::endpoint(variables).map(|endpoint| Base::Instance { endpoint })
}
