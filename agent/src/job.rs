//! Jobs of measurements.
//!
//! In: a metric with a Job, whose measurement it is. Out: the Job made, looked at, deleted. It must not judge: what a Job
//! says is `agent_providers::job`'s. A Job has the same name whoever makes it, so a lost reply makes no second one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_api::{Job, Metric};
use agent_providers::job::{
    ANNOTATION_METRIC, LABEL_RUN_UID, MEMORY_NAME, MEMORY_NAMESPACE, Place, Standing, deleted,
    manifest, standing, stuck,
};
use agent_providers::{Judgement, Outcome};
use jiff::{SignedDuration, Timestamp};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::key::ObjectKey;
use crate::store::Store;

/// How long the API server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Tries to create a Job; each waits longer, all together about four seconds.
const TRIES: u32 = 4;
/// Before the second try.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// When a Job is first looked at, and least time between two looks.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(5);
/// Longest time between two looks at a Job that comes up, or that is not watched.
const LATER_LOOK: SignedDuration = SignedDuration::from_secs(60);
/// Time between two looks at a Job that runs and is watched: its end is told, this is for what a watch might miss.
const WATCHED_LOOK: SignedDuration = SignedDuration::from_mins(5);
/// Pods of a Job that are looked at: if one cannot start, the others cannot either.
const PODS: u32 = 20;
/// Finished Jobs of a metric that are kept, as many as measurements.
const KEPT: usize = 10;

/// Where Jobs are made.
pub struct Jobs {
    client: Client,
    /// What the watch shows, where Jobs are watched.
    watched: Option<Arc<Store<Job>>>,
    /// The namespace of all Jobs; each in its run's without it.
    namespace: Option<String>,
    /// The runs are in the same cluster.
    here: bool,
}

impl Jobs {
    /// Jobs beside their runs, watched.
    #[must_use]
    pub fn beside_runs(client: Client, watched: Arc<Store<Job>>) -> Self {
        Self {
            client,
            watched: Some(watched),
            namespace: None,
            here: true,
        }
    }

    /// Jobs in a namespace of their own, or in another cluster, looked at from time to time.
    #[must_use]
    pub fn elsewhere(client: Client, namespace: Option<String>, here: bool) -> Self {
        Self {
            client,
            watched: None,
            namespace,
            here,
        }
    }

    /// Where the Job of a measurement belongs.
    #[must_use]
    pub fn place(&self, run: &ObjectKey, uid: &str, metric: &str, number: i64) -> Place {
        let namespace = self.namespace.as_ref().unwrap_or(&run.namespace);
        Place {
            owned: self.here && *namespace == run.namespace,
            namespace: namespace.clone(),
            run: run.name.clone(),
            uid: uid.to_owned(),
            metric: metric.to_owned(),
            number,
        }
    }

    /// Makes the Job of a measurement, or finds it made.
    pub async fn begin(&self, metric: &Metric, place: &Place) -> Outcome {
        let made = match metric.provider.job.as_ref() {
            Some(job) => manifest(job, place).map_err(|error| error.to_string()),
            None => Err(format!("metric {:?} has no job", metric.name)),
        };
        let made = match made {
            Ok(made) => self.create(made, place).await,
            Err(error) => Err(error),
        };
        if let Err(message) = made {
            return Outcome::error(message);
        }
        self.tidy(place).await;
        let memory = BTreeMap::from([
            (MEMORY_NAME.to_owned(), place.name()),
            (MEMORY_NAMESPACE.to_owned(), place.namespace.clone()),
        ]);
        Outcome::Later {
            resume_at: after(Timestamp::now(), FIRST_LOOK),
            memory,
        }
    }

