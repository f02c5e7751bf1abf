//! Members of the fleet. In: the administrator's client configuration. Out: keys and certificates by which simulated agents
//! are let in, each got by a token, as every agent gets its own. It must not make certificates itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::v1::fleet_client::FleetClient;
use proto::v1::link_client::LinkClient;
use proto::v1::{CreateTokenRequest, JoinRequest};
use rcgen::{CertificateParams, KeyPair};
use serde::Deserialize;
use tests_fleet::{Error, Result};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// The hub lets two strangers in at a time and the others wait: more would only wait here.
const JOINS_AT_A_TIME: usize = 4;
/// A hub under ten thousand agents answers a handshake late, not never.
const CONNECT: Duration = Duration::from_secs(20);
/// As the agent: a stream that is half open is noticed within these two together.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// What the hub writes for its administrator.
#[derive(Debug, Clone, Deserialize)]
pub struct Admin {
    hub: String,
    ca: String,
    certificate: String,
    key: String,
}

/// A cluster that is to join.
#[derive(Debug, Clone)]
pub struct Joining {
    /// Its name.
    pub cluster: String,
    /// Waves and FleetRollouts select by them.
    pub labels: BTreeMap<String, String>,
}

/// A member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub cluster: String,
    /// Of its kube-system.
    pub uid: String,
    endpoint: Endpoint,
}

fn failed(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Check(format!("{what}: {why}"))
}

impl Admin {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_saphyr::from_str(&text)
            .map_err(|error| failed("the administrator's configuration", error))
    }

    /// The same at another address: a proxy's.
    #[must_use]
    pub fn at(&self, hub: String) -> Self {
        Self {
            hub,
            ..self.clone()
        }
    }

    fn endpoint(&self, identity: Option<(&str, &str)>) -> Result<Endpoint> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca));
        let tls = match identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        };
        Endpoint::from_shared(self.hub.clone())
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map(|endpoint| {
                endpoint
                    .connect_timeout(CONNECT)
                    .http2_keep_alive_interval(KEEPALIVE)
                    .keep_alive_timeout(KEEPALIVE)
                    .keep_alive_while_idle(true)
            })
            .map_err(|error| failed("the hub's address", error))
    }

    /// Who may do everything.
    pub async fn client(&self) -> Result<FleetClient<Channel>> {
        let endpoint = self.endpoint(Some((&self.certificate, &self.key)))?;
        let channel = endpoint.connect().await;
        Ok(FleetClient::new(
            channel.map_err(|error| failed("the hub", error))?,
        ))
    }

    /// Brings all of them into the fleet, in their order.
    pub async fn join(&self, clusters: Vec<Joining>) -> Result<Vec<Member>> {
        let people = self.client().await?;
        let strangers = self.endpoint(None)?.connect().await;
        let strangers = LinkClient::new(strangers.map_err(|error| failed("the hub", error))?);
        stream::iter(clusters)
            .map(|joining| {
                let uid = format!("uid-{}", joining.cluster);
                self.one(people.clone(), strangers.clone(), joining, uid)
            })
            .buffered(JOINS_AT_A_TIME)
            .try_collect()
            .await
    }

    /// Brings in a cluster whose kube-system namespace has this UID: another one, under a name that is known, perhaps.
    pub async fn join_as(&self, joining: Joining, uid: &str) -> Result<Member> {
        let people = self.client().await?;
        let strangers = self.endpoint(None)?.connect().await;
        let strangers = LinkClient::new(strangers.map_err(|error| failed("the hub", error))?);
        self.one(people, strangers, joining, uid.to_owned()).await
    }

    async fn one(
        &self,
        mut people: FleetClient<Channel>,
        mut strangers: LinkClient<Channel>,
        joining: Joining,
        uid: String,
    ) -> Result<Member> {
        let cluster = joining.cluster;
        let request = CreateTokenRequest {
            cluster: cluster.clone(),
            labels: joining.labels,
            valid_seconds: 0,
        };
        let token = people.create_token(request).await;
        let token = token
            .map_err(|status| failed("a token", status))?
            .into_inner()
            .token;
        let mut parts = token.split('.').map(str::to_owned);
        let key = KeyPair::generate().map_err(|error| failed("a key", error))?;
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .and_then(|csr| csr.pem());
        let request = JoinRequest {
            token_id: parts.next().unwrap_or_default(),
            token_secret: parts.next().unwrap_or_default(),
            csr_pem: csr.map_err(|error| failed("a signing request", error))?,
            kube_system_uid: uid.clone(),
            cluster: cluster.clone(),
            agent_version: "simulated".to_owned(),
        };
        let joined = strangers.join(request).await;
        let joined = joined
            .map_err(|status| failed("joining", status))?
            .into_inner();
        let endpoint = self.endpoint(Some((&joined.certificate_pem, &key.serialize_pem())))?;
        Ok(Member {
            cluster,
            uid,
            endpoint,
        })
    }
}

impl Member {
    /// A new connection.
    pub async fn connect(
        &self,
    ) -> std::result::Result<LinkClient<Channel>, tonic::transport::Error> {
        self.endpoint.connect().await.map(LinkClient::new)
    }
}
