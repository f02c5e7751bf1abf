//! Jobs of measurements.
//!
//! In: a metric with a Job, whose measurement it is. Out: the Job made, looked at, deleted. It must not judge: what a Job
//! says is `agent_providers::job`'s. A Job has the same name whoever makes it, so a lost reply makes no second one.

pub mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_api::{Job, Metric, Uid};
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
/// A Job that could not be looked at for so long has no verdict any more: an API server that starts anew, or a network that
/// mends itself, is back before.
const UNSEEN_LIMIT: SignedDuration = SignedDuration::from_mins(5);
/// Where a measurement remembers since when its Job could not be looked at.
const MEMORY_UNSEEN: &str = "job-unseen-since";
/// Pods of a Job that are looked at: if one cannot start, the others cannot either.
const PODS: u32 = 20;
/// Finished Jobs of a metric that are kept, as many as measurements.
const KEPT: usize = 10;

/// Why a Job could not be looked at, or not ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server answers, and says no.
    #[error("{what} is refused: {why}")]
    Refused {
        /// The Job, and what was to be done with it.
        what: String,
        /// What the API server says.
        why: String,
    },
    /// No answer, or none that could be used.
    #[error("{what}: {why}")]
    Unanswered {
        /// The Job, and what was to be done with it.
        what: String,
        /// Why.
        why: String,
    },
}

impl Error {
    fn of(what: String, error: kube::Error) -> Self {
        if let kube::Error::Api(status) = &error
            && is_refusal(status.code)
        {
            let why = status.message.clone();
            return Self::Refused { what, why };
        }
        let why = error.to_string();
        Self::Unanswered { what, why }
    }

    fn silent(what: String) -> Self {
        let why = format!("no answer within {} s", TIMEOUT.as_secs());
        Self::Unanswered { what, why }
    }

    /// Asking again would be answered the same.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// The request is at fault; 429 only asks for patience.
fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && code != 429
}

/// Where Jobs are made.
pub struct Jobs {
    client: Client,
    /// What the watch shows, where Jobs are watched.
    watched: Option<Arc<Store<Job>>>,
    /// The namespace of all Jobs; each in its run's without it.
    namespace: Option<String>,
    /// The runs are in the same cluster.
    here: bool,
    /// Which cluster the runs are in, where it is known.
    cluster: Option<String>,
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
            cluster: None,
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
            cluster: None,
        }
    }

    /// The same, for runs of this cluster; an empty UID is none.
    #[must_use]
    pub fn of_cluster(mut self, cluster: &Uid) -> Self {
        let known = Some(cluster.as_str().to_owned());
        self.cluster = known.filter(|cluster| !cluster.is_empty());
        self
    }

    /// The run is the Job's owner: the garbage collector ends the Job with it.
    #[must_use]
    pub fn owns(&self, run: &ObjectKey, job: &ObjectKey) -> bool {
        self.here && job.namespace == run.namespace
    }

    /// Where the Job of a measurement belongs.
    #[must_use]
    pub fn place(&self, run: &ObjectKey, uid: &str, metric: &str, number: i64) -> Place {
        let namespace = self.namespace.as_ref().unwrap_or(&run.namespace);
        Place {
            owned: self.here && *namespace == run.namespace,
            namespace: namespace.clone(),
            run: run.name.clone(),
            run_namespace: run.namespace.clone(),
            cluster: self.cluster.clone(),
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
                Ok(Err(kube::Error::Api(status))) if is_refusal(status.code) => {
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
        let found = self.get(&place.namespace, &place.name()).await;
        let metadata = match found.map_err(|error| error.to_string())? {
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
        let mut memory = memory.clone();
        let stand = match self.get(&key.namespace, &key.name).await {
            Ok(Some(job)) => standing(&job),
            Ok(None) => Standing::Over(Judgement::error(deleted(&key.name))),
            Err(error) => match unseen(&mut memory, now, &error) {
                Some(message) => return over(Judgement::error(message), memory),
                None => {
                    let resume_at = after(now, age.clamp(FIRST_LOOK, LATER_LOOK));
                    return Outcome::Later { resume_at, memory };
                }
            },
        };
        memory.remove(MEMORY_UNSEEN);
        let wait = match stand {
            Standing::Over(judgement) => return over(judgement, memory),
            Standing::Runs if self.watched.is_some() => WATCHED_LOOK,
            Standing::Runs => age.clamp(FIRST_LOOK, LATER_LOOK),
            Standing::ComesUp => match stuck(&self.pods(&key).await) {
                Some(judgement) => return over(judgement, memory),
                None => age.clamp(FIRST_LOOK, LATER_LOOK),
            },
        };
        Outcome::Later {
            resume_at: after(now, wait),
            memory,
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

    /// Deletes a Job, with its pods first. That it is gone already is as good.
    pub async fn end(&self, key: &ObjectKey) -> Result<(), Error> {
        let api = self.api(&key.namespace);
        let parameters = DeleteParams::foreground();
        let what = format!("to delete job {key}");
        let asked = api.delete(&key.name, &parameters);
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(Err(error)) => Err(Error::of(what, error)),
            Err(_) => Err(Error::silent(what)),
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
            if let Err(error) = self.end(&key).await {
                tracing::warn!(%error, "a Job is left over");
            }
        }
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<Option<Job>, Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("to look at job {namespace}/{name}");
        match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
            Ok(found) => found.map_err(|error| Error::of(what, error)),
            Err(_) => Err(Error::silent(what)),
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
#[must_use]
pub fn job_of(memory: &BTreeMap<String, String>) -> Option<ObjectKey> {
    let name = memory.get(MEMORY_NAME)?;
    let namespace = memory.get(MEMORY_NAMESPACE)?;
    Some(ObjectKey::new(namespace.clone(), name.clone()))
}

/// A look that showed nothing: why it is the measurement's last, if it is. When looks began to fail is remembered.
fn unseen(memory: &mut BTreeMap<String, String>, now: Timestamp, error: &Error) -> Option<String> {
    if error.is_refused() {
        return Some(error.to_string());
    }
    tracing::warn!(%error, "cannot look at a Job; looking again");
    let since = memory.get(MEMORY_UNSEEN).and_then(|at| at.parse().ok());
    let since: Timestamp = since.unwrap_or(now);
    memory.insert(MEMORY_UNSEEN.to_owned(), since.to_string());
    let gone = now.duration_since(since) >= UNSEEN_LIMIT;
    gone.then(|| format!("{error}, and so it was since {since}"))
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
