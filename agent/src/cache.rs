//! The caches: every kind that decisions rest on, kept by watches.
//!
//! In: the API server. Out: stores, and a key in the queue for every object that a change concerns. It must not write,
//! and a kind that is not there is simply not watched.

mod owner;
mod templates;

use std::sync::Arc;

use agent_api::names::LABEL_INSTANCE_ID;
use agent_api::{
    AnalysisRun, AnalysisTemplate, ClusterAnalysisTemplate, Decoded, Experiment, FleetMember, Gate,
    Job, ReplicaSet, Rollout, Service,
};
use agent_engine::claims::controller;
use agent_providers::job::LABEL_RUN_UID;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::ApiResource;
use kube::core::{DynamicResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource};

pub(crate) use self::owner::owner_work;
use self::owner::{
    could_own, experiment_index, named_services, owner, owner_changed, owner_uid, run_uid,
    set_owner,
};
pub use self::owner::{gate_rollout, orphans_of, service_rollout};
use crate::key::ObjectKey;
use crate::queue::Queue;
use crate::revision::{LABEL_ROLLOUT_UID, Revision};
use crate::store::{Changed, Keepable, Store, keep};
use crate::written::{Kind, Written};

/// ReplicaSets of Rollouts carry this; those of Deployments do not and are not worth memory.
const REPLICA_SETS: &str = agent_api::names::LABEL_POD_HASH;

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Work {
    /// Reconcile a Rollout.
    Rollout(ObjectKey),
    /// Reconcile an AnalysisRun.
    Run(ObjectKey),
    /// Reconcile an Experiment.
    Experiment(ObjectKey),
    /// Look whether the Rollout that manages a Service is still there.
    Service(ObjectKey),
}

/// A watch; it has no end.
pub type Watch = BoxFuture<'static, ()>;

/// All stores.
pub struct Caches {
    /// Rollouts, by the Services that they name.
    pub rollouts: Arc<Store<Rollout>>,
    /// ReplicaSets, by their owner's UID; those without any by their namespace.
    pub replica_sets: Arc<Store<ReplicaSet>>,
    /// AnalysisRuns, by their owner's UID.
    pub runs: Arc<Store<AnalysisRun>>,
    /// Jobs of measurements, by the UID of their run.
    pub jobs: Arc<Store<Job>>,
    /// Experiments, by their owner's UID and the Services of their templates.
    pub experiments: Arc<Store<Experiment>>,
    /// AnalysisTemplates.
    pub templates: Arc<Store<AnalysisTemplate>>,
    /// ClusterAnalysisTemplates.
    pub cluster_templates: Arc<Store<ClusterAnalysisTemplate>>,
    /// Services, by the Rollout that manages them; slim, for there are many that no Rollout names.
    pub services: Arc<Store<Service>>,
    /// Gates.
    pub gates: Arc<Store<Gate>>,
    /// FleetMembers; there is one.
    pub members: Arc<Store<FleetMember>>,
    /// Kept templates, by their Rollout.
    pub revisions: Arc<Store<Revision>>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            rollouts: Arc::new(Store::new(named_services)),
            replica_sets: Arc::new(Store::new(|object| set_owner(object.metadata()))),
            runs: Arc::new(Store::new(|object| owner_uid(object.metadata()))),
            jobs: Arc::new(Store::new(|object| run_uid(object.metadata()))),
            experiments: Arc::new(Store::new(experiment_index)),
            templates: Arc::new(Store::new(|_| Vec::new())),
            cluster_templates: Arc::new(Store::new(|_| Vec::new())),
            services: Arc::new(Store::new(|object| {
                let manager = service_rollout(object.metadata());
                manager.iter().map(ObjectKey::to_string).collect()
            })),
            gates: Arc::new(Store::new(|_| Vec::new())),
            members: Arc::new(Store::new(|_| Vec::new())),
            revisions: Arc::new(Store::new(|object| {
                let rollout = Revision::rollout(object.metadata());
                rollout.iter().map(ObjectKey::to_string).collect()
            })),
        }
    }
}

/// How far the agent looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every namespace.
    Cluster,
    /// This one alone, with rights in this one alone.
    Namespace(String),
}

impl Reach {
    /// The objects of a kind within reach.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::Cluster => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }

    /// The same for a kind that is known by name only.
    pub fn api_with<K>(&self, client: Client, resource: &ApiResource) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match self {
            Self::Cluster => Api::all_with(client, resource),
            Self::Namespace(namespace) => Api::namespaced_with(client, namespace, resource),
        }
    }
}

/// Which of several controllers in one cluster this is: objects of argoproj.io belong to the one whose label they bear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceId(pub Option<String>);

impl InstanceId {
    /// The selector of its objects; without an id those without the label.
    #[must_use]
    pub fn selector(&self) -> String {
        match &self.0 {
            Some(id) => format!("{LABEL_INSTANCE_ID}={id}"),
            None => format!("!{LABEL_INSTANCE_ID}"),
        }
    }
}

