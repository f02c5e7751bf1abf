//! Pod templates, as JSON with accessors.
//!
//! In: whatever stands in `template`. Out: the same, never through a typed pod spec, which would lose fields that it
//! does not know. It is kept as text, for a tree of a few hundred bytes takes several thousand, once for every version of
//! every Rollout. Must not touch: defaults of the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// A pod template as written.
#[derive(Clone, Default)]
pub struct PodTemplate(
    /// What `null` would say is nothing; else it is JSON that was printed here, so that it can be read again.
    Option<Box<str>>,
);

impl crate::record::Absent for PodTemplate {
    fn absent(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for PodTemplate {
    /// Equal as JSON: the order of fields says nothing.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.value() == other.value()
    }
}

impl fmt::Debug for PodTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("null"))
    }
}

impl Serialize for PodTemplate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(to)
    }
}

impl<'de> Deserialize<'de> for PodTemplate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Value::deserialize(from).map(Self::of)
    }
}

/// ConfigMaps and Secrets that a template names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConfigNames {
    /// ConfigMaps, by name.
    pub config_maps: BTreeSet<String>,
    /// Secrets, by name.
    pub secrets: BTreeSet<String>,
}

/// Both lists of containers, in the order in which they are read.
const CONTAINER_LISTS: [&str; 2] = ["containers", "initContainers"];

impl PodTemplate {
    /// The template that JSON says.
    #[must_use]
    pub fn of(value: Value) -> Self {
        Self((!value.is_null()).then(|| value.to_string().into_boxed_str()))
    }

    /// All of it.
    #[must_use]
    pub fn value(&self) -> Value {
        let text = self.0.as_deref();
        // It was printed from a value, so it reads.
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The template with a change.
    #[must_use]
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = self.value();
        change(&mut value);
        Self::of(value)
    }

    /// True when nothing is written.
    pub fn is_empty(&self) -> bool {
        matches!(self.0.as_deref(), None | Some("{}"))
    }

    /// Labels of the pods.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.metadata_map("labels")
    }

    /// Annotations of the pods.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.metadata_map("annotations")
    }

    fn metadata_map(&self, field: &str) -> BTreeMap<String, String> {
        let value = self.value();
        let map = value
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
            .and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// Images of containers, then of init containers, each in order.
    pub fn images(&self) -> Vec<String> {
        containers(&self.value())
            .filter_map(|container| Some(container.get("image")?.as_str()?.to_owned()))
            .collect()
    }

    /// Whether the pods have a container at all.
    pub fn has_containers(&self) -> bool {
        self.value()
            .pointer("/spec/containers")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    }

    /// The restart policy, if written.
    pub fn restart_policy(&self) -> Option<String> {
        let value = self.value();
        Some(value.pointer("/spec/restartPolicy")?.as_str()?.to_owned())
    }

    /// The template with a label set.
    #[must_use]
    pub fn with_label(&self, key: &str, value: &str) -> Self {
        self.with_metadata_entry("labels", key, value)
    }

    /// The template with an annotation set.
    #[must_use]
    pub fn with_annotation(&self, key: &str, value: &str) -> Self {
        self.with_metadata_entry("annotations", key, value)
    }

    fn with_metadata_entry(&self, field: &str, key: &str, value: &str) -> Self {
        let mut root = into_object(self.value());
        let mut metadata = into_object(root.remove("metadata").unwrap_or_default());
        let mut entries = into_object(metadata.remove(field).unwrap_or_default());
        entries.insert(key.to_owned(), Value::String(value.to_owned()));
        metadata.insert(field.to_owned(), Value::Object(entries));
        root.insert("metadata".to_owned(), Value::Object(metadata));
        Self::of(Value::Object(root))
    }

    /// The template without a label.
    #[must_use]
    pub fn without_label(&self, key: &str) -> Self {
        self.changed(|value| remove_metadata_entry(value, "labels", key))
    }

    /// Drops all of the pod spec but the containers' images, and keeps the metadata; for caches.
    pub fn keep_images(&mut self) {
        let images = |list: &Value| -> Option<Value> {
            let image = |container: &Value| Some(json!({"image": container.get("image")?}));
            Some(Value::Array(
                list.as_array()?.iter().filter_map(image).collect(),
            ))
        };
        *self = self.changed(|value| {
            if let Some(spec) = value.get_mut("spec") {
                let kept = CONTAINER_LISTS
                    .into_iter()
                    .filter_map(|list| Some((list.to_owned(), images(spec.get(list)?)?)));
                *spec = Value::Object(kept.collect());
            }
        });
    }

    /// ConfigMaps and Secrets named by environment, `envFrom`, volumes and image pull secrets.
    pub fn config_names(&self) -> ConfigNames {
        let mut names = ConfigNames::default();
        let value = self.value();
        for container in containers(&value) {
            for source in list(container, "envFrom") {
                names.add(source.get("configMapRef"), source.get("secretRef"), "name");
            }
            for source in list(container, "env").filter_map(|variable| variable.get("valueFrom")) {
                names.add(
                    source.get("configMapKeyRef"),
                    source.get("secretKeyRef"),
                    "name",
                );
            }
        }
        let Some(spec) = value.get("spec") else {
            return names;
        };
        for volume in list(spec, "volumes") {
            names.add(volume.get("configMap"), None, "name");
            names.add(None, volume.get("secret"), "secretName");
            for source in volume
                .get("projected")
                .into_iter()
                .flat_map(|projected| list(projected, "sources"))
            {
                names.add(source.get("configMap"), source.get("secret"), "name");
            }
        }
        for secret in list(spec, "imagePullSecrets") {
            names.add(None, Some(secret), "name");
        }
        names
    }
}

impl ConfigNames {
    /// Adds those that the pods cannot do without; `optional: true` is left out.
    fn add(&mut self, config_map: Option<&Value>, secret: Option<&Value>, field: &str) {
        let required = |source: &Value| {
            let optional = source
                .get("optional")
                .and_then(Value::as_bool)
                .unwrap_or(false);
            if optional {
                None
            } else {
                source.get(field)?.as_str().map(str::to_owned)
            }
        };
        self.config_maps.extend(config_map.and_then(required));
        self.secrets.extend(secret.and_then(required));
    }
}

/// Removes a key from a map of a template's metadata, if it is there.
pub(crate) fn remove_metadata_entry(template: &mut Value, field: &str, key: &str) {
    let map = template
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut(field))
        .and_then(Value::as_object_mut);
    if let Some(map) = map {
        map.remove(key);
    }
}

fn containers(template: &Value) -> impl Iterator<Item = &Value> {
    let spec = template.get("spec");
    CONTAINER_LISTS
        .into_iter()
        .filter_map(move |list| spec?.get(list)?.as_array())
        .flatten()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The object, or an empty one in place of anything else.
fn into_object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests;
