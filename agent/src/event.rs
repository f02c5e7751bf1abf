//! Events of core/v1, for people and for the tools that know them.
//!
//! In: what happened to an object. Out: an Event whose name follows from the object, the reason and the key, so that a
//! restart repeats none, written in the order of what happened to it. What was told not long ago is not sent again. It must
//! not hold anybody up: the queues are bounded, and what does not fit is counted and dropped.

mod told;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent_api::names::EVENT_COMPONENT;
use agent_api::{ObjectMeta, Uid};
use agent_engine::EventKind;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as CoreEvent, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use self::told::{Mark, Recent};
use crate::key::ObjectKey;
use crate::metrics::Metrics;
use crate::writer::{self, Writer};

/// Writers at a time, each for objects of its own: one alone falls behind when a thousand Rollouts start at once.
const LANES: usize = 4;
/// Events that wait for one writer: four events of each of four thousand Rollouts, some 5 MB in the worst moment.
const QUEUE: usize = 4096;
/// Longest name of an object.
const MAX_NAME: usize = 253;
/// Longest message that the API server takes.
const MAX_MESSAGE: usize = 1024;
/// Letters of the hash in a name.
const HASH_LETTERS: usize = size_of::<Mark>() * 2;
/// Tries for one event; after that there is something worse to look at.
const TRIES: usize = 3;

/// The object an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its kind, of argoproj.io.
    pub kind: &'static str,
    /// Its name.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: Uid,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub about: About,
    /// Normal or Warning.
    pub kind: EventKind,
    /// One word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// What makes it another event than the last of this reason.
    pub key: String,
}

/// An event and when it was told.
type Told = (News, Timestamp);

/// Where events go.
#[derive(Clone)]
pub struct Events {
    lanes: Arc<[mpsc::Sender<Told>]>,
    recent: Arc<Mutex<Recent>>,
    metrics: Metrics,
}

impl Events {
    /// The queues, and what writes from them until they are dropped.
    pub fn new(writer: Writer, metrics: Metrics) -> (Self, impl Future<Output = ()>) {
        let (lanes, waiting): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(QUEUE)).unzip();
        let recent: Arc<Mutex<Recent>> = Arc::default();
        let known = Arc::clone(&recent);
        let writers = waiting
            .into_iter()
            .map(move |waiting| write_all(writer.clone(), Arc::clone(&known), waiting));
        let writers = futures::future::join_all(writers).map(drop);
        let lanes = lanes.into();
        let events = Self {
            lanes,
            recent,
            metrics,
        };
        (events, writers)
    }

    /// Tells of something, unless just that was told not long ago.
    pub fn tell(&self, news: News) {
        let (mark, at) = (mark(&news), Timestamp::now());
        if !lock(&self.recent).add(mark, at) {
            return;
        }
        self.metrics
            .event(news.about.kind, &news.about.key, news.kind, &news.reason);
        let lane = self.lanes.get(lane(&news.about.uid));
        if lane.is_none_or(|lane| lane.try_send((news, at)).is_err()) {
            lock(&self.recent).forget(mark);
            self.metrics.event_dropped();
        }
    }
}

fn lock(recent: &Mutex<Recent>) -> MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events of one object are one writer's, so that they keep their order.
fn lane(uid: &Uid) -> usize {
    let mut hasher = DefaultHasher::new();
    uid.as_str().hash(&mut hasher);
    let lanes = u64::try_from(LANES).unwrap_or(1);
    usize::try_from(hasher.finish() % lanes).unwrap_or(0)
}

async fn write_all(writer: Writer, recent: Arc<Mutex<Recent>>, mut waiting: mpsc::Receiver<Told>) {
    while let Some((news, at)) = waiting.recv().await {
        if !write(&writer, &news, at).await {
            // Whoever tells it again is heard.
            lock(&recent).forget(mark(&news));
        }
    }
}

/// Whether it is there now, or never can be.
async fn write(writer: &Writer, news: &News, at: Timestamp) -> bool {
    let event = event(news, at);
    for _ in 0..TRIES {
        match writer.create(&event).await {
            Ok(_) | Err(writer::Error::AlreadyExists { .. } | writer::Error::NotFound { .. }) => {
                return true;
            }
            Err(error @ writer::Error::Invalid { .. }) => {
                tracing::warn!(rollout = %news.about.key, reason = news.reason, %error, "event not taken");
                return true;
            }
            Err(error @ (writer::Error::Conflict { .. } | writer::Error::Failed { .. })) => {
                tracing::debug!(rollout = %news.about.key, reason = news.reason, %error, "event not written");
            }
        }
    }
    false
}

/// The object for an event.
fn event(news: &News, now: Timestamp) -> CoreEvent {
    let About { kind, key, uid } = &news.about;
    let time = Time(now);
    CoreEvent {
        metadata: ObjectMeta {
            name: Some(name(news)),
            namespace: Some(key.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(format!(
                "{}/{}",
                agent_api::names::ROLLOUTS_GROUP,
                agent_api::names::VERSION
            )),
            kind: Some((*kind).to_owned()),
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            uid: Some(uid.0.clone()),
            ..ObjectReference::default()
        },
        reason: Some(news.reason.clone()),
        message: Some(cut(&news.message, MAX_MESSAGE)),
        type_: Some(news.kind.to_string()),
        source: Some(EventSource {
            component: Some(EVENT_COMPONENT.to_owned()),
            host: None,
        }),
        count: Some(1),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        ..CoreEvent::default()
    }
}

/// The object's name and the mark.
fn name(news: &News) -> String {
    let room = MAX_NAME.saturating_sub(HASH_LETTERS.saturating_add(1));
    let mark = hex::encode(mark(news));
    format!("{}.{mark}", cut(&news.about.key.name, room))
}

/// A hash over everything that tells this event from others.
fn mark(news: &News) -> Mark {
    let mut hasher = Sha256::new();
    for part in [news.about.uid.as_str(), &news.reason, &news.key] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut mark = Mark::default();
    for (into, from) in mark.iter_mut().zip(hasher.finalize()) {
        *into = from;
    }
    mark
}

/// At most so many bytes, not splitting a letter.
fn cut(text: &str, most: usize) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
