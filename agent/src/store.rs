//! One kind's objects as a watch shows them.
//!
//! In: watch events. Out: objects by name and by owner, and a word for each change. Objects are kept as text, which is a
//! quarter of what they take when decoded, large ones packed, and decoded when they are asked for. It must not fail on an object that cannot
//! be decoded: that object is kept as its metadata and the reason, and the others go on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use agent_api::{Decoded, ObjectMeta, Trim, Uid, Unread};
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::key::ObjectKey;
use crate::packed::Packed;
use crate::written::{Kind, Written};

/// A watch that says nothing for so long is opened again: a connection that died silently is noticed.
pub(crate) const WATCH_SECONDS: u32 = 60;
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// What the store knows of an object.
pub type Found<K> = Decoded<K>;

/// By what objects are found besides their name: an owner's UID, a Rollout's name, the Services that it names.
pub type Index<K> = fn(&Decoded<K>) -> Vec<String>;

/// A kind that can be kept.
pub trait Keepable: Resource<DynamicType = ()> + Serialize + DeserializeOwned {}
impl<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned> Keepable for K {}

/// An object as it is kept.
struct Kept {
    content: Content,
    /// Its version and UID, to see whether it is another.
    version: (Option<Box<str>>, Option<Box<str>>),
    index: Box<[String]>,
}

#[derive(Clone)]
enum Content {
    /// JSON that was printed here, so that it can be read again.
    Text(Packed),
    Unread(Box<Unread>),
}

impl Kept {
    fn of<K: Keepable>(object: &Decoded<K>, index: Vec<String>) -> Self {
        let unread = |why: String| {
            let metadata = object.metadata().clone();
            Content::Unread(Box::new(Unread { metadata, why }))
        };
        let content = match &object.object {
            Ok(readable) => match Packed::of(readable) {
                Ok(text) => Content::Text(text),
                Err(error) => unread(error.to_string()),
            },
            Err(known) => unread(known.why.clone()),
        };
        Self {
            content,
            version: version(object),
            index: index.into_boxed_slice(),
        }
    }

    fn content(&self) -> Content {
        self.content.clone()
    }
}

impl Content {
    /// Decodes, which takes a hundred times as long as taking the text out: a watch must not wait for it.
    fn decoded<K: Keepable>(self) -> Found<K> {
        let object = match self {
            Self::Text(text) => text.read().map_err(|error| {
                Box::new(Unread {
                    metadata: ObjectMeta::default(),
                    why: error.to_string(),
                })
            }),
            Self::Unread(unread) => Err(unread),
        };
        Decoded { object }
    }
}

fn version<K: Keepable>(object: &Decoded<K>) -> (Option<Box<str>>, Option<Box<str>>) {
    let metadata = object.metadata();
    let boxed = |text: &Option<String>| text.as_deref().map(Box::from);
    (boxed(&metadata.resource_version), boxed(&metadata.uid))
}

struct Inner {
    objects: HashMap<ObjectKey, Kept>,
    by_index: HashMap<String, Vec<ObjectKey>>,
}

/// The objects of a kind.
pub struct Store<K> {
    inner: RwLock<Inner>,
    index: Index<K>,
    ready: watch::Sender<bool>,
}

impl<K: Keepable> Store<K> {
    /// An empty store, not ready before its first list.
    #[must_use]
    pub fn new(index: Index<K>) -> Self {
        let inner = Inner {
            objects: HashMap::new(),
            by_index: HashMap::new(),
        };
        Self {
            inner: RwLock::new(inner),
            index,
            ready: watch::Sender::new(false),
        }
    }

    /// Waits until the first list is complete.
    pub async fn ready(&self) {
        // The sender lives as long as the store, so this cannot fail.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Nothing will be listed: what is there, nothing, is all.
    pub fn set_ready(&self) {
        self.ready.send_replace(true);
    }

    /// Whether the first list is complete.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// An object by name.
    pub fn get(&self, key: &ObjectKey) -> Option<Found<K>> {
        let content = self.read().objects.get(key).map(Kept::content);
        content.map(Content::decoded)
    }

    /// Whether there is one of this name.
    pub fn has(&self, key: &ObjectKey) -> bool {
        self.read().objects.contains_key(key)
    }

    /// The objects under an index, in order of their names.
    pub fn indexed(&self, index: &str) -> Vec<Found<K>> {
        let inner = self.read();
        let keys = inner.by_index.get(index).into_iter().flatten();
        let found = keys.filter_map(|key| inner.objects.get(key));
        let contents: Vec<Content> = found.map(Kept::content).collect();
        drop(inner);
        contents.into_iter().map(Content::decoded).collect()
    }

    /// Names of the objects under an index.
    pub fn indexed_keys(&self, index: &str) -> Vec<ObjectKey> {
        self.read().by_index.get(index).cloned().unwrap_or_default()
    }

    /// All names.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.read().objects.keys().cloned().collect()
    }

    /// All objects, each decoded when it is its turn.
    pub fn all(&self) -> impl Iterator<Item = Found<K>> + use<K> {
        let contents: Vec<Content> = self.read().objects.values().map(Kept::content).collect();
        contents.into_iter().map(Content::decoded)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: ObjectKey, object: &Decoded<K>) {
        let after = (self.index)(object);
        let kept = Kept::of(object, after.clone());
        let mut inner = self.write();
        let old = inner.objects.insert(key.clone(), kept);
        let before = old.map(|old| old.index).unwrap_or_default();
        if *before == *after {
            return;
        }
        inner.unindex(&before, &key);
        for index in after {
            let keys = inner.by_index.entry(index).or_default();
            if let Err(place) = keys.binary_search(&key) {
                keys.insert(place, key.clone());
            }
        }
    }

