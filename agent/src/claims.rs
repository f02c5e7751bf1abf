//! ReplicaSets that could be a Rollout's and have no owner, and names that somebody else's objects have.
//!
//! In: the cache of ReplicaSets, names that a create found taken. Out: what the engine has to know of both. It must not
//! write. The API server is asked only where a cache cannot know: whether the Rollout is still there, before anything is
//! made its own, and whose an object is that no watch brings.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_api::{AnalysisRun, Experiment, ObjectMeta, ReplicaSet, Rollout, Uid};
use agent_engine::claims::{Part, controller, part};
use agent_engine::{NamedKind, Observed, Taken};
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};

use crate::cache::{Caches, orphans_of};
use crate::key::ObjectKey;
use crate::observe::uid_of;

/// How long an answer counts: until something was made under another name, which is one pass.
const COUNTS: SignedDuration = SignedDuration::from_mins(10);

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot look for {what}: {source}")]
pub struct Error {
    what: String,
    source: Box<kube::Error>,
}

/// A name that a create found taken.
#[derive(Debug, Clone)]
struct Clash {
    kind: NamedKind,
    name: String,
    at: Timestamp,
    /// Whose it is, once that was asked.
    by: Option<String>,
}

/// Whose an object is.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// Nobody has the name any more.
    Free,
    /// The Rollout's own, or about to be: a watch brings it in a moment.
    Ours,
    /// Somebody else's.
    Others(String),
}

/// What was asked so far.
pub struct Claims {
    client: Client,
    clashes: Mutex<HashMap<Uid, Vec<Clash>>>,
}

