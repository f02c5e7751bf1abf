//! A proxy before an API server that counts writes. In: the agent's plain HTTP on loopback. Out: the same requests over TLS,
//! replies and watches streamed through; and, at a chosen write, the agent's death on the chosen side of it.

use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsConnector;

use super::fault::{Fault, Faults};
use super::trigger::{Trigger, Verdict};
use crate::error::{Error, Result};
use crate::kubeconfig::Server;

type Body = Either<Incoming, Full<Bytes>>;

/// One write that was forwarded or cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// POST, PUT, PATCH or DELETE.
    pub verb: String,
    /// Without the query.
    pub path: String,
}

/// What a request is asked about by.
#[derive(Debug)]
struct Shared {
    upstream: Upstream,
    ignore: Vec<String>,
    trigger: Trigger,
    faults: Faults,
    writes: Mutex<Vec<Write>>,
}

/// Where the API server is.
#[derive(Debug)]
struct Upstream {
    address: String,
    name: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
}

/// The proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct ApiProxy {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl ApiProxy {
    /// Listens on a free loopback port before `server`. Writes whose path holds one of `ignore` (leases, events) are
    /// forwarded and not counted.
    pub async fn start(server: &Server, ignore: &[&str]) -> Result<Self> {
        let upstream = Upstream::new(server)?;
        let failed = |source| Error::Io {
            what: format!("the proxy before {}", server.url),
            source,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let shared = Arc::new(Shared {
            upstream,
            ignore: ignore.iter().map(|part| (*part).to_owned()).collect(),
            trigger: Trigger::default(),
            faults: Faults::default(),
            writes: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { url, shared, task })
    }

    /// `http://host:port`, for the agent's kubeconfig.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The counter, and the chosen write.
    pub fn trigger(&self) -> &Trigger {
        &self.shared.trigger
    }

    /// What goes wrong with counted writes.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Every counted write so far, in the order of their numbers, over all lives of the agent.
    pub fn writes(&self) -> Vec<Write> {
        self.shared
            .writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    fn new(server: &Server) -> Result<Self> {
        let bad = Error::parse::<String>;
        let place = format!("server {}", server.url);
        let uri: Uri = server.url.parse().map_err(Error::parse(&place))?;
        let host = uri
            .host()
            .ok_or_else(|| bad(place.clone())("no host".into()))?;
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(443));
        let name = ServerName::try_from(host.to_owned()).map_err(Error::parse(&place))?;
        let pem = server
            .ca
            .as_ref()
            .ok_or_else(|| bad(place.clone())("no CA".into()))?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate =
                certificate.map_err(|error| bad(place.clone())(format!("{error:?}")))?;
            roots.add(certificate).map_err(Error::parse(&place))?;
        }
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            name,
            tls: Arc::new(tls),
        })
    }

    async fn connect(&self) -> std::result::Result<SendRequest<Incoming>, BoxError> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(self.name.clone(), stream)
            .await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with its sender, which the downstream connection owns.
        tokio::spawn(connection);
        Ok(sender)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let shared = shared.clone();
        open.spawn(async move {
            // One upstream connection for each of the agent's, so that a watch has its own and ends with it.
            let upstream = tokio::sync::Mutex::new(None);
            let service = service_fn(|request| forward(&shared, &upstream, request));
            // An error is a connection that ended, which is what an agent sees of a killed server too.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(client), service)
                .await;
        });
    }
}

/// An error closes the agent's connection without a reply.
async fn forward(
    shared: &Shared,
    upstream: &tokio::sync::Mutex<Option<SendRequest<Incoming>>>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Body>, BoxError> {
    let (verdict, counted) = verdict(shared, &request);
    if verdict == Verdict::KillFirst {
        shared.trigger.strike();
    }
    if verdict == Verdict::KillFirst || verdict == Verdict::Refuse {
        return Err("cut off by the proxy".into());
    }
    let fault = counted.then(|| shared.faults.next()).flatten();
    if let Some(answer) = fault.and_then(Fault::answer) {
        return Ok(answer.map(|body| Either::Right(Full::new(Bytes::from(body)))));
    }
    let mut upstream = upstream.lock().await;
    let sender = match upstream.take().filter(|sender| !sender.is_closed()) {
        Some(sender) => upstream.insert(sender),
        None => upstream.insert(shared.upstream.connect().await?),
    };
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    if fault == Some(Fault::LostReply) {
        response.into_body().collect().await?;
        return Err("the reply is lost".into());
    }
    if verdict == Verdict::KillAfterReply {
        // The whole reply: the server has then done what was asked.
        response.into_body().collect().await?;
        shared.trigger.strike();
        return Err("cut off by the proxy".into());
    }
    Ok(response.map(Either::Left))
}

/// What becomes of a request, and whether it is one of the counted writes.
fn verdict(shared: &Shared, request: &Request<Incoming>) -> (Verdict, bool) {
    let path = request.uri().path();
    let writes = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    );
    if !writes
        || shared
            .ignore
            .iter()
            .any(|part| path.contains(part.as_str()))
    {
        return if shared.trigger.dead() {
            (Verdict::Refuse, false)
        } else {
            (Verdict::Forward, false)
        };
    }
    let mut writes = shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
    let verdict = shared.trigger.next();
    if verdict != Verdict::Refuse {
        writes.push(Write {
            verb: request.method().to_string(),
            path: path.to_owned(),
        });
    }
    (verdict, true)
}
