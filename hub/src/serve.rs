//! A running hub. In: options. Out: every task started, in the order in which they need each other, and stopped in reverse.
//! It must not hold logic of its own.

use std::sync::Arc;
use std::time::Duration;

use hub_store::Store;
use hub_store::embedded::Embedded;
use proto::limit;
use proto::v1::fleet_server::FleetServer;
use proto::v1::link_server::LinkServer;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tower::layer::util::{Identity, Stack};

use crate::args::Serve;
use crate::authority::Authority;
use crate::decide::{self, Decider};
use crate::fleet::Fleet;
use crate::folder::Folder;
use crate::join::Certifier;
use crate::limit::{ANSWER_MAX, Limit};
use crate::link::fences::{self, Fences};
use crate::link::gather::Gather;
use crate::link::opening::Openings;
use crate::link::pace::Paces;
use crate::link::{self, Link};
use crate::wire::set::Signer;
use crate::{acceptor, address, authority, client_config, database, folder, hints, leader};

/// Of people: documents and what they ask for; more than this is an attack or a defect (T16).
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Of one connection: an agent has one stream, a person a few calls.
const MAX_STREAMS: u32 = 64;
/// Our requests have few headers.
const MAX_HEADERS: u32 = 16 * 1024;
/// A peer that is gone without a word is noticed in half a minute (F17).
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Connections are made anew so often, so that a certificate that has expired stops being used; streams get the grace.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(3600);
const MAX_CONNECTION_GRACE: Duration = Duration::from_secs(30);
/// How long streams may take to end when the hub stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Why the hub does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// Keys.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The address.
    #[error(transparent)]
    Address(#[from] address::Error),
    /// TLS.
    #[error(transparent)]
    Acceptor(#[from] acceptor::Error),
    /// The server ended by itself.
    #[error("the server ended: {0}; start the hub again")]
    Server(String),
}

/// A hub that runs until it is stopped.
#[derive(Debug)]
pub struct Running {
    url: String,
    stop: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    tasks: Vec<JoinHandle<()>>,
    store: Store,
    embedded: Option<Embedded>,
    _folder: Folder,
}

/// Starts a hub.
pub async fn start(options: &Serve) -> Result<Running, Error> {
    let folder = Folder::open(&options.data_dir)?;
    let dir = folder.path();
    let authority = Arc::new(Authority::open(dir)?);
    let (store, embedded) = database::open(&options.database, dir).await?;
    let (listener, local) = address::listen(options.listen, dir).await?;
    let names = server_names(local, options);
    let incoming = acceptor::accept(listener, acceptor::server_config(&authority, &names)?);

    let stop = CancellationToken::new();
    let hints = hints::start(store.clone(), stop.clone());
    let fences = Fences::default();
    let lease = Duration::from_secs(u64::from(options.lease_seconds));
    let fleet = Fleet {
        store: store.clone(),
        authority: Arc::clone(&authority),
        hints: hints.clone(),
    };
    let link = Link {
        store: store.clone(),
        gather: Gather::start(&store, &stop),
        certifier: Certifier {
            authority: Arc::clone(&authority),
            lifetime: Duration::from_secs(u64::from(options.cluster_certificate_seconds)),
        },
        fences: fences.clone(),
        hub: folder.hub_name().to_owned(),
        heartbeat: link::heartbeat(lease),
        joins: Arc::new(Semaphore::new(link::JOINS_AT_ONCE)),
        openings: Openings::new(link::HELLOS_AT_ONCE, link::HELLOS_ALONE),
        paces: Paces::default(),
        stop: stop.clone(),
    };
    let server = tokio::spawn(
        builder()
            .add_service(FleetServer::new(fleet).max_decoding_message_size(MAX_MESSAGE))
            .add_service(LinkServer::new(link).max_decoding_message_size(limit::MESSAGE_MAX))
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()),
    );
    let (leadership, fenced, lease_task) =
        leader::start(store.clone(), folder.hub_name().to_owned(), stop.clone());
    let signer = Arc::new(Signer {
        authority: Arc::clone(&authority),
        lease_seconds: options.lease_seconds,
    });
    let decider = Decider {
        store: store.clone(),
        signer,
        leadership,
        fenced,
        hints: hints.clone(),
        fences: fences.clone(),
    };
    let tasks = vec![
        lease_task,
        tokio::spawn(decide::run(decider, stop.clone())),
        tokio::spawn(fences::follow(fences, store.clone(), hints, stop.clone())),
    ];
    let url = address::url(local);
    client_config::write_admin(dir, &authority, &url)?;
    // Last: whoever waits for the file finds a hub that answers.
    address::publish(&url, dir, options.addr_file.as_deref())?;
    Ok(Running {
        url,
        stop,
        server,
        tasks,
        store,
        embedded,
        _folder: folder,
    })
}

/// What the server's certificate is for.
fn server_names(local: std::net::SocketAddr, options: &Serve) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let address = local.ip().to_string();
    if !local.ip().is_unspecified() && !names.contains(&address) {
        names.push(address);
    }
    names.extend(options.san.iter().cloned());
    names
}

fn builder() -> Server<Stack<Limit, Identity>> {
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_connection_age(MAX_CONNECTION_AGE)
        .max_connection_age_grace(MAX_CONNECTION_GRACE)
        .layer(Limit(ANSWER_MAX))
}

impl Running {
    /// `https://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends only if the server does by itself, which it does not do in normal life.
    pub async fn ended(&mut self) -> Error {
        Error::Server(match (&mut self.server).await {
            Ok(Ok(())) => "nothing was left to serve".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        })
    }

    /// Ends streams, gives the lease up, closes the database.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        if !self.server.is_finished()
            && tokio::time::timeout(STOP_GRACE, &mut self.server)
                .await
                .is_err()
        {
            self.server.abort();
        }
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended badly");
            }
        }
        self.store.close().await;
        if let Some(embedded) = self.embedded {
            embedded.stop().await.map_err(database::Error::from)?;
        }
        Ok(())
    }
}
