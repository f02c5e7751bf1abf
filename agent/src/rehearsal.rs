//! How the API server would store a Rollout's template (reference/engine.md G3).
//!
//! In: a Rollout. Out: its template as a ReplicaSet would have it, with defaults. It must not leave anything behind: the
//! object is created as a rehearsal, and the answer is remembered by UID and content. A server that refuses to rehearse
//! must not stop a Rollout for good: its autoscaler is followed and an abort is carried out all the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use agent_api::names::LABEL_POD_HASH;
use agent_api::{ContentDigest, ObjectMeta, PodTemplate, ReplicaSet, ReplicaSetSpec, Uid};
use agent_engine::Observed;
use agent_engine::sets::unchanged;
use jiff::{SignedDuration, Timestamp};

use crate::writer::{self, Writer};

/// Answers kept: adoption happens once in a Rollout's life, in waves of a few.
const MAX_ANSWERS: usize = 256;
/// A server that is restarted answers again within this; one that refuses for longer (a quota, a policy) may do so for good,
/// and then the content counts as none of the ReplicaSets'.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Why the defaults are not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot learn the defaults of the template: {0}")]
pub struct Error(#[from] writer::Error);

/// What the server said of a template.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    /// As it would store it; `None` when it does not take it.
    Known(Option<PodTemplate>),
    /// Nothing yet, since then.
    Refused(Timestamp),
}

/// The rehearsals made so far.
pub struct Rehearsal {
    writer: Writer,
    answers: Mutex<HashMap<Uid, (ContentDigest, Answer)>>,
}

impl Rehearsal {
    /// No rehearsal yet.
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            answers: Mutex::default(),
        }
    }

    /// The template with defaults; `None` when the server does not take it, or does not say.
    pub async fn defaulted(
        &self,
        observed: &Observed,
        uid: &Uid,
        written: &ContentDigest,
    ) -> Result<Option<PodTemplate>, Error> {
        let since = match self.known(uid, written) {
            Some(Answer::Known(answer)) => return Ok(answer),
            Some(Answer::Refused(since)) => since,
            None => observed.now,
        };
        let Some(template) = observed.template() else {
            return Ok(None);
        };
        let set = rehearsed(observed, template);
        let answer = match self.writer.rehearse(&set).await {
            Ok(stored) => Some(stored.spec.template.without_label(LABEL_POD_HASH)),
            Err(writer::Error::Invalid { .. }) => None,
            Err(error) => {
                self.remember(uid, written, Answer::Refused(since));
                // Another controller's word on the spec is as good.
                let said = unchanged(observed).is_some();
                if said || observed.now.duration_since(since) >= PATIENCE {
                    tracing::warn!(%uid, %error, "going on without the defaults of the template");
                    return Ok(None);
                }
                return Err(Error(error));
            }
        };
        self.remember(uid, written, Answer::Known(answer.clone()));
        Ok(answer)
    }

    fn known(&self, uid: &Uid, written: &ContentDigest) -> Option<Answer> {
        let answers = self.lock();
        let (of, answer) = answers.get(uid)?;
        (of == written).then(|| answer.clone())
    }

    fn remember(&self, uid: &Uid, written: &ContentDigest, answer: Answer) {
        let mut answers = self.lock();
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(uid.clone(), (written.clone(), answer));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, (ContentDigest, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ReplicaSet of no pods with the template, under a name that nothing else has.
fn rehearsed(observed: &Observed, template: &PodTemplate) -> ReplicaSet {
    const REHEARSAL: &str = "rehearsal";
    let mut selector = observed.selector().clone();
    selector
        .match_labels
        .insert(LABEL_POD_HASH.to_owned(), REHEARSAL.to_owned());
    ReplicaSet {
        metadata: ObjectMeta {
            namespace: observed.rollout.metadata.namespace.clone(),
            generate_name: Some("groundswell-rehearsal-".to_owned()),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(0),
            selector,
            template: template.with_label(LABEL_POD_HASH, REHEARSAL),
            ..ReplicaSetSpec::default()
        },
        ..ReplicaSet::default()
    }
}

#[cfg(test)]
mod tests;