    /// Whether it is known just so.
    fn is_known(&self, key: &ObjectKey, object: &Decoded<K>) -> bool {
        let inner = self.read();
        let known = inner.objects.get(key);
        known.is_some_and(|known| known.version == version(object))
    }

    fn remove(&self, key: &ObjectKey) -> Option<Found<K>> {
        let mut inner = self.write();
        let old = inner.objects.remove(key)?;
        inner.unindex(&old.index, key);
        drop(inner);
        Some(old.content.decoded())
    }
}

impl Inner {
    fn unindex(&mut self, before: &[String], key: &ObjectKey) {
        for index in before {
            if let Some(keys) = self.by_index.get_mut(index) {
                keys.retain(|known| known != key);
                if keys.is_empty() {
                    self.by_index.remove(index);
                }
            }
        }
    }
}

/// What a change is told with: the object as it is, or as it last was.
pub type Changed<K> = Box<dyn Fn(&Decoded<K>, bool) + Send + Sync>;

/// Keeps a store as the API server has it, for ever. `changed` is told of every object, with whether it is gone.
pub async fn keep<K>(
    store: Arc<Store<K>>,
    api: Api<Decoded<K>>,
    selector: Option<String>,
    tracked: Option<(Kind, Arc<Written>)>,
    changed: Changed<K>,
) where
    K: Keepable + Trim + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if let Some(selector) = selector {
        config = config.labels(&selector);
    }
    let mut keeper = Keeper {
        store,
        tracked,
        changed,
        listing: None,
    };
    let mut failures = 0_u32;
    let mut events = watcher(api, config).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                failures = 0;
                keeper.take(event.modify(Trim::trim));
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                log_failure::<K>(&error, failures);
            }
        }
    }
    // The stream of a watcher has no end; should it have one, the process is restarted rather than left blind.
    tracing::error!(kind = %K::kind(&()), "a watch ended; stopping");
    tokio::time::sleep(RETRY).await;
}

/// The first failures of a watch are usual: its server closes it, or is restarted.
fn log_failure<K: Resource<DynamicType = ()>>(error: &watcher::Error, failures: u32) {
    const USUAL: u32 = 3;
    if failures > USUAL {
        tracing::warn!(kind = %K::kind(&()), failures, %error, "cannot watch; trying again");
    } else {
        tracing::debug!(kind = %K::kind(&()), %error, "a watch broke; opening it again");
    }
}

struct Keeper<K> {
    store: Arc<Store<K>>,
    tracked: Option<(Kind, Arc<Written>)>,
    changed: Changed<K>,
    /// What a list under way has shown so far.
    listing: Option<BTreeSet<ObjectKey>>,
}

impl<K: Keepable> Keeper<K> {
    fn take(&mut self, event: watcher::Event<Decoded<K>>) {
        match event {
            watcher::Event::Init => {
                self.listing = Some(BTreeSet::new());
                if let Some((kind, written)) = &self.tracked {
                    written.list_begins(*kind);
                }
            }
            watcher::Event::InitApply(object) => {
                if let Some(listing) = &mut self.listing {
                    listing.insert(ObjectKey::of(object.metadata()));
                }
                self.apply(object);
            }
            watcher::Event::InitDone => self.list_done(),
            watcher::Event::Apply(object) => self.apply(object),
            watcher::Event::Delete(object) => {
                self.delete(&ObjectKey::of(object.metadata()), Some(object))
            }
        }
    }

    fn apply(&self, object: Decoded<K>) {
        let key = ObjectKey::of(object.metadata());
        // A list that repeats what is known is no change.
        let same = self.listing.is_some() && self.store.is_known(&key, &object);
        self.seen(&object);
        if same {
            return;
        }
        self.store.put(key, &object);
        (self.changed)(&object, false);
    }

    fn delete(&self, key: &ObjectKey, object: Option<Decoded<K>>) {
        let known = self.store.remove(key);
        let Some(object) = object.or(known) else {
            return;
        };
        if let (Some((_, written)), Some(uid)) = (&self.tracked, &object.metadata().uid) {
            written.gone(&Uid(uid.clone()));
        }
        (self.changed)(&object, true);
    }

    fn seen(&self, object: &Decoded<K>) {
        let (Some((_, written)), Some(uid)) = (&self.tracked, &object.metadata().uid) else {
            return;
        };
        written.seen(
            &Uid(uid.clone()),
            object
                .metadata()
                .resource_version
                .as_deref()
                .unwrap_or_default(),
        );
    }

    fn list_done(&mut self) {
        let Some(listed) = self.listing.take() else {
            return;
        };
        for key in self.store.keys().iter().filter(|key| !listed.contains(key)) {
            self.delete(key, None);
        }
        if let Some((kind, written)) = &self.tracked {
            written.list_ends(*kind);
        }
        self.store.ready.send_replace(true);
    }
}

#[cfg(test)]
impl<K: Keepable> Store<K> {
    /// Puts an object in, as a watch would.
    pub(crate) fn show(&self, object: Decoded<K>) {
        self.put(ObjectKey::of(object.metadata()), &object);
    }
}

#[cfg(test)]
mod tests;
