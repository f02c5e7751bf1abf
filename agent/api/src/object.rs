//! What makes a struct a Kubernetes object.
//!
//! In: a type with metadata. Out: its `kube_core::Resource`, its `apiVersion` and `kind` in JSON without a byte in
//! memory, a decoder that survives bad objects, and trimming for caches. Must not touch: the network.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::{ClusterResourceScope, NamespaceResourceScope, Resource};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::names;
use crate::record::Absent;

/// The constant facts of a kind.
pub trait Kind {
    /// API group.
    const GROUP: &'static str;
    /// API version.
    const VERSION: &'static str;
    /// Kind.
    const KIND: &'static str;
    /// Plural name, as in URLs.
    const PLURAL: &'static str;
}

/// Takes off what a cache has no use for. What is written is always a merge patch, so nothing is lost by it.
pub trait Trim {
    /// Drops the bulky fields.
    fn trim(&mut self);
}

/// Drops managed fields and the last applied configuration.
pub fn trim_metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(names::ANNOTATION_LAST_APPLIED);
    }
}

/// The `apiVersion` of a kind: written always, read and compared, never stored.
pub struct ApiVersionOf<K>(PhantomData<fn() -> K>);
/// The `kind` of a kind: written always, read and compared, never stored.
pub struct KindOf<K>(PhantomData<fn() -> K>);

macro_rules! marker {
    ($name:ident, $text:expr, $field:literal) => {
        impl<K> Clone for $name<K> {
            fn clone(&self) -> Self {
                Self(PhantomData)
            }
        }
        impl<K> Default for $name<K> {
            fn default() -> Self {
                Self(PhantomData)
            }
        }
        impl<K> PartialEq for $name<K> {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }
        impl<K: Kind> fmt::Debug for $name<K> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        }
        impl<K: Kind> Serialize for $name<K> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str($text)
            }
        }
        impl<'de, K: Kind> Deserialize<'de> for $name<K> {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let found = Cow::<'de, str>::deserialize(from)?;
                if found.as_ref() == $text as &str {
                    Ok(Self(PhantomData))
                } else {
                    Err(D::Error::custom(format!(
                        "{} is {found}, not {}",
                        $field, $text
                    )))
                }
            }
        }
        impl<K> Absent for $name<K> {}
    };
}
marker!(ApiVersionOf, &api_version::<K>(), "apiVersion");
marker!(KindOf, K::KIND, "kind");

fn api_version<K: Kind>() -> String {
    // The core group has no name, and then no slash either.
    if K::GROUP.is_empty() {
        return K::VERSION.to_owned();
    }
    format!("{}/{}", K::GROUP, K::VERSION)
}

/// Implements [`Kind`] and `kube_core::Resource` for a type with `metadata`.
macro_rules! kind {
    ($type:ty, $scope:ty, $group:expr, $version:expr, $kind:literal, $plural:literal) => {
        impl crate::object::Kind for $type {
            const GROUP: &'static str = $group;
            const VERSION: &'static str = $version;
            const KIND: &'static str = $kind;
            const PLURAL: &'static str = $plural;
        }
        impl kube_core::Resource for $type {
            type DynamicType = ();
            type Scope = $scope;
            fn kind(_: &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }
            fn group(_: &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }
            fn version(_: &()) -> std::borrow::Cow<'_, str> {
                $version.into()
            }
            fn plural(_: &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }
            fn meta(&self) -> &crate::object::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut crate::object::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use kind;

/// Scope of kinds inside a namespace.
pub type Namespaced = NamespaceResourceScope;
/// Scope of kinds of the whole cluster.
pub type ClusterWide = ClusterResourceScope;

/// An object that may not be readable as its kind: one bad object must not stop the list it comes in.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<K> {
    /// The object, or why it could not be read.
    pub object: Result<K, Box<Unread>>,
}

/// What is known of an object that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// Metadata, which is always readable.
    pub metadata: ObjectMeta,
    /// Why, with the path.
    pub why: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl<K: Resource<DynamicType = ()>> Decoded<K> {
    /// The object's metadata, whether it could be read or not.
    pub fn metadata(&self) -> &ObjectMeta {
        match &self.object {
            Ok(object) => object.meta(),
            Err(unread) => &unread.metadata,
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Decoded<K> {
    /// Reads the text as the kind at once; a tree of it is never built, which would be most of the work of a watch.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(default)]
            metadata: ObjectMeta,
        }
        let raw = Box::<RawValue>::deserialize(from)?;
        let object = match serde_json::from_str(raw.get()) {
            Ok(object) => Ok(object),
            Err(_) => {
                let Envelope { metadata } =
                    serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
                let why = why_not::<K>(raw.get());
                Err(Box::new(Unread { metadata, why }))
            }
        };
        Ok(Self { object })
    }
}

/// What keeps a text from being a kind: the path and the fault. Line and column mean nothing to those who wrote YAML.
fn why_not<K: DeserializeOwned>(text: &str) -> String {
    let read: Result<K, _> =
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text));
    let words = read
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    let place = words.rfind(" at line ");
    let kept = place.and_then(|place| words.get(..place));
    kept.unwrap_or(&words).to_owned()
}

impl<K: Resource<DynamicType = ()>> Resource for Decoded<K> {
    type DynamicType = ();
    type Scope = K::Scope;
    fn kind(dt: &()) -> Cow<'_, str> {
        K::kind(dt)
    }
    fn group(dt: &()) -> Cow<'_, str> {
        K::group(dt)
    }
    fn version(dt: &()) -> Cow<'_, str> {
        K::version(dt)
    }
    fn plural(dt: &()) -> Cow<'_, str> {
        K::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.object {
            Ok(object) => object.meta_mut(),
            Err(unread) => &mut unread.metadata,
        }
    }
}

impl<K: Trim> Trim for Decoded<K> {
    fn trim(&mut self) {
        match &mut self.object {
            Ok(object) => object.trim(),
            Err(unread) => trim_metadata(&mut unread.metadata),
        }
    }
}

#[cfg(test)]
mod tests;
