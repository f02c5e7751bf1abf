//! Which ReplicaSet is the wanted version's, and what happens when it is another one than before.
//!
//! In: the views, what runs. Out: a `Pass` that knows new, stable and older; a reset status after a change. It must not
//! walk steps or scale.

use std::collections::BTreeMap;

use agent_api::anti_affinity::inject;
use agent_api::names::{
    ANNOTATION_DESIRED_REPLICAS, ANNOTATION_DIGEST, ANNOTATION_PERMITTED_BY, ANNOTATION_REVISION,
    ANNOTATION_REVISION_HISTORY, LABEL_POD_HASH, replica_set_name,
};
use agent_api::object::{ObjectMeta, OwnerReference};
use agent_api::pod_hash::{pod_hash, steps_hash};
use agent_api::{
    AntiAffinity, PodHash, PodTemplate, ReplicaSet, ReplicaSetSpec, RolloutStatus, RolloutStrategy,
};

use super::runs::RunKind;
use super::{News, Pass, Strategy, without_gate_pause};
use crate::claims;
use crate::effective::Effective;
use crate::gate::decision::{Decision, Mode, PermitUse};
use crate::gate::facts::Facts;
use crate::observed::Observed;
use crate::plan::{Action, EventKind};
use crate::planted::Bug;
use crate::sets::{ANNOTATION_ADOPTED_STEPS, ANNOTATION_ATTEMPT, SetView, copied_annotations};

/// A hash that is taken this often is not chance any more.
const MAX_COLLISIONS: i32 = 64;

/// Opens the pass; `None` when a ReplicaSet has to be made and its template is not known.
pub fn open<'a>(
    observed: &'a Observed,
    effective: &'a Effective,
    strategy: Strategy<'a>,
    decision: &'a Decision,
    facts: &'a Facts,
    views: Vec<SetView>,
) -> Option<Pass<'a>> {
    let observed_status = observed.rollout.status.clone().unwrap_or_default();
    let before = without_gate_pause(&observed_status);
    let mut status = before.clone();
    let found = find(&before, effective, &views);
    let (new, creating) = match found {
        Some(view) => (view, None),
        None => {
            let template = effective.template.as_ref()?;
            let (view, set) = make(observed, effective, template, &views, &mut status);
            (view, Some(Box::new(set)))
        }
    };
    let stable_hash = status.stable_rs.clone();
    let stable = views
        .iter()
        .find(|view| Some(&view.hash) == stable_hash.as_ref() && view.name != new.name)
        .cloned();
    let others = views.iter().filter(|view| {
        view.name != new.name && Some(&view.name) != stable.as_ref().map(|set| &set.name)
    });
    Some(Pass {
        older: others.cloned().collect(),
        observed,
        effective,
        strategy,
        decision,
        facts,
        index: before.current_step_index.unwrap_or(0),
        before,
        status,
        new,
        creating,
        stable,
        writes: Vec::new(),
        events: Vec::new(),
        reasons: Vec::new(),
        wake: None,
        at_once: None,
        gate_stop: None,
        news: News::default(),
        bug: Bug::default(),
    })
}

/// By digest; of several (a collision, an adopted one) the current one first, then the newest.
fn find(status: &RolloutStatus, effective: &Effective, views: &[SetView]) -> Option<SetView> {
    let mut same = views.iter().filter(|view| view.digest == effective.digest);
    let current = same
        .clone()
        .find(|view| Some(&view.hash) == status.current_pod_hash.as_ref());
    current.or_else(|| same.next_back()).cloned()
}