    async fn create(&self, made: Value, place: &Place) -> Result<(), String> {
        let api = self.api(&place.namespace);
        let what = format!("job {}/{}", place.namespace, place.name());
        let job: DynamicObject = serde_json::from_value(made)
            .map_err(|error| format!("{what} cannot be made: {error}"))?;
        let mut wait = FIRST_RETRY;
        let mut why = String::new();
        let parameters = PostParams::default();
        for _ in 0..TRIES {
            let asked = api.create(&parameters, &job);
            match tokio::time::timeout(TIMEOUT, asked).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(kube::Error::Api(status))) if status.reason == "AlreadyExists" => {
                    return self.is_ours(place, &what).await;
                }
                Ok(Err(kube::Error::Api(status)))
                    if (400..500).contains(&status.code) && status.code != 429 =>
                {
                    return Err(format!("{what} is refused: {}", status.message));
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = format!("no answer within {} s", TIMEOUT.as_secs()),
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        Err(format!("{what} cannot be created: {why}"))
    }

    async fn is_ours(&self, place: &Place, what: &str) -> Result<(), String> {
        let metadata = match self.get(&place.namespace, &place.name()).await? {
            Some(job) => job.metadata,
            None => return Err(format!("{what} was deleted as it was made")),
        };
        let label = metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(LABEL_RUN_UID));
        let of = metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(ANNOTATION_METRIC));
        if label == Some(&place.uid) && of.is_none_or(|metric| *metric == place.metric) {
            Ok(())
        } else {
            Err(format!(
                "{what} is there already and belongs to somebody else: delete it"
            ))
        }
    }

    /// Looks at the Job that a measurement remembers; `begun` is when that began.
    pub async fn look(&self, memory: &BTreeMap<String, String>, begun: Timestamp) -> Outcome {
        let Some(key) = job_of(memory) else {
            let lost = "the measurement does not say which job it waits for: start a new run";
            return over(Judgement::error(lost.to_owned()), memory.clone());
        };
        let now = Timestamp::now();
        let age = now.duration_since(begun);
        let stand = match self.get(&key.namespace, &key.name).await {
            Ok(Some(job)) => standing(&job),
            Ok(None) => Standing::Over(Judgement::error(deleted(&key.name))),
            Err(why) => {
                tracing::warn!(job = %key, why, "cannot look at a Job; looking again");
                Standing::ComesUp
            }
        };
        let wait = match stand {
            Standing::Over(judgement) => return over(judgement, memory.clone()),
            Standing::Runs if self.watched.is_some() => WATCHED_LOOK,
            Standing::Runs => age.clamp(FIRST_LOOK, LATER_LOOK),
            Standing::ComesUp => match stuck(&self.pods(&key).await) {
                Some(judgement) => return over(judgement, memory.clone()),
                None => age.clamp(FIRST_LOOK, LATER_LOOK),
            },
        };
        Outcome::Later {
            resume_at: after(now, wait),
            memory: memory.clone(),
        }
    }

    /// What the watch says of a Job that is over.
    #[must_use]
    pub fn told(&self, memory: &BTreeMap<String, String>) -> Option<Judgement> {
        let found = self.watched.as_ref()?.get(&job_of(memory)?)?;
        match standing(found.object.as_ref().ok()?) {
            Standing::Over(judgement) => Some(judgement),
            Standing::Runs | Standing::ComesUp => None,
        }
    }

    /// Deletes the Job of a measurement that is to end, with its pods first. That it is gone already is as good.
    pub async fn end(&self, memory: &BTreeMap<String, String>) -> Result<(), String> {
        match job_of(memory) {
            None => Ok(()),
            Some(key) => self.delete(&key).await,
        }
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), String> {
        let api = self.api(&key.namespace);
        let parameters = DeleteParams::foreground();
        let asked = api.delete(&key.name, &parameters);
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(Err(error)) => Err(format!("job {key} cannot be deleted: {error}")),
            Err(_) => Err(format!(
                "job {key} cannot be deleted: no answer within {} s",
                TIMEOUT.as_secs()
            )),
        }
    }

    /// Deletes the oldest finished Jobs of a metric beyond those that are kept.
    async fn tidy(&self, place: &Place) {
        let Some(watched) = &self.watched else {
            return;
        };
        let of_metric = |key: &ObjectKey| {
            let number = key.name.rsplit('.').next()?.parse().ok()?;
            let same = Place {
                number,
                ..place.clone()
            };
            (same.name() == key.name).then_some(number)
        };
        let keys = watched.indexed_keys(&place.uid).into_iter();
        let mut numbered: Vec<(i64, ObjectKey)> = keys
            .filter_map(|key| Some((of_metric(&key)?, key)))
            .filter(|(number, _)| *number < place.number)
            .collect();
        numbered.sort();
        let surplus = numbered.len().saturating_sub(KEPT);
        for (_, key) in numbered.into_iter().take(surplus) {
            if let Err(why) = self.delete(&key).await {
                tracing::warn!(why, "a Job is left over");
            }
        }
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Option<Job>, String> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
            Ok(found) => found.map_err(|error| format!("job {namespace}/{name}: {error}")),
            Err(_) => Err(format!("job {namespace}/{name}: no answer")),
        }
    }

    /// Pods of a Job; none when they cannot be listed, which only makes a verdict later.
    async fn pods(&self, key: &ObjectKey) -> Vec<Value> {
        let kind = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &kind);
        let parameters = ListParams::default()
            .labels(&format!("job-name={}", key.name))
            .limit(PODS);
        let listed = tokio::time::timeout(TIMEOUT, api.list(&parameters)).await;
        let pods = match listed {
            Ok(Ok(pods)) => pods.items,
            Ok(Err(error)) => {
                tracing::warn!(job = %key, %error, "cannot list a Job's pods");
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        let json = pods.into_iter().map(serde_json::to_value);
        json.filter_map(Result::ok).collect()
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<Job>(&());
        Api::namespaced_with(self.client.clone(), namespace, &kind)
    }
}

/// The Job that a measurement remembers.
fn job_of(memory: &BTreeMap<String, String>) -> Option<ObjectKey> {
    let name = memory.get(MEMORY_NAME)?;
    let namespace = memory.get(MEMORY_NAMESPACE)?;
    Some(ObjectKey::new(namespace.clone(), name.clone()))
}

fn after(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn over(judgement: Judgement, metadata: BTreeMap<String, String>) -> Outcome {
    Outcome::Over {
        judgement,
        value: None,
        metadata,
    }
}

#[cfg(test)]
mod tests;
