//! Fakes of the providers' servers, one file each: they speak the documented API on loopback, and check what they are
//! asked.
//!
//! In: requests. Out: answers of the documented shape, or 400 with what is wrong, which the server also keeps. They must
//! not share anything with the code that they are asked by.

pub mod cloudwatch;
pub mod datadog;
pub mod graphite;
pub mod influxdb;
pub mod kayenta;
pub mod new_relic;
pub mod prometheus;
pub mod skywalking;
pub mod wavefront;
pub mod web;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as a fake sees it.
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    headers: http::HeaderMap,
    pub body: String,
}

/// The body of a good answer, or what is wrong with the request.
pub type Reply = Result<String, String>;
/// Who answers.
pub type Fake = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.get(name);
        found
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn json(&self) -> Result<Value, String> {
        same(
            "content type",
            self.header("content-type"),
            "application/json",
        )?;
        serde_json::from_str(&self.body).map_err(|error| error.to_string())
    }

    /// Method and path.
    pub fn is(&self, method: &str, path: &str) -> Result<(), String> {
        same("method", self.method.as_str(), method)?;
        same("path", self.path.as_str(), path)
    }

    /// A parameter of the query.
    pub fn asks(&self, name: &str) -> Result<&str, String> {
        let found = self.query.get(name).map(String::as_str);
        found.ok_or_else(|| format!("no parameter {name}"))
    }
}

pub fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: T,
    expected: T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, not {expected:?}"))
}

/// The text holds a part.
pub fn holds(what: &str, text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) {
        return Ok(());
    }
    Err(format!("{what} is {text:?}, without {part:?}"))
}

/// Two times, in whatever unit, are this far apart.
pub fn apart(from: Option<i64>, to: Option<i64>, length: i64) -> Result<(), String> {
    let (from, to) = from.zip(to).ok_or("no times")?;
    same("window", to - from, length)
}

#[derive(Default)]
struct Noted {
    asked: usize,
    wrong: Vec<String>,
}

/// A fake that listens; it ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    noted: Arc<Mutex<Noted>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(fake: Fake) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let noted: Arc<Mutex<Noted>> = Arc::default();
        let kept = Arc::clone(&noted);
        let fake: Arc<Fake> = Arc::new(fake);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (fake, noted) = (Arc::clone(&fake), Arc::clone(&kept));
                let service = service_fn(move |request| {
                    let (fake, noted) = (Arc::clone(&fake), Arc::clone(&noted));
                    async move { Ok::<_, Infallible>(answer(&fake, &noted, request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A client that goes away ends its connection only.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self {
            address,
            noted,
            task,
        }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> usize {
        self.noted.lock().unwrap().asked
    }

    pub fn wrong(&self) -> Vec<String> {
        self.noted.lock().unwrap().wrong.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    fake: &Fake,
    noted: &Mutex<Noted>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let url = reqwest::Url::parse(&format!("http://fake{}", head.uri)).unwrap();
    let seen = Seen {
        method: head.method.to_string(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = fake(&seen);
    let mut noted = noted.lock().unwrap();
    noted.asked += 1;
    let (status, body) = match reply {
        Ok(body) => (200, body),
        Err(wrong) => {
            noted.wrong.push(wrong.clone());
            (400, wrong)
        }
    };
    let response = Response::builder().status(status);
    response.body(Full::new(Bytes::from(body))).unwrap()
}
