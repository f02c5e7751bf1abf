//! The connection to the hub. In: a client configuration. Out: the calls of the Fleet service, with errors as sentences.
//! It must not print or retry: what is asked again by itself says so by a key (`word`), the rest a person repeats.

use std::time::Duration;

use proto::v1::fleet_client::FleetClient;
use proto::v1::{GetReleaseRequest, ListReleasesRequest, Release};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Response, Status};

use crate::config::Config;

/// A hub that does not take a connection by then is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest call writes a few rows; the hub itself gives up on Postgres earlier.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("{address:?} is not the address of a hub: {message}; write https://HOST:PORT")]
    Address {
        /// As configured.
        address: String,
        /// Why not.
        message: String,
    },
    /// Nobody answers.
    #[error(
        "cannot reach the hub at {address}: {message}; is it running? --hub names another address"
    )]
    Connect {
        /// As configured.
        address: String,
        /// The innermost cause.
        message: String,
    },
    /// The hub answered with an error.
    #[error("{0}")]
    Refused(String),
}

/// The Fleet service of one hub.
#[derive(Debug)]
pub struct Client {
    service: FleetClient<Channel>,
    address: String,
}

impl Client {
    /// Connects with the person's certificate.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let address = config.hub.clone();
        let bad = |error: tonic::transport::Error| Error::Address {
            address: address.clone(),
            message: cause(&error),
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&config.ca))
            .identity(Identity::from_pem(&config.certificate, &config.key));
        let channel = Endpoint::from_shared(config.hub.clone())
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map_err(bad)?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .connect()
            .await
            .map_err(|error| Error::Connect {
                address: address.clone(),
                message: cause(&error),
            })?;
        Ok(Self {
            service: FleetClient::new(channel),
            address,
        })
    }

    /// The generated client, for calls whose answers go through `answer`.
    pub fn service(&mut self) -> &mut FleetClient<Channel> {
        &mut self.service
    }

    /// An answer, or the hub's refusal as a sentence.
    pub fn answer<T>(&self, result: Result<Response<T>, Status>) -> Result<T, Error> {
        result
            .map(Response::into_inner)
            .map_err(|status| self.refusal(&status))
    }

    /// A release by its name, or the newest of a FleetRollout.
    pub async fn release(&mut self, name: &str) -> Result<Release, Error> {
        let release = self.release_name(name).await?;
        let result = self
            .service
            .get_release(GetReleaseRequest { release })
            .await;
        self.answer(result)
    }

    /// `checkout#2` as it is; `checkout` as its newest release.
    pub async fn release_name(&mut self, name: &str) -> Result<String, Error> {
        if name.contains('#') {
            return Ok(name.to_owned());
        }
        let result = self
            .service
            .list_releases(ListReleasesRequest {
                fleet_rollout: name.to_owned(),
            })
            .await;
        let releases = self.answer(result)?.releases;
        let newest = releases.into_iter().max_by_key(|release| release.number);
        newest.map(|release| release.name).ok_or_else(|| {
            Error::Refused(format!(
                "{name} has no release; `groundswell get fleetrollouts` lists what there is"
            ))
        })
    }

    fn refusal(&self, status: &Status) -> Error {
        let message = status.message();
        match status.code() {
            Code::Unavailable if message.is_empty() || message.contains("transport error") => {
                Error::Connect {
                    address: self.address.clone(),
                    message: cause(status),
                }
            }
            Code::DeadlineExceeded | Code::Cancelled => Error::Refused(format!(
                "the hub at {} did not answer in time; look at `groundswell history` before trying again",
                self.address
            )),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unauthenticated => Error::Refused(message.to_owned()),
        }
    }
}

/// The innermost cause says what happened; the outer ones say "transport error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(next) = innermost.source() {
        innermost = next;
    }
    innermost.to_string()
}
