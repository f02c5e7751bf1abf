//! Metadata that pods carry by the part that their version plays, beyond their template.
//!
//! In: the strategy's metadata for each part, what each ReplicaSet has been given. Out: changes of ReplicaSets first, so
//! that new pods are right, then of the pods there are. It must not touch digests and hashes: the annotation
//! `ephemeral-metadata` on the ReplicaSet says what is not content. What pods may still carry from before is remembered
//! beside it until a list shows that none does; an agent that dies in between goes on from there.

use std::collections::BTreeMap;

use agent_api::names::{ANNOTATION_EPHEMERAL_BEFORE, ANNOTATION_EPHEMERAL_METADATA};
use agent_api::{Pod, PodHash, PodMetadata, PodTemplate, ReplicaSet, Uid};
use jiff::{SignedDuration, Timestamp};

use super::{Pass, Strategy};
use crate::plan::{Action, Changes, PodChange};
use crate::pods::{has_pods, is_behind, name, of_set};
use crate::sets::SetView;

/// Pods that were changed are looked at once more: one may have been made from the template of before.
const LOOKS_AGAIN: SignedDuration = SignedDuration::from_secs(1);

impl Pass<'_> {
    /// Brings ReplicaSets and pods up to date. Before anything is scaled, so that new pods come as they shall be.
    pub fn sync_metadata(&mut self) {
        let observed = self.observed;
        let sets: Vec<SetView> = self.sets().cloned().collect();
        for SetView {
            name,
            hash,
            scale_down_at,
            ..
        } in sets
        {
            let mut all = observed.replica_sets.iter();
            let found = all.find(|one| one.metadata.name.as_ref() == Some(&name));
            let plays = hash == self.new.hash || Some(&hash) == self.status.stable_rs.as_ref();
            // A version that plays no part is on its way out, unless it waits out a delay.
            let Some(found) = found.filter(|_| plays || scale_down_at.is_some()) else {
                continue;
            };
            let wanted = self.metadata_of(&hash);
            let own = self.own_template(&hash);
            if let Some(change) = change_of_set(found, &wanted, own.as_ref()) {
                self.writes.push(change);
            } else if is_behind(found) {
                self.sync_pods(found, &wanted);
            }
        }
        let wanted = self.metadata_of(&self.new.hash.clone());
        if let Some(set) = &mut self.creating
            && !is_empty(&wanted)
        {
            set.spec.template = with(&set.spec.template, &wanted);
            let annotations = set.metadata.annotations.get_or_insert_default();
            annotations.insert(ANNOTATION_EPHEMERAL_METADATA.to_owned(), text(&wanted));
        }
    }

    /// What the pods of a version carry now.
    fn metadata_of(&self, hash: &PodHash) -> PodMetadata {
        let (new, stable) = match self.strategy {
            Strategy::Canary(canary) => (&canary.canary_metadata, &canary.stable_metadata),
            Strategy::BlueGreen(both) => (&both.preview_metadata, &both.active_metadata),
        };
        let is_new = *hash == self.new.hash;
        let metadata = if Some(hash) == self.status.stable_rs.as_ref() || is_new && self.initial() {
            stable.clone()
        } else if is_new {
            new.clone()
        } else {
            None
        };
        metadata.unwrap_or_default()
    }

    /// The template of a version as written, where it is known.
    fn own_template(&self, hash: &PodHash) -> Option<PodTemplate> {
        if *hash == self.new.hash {
            return self.effective.template.clone();
        }
        let set = self.sets().find(|set| set.hash == *hash)?;
        let kept = self.observed.gate.kept.get(&set.digest)?;
        Some(kept.template.clone())
    }

    /// The pods follow the template; when a list shows that they do, there is nothing left to remember.
    fn sync_pods(&mut self, set: &ReplicaSet, wanted: &PodMetadata) {
        let set_name = set.metadata.name.clone().unwrap_or_default();
        let done = BTreeMap::from([(ANNOTATION_EPHEMERAL_BEFORE.to_owned(), None)]);
        if !has_pods(set) {
            self.annotate_set(&set_name, done);
            return;
        }
        let Some(pods) = self.observed.pods.as_deref() else {
            return;
        };
        let before = read(set, ANNOTATION_EPHEMERAL_BEFORE);
        let changes: Vec<PodChange> = of_set(pods, &set_name)
            .into_iter()
            .filter_map(|pod| change_of_pod(pod, &set.spec.template, [&before, wanted]))
            .collect();
        if changes.is_empty() {
            self.annotate_set(&set_name, done);
            return;
        }
        self.writes.push(Action::ChangePods {
            set: set_name,
            pods: changes,
        });
        let again = self.observed.now.checked_add(LOOKS_AGAIN);
        self.wake_at(again.unwrap_or(Timestamp::MAX));
    }
}

