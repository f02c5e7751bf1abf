//! How every struct of the API is written and read.
//!
//! In: a struct's fields. Out: the struct with camelCase JSON, absent fields left out, `null` read as absent, and all
//! fields that it does not name kept in `rest`. Must not touch: what a field means.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Fields that no type names, kept as they came.
pub type Rest = serde_json::Map<String, Value>;

/// Whether a value is left out of the JSON.
pub trait Absent {
    /// True when nothing should be written.
    fn absent(&self) -> bool {
        false
    }
}

impl<T> Absent for Option<T> {
    fn absent(&self) -> bool {
        self.is_none()
    }
}
impl<T> Absent for Vec<T> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}
impl<K, V> Absent for BTreeMap<K, V> {
    fn absent(&self) -> bool {
        self.is_empty()
    }
}
impl Absent for Value {
    fn absent(&self) -> bool {
        self.is_null()
    }
}
impl Absent for String {}
impl Absent for bool {}
impl Absent for i32 {}
impl Absent for i64 {}
impl Absent for u32 {}
impl Absent for u64 {}
impl Absent for ObjectMeta {}

/// Reads `null` as the default, as Kubernetes' own decoders do.
pub fn null_as_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Declares a struct of the API: see the module's description. Fields marked `required` come first; an object without
/// them is not readable, so that a record of the Gate never turns into a laxer one by losing a field.
macro_rules! record {
    ($(#[$outer:meta])* pub struct $name:ident {
        $(required $(#[$must_inner:meta])* pub $must:ident : $must_ty:ty,)*
        $($(#[$inner:meta])* pub $field:ident : $ty:ty,)*
    }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$must_inner])* pub $must: $must_ty,)*
            $(
                $(#[$inner])*
                #[serde(
                    default,
                    deserialize_with = "crate::record::null_as_default",
                    skip_serializing_if = "crate::record::Absent::absent"
                )]
                pub $field: $ty,
            )*
            /// Fields that this type does not name, kept as they came.
            #[serde(flatten)]
            pub rest: crate::record::Rest,
        }
        impl crate::record::Absent for $name {}
    };
}
pub(crate) use record;

/// Declares an enum whose variants are JSON strings of the same name; the first is the default.
macro_rules! words {
    ($(#[$outer:meta])* pub enum $name:ident {
        $(#[$first_meta:meta])* $first:ident,
        $($(#[$meta:meta])* $variant:ident,)*
    }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $(#[$first_meta])* #[default] $first,
            $($(#[$meta])* $variant,)*
        }
        impl $name {
            /// The word as it stands in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => stringify!($first),
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl crate::record::Absent for $name {}
    };
}
pub(crate) use words;
