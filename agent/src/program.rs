//! The whole program, put together.
//!
//! In: arguments. Out: it runs until it is told to stop. It must not hold logic: every part is in its own file.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_providers::Asker;
use http::Uri;
use kube::Client;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::admin::{self, Admin, Place};
use crate::analysis_controller::AnalysisController;
use crate::analysis_pace::Pace;
use crate::apply::{Applier, Undecodable};
use crate::args::{self, Args};
use crate::asking;
use crate::cache::{Caches, Watch, Watching, Work};
use crate::claims::Claims;
use crate::controller::{Controller, FirstPass, work_queue};
use crate::event::Events;
use crate::experiment_controller::ExperimentController;
use crate::fleet::{Fleet, Kinds};
use crate::fleet_member::UnreadMembers;
use crate::job::sweep::Sweep;
use crate::lead::Lead;
use crate::leader::Leader;
use crate::link::dial::{self, Proxy};
use crate::link::member::Member;
use crate::link::report::Reports;
use crate::measure::Measurer;
use crate::metrics::{self, Metrics};
use crate::moments::SharedMoments;
use crate::observe::Observer;
use crate::queue::Queue;
use crate::refusals::Refusals;
use crate::rehearsal::Rehearsal;
use crate::secrets::ClusterSecrets;
use crate::spent::Spent;
use crate::start;
use crate::status_times::StatusTimes;
use crate::stored::StoredForms;
use crate::workloads::Workloads;
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
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] dial::Error),
    /// Analyses.
    #[error(transparent)]
    Asking(#[from] asking::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[from] std::io::Error),
    /// A part that runs for ever ended.
    #[error("a part of the agent ended; the process ends so that it is started anew")]
    PartEnded,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: Args) -> Result<(), Error> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        ended = work(args) => ended,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    }
}

/// What every part shares.
struct Shared {
    client: Client,
    namespace: String,
    writer: Writer,
    written: Arc<Written>,
    caches: Arc<Caches>,
    queue: Arc<Queue<Work>>,
    workloads: Arc<Workloads>,
    fleet: Arc<Fleet>,
    reports: Arc<Reports>,
    metrics: Metrics,
}

async fn work(args: Args) -> Result<(), Error> {
    let alone = args.analyses_alone()?;
    let (hub, token, election) = (args.hub()?, args.token()?, args.election()?);
    if let Some(says) = args.inert.says() {
        tracing::warn!("{says}");
    }
    let (metrics, caches, queue) = (
        Metrics::new()?,
        Arc::new(Caches::default()),
        Arc::new(work_queue()),
    );
    let client = start::client(&args, metrics.counting()).await?;
    let mut tasks = JoinSet::new();
    serve_admin(&args, &metrics, &caches, &queue, &mut tasks).await?;
    // Only a fleet asks which cluster it is, and rights in one namespace do not reach kube-system.
    let cluster_uid = match (args.namespaced || alone, &hub) {
        (true, None) => agent_api::Uid::default(),
        (true, Some(_)) | (false, _) => start::cluster_uid(&client).await,
    };
    let lead = election
        .as_ref()
        .map(|election| Lead::within(election.renew_within));
    let lead = lead.unwrap_or_default();
    let shared = Shared {
        namespace: args.namespace.clone(),
        writer: Writer::new(client.clone()).led_by(lead.clone()),
        written: Arc::default(),
        workloads: Arc::new(Workloads::new(
            client.clone(),
            args.reach(),
            Arc::clone(&queue),
        )),
        caches,
        queue,
        fleet: Arc::new(Fleet::new(hub.is_some(), args.first_contact(), cluster_uid)),
        reports: Arc::new(Reports::new(hub.is_some())),
        metrics,
        client,
    };
    if let Some(election) = election {
        let mut leader = Leader::new(shared.client.clone(), election, lead);
        leader.acquire().await;
        tasks.spawn(leader.keep());
    }
    fill_caches(&shared, &args, alone, &mut tasks).await;
    let (events, writing) = Events::new(shared.writer.clone(), shared.metrics.clone());
    tasks.spawn(writing);
    let analysis = analysis(&shared, &args, events.clone()).await?;
    if let Some(sweep) = Sweep::of(&analysis.jobs, shared.client.clone()) {
        tasks.spawn(sweep.keep());
    }
    let controller = Arc::new(controller(&shared, &args, events, analysis));
    tasks.spawn(Arc::clone(&controller).run());
    if let Some(hub) = hub {
        let member = member(shared, &args, hub, token)?;
        tasks.spawn(async move {
            // Hello says everything there is, so every Rollout has had its pass before it.
            controller.first.done().await;
            member.run().await;
        });
    }
    // Every part runs for ever; one that ends takes the process with it rather than leave it half blind.
    if let Some(Err(error)) = tasks.join_next().await {
        tracing::error!(%error, "a part of the agent broke");
    }
    Err(Error::PartEnded)
}

