//! TLS to the hub, with the hub's own CA and no other.
//!
//! In: the hub's address, and either the pin of a join token or an identity. Out: a gRPC channel. It must not trust the
//! system's CAs: a proxy that intercepts TLS is noticed and named.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::identity::Identity;
use crate::link::dial::{self, Proxy};

/// How long TCP, proxy and TLS may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream that is half open is noticed within these two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Port of the hub when its address names none.
const DEFAULT_PORT: u16 = 443;

/// Length of a pin: a SHA-256.
pub const PIN_BYTES: usize = 32;
/// SHA-256 of the hub's CA certificate.
pub type Pin = [u8; PIN_BYTES];

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no use.
    #[error("the hub's address {0} is not usable")]
    Address(Uri),
    /// The identity is no use.
    #[error(
        "the identity cannot be used for TLS: {0}; delete Secret groundswell-agent-identity and join again"
    )]
    Identity(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The hub does not answer.
    #[error("cannot reach the hub at {hub}: {reason}")]
    Connect {
        /// Its address.
        hub: Uri,
        /// Why.
        reason: String,
    },
}

/// A channel for joining: the server is the one that the token pins; there is no client certificate yet.
pub async fn joining(hub: &Uri, proxy: Option<&Proxy>, pin: Pin) -> Result<Channel, Error> {
    let provider = provider();
    let verifier = Arc::new(Pinned {
        pin,
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    channel(hub, proxy, config).await
}

/// A channel with an identity.
pub async fn identified(
    hub: &Uri,
    proxy: Option<&Proxy>,
    identity: &Identity,
) -> Result<Channel, Error> {
    let bad = |error: rustls_pki_types::pem::Error| Error::Identity(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity.ca.as_bytes()).map_err(bad)?)?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let key =
        PrivateKeyDer::from_pem_slice(identity.key.expose_secret().as_bytes()).map_err(bad)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.map_err(bad)?, key)?;
    channel(hub, proxy, config).await
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

async fn channel(
    hub: &Uri,
    proxy: Option<&Proxy>,
    mut config: ClientConfig,
) -> Result<Channel, Error> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = || Error::Address(hub.clone());
    let host = hub
        .host()
        .ok_or_else(address)?
        .trim_matches(['[', ']'])
        .to_owned();
    let port = hub.port_u16().unwrap_or(DEFAULT_PORT);
    let name = ServerName::try_from(host.clone()).map_err(|_| address())?;
    // The connector brings TLS, so to tonic this is plain.
    let endpoint =
        Endpoint::from_shared(format!("http://{}", hub.authority().ok_or_else(address)?))
            .map_err(|_| address())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
    let (tls, proxy) = (TlsConnector::from(Arc::new(config)), proxy.cloned());
    let connector = tower::service_fn(move |_: Uri| {
        let (tls, name, host, proxy) = (tls.clone(), name.clone(), host.clone(), proxy.clone());
        async move {
            let tcp = dial::dial(&host, port, proxy.as_ref()).await?;
            Ok::<_, io::Error>(TokioIo::new(tls.connect(name, tcp).await?))
        }
    });
    let failed = |error: tonic::transport::Error| Error::Connect {
        hub: hub.clone(),
        reason: causes(&error),
    };
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(failed)
}

/// The last words of a chain of errors: the first ones only say "transport error".
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

/// Trusts exactly one CA, known by its hash, which the server has to send along.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|one| Pin::from(Sha256::digest(one.as_ref())) == self.pin);
        let ca = pinned.ok_or_else(|| {
            rustls::Error::General(
                "the server does not show the CA that the token names: something between intercepts TLS, or the token is \
                 of another hub"
                    .to_owned(),
            )
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("the hub speaks TLS 1.3".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
