//! The hub's keys. In: the data folder. Out: certificates for the server, for clusters and for people, and signatures
//! under permits. It must not decide who gets one: `join` and the `person` command do.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hub_store::certificate::Certificate;
use jiff::Timestamp;
use proto::head::Head;
use proto::v1::Permit;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::identity::{CLUSTERS_GROUP, GROUP_SEPARATOR, check_group, check_person};

/// The CA outlives any cluster that pins it; replacing it means joining every cluster again.
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A person's certificate: a quarter, as there is no revocation list.
const PERSON_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// The server's certificate is made anew at every start.
const SERVER_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates are valid from a day before they are made, for a hub whose clock jumps and for clients whose clocks are
/// behind (F52); short-lived ones from a tenth of their life, so that they are not old from the start.
const CLOCK_SKEW: Duration = Duration::from_secs(24 * 3600);
const SKEW_PART: u32 = 10;
/// Only the hub's own user may read a key.
const KEY_MODE: u32 = 0o600;
/// Certificates are public.
const CERTIFICATE_MODE: u32 = 0o644;

/// First bytes under every recovery's signature, so that it can never be taken for one under anything else.
const RECOVERY_DOMAIN: &[u8] = b"groundswell recovery v1\0";

const CA_KEY_FILE: &str = "ca-key.pem";
const CA_FILE: &str = "ca.pem";
const PERMIT_KEY_FILE: &str = "permit-key.pem";

/// What can go wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the data folder.
    #[error("cannot {verb} {path}: {source}; check that the hub's user owns the data folder")]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A key file that holds no key.
    #[error(
        "{path} holds no usable key: {message}; restore it from a backup, every cluster pins it"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// A certificate that could not be made.
    #[error("cannot make a certificate for {subject}: {message}")]
    Certificate {
        /// For whom.
        subject: String,
        /// Why not.
        message: String,
    },
    /// A signing request that cannot be used.
    #[error(
        "the certificate signing request cannot be used: {0}; send a PEM request signed by its own key"
    )]
    Request(String),
    /// A name that may not stand in a certificate.
    #[error(transparent)]
    Name(#[from] crate::identity::NameError),
}

/// A certificate with the key made for it.
pub struct Issued {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS #8.
    pub key: String,
}