impl Claims {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            clashes: Mutex::default(),
        }
    }

    /// The ReplicaSets that the Rollout is to make its own. None while it is on its way out, as the API server says now:
    /// what is orphaned by its deletion has to stay so, and an owner that is gone takes along what it owns.
    pub async fn orphans(
        &self,
        caches: &Caches,
        observed: &Observed,
        key: &ObjectKey,
    ) -> Result<Vec<ReplicaSet>, Error> {
        let found = caches.replica_sets.indexed(&orphans_of(&key.namespace));
        let sets = found.iter().filter_map(|found| found.object.as_ref().ok());
        let orphans: Vec<ReplicaSet> = sets
            .filter(|set| part(observed, set) == Part::Orphan)
            .cloned()
            .collect();
        if orphans.is_empty() {
            return Ok(orphans);
        }
        let api: Api<Rollout> = Api::namespaced(self.client.clone(), &key.namespace);
        let fresh = api.get_metadata_opt(&key.name).await;
        let fresh = fresh.map_err(|source| failed("Rollout", key, source))?;
        let stays = fresh.is_some_and(|fresh| {
            fresh.metadata.uid == observed.rollout.metadata.uid
                && fresh.metadata.deletion_timestamp.is_none()
        });
        Ok(if stays { orphans } else { Vec::new() })
    }

    /// Notes that a create found its name taken; the next pass sees by whom.
    pub fn clashed(&self, rollout: &Uid, kind: NamedKind, name: &str, at: Timestamp) {
        let mut all = self.lock();
        let clashes = all.entry(rollout.clone()).or_default();
        if !clashes
            .iter()
            .any(|clash| clash.kind == kind && clash.name == name)
        {
            clashes.push(Clash {
                kind,
                name: name.to_owned(),
                at,
                by: None,
            });
        }
    }

    /// Names that others have, of those that a create found taken.
    pub async fn taken(&self, observed: &Observed, key: &ObjectKey) -> Result<Vec<Taken>, Error> {
        let uid = uid_of(&observed.rollout.metadata);
        let clashes = self.still_counting(&uid, observed.now);
        let mut taken = Vec::new();
        for clash in clashes {
            let whose = match clash.by {
                Some(by) => Whose::Others(by),
                None => self.whose(observed, key, clash.kind, &clash.name).await?,
            };
            match whose {
                Whose::Ours => {}
                Whose::Free => self.forget(&uid, clash.kind, &clash.name),
                Whose::Others(by) => {
                    self.remember(&uid, clash.kind, &clash.name, &by);
                    taken.push(Taken {
                        kind: clash.kind,
                        name: clash.name,
                        by,
                    });
                }
            }
        }
        Ok(taken)
    }

    async fn whose(
        &self,
        observed: &Observed,
        key: &ObjectKey,
        kind: NamedKind,
        name: &str,
    ) -> Result<Whose, Error> {
        let of = ObjectKey::new(key.namespace.clone(), name);
        let namespace = &key.namespace;
        match kind {
            NamedKind::ReplicaSet => {
                let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), namespace);
                let found = api.get_opt(name).await;
                let found = found.map_err(|source| failed("ReplicaSet", &of, source))?;
                Ok(found.map_or(Whose::Free, |set| whose_set(observed, &set)))
            }
            NamedKind::Experiment => {
                let api: Api<Experiment> = Api::namespaced(self.client.clone(), namespace);
                let found = api.get_metadata_opt(name).await;
                let found = found.map_err(|source| failed("Experiment", &of, source))?;
                let uid = observed.rollout.metadata.uid.as_deref();
                Ok(found.map_or(Whose::Free, |one| whose_run(uid, &one.metadata)))
            }
            NamedKind::AnalysisRun => {
                let api: Api<AnalysisRun> = Api::namespaced(self.client.clone(), namespace);
                let found = api.get_metadata_opt(name).await;
                let found = found.map_err(|source| failed("AnalysisRun", &of, source))?;
                let uid = observed.rollout.metadata.uid.as_deref();
                Ok(found.map_or(Whose::Free, |run| whose_run(uid, &run.metadata)))
            }
        }
    }

    fn still_counting(&self, rollout: &Uid, now: Timestamp) -> Vec<Clash> {
        let mut all = self.lock();
        let counts = |clash: &Clash| now.duration_since(clash.at) < COUNTS;
        all.retain(|_, clashes| {
            clashes.retain(counts);
            !clashes.is_empty()
        });
        all.get(rollout).cloned().unwrap_or_default()
    }

    fn remember(&self, rollout: &Uid, kind: NamedKind, name: &str, by: &str) {
        let mut all = self.lock();
        let clashes = all.get_mut(rollout).into_iter().flatten();
        for clash in clashes.filter(|clash| clash.kind == kind && clash.name == name) {
            clash.by = Some(by.to_owned());
        }
    }

    fn forget(&self, rollout: &Uid, kind: NamedKind, name: &str) {
        let mut all = self.lock();
        if let Some(clashes) = all.get_mut(rollout) {
            clashes.retain(|clash| clash.kind != kind || clash.name != name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, Vec<Clash>>> {
        self.clashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whose_set(observed: &Observed, set: &ReplicaSet) -> Whose {
    match part(observed, set) {
        Part::Owned | Part::Orphan => Whose::Ours,
        Part::Leaves | Part::Stranger => Whose::Others(owner_of(&set.metadata)),
    }
}

/// A run that has lost its owner is not taken over: it may be of another time, with another verdict.
fn whose_run(rollout: Option<&str>, run: &ObjectMeta) -> Whose {
    match controller(run) {
        Some(owner) if Some(owner.uid.as_str()) == rollout => Whose::Ours,
        Some(_) | None => Whose::Others(owner_of(run)),
    }
}

fn owner_of(metadata: &ObjectMeta) -> String {
    match controller(metadata) {
        Some(owner) => format!("{} {} (uid {})", owner.kind, owner.name, owner.uid),
        None => "nobody".to_owned(),
    }
}

fn failed(kind: &str, key: &ObjectKey, source: kube::Error) -> Error {
    Error {
        what: format!("{kind} {key}"),
        source: Box::new(source),
    }
}

#[cfg(test)]
pub(crate) mod tests;
