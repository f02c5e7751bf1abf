//! Events of core/v1, for people and for the tools that know them.
//!
//! In: what happened to an object. Out: an Event whose name follows from the object, the reason and the key, so that a
//! restart repeats none, written in the order of what happened to it. It must not hold anybody up: the queues are bounded,
//! and what does not fit is counted and dropped.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use agent_api::names::EVENT_COMPONENT;
use agent_api::{ObjectMeta, Uid};
use agent_engine::EventKind;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event as CoreEvent, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

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
const HASH_LETTERS: usize = 16;
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
    metrics: Metrics,
}

impl Events {
    /// The queues, and what writes from them until they are dropped.
    pub fn new(writer: Writer, metrics: Metrics) -> (Self, impl Future<Output = ()>) {
        let (lanes, waiting): (Vec<_>, Vec<_>) = (0..LANES).map(|_| mpsc::channel(QUEUE)).unzip();
        let writers = waiting
            .into_iter()
            .map(move |waiting| write_all(writer.clone(), waiting));
        let writers = futures::future::join_all(writers).map(drop);
        let lanes = lanes.into();
        (Self { lanes, metrics }, writers)
    }

    /// Tells of something.
    pub fn tell(&self, news: News) {
        self.metrics
            .event(news.about.kind, &news.about.key, news.kind, &news.reason);
        let lane = self.lanes.get(lane(&news.about.uid));
        let told = (news, Timestamp::now());
        if lane.is_none_or(|lane| lane.try_send(told).is_err()) {
            self.metrics.event_dropped();
        }
    }
}

/// Events of one object are one writer's, so that they keep their order.
fn lane(uid: &Uid) -> usize {
    let mut hasher = DefaultHasher::new();
    uid.as_str().hash(&mut hasher);
    let lanes = u64::try_from(LANES).unwrap_or(1);
    usize::try_from(hasher.finish() % lanes).unwrap_or(0)
}

async fn write_all(writer: Writer, mut waiting: mpsc::Receiver<Told>) {
    while let Some((news, at)) = waiting.recv().await {
        let event = event(&news, at);
        for _ in 0..TRIES {
            match writer.create(&event).await {
                Ok(_)
                | Err(writer::Error::AlreadyExists { .. } | writer::Error::NotFound { .. }) => {
                    break;
                }
                Err(error @ writer::Error::Invalid { .. }) => {
                    tracing::warn!(rollout = %news.about.key, reason = news.reason, %error, "event not taken");
                    break;
                }
                Err(error @ (writer::Error::Conflict { .. } | writer::Error::Failed { .. })) => {
                    tracing::debug!(rollout = %news.about.key, reason = news.reason, %error, "event not written");
                }
            }
        }
    }
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

/// The object's name and a hash over everything that tells this event from others.
fn name(news: &News) -> String {
    let mut hasher = Sha256::new();
    for part in [news.about.uid.as_str(), &news.reason, &news.key] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let hash: String = hex::encode(hasher.finalize())
        .chars()
        .take(HASH_LETTERS)
        .collect();
    let room = MAX_NAME.saturating_sub(HASH_LETTERS.saturating_add(1));
    format!("{}.{hash}", cut(&news.about.key.name, room))
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
mod tests {
    use super::*;

    fn news(key: &str) -> News {
        News {
            about: About {
                kind: "Rollout",
                key: ObjectKey::new("shop", "checkout"),
                uid: "u".into(),
            },
            kind: EventKind::Normal,
            reason: "RolloutPaused".to_owned(),
            message: "ü".repeat(2000),
            key: key.to_owned(),
        }
    }

    #[test]
    fn names_follow_from_what_is_told() {
        assert_eq!(name(&news("1.1")), name(&news("1.1")));
        assert_ne!(name(&news("1.1")), name(&news("1.2")));
        let mut other = news("1.1");
        other.about.uid = "v".into();
        assert_ne!(
            name(&news("1.1")),
            name(&other),
            "a Rollout made again has events of its own"
        );
        let mut long = news("1.1");
        long.about.key.name = "x".repeat(300);
        assert_eq!(name(&long).len(), MAX_NAME);
    }

    #[test]
    fn an_event_has_what_tools_look_for() {
        let made = event(&news("1.1"), Timestamp::UNIX_EPOCH);
        assert_eq!(made.source.unwrap().component.unwrap(), EVENT_COMPONENT);
        assert_eq!(made.type_.unwrap(), "Normal");
        assert_eq!(made.message.unwrap().len(), MAX_MESSAGE);
    }
}