/// Starts the watches and waits for the first lists; nothing is decided before.
async fn fill_caches(shared: &Shared, args: &Args, alone: bool, tasks: &mut JoinSet<()>) {
    let watching = Watching {
        client: shared.client.clone(),
        reach: args.reach(),
        instance: args.instance(),
        namespace: shared.namespace.clone(),
        written: Arc::clone(&shared.written),
        queue: Arc::clone(&shared.queue),
    };
    match alone {
        true => spawn_all(tasks, vec![shared.caches.watch_runs_alone(&watching)]),
        false => spawn_all(tasks, shared.caches.watch_rollouts(&watching)),
    }
    if args.asking.jobs_are_beside_runs() {
        tasks.spawn(shared.caches.watch_jobs(&watching));
    }
    shared.caches.rollouts_ready().await;
    let kinds = match alone {
        true => Kinds::Absent,
        false => start::kinds(&shared.client, shared.fleet.has_hub).await,
    };
    if kinds == Kinds::Present {
        spawn_all(tasks, shared.caches.watch_fleet(&watching));
        shared.caches.fleet_ready().await;
        start::permit_key(&shared.client, &shared.namespace, &shared.fleet).await;
        if shared.fleet.has_hub {
            start::say_break_glass(&shared.client).await;
        }
    }
    shared.fleet.set_kinds(kinds);
    tracing::info!(
        rollouts = shared.caches.rollouts.keys().len(),
        analyses_alone = alone,
        ?kinds,
        "ready"
    );
}

async fn analysis(
    shared: &Shared,
    args: &Args,
    events: Events,
) -> Result<AnalysisController, Error> {
    let secrets = ClusterSecrets::new(shared.client.clone(), shared.namespace.clone());
    let (transport, environment) = (args.asking.transport()?, args.asking.environment());
    let asker = Asker::new(transport, Arc::new(secrets), environment);
    let jobs = args.asking.jobs(shared.client.clone(), &shared.caches);
    let jobs = Arc::new(jobs.await?.of_cluster(&shared.fleet.cluster_uid));
    let measurer = Measurer::new(asker, Arc::clone(&jobs), Arc::clone(&shared.queue));
    Ok(AnalysisController {
        caches: Arc::clone(&shared.caches),
        measurer: Arc::new(measurer),
        jobs,
        writer: shared.writer.clone(),
        written: Arc::clone(&shared.written),
        events,
        pace: Pace::default(),
        moments: SharedMoments::default(),
    })
}

fn controller(
    shared: &Shared,
    args: &Args,
    events: Events,
    analysis: AnalysisController,
) -> Controller {
    let refusals: Arc<Refusals> = Arc::default();
    let status_times: Arc<StatusTimes> = Arc::default();
    let claims = Arc::new(Claims::new(shared.client.clone()));
    let experiments = ExperimentController::new(
        Arc::clone(&shared.caches),
        (shared.client.clone(), shared.writer.clone()),
        Arc::clone(&shared.written),
        events.clone(),
        shared.metrics.clone(),
    );
    let spent = Arc::new(Spent::new(
        Arc::clone(&shared.caches),
        Arc::clone(&shared.fleet),
    ));
    Controller {
        observer: Observer {
            spent: Arc::clone(&spent),
            unread: UnreadMembers::default(),
            caches: Arc::clone(&shared.caches),
            fleet: Arc::clone(&shared.fleet),
            namespace: shared.namespace.clone(),
            client: shared.client.clone(),
            workloads: Arc::clone(&shared.workloads),
            rehearsal: Rehearsal::new(shared.writer.clone()),
            refusals: Arc::clone(&refusals),
            status_times: Arc::clone(&status_times),
            moments: SharedMoments::default(),
            claims: Arc::clone(&claims),
            settings: args.settings(),
            stored: StoredForms::new(shared.client.clone()),
        },
        applier: Applier {
            spent,
            writer: shared.writer.clone(),
            written: Arc::clone(&shared.written),
            workloads: Arc::clone(&shared.workloads),
            metrics: shared.metrics.clone(),
            events: events.clone(),
            reports: Arc::clone(&shared.reports),
            namespace: shared.namespace.clone(),
            refusals,
            status_times,
            claims,
            undecodable: Undecodable::default(),
        },
        analysis,
        experiments,
        queue: Arc::clone(&shared.queue),
        metrics: shared.metrics.clone(),
        failures: Mutex::default(),
        first: FirstPass::over(shared.caches.rollouts.keys()),
        resync: Duration::from_secs(args.rollout_resync),
    }
}

fn member(
    shared: Shared,
    args: &Args,
    hub: Uri,
    token: Option<SecretString>,
) -> Result<Member, Error> {
    let Shared {
        client,
        namespace,
        writer,
        written,
        caches,
        queue,
        workloads,
        fleet,
        reports,
        metrics,
    } = shared;
    let no_proxy = std::env::var("NO_PROXY").ok();
    let proxy = Proxy::for_hub(
        args.hub_proxy.as_deref(),
        no_proxy.as_deref(),
        hub.host().unwrap_or_default(),
    )?;
    let (cluster, cluster_uid) = (args.cluster.clone(), fleet.cluster_uid.clone());
    Ok(Member {
        hub,
        proxy,
        cluster,
        token,
        cluster_uid,
        namespace,
        client,
        writer,
        written,
        caches,
        fleet,
        reports,
        workloads,
        queue,
        metrics,
    })
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
    let admin = Admin {
        metrics: metrics.clone(),
        caches: Arc::clone(caches),
        queue: Arc::clone(queue),
    };
    let places = [
        ("metrics", "metricsPort", args.metrics_address()),
        ("health", "healthzPort", args.health_address()),
    ];
    for (what, flag, address) in places {
        let place = Place {
            what,
            flag,
            address,
        };
        let (bound, serving) = admin.clone().listen(place).await?;
        tracing::info!("{what} on http://{bound}");
        tasks.spawn(serving);
    }
    Ok(())
}
