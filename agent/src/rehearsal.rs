//! How the API server would store a Rollout's template (reference/engine.md G3).
//!
//! In: a Rollout. Out: its template as a ReplicaSet would have it, with defaults. It must not leave anything behind: the
//! object is created as a rehearsal, and the answer is remembered by UID and generation.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use agent_api::names::LABEL_POD_HASH;
use agent_api::{ObjectMeta, PodTemplate, ReplicaSet, ReplicaSetSpec, Uid};
use agent_engine::Observed;

use crate::writer::{self, Writer};

/// Answers kept: adoption happens once in a Rollout's life, in waves of a few.
const MAX_ANSWERS: usize = 256;

/// Why the defaults are not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot learn the defaults of the template: {0}")]
pub struct Error(#[from] writer::Error);

/// Of the Rollout, and of the workload that it names.
type Generations = (i64, Option<i64>);

/// The rehearsals made so far.
pub struct Rehearsal {
    writer: Writer,
    answers: Mutex<HashMap<Uid, (Generations, Option<PodTemplate>)>>,
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

    /// The template with defaults; `None` when the server does not take it.
    pub async fn defaulted(
        &self,
        observed: &Observed,
        uid: &Uid,
    ) -> Result<Option<PodTemplate>, Error> {
        let workload = observed.workload.as_ref();
        let generation = (
            observed.rollout.metadata.generation.unwrap_or(0),
            workload.map(|workload| workload.generation),
        );
        if let Some(answer) = self.known(uid, generation) {
            return Ok(answer);
        }
        let Some(template) = observed.template() else {
            return Ok(None);
        };
        let set = rehearsed(observed, template);
        let answer = match self.writer.rehearse(&set).await {
            Ok(stored) => Some(stored.spec.template.without_label(LABEL_POD_HASH)),
            Err(writer::Error::Invalid { .. }) => None,
            Err(error) => return Err(Error(error)),
        };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(uid.clone(), (generation, answer.clone()));
        Ok(answer)
    }

    fn known(&self, uid: &Uid, generation: Generations) -> Option<Option<PodTemplate>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .get(uid)
            .filter(|(known, _)| *known == generation)
            .map(|(_, answer)| answer.clone())
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
