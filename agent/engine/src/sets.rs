//! The ReplicaSets of a Rollout, sorted by the part they play.
//!
//! In: `Observed`. Out: `SetView`s: the numbers and names the engine decides from. It must not decide anything itself.

use std::collections::BTreeMap;

use agent_api::digest::{Injected, content_digest, content_digest_without};
use agent_api::names::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST, ANNOTATION_EPHEMERAL_METADATA,
    ANNOTATION_PERMITTED_BY, ANNOTATION_REVISION, LABEL_POD_HASH, condition,
};
use agent_api::pod_hash::pod_hash;
use agent_api::{ContentDigest, PodHash, PodTemplate, ReplicaSet};
use jiff::Timestamp;

use crate::claims::{self, Part};
use crate::clock;
use crate::observed::{Governance, Observed};

/// Annotation on a ReplicaSet: how often its analyses were begun anew (retry, resumed after inconclusive). It is here
/// and not in the status because a run's name must be the same after a crash between two writes.
pub const ANNOTATION_ATTEMPT: &str = "fleet.groundswell.dev/attempt";

/// Annotation on a ReplicaSet: the same for the analysis in the background.
pub const ANNOTATION_BACKGROUND_ATTEMPT: &str = "fleet.groundswell.dev/background-attempt";

/// Annotation on a ReplicaSet that was taken over: the hash of the steps that were under way. The status holds another
/// program's hash of them until it is written; a crash in between must not look like other steps.
pub const ANNOTATION_ADOPTED_STEPS: &str = "fleet.groundswell.dev/adopted-steps";

/// Annotation on a ReplicaSet: its version was aborted. What it still has of pods is no proof that it was ever good.
pub const ANNOTATION_TAKEN_BACK: &str = "fleet.groundswell.dev/aborted";

/// What the engine looks at in one ReplicaSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetView {
    /// Its name.
    pub name: String,
    /// The hash in its label.
    pub hash: PodHash,
    /// The digest of its content: annotated, else found by comparison, else made from the hash.
    pub digest: ContentDigest,
    /// The annotation is there: it is of our making, or adopted.
    pub ours: bool,
    /// Its revision.
    pub revision: i64,
    /// Pods wanted.
    pub desired: i32,
    /// Pods there.
    pub current: i32,
    /// Pods ready.
    pub ready: i32,
    /// Pods available.
    pub available: i32,
    /// Its age, for history.
    pub created: Option<Timestamp>,
    /// How often its analyses were begun anew.
    pub attempt: u32,
    /// The hash of the steps that were under way when it was taken over.
    pub adopted_steps: Option<String>,
    /// How often the one in the background was.
    pub background_attempt: u32,
    /// `spec.minReadySeconds`.
    pub min_ready_seconds: i32,
    /// The Rollout's replicas when it was last scaled.
    pub desired_annotation: Option<i32>,
    /// When it is to be scaled down, by the clock as it is set now.
    pub scale_down_at: Option<Timestamp>,
    /// Its version was aborted.
    pub taken_back: bool,
    /// It was made, or brought back, by a permit of the fleet, and nobody has brought it back otherwise since.
    pub permitted: bool,
    /// Its pods cannot be made or deleted: reason and message.
    pub failure: Option<(String, String)>,
    /// It is being deleted.
    pub deleting: bool,
}

