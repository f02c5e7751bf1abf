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
    /// As `HalfOpen`, but only what the client says is lost.
    LostUp,
    /// As `HalfOpen`, but only what the server says is lost.
    LostDown,
    /// Bytes wait, in order, until this fault ends.
    Hold,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// What went over the link.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// Pieces that still pass until the connection that brings the next one is closed; 0: all do.
    left: AtomicU64,
    cuts: AtomicU64,
}

impl Counts {
    fn bytes(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    /// Whether the connection ends with this piece.
    fn last(&self) -> bool {
        let one_less = |left: u64| left.checked_sub(1);
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        let last = before == Ok(1);
        self.cuts.fetch_add(u64::from(last), Ordering::Relaxed);
        last
    }
}

/// The proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct LinkProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    breaks: watch::Sender<u64>,
    silences: watch::Sender<u64>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

/// What every connection listens to.
#[derive(Debug, Clone)]
struct Orders {
    fault: watch::Receiver<Fault>,
    breaks: watch::Receiver<u64>,
    silences: watch::Receiver<u64>,
    counts: Arc<Counts>,
}

impl LinkProxy {
    /// Listens on a free loopback port before `upstream`.
    pub async fn start(upstream: &str) -> Result<Self> {
        Self::before(&[upstream.to_owned()]).await
    }

    /// The same before several servers: a connection goes to the next one that takes it.
    pub async fn before(upstreams: &[String]) -> Result<Self> {
        let what = || format!("the link proxy before {}", upstreams.join(", "));
        let failed = |source| Error::Io {
            what: what(),
            source,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let fault = watch::Sender::new(Fault::None);
        let (breaks, silences) = (watch::Sender::new(0), watch::Sender::new(0));
        let counts = Arc::new(Counts::default());
        let orders = Orders {
            fault: fault.subscribe(),
            breaks: breaks.subscribe(),
            silences: silences.subscribe(),
            counts: counts.clone(),
        };
        let task = tokio::spawn(accept(listener, upstreams.to_vec(), orders));
        Ok(Self {
            address,
            fault,
            breaks,
            silences,
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

    /// Closes what is open, once; what is new is taken.
    pub fn break_off(&self) {
        self.breaks.send_modify(|breaks| *breaks += 1);
    }

    /// What is open falls silent for ever and stays open; what is new is taken: a router forgot its connections.
    pub fn silence(&self) {
        self.silences.send_modify(|silences| *silences += 1);
    }

    /// So many pieces pass, of both directions together; then the connection that brought the last one is closed, once.
    /// Over TLS a piece is a message or less.
    pub fn cut_after(&self, pieces: u64) {
        self.counts.left.store(pieces, Ordering::Relaxed);
    }

    /// How often that happened.
    pub fn cuts(&self) -> u64 {
        self.counts.cuts.load(Ordering::Relaxed)
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

async fn accept(listener: TcpListener, upstreams: Vec<String>, orders: Orders) {
    let mut turn = 0_usize;
    // Ends with this task: aborting it closes every connection.
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        orders.counts.connections.fetch_add(1, Ordering::Relaxed);
        if *orders.fault.borrow() == Fault::Cut {
            continue;
        }
        let mut order = upstreams.clone();
        order.rotate_left(turn % upstreams.len().max(1));
        turn = turn.wrapping_add(1);
        let mut orders = orders.clone();
        // What broke before this connection was made is not its business.
        orders.breaks.mark_unchanged();
        orders.silences.mark_unchanged();
        open.spawn(async move {
            let Some(server) = reached(&order).await else {
                return;
            };
            // Small messages must not wait for one another; a proxy that adds its own delay measures itself.
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Either end closes both: half-closed streams are no part of what goes over this link.
            tokio::select! {
                () = pump(from_client, to_server, orders.clone(), Way::Up) => {}
                () = pump(from_server, to_client, orders.clone(), Way::Down) => {}
                () = cut(orders.fault.clone()) => {}
                _ = orders.breaks.changed() => {}
            }
        });
    }
}

/// The first that takes a connection.
async fn reached(upstreams: &[String]) -> Option<TcpStream> {
    for upstream in upstreams {
        if let Ok(server) = TcpStream::connect(upstream).await {
            return Some(server);
        }
    }
    None
}

/// Returns when connections that are open now must end.
async fn cut(mut fault: watch::Receiver<Fault>) {
    // The sender is gone when the test is over; that ends it too.
    let _ = fault.wait_for(|fault| *fault == Fault::Cut).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut orders: Orders,
    way: Way,
) {
    let mut buffer = vec![0_u8; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let Some(piece) = buffer.get(..read) else {
            return;
        };
        if orders.silences.has_changed().unwrap_or(true) {
            std::future::pending::<()>().await;
        }
        if !passes(&mut orders.fault, way).await || to.write_all(piece).await.is_err() {
            return;
        }
        let counts = &orders.counts;
        counts.bytes(way).fetch_add(read as u64, Ordering::Relaxed);
        if counts.last() {
            return;
        }
    }
}

/// Waits until a piece may go on; false: the connection ends.
async fn passes(fault: &mut watch::Receiver<Fault>, way: Way) -> bool {
    let now = *fault.borrow_and_update();
    match now {
        Fault::None => true,
        Fault::LostUp if way == Way::Down => true,
        Fault::LostDown if way == Way::Up => true,
        Fault::Delay(by) => {
            delay(by).await;
            true
        }
        Fault::Cut => false,
        Fault::HalfOpen | Fault::LostUp | Fault::LostDown => {
            let _ = fault.wait_for(|fault| *fault != now).await;
            false
        }
        Fault::Hold => fault.wait_for(|fault| *fault != Fault::Hold).await.is_ok(),
    }
}