/// The hub's CA and its permit key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    permit_key: Ed25519KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("pin", &self.pin())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the keys of a data folder; makes those that are not there. A kill between two files leaves nothing that a
    /// second start cannot complete, because each file is renamed into place and the CA's certificate follows its key.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let ca_key = key_file(&dir.join(CA_KEY_FILE), &rcgen::PKCS_ECDSA_P256_SHA256)?;
        let ca_path = dir.join(CA_FILE);
        let ca_pem = match read(&ca_path)? {
            Some(pem) => pem,
            None => {
                let pem = ca_params()
                    .self_signed(&ca_key)
                    .map_err(|error| certificate_error("the hub's CA", &error))?
                    .pem();
                write(&ca_path, &pem, CERTIFICATE_MODE)?;
                pem
            }
        };
        let bad_ca = |message: String| Error::Key {
            path: ca_path.clone(),
            message,
        };
        let ca_der = CertificateDer::from_pem_slice(ca_pem.as_bytes())
            .map_err(|error| bad_ca(error.to_string()))?;
        let issuer =
            Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(|error| bad_ca(error.to_string()))?;
        let permit_path = dir.join(PERMIT_KEY_FILE);
        let permit_pair = key_file(&permit_path, &rcgen::PKCS_ED25519)?;
        let permit_key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(permit_pair.serialized_der())
            .map_err(|error| Error::Key {
            path: permit_path,
            message: error.to_string(),
        })?;
        Ok(Self {
            issuer,
            ca_pem,
            ca_der,
            permit_key,
        })
    }

    /// The CA's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The CA's certificate, for verifying clients.
    #[must_use]
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.ca_der
    }

    /// Hex SHA-256 of the CA's certificate: the third part of a join token (gate.md L6).
    #[must_use]
    pub fn pin(&self) -> String {
        hex::encode(Sha256::digest(self.ca_der.as_ref()))
    }

    /// Base64 of the public key by which permits are verified.
    #[must_use]
    pub fn permit_key(&self) -> String {
        BASE64.encode(self.permit_key.public_key().as_ref())
    }

    /// The signature under a permit (gate.md G17). Ed25519 is deterministic: the same permit has the same signature.
    #[must_use]
    pub fn sign(&self, permit: &Permit) -> Vec<u8> {
        self.permit_key
            .sign(&proto::permit::signing_bytes(permit))
            .as_ref()
            .to_vec()
    }

    /// A history head as it is handed out, with a signature by the same key: what each is over begins with what it is.
    #[must_use]
    pub fn head(&self, head: &Head) -> String {
        let signature = self.permit_key.sign(&head.signing_bytes());
        head.text(&BASE64.encode(signature.as_ref()))
    }

    /// The signature under the fence of a set for one cluster.
    #[must_use]
    pub fn sign_fence(&self, cluster_uid: &str, fence: &proto::v1::Fence) -> String {
        let bytes = proto::fence::signing_bytes(cluster_uid, fence);
        BASE64.encode(self.permit_key.sign(&bytes).as_ref())
    }

    /// Whether this hub's key has signed that fence for that cluster.
    #[must_use]
    pub fn own_fence(&self, cluster_uid: &str, fence: &proto::v1::Fence, signature: &str) -> bool {
        let bytes = proto::fence::signing_bytes(cluster_uid, fence);
        self.signed(&bytes, signature).is_some()
    }

    fn signed(&self, bytes: &[u8], signature: &str) -> Option<()> {
        let signature = BASE64.decode(signature).ok()?;
        let key = self.permit_key.public_key();
        UnparsedPublicKey::new(&ED25519, key.as_ref())
            .verify(bytes, &signature)
            .ok()
    }

    /// The signature under a recovery (gate.md L5), which stands in the history beside what it is over.
    #[must_use]
    pub fn sign_recovery(&self, text: &str) -> String {
        let bytes = [RECOVERY_DOMAIN, text.as_bytes()].concat();
        BASE64.encode(self.permit_key.sign(&bytes).as_ref())
    }

    /// The head in such a text, if this hub's key has signed it.
    #[must_use]
    pub fn own_head(&self, text: &str) -> Option<Head> {
        let (head, signature) = Head::parse(text)?;
        self.signed(&head.signing_bytes(), signature)?;
        Some(head)
    }

    /// A fresh certificate for the server itself.
    pub fn server(
        &self,
        names: &[String],
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
        let subject = "the hub's server";
        let key = KeyPair::generate().map_err(|error| certificate_error(subject, &error))?;
        let mut params = CertificateParams::new(names.to_vec())
            .map_err(|error| certificate_error(subject, &error))?;
        params.distinguished_name = name("groundswell hub", None);
        let certificate = self.issue(
            params,
            SERVER_LIFETIME,
            ExtendedKeyUsagePurpose::ServerAuth,
            &key,
            subject,
        )?;
        let key =
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(|error| {
                Error::Certificate {
                    subject: subject.to_owned(),
                    message: error.to_string(),
                }
            })?;
        Ok((certificate.der().clone(), key))
    }

    /// A client certificate for a cluster. Of the request only the public key is used: names in it are claims.
    pub fn cluster(
        &self,
        csr_pem: &str,
        cluster: &str,
        lifetime: Duration,
    ) -> Result<Certificate, Error> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(|error| Error::Request(error.to_string()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(cluster, Some(CLUSTERS_GROUP));
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let issued = self.issue(params, lifetime, usage, &request.public_key, cluster)?;
        let expires = Timestamp::try_from(SystemTime::now() + lifetime);
        Ok(Certificate {
            pem: issued.pem(),
            fingerprint: fingerprint(issued.der()),
            expires: expires.map_err(|error| Error::Certificate {
                subject: cluster.to_owned(),
                message: error.to_string(),
            })?,
        })
    }

    /// A client certificate for a person, with its key.
    pub fn person(&self, person: &str, groups: &[String]) -> Result<Issued, Error> {
        check_person(person)?;
        for group in groups {
            check_group(group)?;
        }
        let key = KeyPair::generate().map_err(|error| certificate_error(person, &error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(person, Some(&groups.join(GROUP_SEPARATOR)));
        let certificate = self.issue(
            params,
            PERSON_LIFETIME,
            ExtendedKeyUsagePurpose::ClientAuth,
            &key,
            person,
        )?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        lifetime: Duration,
        usage: ExtendedKeyUsagePurpose,
        key: &impl PublicKeyData,
        subject: &str,
    ) -> Result<rcgen::Certificate, Error> {
        valid_for(&mut params, lifetime);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params
            .signed_by(key, &self.issuer)
            .map_err(|error| certificate_error(subject, &error))
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("groundswell hub CA", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_LIFETIME);
    params
}

/// Hex SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate.as_ref()))
}

fn valid_for(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW.min(lifetime / SKEW_PART)).into();
    params.not_after = (now + lifetime).into();
}

fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

fn certificate_error(subject: &str, error: &rcgen::Error) -> Error {
    Error::Certificate {
        subject: subject.to_owned(),
        message: error.to_string(),
    }
}

fn key_file(path: &Path, algorithm: &'static rcgen::SignatureAlgorithm) -> Result<KeyPair, Error> {
    let bad = |error: rcgen::Error| Error::Key {
        path: path.to_path_buf(),
        message: error.to_string(),
    };
    if let Some(pem) = read(path)? {
        return KeyPair::from_pem_and_sign_algo(&pem, algorithm).map_err(bad);
    }
    let key = KeyPair::generate_for(algorithm).map_err(bad)?;
    write(path, &key.serialize_pem(), KEY_MODE)?;
    Ok(key)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File {
            verb: "read",
            path: path.to_path_buf(),
            source,
        }),
    }
}

/// Writes a file whole or not at all, readable as `mode` says from its first byte.
pub fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let fail = |verb| {
        move |source| Error::File {
            verb,
            path: path.to_path_buf(),
            source,
        }
    };
    let part = path.with_extension("part");
    if part.exists() {
        fs::remove_file(&part).map_err(fail("replace"))?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .map_err(fail("create"))?;
    file.write_all(text.as_bytes()).map_err(fail("write"))?;
    file.sync_all().map_err(fail("write"))?;
    fs::rename(&part, path).map_err(fail("rename"))
}

/// Mode of files that hold a key; client configurations do.
#[must_use]
pub const fn key_mode() -> u32 {
    KEY_MODE
}

#[cfg(test)]
mod tests;
