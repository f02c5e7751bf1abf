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
#[error("cannot listen on {address}: {source}")]
pub struct Error {
    address: SocketAddr,
    source: std::io::Error,
}

impl Admin {
    /// Listens, and returns the address and what serves it for ever.
    pub async fn listen(
        self,
        address: SocketAddr,
    ) -> Result<(SocketAddr, impl Future<Output = ()>), Error> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error { address, source })?;
        let bound = listener
            .local_addr()
            .map_err(|source| Error { address, source })?;
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