/// A ReplicaSet to be made, with a hash that none of the others has, and a name that is free.
fn make(
    observed: &Observed,
    effective: &Effective,
    template: &PodTemplate,
    views: &[SetView],
    status: &mut RolloutStatus,
) -> (SetView, ReplicaSet) {
    let mut collisions = status.collision_count;
    let mut hash = pod_hash(template, collisions);
    let rollout = observed.rollout.metadata.name.as_deref();
    let named = |hash: &PodHash| replica_set_name(rollout.unwrap_or_default(), hash);
    let used = |hash: &PodHash| {
        let taken = claims::is_taken(observed, &named(hash));
        taken || views.iter().any(|view| view.hash == *hash)
    };
    while used(&hash) && collisions.unwrap_or(0) < MAX_COLLISIONS {
        collisions = Some(collisions.unwrap_or(0).saturating_add(1));
        hash = pod_hash(template, collisions);
    }
    status.collision_count = collisions;
    let name = named(&hash);
    let revision = newest_revision(views).saturating_add(1);
    let set = object(observed, effective, template, &hash, &name, revision);
    let view = SetView {
        name,
        hash,
        digest: effective.digest.clone(),
        ours: true,
        revision,
        desired: 0,
        current: 0,
        ready: 0,
        available: 0,
        created: None,
        attempt: 0,
        adopted_steps: None,
        background_attempt: 0,
        min_ready_seconds: observed.rollout.spec.min_ready_seconds.unwrap_or(0),
        desired_annotation: None,
        scale_down_at: None,
        taken_back: false,
        permitted: false,
        failure: None,
        deleting: false,
    };
    (view, set)
}

fn newest_revision(views: &[SetView]) -> i64 {
    views.iter().map(|view| view.revision).max().unwrap_or(0)
}

/// The strategy's wish to keep versions apart.
fn anti_affinity(strategy: &RolloutStrategy) -> Option<&AntiAffinity> {
    let canary = strategy.canary.as_ref();
    let blue_green = strategy.blue_green.as_ref();
    canary
        .and_then(|canary| canary.anti_affinity.as_ref())
        .or_else(|| blue_green.and_then(|both| both.anti_affinity.as_ref()))
}

