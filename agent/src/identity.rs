//! Who this cluster is to the hub: its key, its certificate, the hub's CA and permit key, in one Secret.
//!
//! In: the Secret, or what a join or a renewal brought. Out: an identity, complete or pending. Keys are made here and never
//! leave; each is stored before it is used, so that a lost answer is asked for again with the same signing request.

use std::collections::BTreeMap;

use agent_api::ObjectMeta;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::permit::{self, PermitKey};

/// Name of the Secret.
pub const SECRET: &str = "groundswell-agent-identity";
const KEY: &str = "tls.key";
const CSR: &str = "csr.pem";
const CERTIFICATE: &str = "tls.crt";
const CA: &str = "ca.crt";
const PERMIT_KEY: &str = "permit.key";
const CLUSTER: &str = "cluster";
/// A key that waits for its certificate beside one that is in use.
const NEXT_KEY: &str = "next.key";
const NEXT_CSR: &str = "next.csr";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Secret could not be read or written.
    #[error("cannot {verb} Secret {SECRET}: {source}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The Secret lacks something.
    #[error("Secret {SECRET} has no readable {0}: delete it and join again")]
    Field(&'static str),
    /// The Secret is for another name.
    #[error(
        "Secret {SECRET} is of cluster {found:?}, not {wanted:?}: delete it to join under the new name"
    )]
    OtherCluster {
        /// In the Secret.
        found: String,
        /// As started.
        wanted: String,
    },
    /// The key could not be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// The permit key cannot be read.
    #[error(transparent)]
    PermitKey(#[from] permit::Error),
    /// The certificate cannot be read.
    #[error("the certificate in Secret {SECRET} cannot be read: {0}; delete it and join again")]
    Certificate(String),
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// A whole identity.
#[derive(Clone)]
pub struct Identity {
    /// Name in the fleet.
    pub cluster: String,
    /// Private key, PEM.
    pub key: SecretString,
    /// Certificate, PEM.
    pub certificate: String,
    /// The hub's CA, PEM.
    pub ca: String,
    /// The hub's key for permits.
    pub permit_key: PermitKey,
}

impl Identity {
    /// From when to when its certificate is good.
    pub fn validity(&self) -> Result<Validity, Error> {
        let bad = |why: String| Error::Certificate(why);
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .map_err(|error| bad(error.to_string()))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&der).map_err(|error| bad(error.to_string()))?;
        let time =
            |seconds: i64| Timestamp::from_second(seconds).map_err(|error| bad(error.to_string()));
        let validity = parsed.validity();
        Ok(Validity {
            from: time(validity.not_before.timestamp())?,
            to: time(validity.not_after.timestamp())?,
        })
    }
}

/// A key that waits for its certificate.
pub struct Pending {
    /// Name to join under.
    pub cluster: String,
    /// Signing request, PEM.
    pub csr: String,
}

/// What the Secret holds.
pub enum Stored {
    /// Nothing.
    Absent,
    /// A key without a certificate.
    Pending(Pending),
    /// An identity.
    Complete(Box<Identity>),
}

/// What a join brought.
pub struct Issued {
    /// Certificate, PEM.
    pub certificate: String,
    /// The hub's CA, PEM.
    pub ca: String,
    /// The hub's key for permits, base64.
    pub permit_key: String,
}

impl Issued {
    fn fields(self) -> Result<Value, Error> {
        PermitKey::from_base64(&self.permit_key)?;
        let Self {
            certificate,
            ca,
            permit_key,
        } = self;
        Ok(json!({CERTIFICATE: certificate, CA: ca, PERMIT_KEY: permit_key}))
    }
}

/// The Secret.
pub struct IdentityStore {
    api: Api<Secret>,
}