/// What the watches need besides the stores.
pub struct Watching {
    /// The API server.
    pub client: Client,
    /// How far they look.
    pub reach: Reach,
    /// Whose objects they bring.
    pub instance: InstanceId,
    /// The agent's own namespace.
    pub namespace: String,
    /// What we wrote.
    pub written: Arc<Written>,
    /// Where changes go.
    pub queue: Arc<Queue<Work>>,
}

impl Watching {
    /// Objects of argoproj.io, or of its ReplicaSets.
    fn reached<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        self.reach.api(self.client.clone())
    }

    fn mine(&self) -> Option<String> {
        Some(self.instance.selector())
    }

    fn own<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl Caches {
    /// The watches of argoproj.io, of ReplicaSets and of Services, to be run for ever.
    #[must_use]
    pub fn watch_rollouts(self: &Arc<Self>, watching: &Watching) -> Vec<Watch> {
        let queue = || Arc::clone(&watching.queue);
        let rollouts = Self::watch(
            watching,
            &self.rollouts,
            watching.reached(),
            watching.mine(),
            Some(Kind::Rollout),
            self.rollout_changed(queue()),
        );
        let set = self.set_changed(queue());
        let sets = Self::watch(
            watching,
            &self.replica_sets,
            watching.reached(),
            Some(REPLICA_SETS.to_owned()),
            Some(Kind::ReplicaSet),
            set,
        );
        let runs = self.watch_runs(watching, Some(owner_changed(queue())));
        let experiments = self.watch_experiments(watching);
        let all = self.all_changed(queue());
        let templates = Self::watch(
            watching,
            &self.templates,
            watching.reached(),
            watching.mine(),
            None,
            all,
        );
        let mut watches = vec![rollouts, sets, runs, experiments, templates];
        // Templates of the whole cluster cannot be watched with rights in one namespace.
        if watching.reach == Reach::Cluster {
            let all = self.all_changed(queue());
            watches.push(Self::watch(
                watching,
                &self.cluster_templates,
                Api::all(watching.client.clone()),
                watching.mine(),
                None,
                all,
            ));
        } else {
            self.cluster_templates.set_ready();
        }
        watches.push(Self::watch(
            watching,
            &self.services,
            watching.reached(),
            None,
            Some(Kind::Service),
            self.service_changed(queue()),
        ));
        watches
    }

    /// The watch of AnalysisRuns for an agent that looks after nothing else; what such a one does not watch counts as empty.
    #[must_use]
    pub fn watch_runs_alone(&self, watching: &Watching) -> Watch {
        self.nothing_but_runs();
        self.watch_runs(watching, None)
    }

    /// All the rest counts as listed.
    pub(crate) fn nothing_but_runs(&self) {
        self.rollouts.set_ready();
        self.replica_sets.set_ready();
        self.experiments.set_ready();
        self.templates.set_ready();
        self.cluster_templates.set_ready();
        self.services.set_ready();
    }

    fn watch_runs(&self, watching: &Watching, owner: Option<Changed<AnalysisRun>>) -> Watch {
        let changes = Arc::clone(&watching.queue);
        let changed: Changed<AnalysisRun> = Box::new(move |object, gone| {
            changes.add(Work::Run(ObjectKey::of(object.metadata())));
            if let Some(owner) = &owner {
                owner(object, gone);
            }
        });
        Self::watch(
            watching,
            &self.runs,
            watching.reached(),
            watching.mine(),
            Some(Kind::AnalysisRun),
            changed,
        )
    }

    /// The watch of the Jobs of measurements, to be run for ever. Nothing waits for its first list: with an older role there
    /// is none, and Jobs are looked at instead.
    #[must_use]
    pub fn watch_jobs(self: &Arc<Self>, watching: &Watching) -> Watch {
        let changes = Arc::clone(&watching.queue);
        let changed: Changed<Job> = Box::new(move |object, _| {
            if let Some((run, _)) = owner(object.metadata(), "AnalysisRun") {
                changes.add(Work::Run(run));
            }
        });
        Self::watch(
            watching,
            &self.jobs,
            watching.reached(),
            Some(LABEL_RUN_UID.to_owned()),
            None,
            changed,
        )
    }

    fn watch_experiments(&self, watching: &Watching) -> Watch {
        let changes = Arc::clone(&watching.queue);
        let owner = owner_changed(Arc::clone(&watching.queue));
        let experiment: Changed<Experiment> = Box::new(move |object, gone| {
            changes.add(Work::Experiment(ObjectKey::of(object.metadata())));
            owner(object, gone);
        });
        Self::watch(
            watching,
            &self.experiments,
            watching.reached(),
            watching.mine(),
            Some(Kind::Experiment),
            experiment,
        )
    }

    /// When a Rollout is gone, the Services that it managed are let go.
    fn rollout_changed(self: &Arc<Self>, queue: Arc<Queue<Work>>) -> Changed<Rollout> {
        let managed = Arc::clone(&self.services);
        Box::new(move |object, gone| {
            let key = ObjectKey::of(object.metadata());
            if gone {
                for service in managed.indexed_keys(&key.to_string()) {
                    queue.add(Work::Service(service));
                }
            }
            queue.add(Work::Rollout(key));
        })
    }

    /// A Service concerns the Rollouts that name it and the one that manages it, which may be gone.
    fn service_changed(self: &Arc<Self>, queue: Arc<Queue<Work>>) -> Changed<Service> {
        let rollouts = Arc::clone(&self.rollouts);
        let experiments = Arc::clone(&self.experiments);
        Box::new(move |object, gone| {
            let key = ObjectKey::of(object.metadata());
            for experiment in experiments.indexed_keys(&key.to_string()) {
                queue.add(Work::Experiment(experiment));
            }
            for rollout in rollouts.indexed_keys(&key.to_string()) {
                queue.add(Work::Rollout(rollout));
            }
            if let Some(manager) = service_rollout(object.metadata()) {
                queue.add(Work::Rollout(manager));
                if !gone {
                    queue.add(Work::Service(key));
                }
            }
        })
    }

    /// A ReplicaSet concerns the Rollout or Experiment that owns it; one that nobody owns, those whose selectors match it.
    fn set_changed(self: &Arc<Self>, queue: Arc<Queue<Work>>) -> Changed<ReplicaSet> {
        let rollouts = Arc::clone(&self.rollouts);
        Box::new(move |object, _| {
            if let Some((work, _)) = owner_work(object.metadata()) {
                queue.add(work);
            }
            if controller(object.metadata()).is_some() {
                return;
            }
            for rollout in rollouts.all() {
                if could_own(&rollout, object.metadata()) {
                    queue.add(Work::Rollout(ObjectKey::of(rollout.metadata())));
                }
            }
        })
    }

    /// The watches of the fleet's kinds in the agent's own namespace, to be run for ever.
    #[must_use]
    pub fn watch_fleet(self: &Arc<Self>, watching: &Watching) -> Vec<Watch> {
        let changes = Arc::clone(&watching.queue);
        let gate: Changed<Gate> = Box::new(move |object, _| {
            if let Some(rollout) = gate_rollout(object.metadata()) {
                changes.add(Work::Rollout(rollout));
            }
        });
        let gates = Self::watch(
            watching,
            &self.gates,
            watching.own(),
            None,
            Some(Kind::Gate),
            gate,
        );
        let all = self.all_changed(Arc::clone(&watching.queue));
        let members = Self::watch(
            watching,
            &self.members,
            watching.own(),
            None,
            Some(Kind::FleetMember),
            all,
        );
        let changes = Arc::clone(&watching.queue);
        let kept: Changed<Revision> = Box::new(move |object, _| {
            if let Some(rollout) = Revision::rollout(object.metadata()) {
                changes.add(Work::Rollout(rollout));
            }
        });
        let selector = Some(LABEL_ROLLOUT_UID.to_owned());
        let own = watching.own();
        let revisions = Self::watch(
            watching,
            &self.revisions,
            own,
            selector,
            Some(Kind::ControllerRevision),
            kept,
        );
        vec![gates, members, revisions]
    }

    /// Waits for the first lists of argoproj.io and ReplicaSets.
    pub async fn rollouts_ready(&self) {
        self.rollouts.ready().await;
        self.replica_sets.ready().await;
        self.runs.ready().await;
        self.experiments.ready().await;
        self.templates.ready().await;
        self.cluster_templates.ready().await;
        self.services.ready().await;
    }

    /// Whether they are there: of an agent for analyses alone that is the list of AnalysisRuns, for nothing else is listed.
    #[must_use]
    pub fn are_rollouts_ready(&self) -> bool {
        self.rollouts.is_ready()
            && self.replica_sets.is_ready()
            && self.runs.is_ready()
            && self.experiments.is_ready()
            && self.templates.is_ready()
            && self.cluster_templates.is_ready()
            && self.services.is_ready()
    }

    /// Waits for the first lists of the fleet's kinds.
    pub async fn fleet_ready(&self) {
        self.gates.ready().await;
        self.members.ready().await;
        self.revisions.ready().await;
    }

    fn watch<K>(
        watching: &Watching,
        store: &Arc<Store<K>>,
        api: Api<Decoded<K>>,
        selector: Option<String>,
        kind: Option<Kind>,
        changed: Changed<K>,
    ) -> Watch
    where
        K: Keepable + agent_api::Trim + Clone + std::fmt::Debug,
        K: Send + Sync + 'static,
    {
        let tracked = kind.map(|kind| (kind, Arc::clone(&watching.written)));
        keep(Arc::clone(store), api, selector, tracked, changed).boxed()
    }

    /// A template can be named by any Rollout, so a change of one is looked at by all.
    fn all_changed<K: Keepable + 'static>(self: &Arc<Self>, queue: Arc<Queue<Work>>) -> Changed<K> {
        let rollouts = Arc::clone(&self.rollouts);
        Box::new(move |_, _| {
            for key in rollouts.keys() {
                queue.add(Work::Rollout(key));
            }
        })
    }
}