impl SetView {
    fn of(observed: &Observed, set: &ReplicaSet) -> Self {
        let annotations = set.metadata.annotations.as_ref();
        let number = |key: &str| {
            annotations
                .and_then(|all| all.get(key))
                .and_then(|text| text.parse::<i64>().ok())
        };
        let labels = set.metadata.labels.as_ref();
        let hash = labels
            .and_then(|all| all.get(LABEL_POD_HASH))
            .cloned()
            .unwrap_or_default();
        let digest = annotations
            .and_then(|all| all.get(ANNOTATION_DIGEST))
            .map(|text| ContentDigest(text.clone()));
        let hash = PodHash(hash);
        Self {
            name: set.metadata.name.clone().unwrap_or_default(),
            ours: digest.is_some(),
            digest: digest.unwrap_or_else(|| compared(observed, set, &hash)),
            hash,
            revision: number(ANNOTATION_REVISION).unwrap_or(0),
            desired: set.desired(),
            current: set.current(),
            ready: set.ready(),
            available: set.available(),
            created: set.metadata.creation_timestamp.as_ref().map(|time| time.0),
            attempt: number(ANNOTATION_ATTEMPT)
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(0),
            adopted_steps: annotations
                .and_then(|all| all.get(ANNOTATION_ADOPTED_STEPS))
                .cloned(),
            background_attempt: number(ANNOTATION_BACKGROUND_ATTEMPT)
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(0),
            min_ready_seconds: set.spec.min_ready_seconds.unwrap_or(0),
            desired_annotation: number(ANNOTATION_DESIRED_REPLICAS)
                .and_then(|count| i32::try_from(count).ok()),
            scale_down_at: clock::scale_down_at(set).map(|at| observed.clock_set.exactly(at)),
            taken_back: annotations.is_some_and(|all| all.contains_key(ANNOTATION_TAKEN_BACK)),
            permitted: permitted(annotations),
            failure: set.failure().map(|one| {
                let reason = one.reason.clone().unwrap_or_default();
                (reason, one.message.clone().unwrap_or_default())
            }),
            deleting: set.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// Whoever brings a version back gives it a new revision; one that does so without a permit does not know of the mark.
fn permitted(annotations: Option<&BTreeMap<String, String>>) -> bool {
    let find = |key: &str| annotations.and_then(|all| all.get(key));
    let mark = find(ANNOTATION_PERMITTED_BY).and_then(|text| text.split_once(' '));
    mark.is_some_and(|(revision, _)| {
        find(ANNOTATION_REVISION).map(String::as_str) == Some(revision)
    })
}

/// The digest of a ReplicaSet of somebody else's making: the spec's, if the templates are equal after defaulting.
fn compared(observed: &Observed, set: &ReplicaSet, hash: &PodHash) -> ContentDigest {
    let unknown = ContentDigest(format!("hash:{hash}"));
    let Some(template) = observed.template() else {
        return unknown;
    };
    let collisions = observed
        .rollout
        .status
        .as_ref()
        .and_then(|status| status.collision_count);
    let same_hash = pod_hash(template, collisions) == *hash;
    let same_template = observed
        .defaulted
        .as_ref()
        .is_some_and(|defaulted| same_content(defaulted, &set.spec.template, &injected(set)));
    let said = observed.defaulted.is_none() && unchanged(observed).as_ref() == Some(hash);
    if same_hash || same_template || said {
        content_digest(template)
    } else {
        unknown
    }
}

/// The version that another controller said holds the spec, when the spec is the same since and we have decided nothing
/// yet. It is believed where the API server does not tell how it would store the spec.
pub fn unchanged(observed: &Observed) -> Option<PodHash> {
    let rollout = &observed.rollout;
    let status = rollout.status.as_ref()?;
    let generation = rollout.metadata.generation?.to_string();
    let workload = observed.workload.as_ref();
    let workload = workload.map(|workload| workload.generation.to_string());
    let same = status.observed_generation.as_ref() == Some(&generation)
        && status.workload_observed_generation == workload;
    let invalid = status.condition(condition::INVALID_SPEC).is_some();
    let alone = match observed.gate.governance {
        Governance::StandAlone | Governance::Free => true,
        // The spec may be held, and another version served.
        Governance::Governed | Governance::Unknown => false,
    };
    let ours = observed.replica_sets.iter().any(|set| {
        let annotations = set.metadata.annotations.as_ref();
        annotations.is_some_and(|all| all.contains_key(ANNOTATION_DIGEST))
    });
    let said = same && !invalid && alone && !ours;
    status.current_pod_hash.clone().filter(|_| said)
}

/// What a ReplicaSet's template was given beyond its content. Metadata may cover what was written under the same key, so
/// those keys count in neither of two templates.
fn injected(set: &ReplicaSet) -> Injected {
    let given = crate::pass::metadata::read(set, ANNOTATION_EPHEMERAL_METADATA);
    Injected {
        labels: given.labels.into_keys().collect(),
        annotations: given.annotations.into_keys().collect(),
        anti_affinity: true,
    }
}

/// Equal but for the hash label, what was injected, and the deprecated `serviceAccount`; null, empty and absent are equal
/// in a digest.
fn same_content(one: &PodTemplate, other: &PodTemplate, injected: &Injected) -> bool {
    let plain = |template: &PodTemplate| {
        let template = template.changed(|value| {
            let spec = value.get_mut("spec");
            if let Some(spec) = spec.and_then(serde_json::Value::as_object_mut) {
                spec.remove("serviceAccount");
            }
        });
        content_digest_without(&template, injected)
    };
    plain(one) == plain(other)
}

/// All ReplicaSets that are the Rollout's, or are about to be, and are not being deleted, oldest revision first.
pub fn views(observed: &Observed) -> Vec<SetView> {
    let mine = observed.replica_sets.iter().filter(|set| {
        let part = claims::part(observed, set);
        matches!(part, Part::Owned | Part::Orphan)
    });
    let all = mine.map(|set| SetView::of(observed, set));
    let mut all: Vec<SetView> = all.filter(|view| !view.deleting).collect();
    all.sort_by(|a, b| (a.revision, a.created, &a.name).cmp(&(b.revision, b.created, &b.name)));
    all
}

/// The view whose label has a hash.
pub fn by_hash<'a>(views: &'a [SetView], hash: Option<&PodHash>) -> Option<&'a SetView> {
    let hash = hash?;
    views.iter().find(|view| view.hash == *hash)
}

/// Annotations of the Rollout that its ReplicaSets carry too: all but those that speak of the Rollout itself, and the mark of a
/// permit, which only the engine gives.
pub fn copied_annotations(observed: &Observed) -> BTreeMap<String, String> {
    use agent_api::names::{
        ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY, ANNOTATION_FLEET_REVISION,
        ANNOTATION_KEEP_STABLE, ANNOTATION_LAST_APPLIED, ANNOTATION_NOTIFIED, ANNOTATION_RELEASE,
        ANNOTATION_REVISION_HISTORY, ANNOTATION_WORKLOAD_GENERATION,
    };
    const OWN: [&str; 12] = [
        ANNOTATION_LAST_APPLIED,
        ANNOTATION_REVISION,
        ANNOTATION_REVISION_HISTORY,
        ANNOTATION_DESIRED_REPLICAS,
        ANNOTATION_WORKLOAD_GENERATION,
        ANNOTATION_NOTIFIED,
        ANNOTATION_RELEASE,
        ANNOTATION_PERMITTED_BY,
        ANNOTATION_BREAK_GLASS,
        ANNOTATION_BREAK_GLASS_BY,
        ANNOTATION_FLEET_REVISION,
        ANNOTATION_KEEP_STABLE,
    ];
    let all = observed
        .rollout
        .metadata
        .annotations
        .clone()
        .unwrap_or_default();
    all.into_iter()
        .filter(|(key, _)| !OWN.contains(&key.as_str()))
        .collect()
}
