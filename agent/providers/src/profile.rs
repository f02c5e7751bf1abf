//! The Secret of a profile, which holds a provider's address and keys.
//!
//! In: the profile as written, the Secret's content. Out: which Secret, the text under a key. It must not read anything.

use secrecy::ExposeSecret as _;

use crate::question::{SecretData, SecretNeed, SecretPlace};

/// Why a Secret is not enough.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key is missing.
    #[error("the Secret {secret:?} has no {key}: add it")]
    NoKey {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
}

/// The Secret's name: as written, else the provider's usual one.
pub(crate) fn name<'a>(written: Option<&'a str>, usual: &'a str) -> &'a str {
    written.filter(|name| !name.is_empty()).unwrap_or(usual)
}

/// The Secret of this name, in the controller's namespace, without which nothing can be asked.
pub(crate) fn need(name: &str) -> SecretNeed {
    SecretNeed {
        name: name.to_owned(),
        place: SecretPlace::Controller,
        optional: false,
    }
}

/// The text under a key, if there is any.
pub(crate) fn text<'a>(secret: &'a SecretData, key: &str) -> Option<&'a str> {
    let text = secret.get(key)?.expose_secret().trim();
    (!text.is_empty()).then_some(text)
}

/// The text under a key without which nothing can be asked.
pub(crate) fn needed<'a>(
    secret: &'a SecretData,
    name: &str,
    key: &'static str,
) -> Result<&'a str, Error> {
    text(secret, key).ok_or_else(|| Error::NoKey {
        secret: name.to_owned(),
        key,
    })
}
