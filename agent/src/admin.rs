//! The agent's own HTTP: /metrics, /healthz, /readyz.
//!
//! In: requests. Out: numbers, and whether the caches are there. It must not say anything about content, and it must not
//! change anything.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::cache::{Caches, Work};
use crate::metrics::Metrics;
use crate::queue::{Load, Queue};

/// Connections at a time; probes and scrapes need a few.
const CONNECTIONS: usize = 64;
/// A client that does not send its request by then is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// After accept failed, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What there is to show.
#[derive(Clone)]
pub struct Admin {
    /// Counters.
    pub metrics: Metrics,
    /// Objects.
    pub caches: Arc<Caches>,
    /// Work.
    pub queue: Arc<Queue<Work>>,
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for {what}: {source}; --{flag} takes another port, and 0 any that is free"
)]
pub struct Error {
    what: &'static str,
    flag: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// Where something is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What, in a word.
    pub what: &'static str,
    /// The flag that says where.
    pub flag: &'static str,
    /// The address.
    pub address: SocketAddr,
}

impl Admin {
    /// Listens, and returns the address and what serves it for ever.
    pub async fn listen(
        self,
        place: Place,
    ) -> Result<(SocketAddr, impl Future<Output = ()>), Error> {
        let Place {
            what,
            flag,
            address,
        } = place;
        let failed = |source| Error {
            what,
            flag,
            address,
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok((bound, self.serve(listener)))
    }

    async fn serve(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let this = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: http::Request<Incoming>| {
                    let answer = this.answer(request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT);
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(%error, "a scrape or probe broke off");
                }
                drop(slot);
            });
        }
    }

    /// Of Rollouts and of AnalysisRuns.
    fn load(&self) -> (Load, Load) {
        let now = Instant::now();
        let of = |picks: fn(&Work) -> bool| self.queue.load_of(picks, now);
        (
            of(|work| matches!(work, Work::Rollout(_))),
            of(|work| matches!(work, Work::Run(_))),
        )
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let (status, body) = match path {
            "/metrics" => match self.metrics.scrape(&self.caches, self.load()) {
                Ok(text) => (StatusCode::OK, text),
                Err(error) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    error.to_string().into_bytes(),
                ),
            },
            "/healthz" => (StatusCode::OK, b"ok".to_vec()),
            "/readyz" if self.caches.rollouts.is_ready() => (StatusCode::OK, b"ok".to_vec()),
            "/readyz" => (
                StatusCode::SERVICE_UNAVAILABLE,
                b"the caches are not there yet".to_vec(),
            ),
            _ => (
                StatusCode::NOT_FOUND,
                b"ask for /metrics, /healthz or /readyz".to_vec(),
            ),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_named_with_the_flag_that_helps() {
        let admin = Admin {
            metrics: Metrics::new().unwrap(),
            caches: Arc::default(),
            queue: Arc::default(),
        };
        let place = |address| Place {
            what: "metrics",
            flag: "metricsPort",
            address,
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (bound, _serving) = admin.clone().listen(place(any)).await.unwrap();
        let error = admin.listen(place(bound)).await.map(|_| ()).unwrap_err();
        let says = error.to_string();
        assert!(says.contains(&format!("{bound} for metrics")), "{says}");
        assert!(says.contains("--metricsPort"), "{says}");
    }
}
