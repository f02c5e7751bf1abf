//! Who has come how far. In: a watch of the benchmark's Rollouts. Out: when each of them was at rest on the version that is
//! wanted. It reads only the few fields that say so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, ObjectMeta};
use kube::core::{GroupVersionKind, Object};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::{Deserialize, Serialize};
use tests_fleet::{Error, Result, eventually};
use tokio::task::JoinHandle;

use crate::manifest::NAMESPACE;

/// The spec says nothing that is asked here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Spec {}

/// What a Rollout says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    observed_generation: Option<String>,
    phase: Option<String>,
    #[serde(rename = "stableRS")]
    stable: Option<String>,
    current_pod_hash: Option<String>,
    message: Option<String>,
}

type Slim = Object<Spec, Status>;

/// The kind that is driven.
pub fn kind() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout"))
}

/// Where one is.
#[derive(Debug, Clone)]
struct Place {
    generation: i64,
    rests_since: Option<Instant>,
    status: Status,
}

/// A watch that runs until this is dropped.
#[derive(Debug)]
pub struct Follower {
    places: Arc<Mutex<HashMap<String, Place>>>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    /// Begins to watch.
    pub fn start(client: kube::Client) -> Self {
        let places = Arc::<Mutex<HashMap<String, Place>>>::default();
        let kept = Arc::clone(&places);
        let api: Api<Slim> = Api::namespaced_with(client, NAMESPACE, &kind());
        let task = tokio::spawn(async move {
            let events = watcher(api, watcher::Config::default()).default_backoff();
            let mut events = std::pin::pin!(events.applied_objects());
            while let Some(event) = events.next().await {
                // A watch that broke is opened again by the watcher, and shows what was missed.
                if let Ok(object) = event {
                    take(&kept, &object);
                }
            }
        });
        Self { places, task }
    }

    /// Waits until so many Rollouts rest at a generation; gives when each of them did, by name.
    pub async fn rest(
        &self,
        count: usize,
        generation: i64,
        deadline: Duration,
    ) -> Result<HashMap<String, Instant>> {
        let what = format!("{count} Rollouts rest at generation {generation}");
        eventually(&what, deadline, async || {
            let places = lock(&self.places);
            let rests =
                |place: &Place| place.rests_since.filter(|_| place.generation == generation);
            let resting = places
                .values()
                .filter(|place| rests(place).is_some())
                .count();
            if resting >= count {
                let all = places.iter();
                return Ok(all
                    .filter_map(|(name, place)| Some((name.clone(), rests(place)?)))
                    .collect());
            }
            let other = places.iter().find(|(_, place)| rests(place).is_none());
            let other = other.map(|(name, place)| format!("{name}: {:?}", place.status));
            Err(format!("{resting} do; {}", other.unwrap_or_default()))
        })
        .await
    }

    /// An error if the watch has ended.
    pub fn must_run(&self) -> Result<()> {
        if self.task.is_finished() {
            return Err(Error::Check("the watch of Rollouts has ended".into()));
        }
        Ok(())
    }
}

fn lock<T>(places: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(places: &Mutex<HashMap<String, Place>>, object: &Slim) {
    let ObjectMeta {
        name, generation, ..
    } = &object.metadata;
    let generation = generation.unwrap_or(0);
    let status = object.status.clone().unwrap_or_default();
    let rests = at_rest(generation, &status);
    let mut places = lock(places);
    let before = places.get(name.as_deref().unwrap_or_default());
    let since = before
        .filter(|before| before.generation == generation)
        .and_then(|before| before.rests_since);
    let place = Place {
        generation,
        // What happens at the same generation after it has come to rest was not asked for, and does not count.
        rests_since: since.or_else(|| rests.then(Instant::now)),
        status,
    };
    places.insert(name.clone().unwrap_or_default(), place);
}

/// The present generation is heard, its version is the stable one, and all is well.
fn at_rest(generation: i64, status: &Status) -> bool {
    status.phase.as_deref() == Some("Healthy")
        && status.observed_generation.as_deref() == Some(generation.to_string().as_str())
        && status.stable.is_some()
        && status.stable == status.current_pod_hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_healthy_on_the_present_generation() {
        let status = |observed: &str, phase: &str, stable: &str| Status {
            observed_generation: Some(observed.into()),
            phase: Some(phase.into()),
            stable: Some(stable.into()),
            current_pod_hash: Some("b".into()),
            message: None,
        };
        assert!(at_rest(2, &status("2", "Healthy", "b")));
        for (observed, phase, stable) in [
            ("1", "Healthy", "b"),
            ("2", "Progressing", "b"),
            ("2", "Healthy", "a"),
        ] {
            assert!(
                !at_rest(2, &status(observed, phase, stable)),
                "{observed} {phase} {stable}"
            );
        }
        assert!(!at_rest(1, &Status::default()));
    }
}
