//! Joining the fleet (gate.md L6).
//!
//! In: a token, the cluster's name and UID. Out: an identity, stored. It must not send the key, nor anything to a server
//! that does not show the CA that the token names. A lost answer is asked for again with the same signing request.

use agent_api::Uid;
use http::Uri;
use proto::v1::JoinRequest;
use proto::v1::link_client::LinkClient;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::Code;

use crate::identity::{self, Identity, IdentityStore, Issued};
use crate::link::dial::Proxy;
use crate::link::tls::{self, PIN_BYTES, Pin};

/// This agent's version, as the hub is told.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why this cluster has not joined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is none.
    #[error(
        "the join token is not of the form id.secret.hash: copy it whole from `groundswell cluster token`"
    )]
    Token,
    /// The hub says no.
    #[error("the hub refuses to let {cluster:?} join: {why}")]
    Refused {
        /// The name it wanted.
        cluster: String,
        /// The hub's words.
        why: String,
    },
    /// The hub cannot be asked.
    #[error(transparent)]
    Channel(#[from] tls::Error),
    /// The hub did not answer.
    #[error("the hub did not answer: {0}")]
    Silent(String),
    /// The identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] identity::Error),
}

impl Error {
    /// Whether asking again can help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Token | Self::Refused { .. } => true,
            Self::Channel(_) | Self::Silent(_) | Self::Identity(_) => false,
        }
    }
}

/// A join token, taken apart.
pub struct Token {
    id: String,
    secret: SecretString,
    pin: Pin,
}

impl Token {
    /// Takes a token apart.
    pub fn parse(token: &SecretString) -> Result<Self, Error> {
        let mut parts = token.expose_secret().trim().split('.');
        let (Some(id), Some(secret), Some(pin), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::Token);
        };
        let pin: [u8; PIN_BYTES] = hex::decode(pin)
            .ok()
            .and_then(|pin| pin.try_into().ok())
            .ok_or(Error::Token)?;
        if id.is_empty() || secret.is_empty() {
            return Err(Error::Token);
        }
        Ok(Self {
            id: id.to_owned(),
            secret: SecretString::from(secret.to_owned()),
            pin,
        })
    }
}

/// Who wants to join, and where.
pub struct Joining<'a> {
    /// The hub.
    pub hub: &'a Uri,
    /// The way there.
    pub proxy: Option<&'a Proxy>,
    /// The name that the token was made for.
    pub cluster: &'a str,
    /// UID of kube-system, which the identity is bound to.
    pub cluster_uid: &'a Uid,
    /// The token.
    pub token: &'a Token,
}

/// Joins for the first time.
pub async fn join(store: &IdentityStore, joining: &Joining<'_>) -> Result<Identity, Error> {
    let pending = store.pending(joining.cluster).await?;
    Ok(store.complete(ask(joining, pending.csr).await?).await?)
}

/// Joins once more, beside an identity that has expired.
pub async fn again(store: &IdentityStore, joining: &Joining<'_>) -> Result<Identity, Error> {
    let csr = store.next_request(joining.cluster).await?;
    Ok(store.rejoined(ask(joining, csr).await?).await?)
}

async fn ask(joining: &Joining<'_>, csr_pem: String) -> Result<Issued, Error> {
    let channel = tls::joining(joining.hub, joining.proxy, joining.token.pin).await?;
    let request = JoinRequest {
        token_id: joining.token.id.clone(),
        token_secret: joining.token.secret.expose_secret().to_owned(),
        csr_pem,
        kube_system_uid: joining.cluster_uid.0.clone(),
        cluster: joining.cluster.to_owned(),
        agent_version: VERSION.to_owned(),
    };
    let answer = LinkClient::new(channel)
        .join(request)
        .await
        .map_err(|status| refusal(joining.cluster, &status))?;
    let proto::v1::JoinResponse {
        certificate_pem,
        ca_pem,
        permit_key,
        cluster: _,
    } = answer.into_inner();
    Ok(Issued {
        certificate: certificate_pem,
        ca: ca_pem,
        permit_key,
    })
}

/// What a refusal means: no answer is not a no.
fn refusal(cluster: &str, status: &tonic::Status) -> Error {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unauthenticated
        | Code::OutOfRange
        | Code::Unimplemented => Error::Refused {
            cluster: cluster.to_owned(),
            why: status.message().to_owned(),
        },
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Error::Silent(status.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let parse = |text: &str| Token::parse(&SecretString::from(text.to_owned()));
        let pin = "ab".repeat(PIN_BYTES);
        let good = parse(&format!(" 01ff.secret.{pin}\n")).unwrap();
        assert_eq!(
            (good.id.as_str(), good.secret.expose_secret(), good.pin),
            ("01ff", "secret", [0xab; PIN_BYTES])
        );
        for bad in [
            "",
            "a.b",
            "a.b.c",
            &format!("a.b.{pin}.d"),
            &format!(".b.{pin}"),
            &format!("a..{pin}"),
            "a.b.abcd",
        ] {
            assert!(matches!(parse(bad), Err(Error::Token)), "{bad}");
        }
    }

    #[test]
    fn no_answer_is_not_a_no() {
        assert!(
            refusal(
                "eu",
                &tonic::Status::failed_precondition("the token is spent")
            )
            .is_final()
        );
        assert!(!refusal("eu", &tonic::Status::unavailable("postgres is away")).is_final());
        assert!(!refusal("eu", &tonic::Status::unknown("broken pipe")).is_final());
    }
}
