//! How a cluster becomes a member (gate.md L6) and stays one. In: a token and a signing request, without a client
//! certificate; later a request under the certificate that is to be renewed. Out: a certificate, the CA and the permit key,
//! once a token. It must not hold a token's secret longer than its hash takes.

use std::sync::Arc;
use std::time::Duration;

use hub_engine::ClusterName;
use hub_store::Store;
use hub_store::certificate::{Certificate, CertificateIssuer, Renewal};
use hub_store::join::Join;
use proto::v1::{JoinRequest, JoinResponse, RenewRequest, RenewResponse};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::authority::Authority;
use crate::identity::{Authorized, Renew, check_cluster};
use crate::status;

/// Public part of a token: enough that two never meet.
const ID_BYTES: usize = 8;
/// Secret part: cannot be guessed however often one tries.
const SECRET_BYTES: usize = 32;
/// A request with a 4096-bit RSA key is about 2 KiB.
const MAX_CSR: usize = 16 * 1024;
/// A UID has 36 letters; versions and token parts are short too.
const MAX_FIELD: usize = 256;

/// A token's two random parts.
#[derive(Debug)]
pub struct Parts {
    /// Public.
    pub id: String,
    /// Shown once, stored as a hash.
    pub secret: String,
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a token: the system gives no random bytes; try again")]
pub struct NoRandom;

impl Parts {
    /// New ones.
    pub fn random() -> Result<Self, NoRandom> {
        let random = SystemRandom::new();
        let (mut id, mut secret) = ([0_u8; ID_BYTES], [0_u8; SECRET_BYTES]);
        random.fill(&mut id).map_err(|_| NoRandom)?;
        random.fill(&mut secret).map_err(|_| NoRandom)?;
        Ok(Self {
            id: hex::encode(id),
            secret: hex::encode(secret),
        })
    }

    /// What the agent is given: `id.secret.<SHA-256 of the CA>`.
    #[must_use]
    pub fn token(&self, authority: &Authority) -> String {
        format!("{}.{}.{}", self.id, self.secret, authority.pin())
    }
}

/// What is stored of a secret.
#[must_use]
pub fn secret_hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// Signs the requests of clusters.
#[derive(Debug, Clone)]
pub struct Certifier {
    /// The hub's keys.
    pub authority: Arc<Authority>,
    /// How long a cluster's certificate lives; its agent renews it at two thirds.
    pub lifetime: Duration,
}

struct Issuer<'a> {
    certifier: &'a Certifier,
    csr_pem: &'a str,
}

impl CertificateIssuer for Issuer<'_> {
    fn issue(&self, cluster: &ClusterName) -> Result<Certificate, String> {
        let Certifier {
            authority,
            lifetime,
        } = self.certifier;
        authority
            .cluster(self.csr_pem, cluster.as_str(), *lifetime)
            .map_err(|error| error.to_string())
    }
}

/// Spends the token and answers, or says what to do instead. The store records refusals.
pub async fn run(
    store: &Store,
    certifier: &Certifier,
    request: JoinRequest,
) -> Result<JoinResponse, Status> {
    check(&request)?;
    let cluster = ClusterName(request.cluster.clone());
    let join = Join {
        token_id: request.token_id,
        secret_hash: secret_hash(&request.token_secret),
        cluster: cluster.clone(),
        kube_system_uid: request.kube_system_uid,
        csr_hash: hex::encode(Sha256::digest(request.csr_pem.as_bytes())),
        agent_version: request.agent_version,
    };
    let issuer = Issuer {
        certifier,
        csr_pem: &request.csr_pem,
    };
    let certificate_pem = store.join(&join, &issuer).await.map_err(|error| {
        not_done(&cluster, &error, "a join failed");
        status::of(&error)
    })?;
    tracing::info!(%cluster, "joined");
    Ok(JoinResponse {
        certificate_pem,
        ca_pem: certifier.authority.ca_pem().to_owned(),
        permit_key: certifier.authority.permit_key(),
        cluster: cluster.0,
    })
}

/// Gives a member its next certificate. The store records it, and refusals.
pub async fn renew(
    store: &Store,
    certifier: &Certifier,
    allowed: &Authorized<Renew>,
    request: &RenewRequest,
) -> Result<RenewResponse, Status> {
    bounded(&[
        ("kube_system_uid", &request.kube_system_uid),
        ("agent_version", &request.agent_version),
    ])?;
    check_request(&request.csr_pem, &request.kube_system_uid)?;
    let renewal = Renewal {
        cluster: ClusterName(allowed.name().to_owned()),
        fingerprint: allowed.action().fingerprint.clone(),
        kube_system_uid: request.kube_system_uid.clone(),
    };
    let issuer = Issuer {
        certifier,
        csr_pem: &request.csr_pem,
    };
    let certificate_pem = store.renew(&renewal, &issuer).await.map_err(|error| {
        not_done(&renewal.cluster, &error, "a renewal failed");
        status::of(&error)
    })?;
    tracing::info!(cluster = %renewal.cluster, "certificate renewed");
    Ok(RenewResponse { certificate_pem })
}

/// The store has said what it refused, as often as it is worth a line.
fn not_done(cluster: &ClusterName, error: &hub_store::Error, what: &str) {
    if !matches!(error, hub_store::Error::Refused { .. }) {
        tracing::warn!(%cluster, %error, "{what}");
    }
}

fn bounded(fields: &[(&str, &String)]) -> Result<(), Status> {
    for (name, value) in fields {
        if value.len() > MAX_FIELD {
            return Err(Status::invalid_argument(format!(
                "{name} is longer than {MAX_FIELD} bytes"
            )));
        }
    }
    Ok(())
}

fn check(request: &JoinRequest) -> Result<(), Status> {
    check_cluster(&request.cluster).map_err(|error| Status::invalid_argument(error.to_string()))?;
    bounded(&[
        ("token_id", &request.token_id),
        ("token_secret", &request.token_secret),
        ("kube_system_uid", &request.kube_system_uid),
        ("agent_version", &request.agent_version),
    ])?;
    check_request(&request.csr_pem, &request.kube_system_uid)
}

fn check_request(csr_pem: &str, kube_system_uid: &str) -> Result<(), Status> {
    if csr_pem.len() > MAX_CSR {
        return Err(Status::invalid_argument(
            "the certificate signing request is longer than 16 KiB",
        ));
    }
    if kube_system_uid.is_empty() {
        return Err(Status::invalid_argument(
            "kube_system_uid is empty; the agent reads it from the namespace kube-system",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_three_parts_and_never_meet() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let (one, other) = (Parts::random().unwrap(), Parts::random().unwrap());
        let token = one.token(&authority);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(
            parts,
            [
                one.id.as_str(),
                one.secret.as_str(),
                authority.pin().as_str()
            ]
        );
        assert_ne!(one.secret, other.secret);
        assert_ne!(secret_hash(&one.secret), secret_hash(&other.secret));
    }
}
