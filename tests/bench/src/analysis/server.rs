//! The servers that runs ask, all in this process. In: requests. Out: one that answers like Prometheus and notes who asked
//! when, one that never answers, one that drips. They are fakes that speak the part of the API that an instant query uses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tests_fleet::{Error, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::lateness::Book;
use super::manifest::Sort;

/// What every query gives.
const ANSWER: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1792238400,"0.0125"]}]}}"#;
/// The beginning of an answer that never ends.
const DRIP_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
/// Between two bytes of it.
const DRIP: Duration = Duration::from_secs(1);

/// The servers; they run until this is dropped.
#[derive(Debug)]
pub struct Servers {
    good: SocketAddr,
    silent: SocketAddr,
    dripping: SocketAddr,
    hang: Arc<AtomicUsize>,
    drip: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Servers {
    /// Starts them on ports of their own.
    pub async fn start(book: Book) -> Result<Self> {
        let (good, silent, dripping) = (listener().await?, listener().await?, listener().await?);
        let (hang, drip) = (Arc::default(), Arc::default());
        Ok(Self {
            good: address(&good)?,
            silent: address(&silent)?,
            dripping: address(&dripping)?,
            tasks: vec![
                tokio::spawn(answer_all(good, book)),
                tokio::spawn(stick_all(silent, Arc::clone(&hang), false)),
                tokio::spawn(stick_all(dripping, Arc::clone(&drip), true)),
            ],
            hang,
            drip,
        })
    }

    /// Where runs of a sort ask.
    pub fn address(&self, sort: Sort) -> String {
        let address = match sort {
            Sort::Good => self.good,
            Sort::Silent => self.silent,
            Sort::Dripping => self.dripping,
        };
        format!("http://{address}")
    }

    /// Requests that hang now, and those that drip.
    pub fn stuck(&self) -> (usize, usize) {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        (count(&self.hang), count(&self.drip))
    }
}

async fn listener() -> Result<TcpListener> {
    let bound = TcpListener::bind("127.0.0.1:0").await;
    bound.map_err(|source| Error::Io {
        what: "listen".into(),
        source,
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|source| Error::Io {
        what: "read a listener's address".into(),
        source,
    })
}

async fn answer_all(listener: TcpListener, book: Book) {
    loop {
        // Too many open files, for a moment: those who ask try again.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let book = book.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|request: Request<Incoming>| {
                std::future::ready(answer(&book, &request))
            });
            // A client that closes is no error.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// `/RUN/METRIC/api/v1/query`.
fn answer(
    book: &Book,
    request: &Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let mut words = request.uri().path().split('/').skip(1);
    let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
    let known = match (number(), number()) {
        (Some(run), Some(metric)) => book.asked(run, metric, Instant::now()),
        (_, _) => false,
    };
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    if !known {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

async fn stick_all(listener: TcpListener, stuck: Arc<AtomicUsize>, drips: bool) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let stuck = Arc::clone(&stuck);
        tokio::spawn(async move {
            stuck.fetch_add(1, Ordering::Relaxed);
            // Until the client has enough.
            let _ = stick(stream, drips).await;
            stuck.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn stick(mut stream: TcpStream, drips: bool) -> std::io::Result<()> {
    let mut request = [0_u8; 4096];
    if !drips {
        while stream.read(&mut request).await? > 0 {}
        return Ok(());
    }
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    stream.write_all(DRIP_HEAD.as_bytes()).await?;
    let mut drops = tokio::time::interval(DRIP);
    loop {
        drops.tick().await;
        stream.write_all(b" ").await?;
    }
}