fn object(
    observed: &Observed,
    effective: &Effective,
    template: &PodTemplate,
    hash: &PodHash,
    name: &str,
    revision: i64,
) -> ReplicaSet {
    let rollout = &observed.rollout;
    let stable = rollout
        .status
        .as_ref()
        .and_then(|status| status.stable_rs.as_ref());
    let mut annotations = copied_annotations(observed);
    annotations.insert(ANNOTATION_REVISION.to_owned(), revision.to_string());
    annotations.insert(ANNOTATION_DIGEST.to_owned(), effective.digest.to_string());
    let replicas = rollout.spec.replicas.unwrap_or(1);
    annotations.insert(ANNOTATION_DESIRED_REPLICAS.to_owned(), replicas.to_string());
    let template = template.with_label(LABEL_POD_HASH, hash.as_str());
    let template = match (anti_affinity(&effective.strategy), stable) {
        (Some(wish), Some(stable)) if stable != hash => inject(&template, wish, stable),
        (Some(_) | None, _) => template,
    };
    let mut selector = observed.selector().clone();
    selector
        .match_labels
        .insert(LABEL_POD_HASH.to_owned(), hash.to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: rollout.metadata.namespace.clone(),
            labels: Some(template.labels()),
            annotations: Some(annotations),
            owner_references: Some(vec![owner(observed)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: rollout.spec.min_ready_seconds,
            selector,
            template,
            ..ReplicaSetSpec::default()
        },
        ..ReplicaSet::default()
    }
}

/// The Rollout as the controlling owner of what it makes.
pub fn owner(observed: &Observed) -> OwnerReference {
    let metadata = &observed.rollout.metadata;
    OwnerReference {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Rollout".to_owned(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

impl Pass<'_> {
    /// Marks a ReplicaSet of somebody else's making, gives a version that comes back its new revision, and begins anew
    /// when the version or the list of steps is another one.
    pub fn settle_current(&mut self) {
        self.say_taken_sets();
        let steps = self.step_hash();
        let takes_over = self.creating.is_none() && !self.new.ours;
        let attempts = self.go_on_from_runs(takes_over);
        if takes_over {
            let digest = self.effective.digest.to_string();
            let mut annotations = BTreeMap::from([
                (ANNOTATION_DIGEST.to_owned(), digest),
                (
                    ANNOTATION_ADOPTED_STEPS.to_owned(),
                    steps.clone().unwrap_or_default(),
                ),
            ]);
            annotations.extend(attempts);
            self.writes.push(Action::AdoptReplicaSet {
                name: self.new.name.clone(),
                annotations,
            });
        } else if !attempts.is_empty() {
            self.annotate_new(attempts);
        }
        self.settle_revision();
        self.settle_mark();
        self.copy_annotations();
        let same_version = self.before.current_pod_hash.as_ref() == Some(&self.new.hash);
        // The hash of the steps is another program's until we have taken the ReplicaSet over: it says nothing then.
        let noted = self.before.current_step_hash == steps;
        let adopted = self.new.adopted_steps.clone();
        let resumes = adopted.as_ref() == Some(&steps.clone().unwrap_or_default());
        let same_steps = takes_over || noted || resumes;
        if adopted.is_some() && (noted || !resumes) {
            let gone = BTreeMap::from([(ANNOTATION_ADOPTED_STEPS.to_owned(), None)]);
            let name = self.new.name.clone();
            self.annotate_set(&name, gone);
        }
        if !same_version || !same_steps {
            self.begin_anew(same_version);
        }
        if self.strategy.canary().is_some() {
            self.status.blue_green = None;
        }
        self.status.current_pod_hash = Some(self.new.hash.clone());
        self.status.current_step_hash = steps;
        self.index = self.index.clamp(0, self.step_count());
        if self.at_stable() {
            self.index = self.step_count();
        }
    }

    fn step_hash(&self) -> Option<String> {
        if self.steps().is_empty() {
            return None;
        }
        steps_hash(self.steps())
    }

    fn settle_revision(&mut self) {
        let newest =
            newest_revision(&self.older).max(self.stable.as_ref().map_or(0, |set| set.revision));
        // What is served while something else is held keeps its revision (G14).
        let returns = self.new.revision <= newest && self.decision.mode != Mode::Held;
        if self.creating.is_none() && returns {
            let was = self.new.revision;
            self.new.revision = newest.saturating_add(1);
            // The mark speaks of the revision before.
            self.new.permitted = false;
            let mut annotations = BTreeMap::from([(
                ANNOTATION_REVISION.to_owned(),
                self.new.revision.to_string(),
            )]);
            if was > 0 {
                annotations.insert(
                    ANNOTATION_REVISION_HISTORY.to_owned(),
                    self.history_with(was),
                );
            }
            self.annotate_new(annotations);
        }
        let annotations = self.observed.rollout.metadata.annotations.as_ref();
        let shown = annotations
            .and_then(|all| all.get(ANNOTATION_REVISION))
            .map(String::as_str);
        let revision = self.new.revision.to_string();
        let held = self.decision.mode == Mode::Held;
        if shown != Some(revision.as_str()) && !held {
            self.annotate_rollout(ANNOTATION_REVISION, Some(revision));
        } else if held || !self.corrected() {
            return;
        }
        let message = format!("updated to revision {}", self.new.revision);
        self.event(EventKind::Normal, "RolloutUpdated", message, "");
    }

    /// What goes on by a permit carries so itself: where its Gate is deleted nobody takes it for content that was on its way before
    /// it was governed (G9, G11). What goes on freely carries it no more. One that is made, or comes back, is written anyway.
    fn settle_mark(&mut self) {
        if self.at_stable() {
            return;
        }
        let release = match (&self.decision.mode, &self.decision.permit) {
            (Mode::Forward { release } | Mode::Rollback { release, .. }, PermitUse::Used) => {
                Some(release)
            }
            (Mode::Open, _) => None,
            (Mode::Forward { .. } | Mode::Rollback { .. } | Mode::Held, _) => return,
        };
        if release.is_some() == self.new.permitted {
            return;
        }
        let mark = release.map(|release| format!("{} {release}", self.new.revision));
        let key = ANNOTATION_PERMITTED_BY.to_owned();
        match mark {
            Some(mark) => self.annotate_new(BTreeMap::from([(key, mark)])),
            None => {
                let name = self.new.name.clone();
                self.annotate_set(&name, BTreeMap::from([(key, None)]));
            }
        }
    }

    /// What had this revision before was refused, and nothing was made of it.
    fn corrected(&self) -> bool {
        let changed = self.before.current_pod_hash.as_ref() != Some(&self.new.hash);
        self.creating.is_some() && changed && self.refused().is_none()
    }

    /// The Rollout's annotations reach the ReplicaSet that is there too.
    fn copy_annotations(&mut self) {
        if self.creating.is_some() || self.decision.mode == Mode::Held {
            return;
        }
        let mut sets = self.observed.replica_sets.iter();
        let set = sets.find(|set| set.metadata.name.as_ref() == Some(&self.new.name));
        let known = set.and_then(|set| set.metadata.annotations.as_ref());
        let there = |key: &String| known.and_then(|all| all.get(key));
        let wanted = copied_annotations(self.observed).into_iter();
        let missing: BTreeMap<String, String> = wanted
            .filter(|(key, value)| there(key) != Some(value))
            .collect();
        if !missing.is_empty() {
            self.annotate_new(missing);
        }
    }

    fn history_with(&self, was: i64) -> String {
        let set = self
            .observed
            .replica_sets
            .iter()
            .find(|set| set.metadata.name.as_ref() == Some(&self.new.name));
        let annotations = set.and_then(|set| set.metadata.annotations.as_ref());
        let history = annotations.and_then(|all| all.get(ANNOTATION_REVISION_HISTORY));
        history.map_or_else(|| was.to_string(), |history| format!("{history},{was}"))
    }

    /// Adds annotations to the new ReplicaSet: to the object to be made, or as a write.
    pub fn annotate_new(&mut self, annotations: BTreeMap<String, String>) {
        if let Some(set) = &mut self.creating {
            set.metadata
                .annotations
                .get_or_insert_default()
                .extend(annotations);
            return;
        }
        let name = self.new.name.clone();
        let annotations = annotations
            .into_iter()
            .map(|(key, value)| (key, Some(value)));
        self.annotate_set(&name, annotations.collect());
    }

    /// Sets or removes annotations of a ReplicaSet, in one write.
    pub fn annotate_set(&mut self, name: &str, annotations: BTreeMap<String, Option<String>>) {
        let known = self.writes.iter_mut().find_map(|action| {
            let Action::AnnotateReplicaSet {
                name: of,
                annotations,
                ..
            } = action
            else {
                return None;
            };
            (*of == name).then_some(annotations)
        });
        match known {
            Some(known) => known.extend(annotations),
            None => self.writes.push(Action::AnnotateReplicaSet {
                name: name.to_owned(),
                annotations,
                min_ready_seconds: None,
            }),
        }
    }

    /// The analyses of the present version begin anew, under new names.
    pub fn next_attempt(&mut self) {
        self.new.attempt = self.after_runs(self.new.attempt, RunKind::Step);
        let annotations =
            BTreeMap::from([(ANNOTATION_ATTEMPT.to_owned(), self.new.attempt.to_string())]);
        self.annotate_new(annotations);
    }

    fn begin_anew(&mut self, same_version: bool) {
        let was_under_way = self.before.current_pod_hash.is_some()
            && self.before.stable_rs.is_some()
            && self.before.current_pod_hash != self.before.stable_rs;
        self.clear_pauses();
        // Other steps alone do not let content that failed under a permit start again (G17).
        let failed = !self.decision.may_raise && self.status.aborted_at.is_some();
        // Nor do they outweigh an abort that was asked for in the same moment.
        let asked = self.status.abort == Some(true) && self.status.aborted_at.is_none();
        if !(same_version && (failed || asked)) {
            self.status.abort = None;
            self.status.aborted_at = None;
        }
        self.status.promote_full = None;
        self.forget_runs();
        if let Some(blue_green) = &mut self.status.blue_green {
            blue_green.scale_up_preview_check_point = None;
        }
        self.index = 0;
        self.news.changed = !same_version;
        // All pods of the new version will be younger than a restart that is due.
        if !same_version && !self.at_stable() && self.restarting() {
            self.status.restarted_at = self.observed.rollout.spec.restart_at;
        }
        if self.at_stable() {
            self.index = self.step_count();
            let skips = self.step_count() > 0 || self.strategy.canary().is_none();
            if was_under_way && !same_version && skips {
                self.event(
                    EventKind::Normal,
                    "SkipSteps",
                    "back to the stable version".to_owned(),
                    "",
                );
            }
        } else if same_version {
            // The same version through other steps: its analyses are not the ones that have run.
            self.next_attempt();
            self.next_background();
        }
    }
}
