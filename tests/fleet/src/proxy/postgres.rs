//! A proxy before PostgreSQL that counts COMMITs. In: the hub's connections, unencrypted. Out: the same messages; and, at a
//! chosen COMMIT, the hub's death before it or after its reply. A statement outside a transaction is not counted: it has
//! no COMMIT.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::frames;
use super::trigger::{Trigger, Verdict};
use crate::error::{Error, Result};

/// The proxy. Dropping it closes everything.
#[derive(Debug)]
pub struct PostgresProxy {
    address: String,
    trigger: Arc<Trigger>,
    task: JoinHandle<()>,
}

impl PostgresProxy {
    /// Listens on a free loopback port before `upstream` (host:port).
    pub async fn start(upstream: &str) -> Result<Self> {
        let failed = |source| Error::Io {
            what: format!("the proxy before PostgreSQL at {upstream}"),
            source,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        let trigger = Arc::new(Trigger::default());
        let task = tokio::spawn(accept(listener, upstream.to_owned(), trigger.clone()));
        Ok(Self {
            address,
            trigger,
            task,
        })
    }

    /// host:port to connect to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The counter, and the chosen COMMIT.
    pub fn trigger(&self) -> &Trigger {
        &self.trigger
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What becomes of the reply to a COMMIT that was forwarded.
#[derive(Debug, Default)]
struct Ends {
    /// It must not reach the hub alive.
    hub: AtomicBool,
    /// It must not reach the hub, whose connection breaks.
    connection: AtomicBool,
    /// It must not reach the hub, nor anything after it.
    reply: AtomicBool,
    /// Nothing passes any more, in either direction, and both ends stay open.
    silent: AtomicBool,
}

async fn accept(listener: TcpListener, upstream: String, trigger: Arc<Trigger>) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let (upstream, trigger) = (upstream.clone(), trigger.clone());
        open.spawn(async move {
            let Ok(server) = TcpStream::connect(&upstream).await else {
                return;
            };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, mut to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let mut from_client = BufReader::new(from_client);
            let Some(first) = first_message(&mut from_client, &mut to_client).await else {
                return;
            };
            let ends = Ends::default();
            tokio::select! {
                () = requests(from_client, to_server, first, &trigger, &ends) => {}
                () = replies(BufReader::new(from_server), to_client, &trigger, &ends) => {}
            }
        });
    }
}

/// Says no to encryption, which it could not read through, until the client starts without.
async fn first_message(
    from: &mut (impl AsyncRead + Unpin),
    answer: &mut (impl AsyncWrite + Unpin),
) -> Option<frames::Frame> {
    loop {
        let frame = frames::read(from, true).await?;
        if !frame.asks_for_encryption() {
            return Some(frame);
        }
        answer.write_all(b"N").await.ok()?;
    }
}

async fn requests(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    first: frames::Frame,
    trigger: &Trigger,
    ends: &Ends,
) {
    let mut next = Some(first);
    // The mark that the transaction carries.
    let mut marked = None;
    while let Some(frame) = next {
        if ends.silent.load(Ordering::SeqCst) {
            return swallow(from).await;
        }
        let commits = frame.commits();
        marked = trigger.marks(&frame.payload).or(marked);
        let verdict = match (commits && trigger.counts(marked), trigger.dead()) {
            (_, true) => Verdict::Refuse,
            (true, false) => trigger.next(),
            (false, false) => Verdict::Forward,
        };
        if commits || frame.rolls_back() {
            marked = None;
        }
        match verdict {
            Verdict::Forward => {}
            Verdict::KillAfterReply => ends.hub.store(true, Ordering::SeqCst),
            Verdict::LoseReply => ends.connection.store(true, Ordering::SeqCst),
            Verdict::SilenceReply => ends.reply.store(true, Ordering::SeqCst),
            Verdict::SilenceFirst => {
                ends.silent.store(true, Ordering::SeqCst);
                return swallow(from).await;
            }
            Verdict::KillFirst => return trigger.strike(),
            Verdict::Refuse => return,
        }
        if to.write_all(&frame.bytes()).await.is_err() {
            return;
        }
        next = frames::read(&mut from, false).await;
    }
}

/// Takes what comes until the client gives up.
async fn swallow(mut from: impl AsyncRead + Unpin) {
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
}

async fn replies(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    trigger: &Trigger,
    ends: &Ends,
) {
    while let Some(frame) = frames::read(&mut from, false).await {
        if ends.hub.load(Ordering::SeqCst) && frame.committed() {
            return trigger.strike();
        }
        if ends.connection.load(Ordering::SeqCst) && frame.committed() {
            return;
        }
        if ends.reply.load(Ordering::SeqCst) && frame.committed() {
            ends.silent.store(true, Ordering::SeqCst);
        }
        if ends.silent.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&frame.bytes()).await.is_err() {
            return;
        }
    }
    // The server has given it up; the client does not hear of that either.
    if ends.silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}
