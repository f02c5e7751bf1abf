//! The way into a hub. In: a client config, or only the hub's address and CA. Out: a channel over TLS. It asks nothing.

use std::path::Path;

use serde::Deserialize;
use tests_fleet::{Error, Result};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// What the hub writes for a person.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Its address.
    pub hub: String,
    /// PEM.
    pub ca: String,
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

impl Config {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_saphyr::from_str(&text).map_err(Error::parse(path.display().to_string()))
    }

    /// A channel as this person; it connects when it is used, and again when the hub was away.
    pub fn channel(&self) -> Result<Channel> {
        channel(&self.hub, &self.ca, Some((&self.certificate, &self.key)))
    }
}

/// A channel with a certificate and its key, or without.
pub fn channel(url: &str, ca: &str, identity: Option<(&str, &str)>) -> Result<Channel> {
    let place = format!("the way to {url}");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let tls = match identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    };
    let url = if url.starts_with("https://") {
        url.to_owned()
    } else {
        format!("https://{url}")
    };
    let endpoint = Endpoint::from_shared(url).map_err(Error::parse(&place))?;
    let endpoint = endpoint.tls_config(tls).map_err(Error::parse(&place))?;
    Ok(endpoint.connect_lazy())
}