/// The write that brings a ReplicaSet from what it was given to what it is to have.
fn change_of_set(
    set: &ReplicaSet,
    wanted: &PodMetadata,
    own: Option<&PodTemplate>,
) -> Option<Action> {
    let known = read(set, ANNOTATION_EPHEMERAL_METADATA);
    if known.labels == wanted.labels && known.annotations == wanted.annotations {
        return None;
    }
    let template = &set.spec.template;
    let own_labels = own.map(PodTemplate::labels).unwrap_or_default();
    let own_annotations = own.map(PodTemplate::annotations).unwrap_or_default();
    let labels = changes(
        &known.labels,
        &wanted.labels,
        &own_labels,
        &template.labels(),
    );
    let annotations = changes(
        &known.annotations,
        &wanted.annotations,
        &own_annotations,
        &template.annotations(),
    );
    let mut notes = Changes::new();
    let text = (!is_empty(wanted)).then(|| text(wanted));
    notes.insert(ANNOTATION_EPHEMERAL_METADATA.to_owned(), text);
    if has_pods(set) {
        let before = merged(read(set, ANNOTATION_EPHEMERAL_BEFORE), known);
        notes.insert(
            ANNOTATION_EPHEMERAL_BEFORE.to_owned(),
            Some(self::text(&before)),
        );
    } else if is_behind(set) {
        notes.insert(ANNOTATION_EPHEMERAL_BEFORE.to_owned(), None);
    }
    Some(Action::ChangeTemplateMetadata {
        name: set.metadata.name.clone().unwrap_or_default(),
        labels,
        annotations,
        notes,
    })
}

/// What was given before goes, unless it is wanted or was there as written; what is wanted comes.
fn changes(
    known: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
    has: &BTreeMap<String, String>,
) -> Changes {
    let gone = known
        .keys()
        .filter(|key| !wanted.contains_key(*key))
        .map(|key| (key.clone(), own.get(key).cloned()));
    let come = wanted
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    gone.chain(come)
        .filter(|(key, value)| has.get(key) != value.as_ref())
        .collect()
}

/// What a pod lacks of its template, in the keys that metadata of its part ever had.
fn change_of_pod(pod: &Pod, template: &PodTemplate, parts: [&PodMetadata; 2]) -> Option<PodChange> {
    let follow = |keys: Vec<&String>,
                  template: &BTreeMap<String, String>,
                  pod: &BTreeMap<String, String>| {
        keys.into_iter()
            .filter(|key| template.get(*key) != pod.get(*key))
            .map(|key| (key.clone(), template.get(key).cloned()))
            .collect::<Changes>()
    };
    let of = |map: &Option<BTreeMap<String, String>>| map.clone().unwrap_or_default();
    let labels = follow(
        parts.iter().flat_map(|part| part.labels.keys()).collect(),
        &template.labels(),
        &of(&pod.metadata.labels),
    );
    let annotations = follow(
        parts
            .iter()
            .flat_map(|part| part.annotations.keys())
            .collect(),
        &template.annotations(),
        &of(&pod.metadata.annotations),
    );
    (!labels.is_empty() || !annotations.is_empty()).then(|| PodChange {
        name: name(pod).to_owned(),
        uid: Uid(pod.metadata.uid.clone().unwrap_or_default()),
        labels,
        annotations,
    })
}

/// The template with metadata of a part merged in.
fn with(template: &PodTemplate, metadata: &PodMetadata) -> PodTemplate {
    let labels = metadata.labels.iter();
    let labelled = labels.fold(template.clone(), |template, (key, value)| {
        template.with_label(key, value)
    });
    let annotations = metadata.annotations.iter();
    annotations.fold(labelled, |template, (key, value)| {
        template.with_annotation(key, value)
    })
}

/// Metadata that an annotation of a ReplicaSet remembers; what cannot be read is none.
pub(crate) fn read(set: &ReplicaSet, annotation: &str) -> PodMetadata {
    let annotations = set.metadata.annotations.as_ref();
    annotations
        .and_then(|all| all.get(annotation))
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn is_empty(metadata: &PodMetadata) -> bool {
    metadata.labels.is_empty() && metadata.annotations.is_empty()
}

/// The form in which it is remembered: labels and annotations, each left out when empty.
fn text(metadata: &PodMetadata) -> String {
    let plain = PodMetadata {
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        ..PodMetadata::default()
    };
    serde_json::to_string(&plain).unwrap_or_default()
}

fn merged(mut one: PodMetadata, other: PodMetadata) -> PodMetadata {
    one.labels.extend(other.labels);
    one.annotations.extend(other.annotations);
    one
}
