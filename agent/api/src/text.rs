//! Identifiers that are text.
//!
//! In: strings. Out: newtypes that cannot be confused with each other. Must not touch: what the text means.

/// Declares a newtype over `String` that is a plain string in JSON.
macro_rules! text_id {
    ($($(#[$outer:meta])* pub struct $name:ident;)*) => {$(
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// True for the empty text.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl crate::record::Absent for $name {}
    )*};
}
pub(crate) use text_id;

text_id! {
    /// A Kubernetes UID.
    pub struct Uid;
    /// A release's name, such as `checkout#42`.
    pub struct ReleaseName;
    /// A FleetRollout's name.
    pub struct FleetRolloutName;
}
