//! A fake HTTP server on loopback.
//! In: what to answer to each request. Out: what it was asked. It must not outlive its test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_providers::transport::guard::{Found, Lookup};
use agent_providers::{
    Answer, Asker, Body, Environment, Filled, Method, NoSecrets, Outcome, Request, Settings,
    Transport,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    head: String,
    pub body: String,
}

impl Received {
    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// What the fake does with a request.
pub enum Reply {
    /// An answer.
    Text(u16, String),
    /// An answer with headers of its own.
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A redirect.
    To(String),
    /// Nothing, while the connection stays open.
    Hang,
    /// A body of this announced length, of which a byte comes a second.
    Drip,
    /// A body without an end.
    Endless,
    /// A body of ten gigabytes, which are announced only.
    Huge,
    /// The connection is closed.
    Close,
}

type Handler = dyn Fn(usize, &Received) -> Reply + Send + Sync;

/// The server; it ends with the test.
pub struct Fake {
    pub port: u16,
    seen: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Starts one; the handler gets the number of the request, from 0.
    pub async fn start(
        handler: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(None, handler).await
    }

    pub async fn with_tls(
        tls: Option<TlsAcceptor>,
        handler: impl Fn(usize, &Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (log, handler): (_, Arc<Handler>) = (Arc::clone(&seen), Arc::new(handler));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, handler, tls) = (Arc::clone(&log), Arc::clone(&handler), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, log, handler).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, log, handler).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }
}

/// Requests of one connection, until it ends.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    log: Arc<Mutex<Vec<Received>>>,
    handler: Arc<Handler>,
) -> Option<()> {
    loop {
        let received = receive(&mut stream).await?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(received.clone());
            log.len() - 1
        };
        answer(&mut stream, handler(number, &received)).await?;
    }
}

async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Received> {
    let mut bytes = Vec::new();
    let end = loop {
        bytes.push(stream.read_u8().await.ok()?);
        if bytes.ends_with(b"\r\n\r\n") {
            break bytes.len();
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut words = head.split(' ');
    let mut received = Received {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        head,
        body: String::new(),
    };
    let length = received
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    received.body = String::from_utf8(body).ok()?;
    Some(received)
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> Option<()> {
    match reply {
        Reply::Text(status, text) => whole(stream, status, &[], text.as_bytes()).await,
        Reply::With(status, headers, body) => whole(stream, status, &headers, &body).await,
        Reply::To(url) => whole(stream, 302, &[("location", url)], b"").await,
        Reply::Hang => {
            std::future::pending::<()>().await;
            None
        }
        Reply::Drip => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
            stream.write_all(head).await.ok()?;
            let mut drops = tokio::time::interval(Duration::from_secs(1));
            loop {
                drops.tick().await;
                stream.write_all(b" ").await.ok()?;
            }
        }
        Reply::Huge => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n";
            stream.write_all(head).await.ok()?;
            std::future::pending::<()>().await;
            None
        }
        Reply::Endless => {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await.ok()?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await.ok()?;
            }
        }
        Reply::Close => None,
    }
}

async fn whole<S: AsyncWrite + Unpin>(
    stream: &mut S,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream
        .write_all(format!("{head}\r\n").as_bytes())
        .await
        .ok()?;
    stream.write_all(body).await.ok()
}

/// Names with addresses of the test's own.
#[derive(Debug)]
pub struct Names<F>(pub F);

impl<F: Fn(&str) -> std::io::Result<Vec<&'static str>> + Send + Sync> Lookup for Names<F>
where
    F: std::fmt::Debug,
{
    fn lookup(&self, name: &str) -> Found {
        let found = (self.0)(name).map(|list| {
            let each = list.into_iter();
            each.map(|one| (one.parse::<std::net::IpAddr>().unwrap(), 0).into())
                .collect()
        });
        Box::pin(std::future::ready(found))
    }
}

/// A transport with these settings.
pub fn transport(settings: Settings) -> Transport {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Transport::new(settings).unwrap()
}

/// A GET with a limit that no healthy test reaches.
pub fn get(url: &str) -> Request {
    Request {
        method: Method::Get,
        url: url.parse().unwrap(),
        headers: Vec::new(),
        body: Body::Empty,
        authentication: None,
        timeout: Duration::from_secs(20),
        insecure: false,
    }
}

/// The words of the error, which must be one line.
pub fn words<E: std::fmt::Display>(sent: Result<Answer, E>) -> String {
    let error = sent
        .map(|answer| answer.status)
        .map_err(|error| error.to_string());
    let error = error.expect_err("an error");
    assert!(!error.contains('\n'), "{error}");
    error
}

/// One measurement of a metric.
pub async fn measure(transport: &Transport, metric: serde_json::Value) -> Outcome {
    let asker = Asker::new(
        transport.clone(),
        Arc::new(NoSecrets),
        Environment::default(),
    );
    let metric: agent_api::Metric = serde_json::from_value(metric).unwrap();
    let metric = Filled::new(metric, &Default::default()).unwrap();
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    asker.ask(&metric, "shop", now, &Default::default()).await
}
