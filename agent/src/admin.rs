//! The agent's own HTTP: /metrics, /healthz, /readyz.
//!
//! In: requests. Out: numbers, and whether the caches are there. It must not say anything about content, and it must not
//! change anything.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
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

/// Connections that wait to be accepted: more than that are probes of an agent that hangs.
const BACKLOG: i32 = 128;

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
        let listener = bind(address).map_err(failed)?;
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
    fn load(&self) -> (Load, Load, Load) {
        let now = Instant::now();
        let of = |picks: fn(&Work) -> bool| self.queue.load_of(picks, now);
        (
            of(|work| matches!(work, Work::Rollout(_))),
            of(|work| matches!(work, Work::Run(_))),
            of(|work| matches!(work, Work::Experiment(_))),
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
            "/readyz" if self.caches.are_rollouts_ready() => (StatusCode::OK, b"ok".to_vec()),
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

/// `[::]` is every address, of IPv4 too, whatever the machine's setting says; `0.0.0.0` where there is no IPv6.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    match open(address) {
        Err(error) if everywhere && is_without_ipv6(&error) => {
            open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        opened => opened,
    }
}

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // As tokio does it: a port whose last connections have not timed out can be taken at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The kernel has no IPv6, or it is switched off.
fn is_without_ipv6(error: &std::io::Error) -> bool {
    // `EAFNOSUPPORT` has no kind of its own.
    const NO_SUCH_FAMILY: i32 = 97;
    matches!(
        error.kind(),
        ErrorKind::AddrNotAvailable | ErrorKind::Unsupported
    ) || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    fn admin() -> Admin {
        Admin {
            metrics: Metrics::new().unwrap(),
            caches: Arc::default(),
            queue: Arc::default(),
        }
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let asked = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// An agent for analyses alone was ready before it had seen a single run.
    #[tokio::test]
    async fn ready_is_who_has_every_list_that_there_will_be() {
        let admin = admin();
        let caches = Arc::clone(&admin.caches);
        let place = Place {
            what: "health",
            flag: "healthzPort",
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let (bound, serving) = admin.listen(place).await.unwrap();
        tokio::spawn(serving);
        let ready = async || get(bound, "/readyz").await.starts_with("HTTP/1.1 200");
        caches.nothing_but_runs();
        assert!(!ready().await, "no run is listed yet");
        caches.runs.set_ready();
        assert!(ready().await);
        // Of a whole agent every list counts, the first that is there makes none.
        let caches = Caches::default();
        caches.rollouts.set_ready();
        caches.runs.set_ready();
        assert!(!caches.are_rollouts_ready());
    }

    #[tokio::test]
    async fn every_address_is_one_of_ipv4_and_of_ipv6_where_there_is_any() {
        let place = Place {
            what: "health",
            flag: "healthzPort",
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let (bound, serving) = admin().listen(place).await.unwrap();
        tokio::spawn(serving);
        let mut asked = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()))];
        if bound.is_ipv6() {
            asked.push(SocketAddr::from((Ipv6Addr::LOCALHOST, bound.port())));
        }
        for address in asked {
            let answer = get(address, "/healthz").await;
            assert!(answer.ends_with("ok"), "{address}: {answer}");
        }
    }

    #[test]
    fn only_a_kernel_without_ipv6_is_asked_for_ipv4() {
        let says = |code| is_without_ipv6(&std::io::Error::from_raw_os_error(code));
        let (no_family, not_available, in_use, denied) = (97, 99, 98, 13);
        assert!(says(no_family) && says(not_available));
        assert!(!says(in_use) && !says(denied));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named_with_the_flag_that_helps() {
        let admin = admin();
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
