//! A TCP proxy that makes faults of a network. In: bytes of both directions. Out: the same bytes, late, held back, lost or
//! cut off, as the test says at that moment. It knows no protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::error::{Error, Result};
use crate::eventually::delay;

/// How the link behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// As if it were not there.
    None,
    /// Every piece is so much late.
    Delay(Duration),
    /// What is open is closed, what is new is closed at once.
    Cut,
    /// Open and silent: bytes are taken and lost. Only closing the connection helps; that happens when this fault ends,
    /// because a stream with a hole in it must not go on.
    HalfOpen,
    /// Bytes wait, in order, until this fault ends.
    Hold,
}

/// What went over the link.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// The proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct LinkProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl LinkProxy {
    /// Listens on a free loopback port before `upstream`.
    pub async fn start(upstream: &str) -> Result<Self> {
        let what = || format!("the link proxy before {upstream}");
        let failed = |source| Error::Io {
            what: what(),
            source,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let fault = watch::Sender::new(Fault::None);
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(accept(
            listener,
            upstream.to_owned(),
            fault.subscribe(),
            counts.clone(),
        ));
        Ok(Self {
            address,
            fault,
            counts,
            task,
        })
    }

    /// host:port to connect to.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Connections that were taken, refused ones included.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Bytes forwarded to the server.
    pub fn bytes_up(&self) -> u64 {
        self.counts.up.load(Ordering::Relaxed)
    }

    /// Bytes forwarded from the server.
    pub fn bytes_down(&self) -> u64 {
        self.counts.down.load(Ordering::Relaxed)
    }
}

impl Drop for LinkProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: String,
    fault: watch::Receiver<Fault>,
    counts: Arc<Counts>,
) {
    // Ends with this task: aborting it closes every connection.
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        counts.connections.fetch_add(1, Ordering::Relaxed);
        if *fault.borrow() == Fault::Cut {
            continue;
        }
        let (upstream, fault, counts) = (upstream.clone(), fault.clone(), counts.clone());
        open.spawn(async move {
            let Ok(server) = TcpStream::connect(&upstream).await else {
                return;
            };
            // Small messages must not wait for one another; a proxy that adds its own delay measures itself.
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Either end closes both: half-closed streams are no part of what goes over this link.
            tokio::select! {
                () = pump(from_client, to_server, fault.clone(), &counts.up) => {}
                () = pump(from_server, to_client, fault.clone(), &counts.down) => {}
                () = cut(fault.clone()) => {}
            }
        });
    }
}

/// Returns when connections that are open now must end.
async fn cut(mut fault: watch::Receiver<Fault>) {
    // The sender is gone when the test is over; that ends it too.
    let _ = fault.wait_for(|fault| *fault == Fault::Cut).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut fault: watch::Receiver<Fault>,
    count: &AtomicU64,
) {
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let Some(piece) = buffer.get(..read) else {
            return;
        };
        if !passes(&mut fault).await || to.write_all(piece).await.is_err() {
            return;
        }
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Waits until a piece may go on; false: the connection ends.
async fn passes(fault: &mut watch::Receiver<Fault>) -> bool {
    let now = *fault.borrow_and_update();
    match now {
        Fault::None => true,
        Fault::Delay(by) => {
            delay(by).await;
            true
        }
        Fault::Cut => false,
        Fault::HalfOpen => {
            let _ = fault.wait_for(|fault| *fault != Fault::HalfOpen).await;
            false
        }
        Fault::Hold => fault.wait_for(|fault| *fault != Fault::Hold).await.is_ok(),
    }
}
