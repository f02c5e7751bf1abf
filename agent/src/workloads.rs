//! The workloads that Rollouts name by `workloadRef`.
//!
//! In: names, as Rollouts are looked at. Out: each workload as it is now, and its Rollouts in the queue when it changes.
//! It must not hold a workload that no Rollout names.
//!
//! A cluster has many more Deployments than such Rollouts, and a Deployment's status changes with every pod. So a kind is
//! watched as metadata alone, from the first Rollout on that names one of it; what nobody names is dropped as it comes,
//! and a named one is read whole when its generation is another one than when it was last read. One watch a kind, rather
//! than one an object, costs the API server the same whether one Rollout names a workload or a thousand do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_api::{ObjectMeta, Workload, WorkloadKind, WorkloadRef};
use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

use crate::cache::{Reach, Work};
use crate::key::ObjectKey;
use crate::queue::Queue;
use crate::store::WATCH_SECONDS;

/// Why a workload is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot read {kind} {key}, which workloadRef names: {source}")]
    Read {
        /// Its kind.
        kind: WorkloadKind,
        /// Its name.
        key: ObjectKey,
        /// Why.
        source: Box<kube::Error>,
    },
}

type Name = (WorkloadKind, ObjectKey);

/// What is there under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// Nothing.
    Gone,
    /// This object.
    At { uid: String, generation: i64 },
}

impl Version {
    fn of(metadata: &ObjectMeta) -> Self {
        Self::At {
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or(0),
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// What the watch, our own write or our own read last showed.
    seen: Option<Version>,
    /// What was read, and as of when.
    read: Option<(Version, Option<Arc<Workload>>)>,
    /// The Rollouts that name it.
    named_by: BTreeSet<ObjectKey>,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<Name, Known>,
    by_rollout: HashMap<ObjectKey, Name>,
    watched: BTreeSet<WorkloadKind>,
}

/// The workloads; shared by everything that looks at Rollouts.
pub struct Workloads {
    client: Client,
    reach: Reach,
    queue: Arc<Queue<Work>>,
    state: Mutex<State>,
}

impl Workloads {
    /// None yet.
    #[must_use]
    pub fn new(client: Client, reach: Reach, queue: Arc<Queue<Work>>) -> Self {
        Self {
            client,
            reach,
            queue,
            state: Mutex::default(),
        }
    }

    /// The workload that a Rollout names; `None` when there is none of that name, and when the name is none.
    pub async fn named(
        self: &Arc<Self>,
        rollout: &ObjectKey,
        reference: &WorkloadRef,
    ) -> Result<Option<Arc<Workload>>, Error> {
        let (Some(kind), Some(name)) = (reference.workload_kind(), reference.name.clone()) else {
            self.forget(rollout);
            return Ok(None);
        };
        let key = ObjectKey::new(rollout.namespace.clone(), name);
        let before = match self.name(rollout, &(kind, key.clone())) {
            Ok(workload) => return Ok(workload),
            Err(before) => before,
        };
        self.watch(kind);
        self.read(kind, key, before.as_ref()).await
    }

    /// What is known of it, or what was last seen of it when it has to be read.
    fn name(
        &self,
        rollout: &ObjectKey,
        name: &Name,
    ) -> Result<Option<Arc<Workload>>, Option<Version>> {
        let mut state = self.lock();
        if state.by_rollout.get(rollout) != Some(name) {
            state.forget(rollout);
            state.by_rollout.insert(rollout.clone(), name.clone());
        }
        let known = state.known.entry(name.clone()).or_default();
        known.named_by.insert(rollout.clone());
        match &known.read {
            Some((version, workload)) if known.seen.as_ref() == Some(version) => {
                Ok(workload.clone())
            }
            Some(_) | None => Err(known.seen.clone()),
        }
    }

    async fn read(
        &self,
        kind: WorkloadKind,
        key: ObjectKey,
        before: Option<&Version>,
    ) -> Result<Option<Arc<Workload>>, Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &resource(kind));
        let found = api.get_opt(&key.name).await.map_err(|source| Error::Read {
            kind,
            key: key.clone(),
            source: Box::new(source),
        })?;
        let version = found
            .as_ref()
            .map_or(Version::Gone, |object| Version::of(&object.metadata));
        // An object that was just decoded can be encoded.
        let object = found.and_then(|object| serde_json::to_value(object).ok());
        let workload = object.map(|object| Arc::new(Workload::read(kind, &object)));
        let mut state = self.lock();
        if let Some(known) = state.known.get_mut(&(kind, key)) {
            // What the watch showed meanwhile is newer, and has put the Rollouts into the queue.
            if known.seen.as_ref() == before {
                known.seen = Some(version.clone());
            }
            known.read = Some((version, workload.clone()));
        }
        Ok(workload)
    }

