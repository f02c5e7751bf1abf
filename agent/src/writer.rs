//! Writes to the API server, one at a time.
//!
//! In: an object or a patch. Out: the metadata of what is stored now, or why it is not. It must not read: answers are
//! asked for as metadata alone, which spares both sides the rest of the object.

use std::time::{Duration, Instant};

use agent_api::Pod;
use agent_api::names::FIELD_MANAGER;
use kube::api::{
    DeleteParams, EvictParams, ObjectMeta, PartialObjectMeta, Patch, PatchParams, PostParams,
    Preconditions,
};
use kube::core::Request;
use kube::core::response::Status;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::key::ObjectKey;
use crate::lead::Lead;

/// What the answer is asked as.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The server is asked too much.
const TOO_MANY_REQUESTS: u16 = 429;

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody wrote in between.
    #[error("{what} was changed meanwhile; looking again")]
    Conflict {
        /// The object.
        what: String,
    },
    /// There is one of this name.
    #[error("{what} is there already")]
    AlreadyExists {
        /// The object.
        what: String,
    },
    /// It is gone.
    #[error("{what} is gone")]
    NotFound {
        /// The object.
        what: String,
    },
    /// The API server refuses the object.
    #[error("the API server does not take {what}: {message}")]
    Invalid {
        /// The object.
        what: String,
        /// The server's words.
        message: String,
        /// They name a field of it; a policy that refuses the whole does not.
        names_a_field: bool,
    },
    /// Anything else; trying again may help.
    #[error("cannot {verb} {what}: {source}")]
    Failed {
        /// What was tried.
        verb: &'static str,
        /// The object.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// How long the server asks to be left alone, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let Self::Failed { source, .. } = self else {
            return None;
        };
        let kube::Error::Api(status) = source.as_ref() else {
            return None;
        };
        let details = status.details.as_ref();
        let seconds = details.map_or(0, |details| details.retry_after_seconds);
        // A server with too much to do often says so in plain text, without a time.
        let least = u64::from(status.code == TOO_MANY_REQUESTS);
        let seconds = u64::from(seconds).max(least);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Whether the object was changed or made by somebody else meanwhile: look again at once.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::AlreadyExists { .. } | Self::NotFound { .. } => true,
            Self::Invalid { .. } | Self::Failed { .. } => false,
        }
    }
}

/// Why the API server does not want an object, by a quota, a policy, a webhook or its own rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its words.
    pub message: String,
    /// They name a field of the object.
    pub names_a_field: bool,
}

/// Not answers to the object: who asks is not known, or too much is asked.
const NOT_OF_THE_OBJECT: [u16; 4] = [401, 408, 410, TOO_MANY_REQUESTS];
/// Also what the API server says when a webhook does not answer it; that may last as long as any quota.
const INTERNAL_ERROR: u16 = 500;

impl Error {
    /// The refusal, if that is what it is. An object of which the server says nothing is tried again as it is.
    #[must_use]
    pub fn refusal(&self) -> Option<Refused> {
        match self {
            Self::Invalid {
                message,
                names_a_field,
                ..
            } => Some(Refused {
                message: message.clone(),
                names_a_field: *names_a_field,
            }),
            Self::Failed { source, .. } => {
                let kube::Error::Api(status) = source.as_ref() else {
                    return None;
                };
                let of_the_object = (400..=INTERNAL_ERROR).contains(&status.code)
                    && !NOT_OF_THE_OBJECT.contains(&status.code);
                of_the_object.then(|| Refused {
                    message: status.message.clone(),
                    names_a_field: false,
                })
            }
            Self::Conflict { .. } | Self::AlreadyExists { .. } | Self::NotFound { .. } => None,
        }
    }
}

fn names_a_field(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| !cause.field.is_empty())
}

/// The writer.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    lead: Lead,
}

/// The answer to an eviction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eviction {
    /// The pod is on its way out.
    Done,
    /// It stays, and why.
    Refused(String),
}

/// A kind that can be written.
pub trait Written: Resource<DynamicType = ()> {}
impl<K: Resource<DynamicType = ()>> Written for K {}

