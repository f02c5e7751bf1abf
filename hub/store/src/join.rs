//! Joining: tokens and certificates (gate.md L6). In: hashes of secrets and requests. Out: a certificate, once. It must not
//! hold a secret or a key.

use std::collections::BTreeMap;

use hub_engine::ClusterName;
use hub_engine::name::Person;
use jiff::Timestamp;

use crate::Store;
use crate::error::Error;

/// The longest life of a token.
pub const TOKEN_SECONDS_MAX: u32 = 3_600;
/// So long the same request gets the same certificate again: its reply was lost.
pub const REISSUE_SECONDS: i32 = 600;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Public part.
    pub id: String,
    /// Hex SHA-256 of the secret part.
    pub secret_hash: String,
    /// The one cluster it is for.
    pub cluster: ClusterName,
    /// Labels that the cluster gets.
    pub labels: BTreeMap<String, String>,
    /// 0: the longest.
    pub valid_seconds: u32,
    /// Who asked for it.
    pub person: Person,
}

/// What Join says.
#[derive(Debug, Clone)]
pub struct Join {
    /// Public part of the token.
    pub token_id: String,
    /// Hex SHA-256 of its secret part.
    pub secret_hash: String,
    /// The name that the agent was given.
    pub cluster: ClusterName,
    /// UID of the kube-system namespace.
    pub kube_system_uid: String,
    /// Hex SHA-256 of the request's DER or PEM.
    pub csr_hash: String,
    /// The agent's version.
    pub agent_version: String,
}

/// Signs certificates; the hub holds the CA.
pub trait CertificateIssuer: Send + Sync {
    /// The PEM of a certificate for this cluster, by the request that the caller holds.
    ///
    /// # Errors
    /// One sentence, when the request is not good.
    fn issue(&self, cluster: &ClusterName) -> Result<String, String>;
}

impl Store {
    /// Stores a token and makes its cluster known. Returns when it expires.
    ///
    /// # Errors
    /// `Refused` for more than the longest life; `Unavailable`.
    pub async fn token_create(&self, _token: &NewToken) -> Result<Timestamp, Error> {
        Err(crate::store::later())
    }

    /// Spends a token and stores the certificate, in one transaction; the same request again within ten minutes gets the
    /// same certificate. Refusals are recorded.
    ///
    /// # Errors
    /// `Refused` with the reason; `Unavailable`.
    pub async fn join(&self, _join: &Join, _issuer: &dyn CertificateIssuer) -> Result<String, Error> {
        Err(crate::store::later())
    }
}