    /// The workload that a Rollout was last seen to name.
    #[must_use]
    pub fn last_read(&self, rollout: &ObjectKey) -> Option<Arc<Workload>> {
        let state = self.lock();
        let name = state.by_rollout.get(rollout)?;
        let (_, workload) = state.known.get(name)?.read.as_ref()?;
        workload.clone()
    }

    /// The Rollout is gone, or names no workload any more.
    pub fn forget(&self, rollout: &ObjectKey) {
        self.lock().forget(rollout);
    }

    /// Notes our own write.
    pub fn wrote(&self, kind: WorkloadKind, key: ObjectKey, stored: &ObjectMeta) {
        self.shows(&(kind, key), Version::of(stored));
    }

    /// Something else is there than was read: its Rollouts have to look.
    fn shows(&self, name: &Name, version: Version) {
        let mut state = self.lock();
        let Some(known) = state.known.get_mut(name) else {
            return;
        };
        let read = known.read.as_ref().map(|(version, _)| version);
        let news = read != Some(&version);
        known.seen = Some(version);
        if news {
            for rollout in &known.named_by {
                self.queue.add(Work::Rollout(rollout.clone()));
            }
        }
    }

    fn watch(self: &Arc<Self>, kind: WorkloadKind) {
        if self.lock().watched.insert(kind) {
            tracing::info!(%kind, "a Rollout names one: watching this kind");
            // It has no end, and ends with the process.
            tokio::spawn(keep(Arc::clone(self), kind));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, rollout: &ObjectKey) {
        let Some(name) = self.by_rollout.remove(rollout) else {
            return;
        };
        let Some(known) = self.known.get_mut(&name) else {
            return;
        };
        known.named_by.remove(rollout);
        if known.named_by.is_empty() {
            self.known.remove(&name);
        }
    }
}

/// Keeps what is known of a kind, for ever.
async fn keep(workloads: Arc<Workloads>, kind: WorkloadKind) {
    let api: Api<PartialObjectMeta<DynamicObject>> = workloads
        .reach
        .api_with(workloads.client.clone(), &resource(kind));
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut listed: Option<BTreeSet<ObjectKey>> = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = Some(BTreeSet::new()),
            Ok(watcher::Event::InitApply(object)) => {
                let key = ObjectKey::of(&object.metadata);
                workloads.shows(&(kind, key.clone()), Version::of(&object.metadata));
                if let Some(listed) = &mut listed {
                    listed.insert(key);
                }
            }
            Ok(watcher::Event::InitDone) => gone(&workloads, kind, listed.take()),
            Ok(watcher::Event::Apply(object)) => workloads.shows(
                &(kind, ObjectKey::of(&object.metadata)),
                Version::of(&object.metadata),
            ),
            Ok(watcher::Event::Delete(object)) => {
                workloads.shows(&(kind, ObjectKey::of(&object.metadata)), Version::Gone)
            }
            Err(error) => tracing::debug!(%kind, %error, "a watch broke; opening it again"),
        }
    }
}

/// What a list does not have is gone.
fn gone(workloads: &Workloads, kind: WorkloadKind, listed: Option<BTreeSet<ObjectKey>>) {
    let Some(listed) = listed else { return };
    let names: Vec<Name> = workloads.lock().known.keys().cloned().collect();
    for name in names {
        if name.0 == kind && !listed.contains(&name.1) {
            workloads.shows(&name, Version::Gone);
        }
    }
}

fn resource(kind: WorkloadKind) -> ApiResource {
    let group = kind.group();
    ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: if group.is_empty() {
            "v1".to_owned()
        } else {
            format!("{group}/v1")
        },
        kind: kind.to_string(),
        plural: kind.plural().to_owned(),
    }
}

#[cfg(test)]
mod tests;
