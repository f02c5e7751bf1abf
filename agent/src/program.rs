//! The whole program, put together.
//!
//! In: arguments. Out: it runs until it is told to stop. It must not hold logic: every part is in its own file.

use std::sync::{Arc, Mutex};

use agent_api::Uid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::admin::{self, Admin};
use crate::analysis_controller::AnalysisController;
use crate::apply::Applier;
use crate::args::{self, Args};
use crate::cache::{Caches, Watch, Watching, Work};
use crate::controller::{Controller, FirstPass};
use crate::event::Events;
use crate::fleet::{Fleet, Kinds};
use crate::link::report::Reports;
use crate::measure::Measurer;
use crate::metrics::{self, Metrics};
use crate::observe::Observer;
use crate::queue::Queue;
use crate::rehearsal::Rehearsal;
use crate::start;
use crate::writer::Writer;
use crate::written::Written;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments.
    #[error(transparent)]
    Args(#[from] args::Error),
    /// The start.
    #[error(transparent)]
    Start(#[from] start::Error),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// The admin address.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[from] std::io::Error),
    /// A part that runs for ever ended.
    #[error("a part of the agent ended; the process ends so that it is started anew")]
    PartEnded,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: Args) -> Result<(), Error> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        ended = work(args) => ended,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    }
}

async fn work(args: Args) -> Result<(), Error> {
    let hub = args.hub()?;
    let client = start::client(args.kubeconfig.as_deref()).await?;
    let (metrics, caches, queue) = (Metrics::new()?, Arc::new(Caches::default()), Arc::new(Queue::<Work>::default()));
    let mut tasks = JoinSet::new();
    serve_admin(&args, &metrics, &caches, &queue, &mut tasks).await?;
    let written = Arc::new(Written::default());
    let writer = Writer::new(client.clone());
    let watching = Watching {
        client: client.clone(),
        namespace: args.namespace.clone(),
        written: Arc::clone(&written),
        queue: Arc::clone(&queue),
    };
    spawn_all(&mut tasks, caches.watch_rollouts(&watching));
    let cluster_uid = if hub.is_some() { start::cluster_uid(&client).await } else { Uid::default() };
    let fleet = Arc::new(Fleet::new(hub.is_some(), args.first_contact(), cluster_uid));
    caches.rollouts_ready().await;
    let reports = Arc::new(Reports::new(hub.is_some()));
    let (events, writing) = Events::new(writer.clone(), metrics.clone());
    tasks.spawn(writing);
    let controller = Arc::new(Controller {
        observer: Observer {
            caches: Arc::clone(&caches),
            fleet: Arc::clone(&fleet),
            namespace: args.namespace.clone(),
            client: client.clone(),
            rehearsal: Rehearsal::new(writer.clone()),
        },
        applier: Applier {
            writer: writer.clone(),
            written: Arc::clone(&written),
            events: events.clone(),
            reports: Arc::clone(&reports),
            namespace: args.namespace.clone(),
        },
        analysis: AnalysisController {
            caches: Arc::clone(&caches),
            measurer: Arc::new(Measurer::new(args.prometheus_address.clone(), Arc::clone(&queue))),
            writer: writer.clone(),
            written: Arc::clone(&written),
            events,
        },
        queue: Arc::clone(&queue),
        metrics: metrics.clone(),
        failures: Mutex::default(),
        first: FirstPass::over(caches.rollouts.keys()),
    });
    let kinds = start::kinds(&client, hub.is_some()).await;
    if kinds == Kinds::Present {
        spawn_all(&mut tasks, caches.watch_fleet(&watching));
        caches.fleet_ready().await;
    }
    fleet.set_kinds(kinds);
    tracing::info!(rollouts = caches.rollouts.keys().len(), ?kinds, "ready");
    tasks.spawn(Arc::clone(&controller).run());
    // Every part runs for ever; one that ends takes the process with it rather than leave it half blind.
    if let Some(Err(error)) = tasks.join_next().await {
        tracing::error!(%error, "a part of the agent broke");
    }
    Err(Error::PartEnded)
}

fn spawn_all(tasks: &mut JoinSet<()>, watches: Vec<Watch>) {
    for watch in watches {
        tasks.spawn(watch);
    }
}

async fn serve_admin(
    args: &Args,
    metrics: &Metrics,
    caches: &Arc<Caches>,
    queue: &Arc<Queue<Work>>,
    tasks: &mut JoinSet<()>,
) -> Result<(), Error> {
    let admin = Admin { metrics: metrics.clone(), caches: Arc::clone(caches), queue: Arc::clone(queue) };
    for (what, address) in [("metrics", args.metrics_addr), ("health", args.health_addr)] {
        let (bound, serving) = admin.clone().listen(address).await?;
        tracing::info!("{what} on http://{bound}");
        tasks.spawn(serving);
    }
    Ok(())
}