impl Writer {
    /// A writer over a client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let lead = Lead::default();
        Self { client, lead }
    }

    /// The same, which writes only while this process leads.
    #[must_use]
    pub fn led_by(self, lead: Lead) -> Self {
        Self { lead, ..self }
    }

    fn leads(&self, verb: &'static str, what: &str) -> Result<(), Error> {
        let lead = self.lead.holds(Instant::now());
        lead.map_err(|lost| failed(verb, what, kube::Error::Service(Box::new(lost))))
    }

    /// Creates an object.
    pub async fn create<K: Written + Serialize>(&self, object: &K) -> Result<ObjectMeta, Error> {
        let key = ObjectKey::of(object.meta());
        let what = describe::<K>(&key);
        let body = serde_json::to_vec(object)
            .map_err(|error| failed("create", &what, kube::Error::SerdeError(error)))?;
        let request = request::<K>(&key).create(&PostParams::default(), body);
        self.send("create", what, request).await
    }

    /// Sends an object as if to create it and returns what the API server would have stored.
    pub async fn rehearse<K>(&self, object: &K) -> Result<K, Error>
    where
        K: Written + Serialize + DeserializeOwned,
    {
        let key = ObjectKey::of(object.meta());
        let what = describe::<K>(&key);
        let body = serde_json::to_vec(object)
            .map_err(|error| failed("create", &what, kube::Error::SerdeError(error)))?;
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let request = request::<K>(&key)
            .create(&parameters, body)
            .map_err(|error| failed("rehearse", &what, kube::Error::BuildRequest(error)))?;
        self.client
            .request(request)
            .await
            .map_err(|error| classify("rehearse", what, error))
    }

    /// Merges a patch into an object.
    pub async fn merge<K: Written>(
        &self,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<ObjectMeta, Error> {
        let request = request::<K>(key).patch(&key.name, &parameters(), &Patch::Merge(patch));
        self.send("patch", describe::<K>(key), request).await
    }

    /// Merges a patch into an object's status.
    pub async fn merge_status<K: Written>(
        &self,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<ObjectMeta, Error> {
        let request = request::<K>(key).patch_subresource(
            "status",
            &key.name,
            &parameters(),
            &Patch::Merge(patch),
        );
        self.send("patch the status of", describe::<K>(key), request)
            .await
    }

    /// Deletes exactly this object, and what it owns after it.
    pub async fn delete<K: Written>(
        &self,
        key: &ObjectKey,
        uid: Option<&str>,
    ) -> Result<(), Error> {
        let what = describe::<K>(key);
        let preconditions = uid.map(|uid| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        let parameters = DeleteParams {
            preconditions,
            ..DeleteParams::background()
        };
        let request = request::<K>(key).delete(&key.name, &parameters);
        let request =
            request.map_err(|error| failed("delete", &what, kube::Error::BuildRequest(error)))?;
        self.leads("delete", &what)?;
        let answer: Result<Value, _> = self.client.request(request).await;
        answer
            .map(|_| ())
            .map_err(|error| classify("delete", what, error))
    }

    /// Evicts exactly this pod. The server's refusal is an answer, not a failure: its words say which budget is used up.
    pub async fn evict(&self, key: &ObjectKey, uid: &str) -> Result<Eviction, Error> {
        let what = describe::<Pod>(key);
        let preconditions = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        };
        let parameters = EvictParams {
            delete_options: Some(DeleteParams {
                preconditions: Some(preconditions),
                ..DeleteParams::default()
            }),
            post_options: PostParams::default(),
        };
        let request = request::<Pod>(key)
            .evict(&key.name, &parameters)
            .map_err(|error| failed("evict", &what, kube::Error::BuildRequest(error)))?;
        self.leads("evict", &what)?;
        let answer: Result<Value, _> = self.client.request(request).await;
        let error = match answer {
            Ok(_) => return Ok(Eviction::Done),
            Err(error) => classify("evict", what, error),
        };
        let Error::Failed { source, .. } = &error else {
            return Err(error);
        };
        if let kube::Error::Api(status) = source.as_ref() {
            return Ok(Eviction::Refused(words(status)));
        }
        Err(error)
    }

    async fn send(
        &self,
        verb: &'static str,
        what: String,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<ObjectMeta, Error> {
        let mut request =
            request.map_err(|error| failed(verb, &what, kube::Error::BuildRequest(error)))?;
        request.headers_mut().insert(
            http::header::ACCEPT,
            http::HeaderValue::from_static(METADATA_ONLY),
        );
        self.leads(verb, &what)?;
        let answer: Result<PartialObjectMeta, _> = self.client.request(request).await;
        answer
            .map(|answer| answer.metadata)
            .map_err(|error| classify(verb, what, error))
    }
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn request<K: Written>(key: &ObjectKey) -> Request {
    let namespace = (!key.namespace.is_empty()).then_some(key.namespace.as_str());
    Request::new(K::url_path(&(), namespace))
}

fn describe<K: Written>(key: &ObjectKey) -> String {
    format!("{} {key}", K::kind(&()))
}

fn failed(verb: &'static str, what: &str, source: kube::Error) -> Error {
    Error::Failed {
        verb,
        what: what.to_owned(),
        source: Box::new(source),
    }
}

fn classify(verb: &'static str, what: String, error: kube::Error) -> Error {
    let status: Option<&Status> = if let kube::Error::Api(status) = &error {
        Some(status)
    } else {
        None
    };
    match status {
        Some(status) if status.is_already_exists() => Error::AlreadyExists { what },
        Some(status) if status.is_conflict() => Error::Conflict { what },
        Some(status) if status.is_not_found() || is_ending(status) => Error::NotFound { what },
        Some(status) if status.is_invalid() => Error::Invalid {
            what,
            message: status.message.clone(),
            names_a_field: names_a_field(status),
        },
        Some(_) | None => Error::Failed {
            verb,
            what,
            source: Box::new(error),
        },
    }
}

/// The server's message, with what it says of the budget.
fn words(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let budget = causes
        .map(|cause| cause.message.as_str())
        .find(|message| !message.is_empty());
    match budget {
        Some(budget) => format!("{} {budget}", status.message),
        None => status.message.clone(),
    }
}

/// The namespace is being deleted, and everything in it soon is gone.
fn is_ending(status: &Status) -> bool {
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice());
    causes
        .unwrap_or_default()
        .iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(code: u16, reason: &str, field: Option<&str>) -> Error {
        let causes: Vec<Value> = field
            .map(|field| json!({"field": field}))
            .into_iter()
            .collect();
        let status = json!({
            "code": code, "reason": reason, "message": format!("the server says {reason}"),
            "details": {"causes": causes},
        });
        let status: Status = serde_json::from_value(status).unwrap();
        let error = kube::Error::Api(Box::new(status));
        classify("create", "ReplicaSet shop/web-1".to_owned(), error)
    }

    #[test]
    fn quotas_policies_and_bad_objects_are_refusals_and_nothing_else_is() {
        let field = "spec.template.spec.containers[0].volumeMounts[0].name";
        let invalid = answer(422, "Invalid", Some(field)).refusal().unwrap();
        assert!(invalid.names_a_field);
        for (code, reason) in [
            (422, "Invalid"),
            (403, "Forbidden"),
            (400, "BadRequest"),
            (418, "Teapot"),
            (500, "InternalError"),
        ] {
            let refused = answer(code, reason, None).refusal().unwrap();
            assert!(!refused.names_a_field, "{code}");
            assert_eq!(refused.message, format!("the server says {reason}"));
        }
        for (code, reason) in [
            (401, "Unauthorized"),
            (404, "NotFound"),
            (409, "AlreadyExists"),
            (409, "Conflict"),
            (429, "TooManyRequests"),
            (503, "ServiceUnavailable"),
            (504, "Timeout"),
        ] {
            assert_eq!(answer(code, reason, None).refusal(), None, "{code}");
        }
        let what = "ReplicaSet shop/web-1";
        let silent = failed("create", what, kube::Error::LinesCodecMaxLineLengthExceeded);
        assert_eq!(silent.refusal(), None);
    }
}