impl IdentityStore {
    /// The Secret in the agent's own namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
        }
    }

    /// Reads it.
    pub async fn load(&self) -> Result<Stored, Error> {
        let found = self.api.get_opt(SECRET).await.map_err(failed("read"))?;
        found.map_or(Ok(Stored::Absent), |secret| {
            read(&secret.data.unwrap_or_default())
        })
    }

    /// The pending key for a cluster, made now if there is none.
    pub async fn pending(&self, cluster: &str) -> Result<Pending, Error> {
        match self.load().await? {
            Stored::Pending(pending) if pending.cluster == cluster => Ok(pending),
            Stored::Pending(Pending { cluster: found, .. }) => Err(Error::OtherCluster {
                found,
                wanted: cluster.to_owned(),
            }),
            Stored::Complete(identity) => Err(Error::OtherCluster {
                found: identity.cluster,
                wanted: cluster.to_owned(),
            }),
            Stored::Absent => self.make(cluster).await,
        }
    }

    async fn make(&self, cluster: &str) -> Result<Pending, Error> {
        let (key, csr) = key_and_request(cluster)?;
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = BTreeMap::from([
            (KEY.to_owned(), bytes(key.expose_secret())),
            (CSR.to_owned(), bytes(&csr)),
            (CLUSTER.to_owned(), bytes(cluster)),
        ]);
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..Secret::default()
        };
        self.api
            .create(&PostParams::default(), &secret)
            .await
            .map_err(failed("create"))?;
        Ok(Pending {
            cluster: cluster.to_owned(),
            csr,
        })
    }

    /// The signing request of the next key, made now if there is none.
    pub async fn next_request(&self, cluster: &str) -> Result<String, Error> {
        let found = self.api.get_opt(SECRET).await.map_err(failed("read"))?;
        let data = found.and_then(|secret| secret.data).unwrap_or_default();
        if let (Some(_), Some(csr)) = (text(&data, NEXT_KEY), text(&data, NEXT_CSR)) {
            return Ok(csr);
        }
        let (key, csr) = key_and_request(cluster)?;
        let patch = json!({"stringData": {NEXT_KEY: key.expose_secret(), NEXT_CSR: csr}});
        self.api
            .patch(SECRET, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(failed("patch"))?;
        Ok(csr)
    }

    /// Puts the next key with what came for it in the place of what was used so far, in one write; until then nothing of that
    /// is lost.
    async fn replaced(&self, issued: &Value) -> Result<Identity, Error> {
        let found = self.api.get_opt(SECRET).await.map_err(failed("read"))?;
        let secret = found.ok_or(Error::Field(NEXT_KEY))?;
        let data = secret.data.unwrap_or_default();
        let key = text(&data, NEXT_KEY).ok_or(Error::Field(NEXT_KEY))?;
        let mut fields = issued.clone();
        if let Some(fields) = fields.as_object_mut() {
            fields.insert(KEY.to_owned(), Value::String(key));
        }
        let patch = json!({
            "metadata": {"resourceVersion": secret.metadata.resource_version},
            "data": {NEXT_KEY: null, NEXT_CSR: null},
            "stringData": fields,
        });
        let stored = self
            .api
            .patch(SECRET, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        whole(&stored.map_err(failed("patch"))?.data.unwrap_or_default())
    }

    /// Takes a renewed certificate into use.
    pub async fn renewed(&self, certificate: &str) -> Result<Identity, Error> {
        self.replaced(&json!({CERTIFICATE: certificate})).await
    }

    /// Takes what a second join brought into use.
    pub async fn rejoined(&self, issued: Issued) -> Result<Identity, Error> {
        self.replaced(&issued.fields()?).await
    }

    /// Adds what the join brought.
    pub async fn complete(&self, issued: Issued) -> Result<Identity, Error> {
        let patch = json!({"stringData": issued.fields()?});
        let stored = self
            .api
            .patch(SECRET, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        whole(&stored.map_err(failed("patch"))?.data.unwrap_or_default())
    }
}

fn whole(data: &BTreeMap<String, ByteString>) -> Result<Identity, Error> {
    match read(data)? {
        Stored::Complete(identity) => Ok(*identity),
        Stored::Absent | Stored::Pending(_) => Err(Error::Field(CERTIFICATE)),
    }
}

fn failed(verb: &'static str) -> impl Fn(kube::Error) -> Error {
    move |source| Error::Api {
        verb,
        source: Box::new(source),
    }
}

fn key_and_request(cluster: &str) -> Result<(SecretString, String), Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, cluster);
    let csr = params.serialize_request(&key)?.pem()?;
    Ok((SecretString::from(key.serialize_pem()), csr))
}

fn text(data: &BTreeMap<String, ByteString>, field: &str) -> Option<String> {
    let bytes = data.get(field).map(|bytes| bytes.0.clone());
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok())
}

fn read(data: &BTreeMap<String, ByteString>) -> Result<Stored, Error> {
    let need = |field: &'static str| text(data, field).ok_or(Error::Field(field));
    let cluster = need(CLUSTER)?;
    let key = SecretString::from(need(KEY)?);
    if text(data, CERTIFICATE).is_none() {
        return Ok(Stored::Pending(Pending {
            cluster,
            csr: need(CSR)?,
        }));
    }
    Ok(Stored::Complete(Box::new(Identity {
        cluster,
        key,
        certificate: need(CERTIFICATE)?,
        ca: need(CA)?,
        permit_key: PermitKey::from_base64(&need(PERMIT_KEY)?)?,
    })))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    fn data(fields: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
            .collect()
    }

    #[test]
    fn a_secret_is_pending_complete_or_named_as_broken() {
        let pending = [(CLUSTER, "eu"), (KEY, "k"), (CSR, "r")];
        assert!(
            matches!(read(&data(&pending)), Ok(Stored::Pending(pending)) if pending.csr == "r")
        );
        let permit_key = base64::engine::general_purpose::STANDARD.encode([7_u8; 32]);
        let complete = [
            &pending[..],
            &[
                (CERTIFICATE, "c"),
                (CA, "a"),
                (PERMIT_KEY, permit_key.as_str()),
            ],
        ]
        .concat();
        assert!(
            matches!(read(&data(&complete)), Ok(Stored::Complete(identity)) if identity.cluster == "eu")
        );
        assert!(matches!(
            read(&data(&complete[..5])),
            Err(Error::Field(PERMIT_KEY))
        ));
        assert!(matches!(
            read(&data(&[(CLUSTER, "eu")])),
            Err(Error::Field(KEY))
        ));
        assert!(matches!(read(&BTreeMap::new()), Err(Error::Field(CLUSTER))));
    }

    #[test]
    fn a_request_names_the_cluster_and_no_key() {
        let (key, csr) = key_and_request("prod-eu").unwrap();
        assert!(csr.contains("CERTIFICATE REQUEST") && !csr.contains("PRIVATE"));
        assert!(key.expose_secret().contains("PRIVATE KEY"));
    }
}
