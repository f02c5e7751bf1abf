//! A store without an API server. In: watch events. Out: what is held and what was told.

use std::sync::Mutex;

use agent_api::Rollout;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;

fn object(name: &str, version: &str, spec: Value) -> Decoded<Rollout> {
    let labels = spec
        .get("owner")
        .and_then(Value::as_str)
        .map(|owner| json!({"owner": owner}));
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"namespace": "shop", "name": name, "uid": name, "resourceVersion": version, "labels": labels},
        "spec": spec,
    }))
    .unwrap()
}

struct World {
    keeper: Keeper<Rollout>,
    said: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new() -> Self {
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&said);
        let index: Index<Rollout> = |object| {
            let labels = object.metadata().labels.iter();
            labels.filter_map(|all| all.get("owner").cloned()).collect()
        };
        let changed = move |object: &Decoded<Rollout>, gone: bool| {
            let name = object.metadata().name.clone().unwrap();
            heard
                .lock()
                .unwrap()
                .push(format!("{name} {}", if gone { "gone" } else { "here" }));
        };
        let tracked = Some((Kind::Rollout, Arc::new(Written::default())));
        let store = Arc::new(Store::new(index));
        Self {
            keeper: Keeper {
                store,
                tracked,
                changed: Box::new(changed),
                listing: None,
            },
            said,
        }
    }

    fn check(&mut self, events: Vec<Event<Decoded<Rollout>>>, expected: &[&str]) {
        for event in events {
            self.keeper.take(event);
        }
        assert_eq!(std::mem::take(&mut *self.said.lock().unwrap()), expected);
    }

    fn owned(&self, owner: &str) -> Vec<String> {
        self.keeper
            .store
            .indexed(owner)
            .iter()
            .map(|object| object.metadata().name.clone().unwrap())
            .collect()
    }
}

#[test]
fn a_list_replaces_what_was_known() {
    let mut world = World::new();
    assert!(!world.keeper.store.is_ready());
    let (a, b) = (
        object("a", "1", json!({"owner": "x"})),
        object("b", "2", json!({"owner": "x"})),
    );
    let list = vec![
        Event::Init,
        Event::InitApply(b),
        Event::InitApply(a.clone()),
        Event::InitDone,
    ];
    world.check(list, &["b here", "a here"]);
    assert!(world.keeper.store.is_ready());
    assert_eq!(world.owned("x"), ["a", "b"]);
    world.check(
        vec![Event::Init, Event::InitApply(a), Event::InitDone],
        &["b gone"],
    );
    assert_eq!(world.owned("x"), ["a"]);
}

#[test]
fn changes_move_between_indexes() {
    let mut world = World::new();
    world.check(
        vec![Event::Apply(object("a", "1", json!({"owner": "x"})))],
        &["a here"],
    );
    world.check(
        vec![Event::Apply(object("a", "2", json!({"owner": "y"})))],
        &["a here"],
    );
    assert_eq!(
        (world.owned("x"), world.owned("y")),
        (vec![], vec!["a".to_owned()])
    );
    world.check(
        vec![Event::Delete(object("a", "3", json!({"owner": "y"})))],
        &["a gone"],
    );
    assert!(world.owned("y").is_empty());
    assert!(world.keeper.store.keys().is_empty());
}

#[test]
fn an_undecodable_object_is_kept_as_a_reason() {
    let mut world = World::new();
    world.check(
        vec![Event::Apply(object(
            "bad",
            "1",
            json!({"replicas": "many"}),
        ))],
        &["bad here"],
    );
    let found = world
        .keeper
        .store
        .get(&ObjectKey::new("shop", "bad"))
        .unwrap();
    let why = &found.object.as_ref().unwrap_err().why;
    assert!(
        why.starts_with("spec.replicas: invalid type: string"),
        "{why}"
    );
    world.check(
        vec![Event::Apply(object("good", "2", json!({})))],
        &["good here"],
    );
}

thread_local! {
    /// Looked at while an object is decoded.
    static LOOKS: std::cell::RefCell<Option<Box<dyn Fn()>>> = const { std::cell::RefCell::new(None) };
}

/// An object whose decoding can be watched.
#[derive(Debug, Clone, serde::Serialize)]
struct Watched {
    metadata: ObjectMeta,
}

impl<'de> serde::Deserialize<'de> for Watched {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Fields {
            metadata: ObjectMeta,
        }
        LOOKS.with_borrow(|looks| looks.iter().for_each(|looks| looks()));
        let Fields { metadata } = Fields::deserialize(deserializer)?;
        Ok(Self { metadata })
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;
    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        "Watched".into()
    }
    fn group((): &()) -> std::borrow::Cow<'_, str> {
        "test".into()
    }
    fn version((): &()) -> std::borrow::Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        "watched".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[test]
fn a_watch_does_not_wait_for_what_is_decoded() {
    let store = Arc::new(Store::<Watched>::new(|_| vec!["all".to_owned()]));
    let keys: Vec<_> = ["a", "b"].map(|name| ObjectKey::new("shop", name)).into();
    for key in &keys {
        let metadata = ObjectMeta {
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            ..ObjectMeta::default()
        };
        let object = Ok(Watched { metadata });
        store.put(key.clone(), &Decoded { object });
    }
    let decoded = std::rc::Rc::new(std::cell::Cell::new(0));
    let (watch, counted) = (Arc::clone(&store), std::rc::Rc::clone(&decoded));
    LOOKS.replace(Some(Box::new(move || {
        counted.set(counted.get() + 1);
        assert!(watch.inner.try_write().is_ok(), "a watch would wait");
    })));
    assert_eq!(store.all().count(), 2);
    assert_eq!(store.indexed("all").len(), 2);
    assert!(store.get(&keys[0]).is_some());
    assert!(store.remove(&keys[1]).is_some());
    LOOKS.replace(None);
    assert_eq!(decoded.get(), 6);
}
