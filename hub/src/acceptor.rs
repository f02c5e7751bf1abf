//! The hub's door. In: TCP connections. Out: a stream of TLS connections with the peer's identity, for tonic. It must not
//! answer requests, and it never ends: tonic's own loop ends at the first EMFILE and has no handshake timeout.

pub mod guests;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::acceptor::guests::{Guests, Place};
use crate::authority::{Authority, fingerprint};
use crate::identity::Peer;

/// A client that has not finished its handshake by then is dropped; agents on slow links need about one second.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at a time: a restart of the hub brings every agent at once, and stalled peers must leave room for them.
const MAX_HANDSHAKES: usize = 1024;
/// Finished connections that wait for tonic.
const ACCEPTED_QUEUE: usize = 64;
/// First and longest pause after accept fails, as it does without free file descriptors.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What can keep the door from opening.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Keys.
    #[error(transparent)]
    Authority(#[from] crate::authority::Error),
    /// rustls refused the configuration.
    #[error("cannot set up TLS for the hub: {0}")]
    Tls(#[from] rustls::Error),
    /// The CA cannot verify clients.
    #[error("cannot verify clients with the hub's CA: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Who is at the other end, in each request's extensions.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// From the client certificate alone.
    pub peer: Peer,
    /// Of that certificate; empty without one.
    pub fingerprint: String,
    /// For logs.
    pub remote: Option<SocketAddr>,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    info: PeerInfo,
    _place: Place,
}

/// TLS 1.3 with a client certificate of the hub's CA, or none.
pub fn server_config(authority: &Authority, names: &[String]) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.ca_der().clone())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let (certificate, key) = authority.server(names)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate, authority.ca_der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Accepts for ever; ends when the returned stream is dropped.
pub fn accept(
    listener: TcpListener,
    config: ServerConfig,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, incoming) = mpsc::channel(ACCEPTED_QUEUE);
    tokio::spawn(accept_loop(
        listener,
        TlsAcceptor::from(Arc::new(config)),
        accepted,
    ));
    ReceiverStream::new(incoming)
}

async fn accept_loop(
    listener: TcpListener,
    tls: TlsAcceptor,
    accepted: mpsc::Sender<io::Result<Connection>>,
) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let guests = Guests::default();
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        let Ok(slot) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let next = tokio::select! {
            () = accepted.closed() => return,
            next = listener.accept() => next,
        };
        let (tcp, remote) = match next {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept a connection; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                continue;
            }
        };
        pause = ACCEPT_PAUSE_MIN;
        let (tls, guests, accepted) = (tls.clone(), guests.clone(), accepted.clone());
        tokio::spawn(async move {
            match handshake(tls, &guests, tcp, remote).await {
                Ok(connection) => {
                    drop(slot);
                    // A closed channel means that the hub is stopping: dropping the connection is the answer.
                    let _ = accepted.send(Ok(connection)).await;
                }
                Err(error) => tracing::debug!(%remote, %error, "handshake failed"),
            }
        });
    }
}

async fn handshake(
    tls: TlsAcceptor,
    guests: &Guests,
    tcp: TcpStream,
    remote: SocketAddr,
) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "handshake took too long"))??;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let (peer, fingerprint) = match certificate {
        None => (Peer::Anonymous, String::new()),
        Some(certificate) => (
            Peer::from_certificate(certificate).map_err(io::Error::other)?,
            fingerprint(certificate),
        ),
    };
    let full = || io::Error::other(format!("{} has too many connections", peer.actor()));
    let place = guests.place(&peer).ok_or_else(full)?;
    Ok(Connection {
        _place: place,
        stream,
        info: PeerInfo {
            peer,
            fingerprint,
            remote: Some(remote),
        },
    })
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Who sent a request; anonymous if the connection says nothing.
#[must_use]
pub fn peer_of<T>(request: &tonic::Request<T>) -> Peer {
    request
        .extensions()
        .get::<PeerInfo>()
        .map_or(Peer::Anonymous, |info| info.peer.clone())
}

/// Hex SHA-256 of the certificate that a request came with; empty without one.
#[must_use]
pub fn fingerprint_of<T>(request: &tonic::Request<T>) -> String {
    let info = request.extensions().get::<PeerInfo>();
    info.map(|info| info.fingerprint.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
