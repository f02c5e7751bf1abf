//! A set of Amazon's keys.
//! In: what a place of credentials gave. Out: the same, with its secrets hidden. It must not show them.

use jiff::Timestamp;
use secrecy::SecretString;

/// Keys to sign with.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: SecretString,
    /// The session that they belong to.
    pub token: Option<SecretString>,
    /// When they end; never if absent.
    pub expires: Option<Timestamp>,
}

/// Keys from texts; `None` if one is missing or the end cannot be read.
pub(super) fn of(
    id: Option<&str>,
    secret: Option<&str>,
    token: Option<&str>,
    expires: Option<&str>,
) -> Option<Keys> {
    let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let expires = match expires {
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    Some(Keys {
        id: some(id)?,
        secret: some(secret)?.into(),
        token: some(token).map(Into::into),
        expires,
    })
}
