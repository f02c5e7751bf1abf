//! The templates of an Experiment: their ReplicaSets, their Services, and how far they are.
//!
//! In: the pass. Out: create and scale actions, states of the templates, the time from which all are available. It must not
//! look at analyses.

use std::collections::BTreeMap;

use agent_api::names::{
    ANNOTATION_EXPERIMENT, ANNOTATION_EXPERIMENT_TEMPLATE, LABEL_INSTANCE_ID, LABEL_POD_HASH,
};
use agent_api::pod_hash::experiment_hash;
use agent_api::{
    AnalysisPhase, ExperimentTemplate, ObjectMeta, PodHash, ReplicaSet, ReplicaSetSpec,
    TemplatePhase, TemplateStatus,
};
use jiff::SignedDuration;

use super::names::{name_of, owner, set_name};
use super::pass::Pass;
use super::{Action, Reason};
use crate::claims::{NAME_TAKEN, NamedKind, Taken};
use crate::plan::EventKind;

impl Pass<'_> {
    /// Brings every template on its way.
    pub fn settle_templates(&mut self) {
        let templates = self.observed.experiment.spec.templates.clone();
        let ends = self.terminated();
        let before = std::mem::take(&mut self.status.template_statuses);
        for template in &templates {
            let known = before.iter().find(|one| one.name == template.name);
            let mut status = known.cloned().unwrap_or_else(|| TemplateStatus {
                name: template.name.clone(),
                ..TemplateStatus::default()
            });
            // What has ended as bad stays so, and what is to end gets no pods any more.
            if !status.status.is_some_and(TemplatePhase::is_completed) {
                match self.set_of(&template.name) {
                    Some(set) => self.follow(template, set, &mut status),
                    None if ends => {}
                    None => self.make_set(template, &mut status),
                }
            }
            self.status.template_statuses.push(status);
        }
    }

    /// Takes a ReplicaSet's numbers, scales it, and says how far it is.
    fn follow(&mut self, template: &ExperimentTemplate, set: &ReplicaSet, at: &mut TemplateStatus) {
        let wanted = template.wanted();
        let labels = set.metadata.labels.as_ref();
        let hash = labels.and_then(|all| all.get(LABEL_POD_HASH)).cloned();
        at.pod_template_hash = hash.map(PodHash);
        self.count(set, at);
        if set.desired() != wanted && !self.terminated() {
            self.actions.push(Action::ScaleReplicaSet {
                name: name_of(&set.metadata).to_owned(),
                from: set.desired(),
                to: wanted,
            });
        }
        if let Err(why) = self.settle_service(template, name_of(&set.metadata), at) {
            return self.enter(at, TemplatePhase::Error, Some(why));
        }
        let there = set.desired() == wanted && set.available() >= wanted;
        let phase = if there {
            TemplatePhase::Running
        } else {
            TemplatePhase::Progressing
        };
        self.enter(at, phase, None);
        if !there {
            self.watch_deadline(template, set.available(), at);
        }
    }

    pub(super) fn count(&self, set: &ReplicaSet, at: &mut TemplateStatus) {
        at.replicas = set.current();
        at.updated_replicas = set.current();
        at.ready_replicas = set.ready();
        at.available_replicas = set.available();
    }

    /// Its time runs from when it began to become available.
    fn watch_deadline(
        &mut self,
        template: &ExperimentTemplate,
        have: i32,
        at: &mut TemplateStatus,
    ) {
        let seconds = self.observed.experiment.spec.deadline_seconds();
        let since = at.last_transition_time;
        let since = since.map(|since| self.observed.clock_set.shifted(since));
        let since = since.unwrap_or(self.observed.now.into());
        let deadline = since.saturating_add(SignedDuration::from_secs(i64::from(seconds)));
        if deadline <= self.observed.now {
            self.timed_out = true;
            let wanted = template.wanted();
            let message = format!(
                "has {have} of {wanted} pods available after its progressDeadlineSeconds of {seconds}"
            );
            let message = match at.message.take() {
                Some(known) => format!("{message}: {known}"),
                None => message,
            };
            return self.enter(at, TemplatePhase::Failed, Some(message));
        }
        self.wake_at(deadline);
        self.reasons.push(Reason::TemplatePending {
            template: template.name.clone(),
            available: have,
            wanted: template.wanted(),
            deadline,
        });
    }

    /// Makes the ReplicaSet, under a name that is free.
    fn make_set(&mut self, template: &ExperimentTemplate, at: &mut TemplateStatus) {
        let mut collisions = at.collision_count;
        while let Some(taken) = self.taken(&set_name(self.name(), &template.name, collisions)) {
            collisions = Some(collisions.unwrap_or(0).saturating_add(1));
            let instead = set_name(self.name(), &template.name, collisions);
            self.say_taken(&taken, instead);
        }
        at.collision_count = collisions;
        let name = set_name(self.name(), &template.name, collisions);
        let hash = experiment_hash(self.name(), &template.name, &template.template, collisions);
        at.pod_template_hash = Some(hash.clone());
        let zero = TemplateStatus::default();
        at.replicas = zero.replicas;
        at.updated_replicas = zero.updated_replicas;
        at.ready_replicas = zero.ready_replicas;
        at.available_replicas = zero.available_replicas;
        self.enter(at, TemplatePhase::Progressing, None);
        let refused = self.observed.refused.get(&template.name).cloned();
        if let Some(refused) = refused {
            let message = refused.message.clone();
            self.reasons.push(Reason::SetRefused {
                template: template.name.clone(),
                message: message.clone(),
            });
            if refused.invalid {
                return self.enter(at, TemplatePhase::Error, Some(message));
            }
            at.message = Some(message);
            self.watch_deadline(template, 0, at);
            if refused.until > self.observed.now {
                return self.wake_at(refused.until);
            }
        } else {
            self.watch_deadline(template, 0, at);
        }
        if at.status.is_some_and(TemplatePhase::is_completed) {
            return;
        }
        if let Err(why) = self.settle_service(template, &name, at) {
            return self.enter(at, TemplatePhase::Error, Some(why));
        }
        let replica_set = Box::new(self.replica_set(template, name, &hash));
        self.actions.push(Action::CreateReplicaSet {
            template: template.name.clone(),
            replica_set,
        });
    }

    fn replica_set(
        &self,
        template: &ExperimentTemplate,
        name: String,
        hash: &PodHash,
    ) -> ReplicaSet {
        let experiment = &self.observed.experiment;
        let pods = template.template.with_label(LABEL_POD_HASH, hash.as_str());
        let mut labels = template.template.labels();
        labels.insert(LABEL_POD_HASH.to_owned(), hash.to_string());
        let own = experiment.metadata.labels.as_ref();
        if let Some(id) = own.and_then(|labels| labels.get(LABEL_INSTANCE_ID)) {
            labels.insert(LABEL_INSTANCE_ID.to_owned(), id.clone());
        }
        let annotations = BTreeMap::from([
            (ANNOTATION_EXPERIMENT.to_owned(), self.name().to_owned()),
            (
                ANNOTATION_EXPERIMENT_TEMPLATE.to_owned(),
                template.name.clone(),
            ),
        ]);
        let mut selector = template.selector.clone();
        let by_hash = (LABEL_POD_HASH.to_owned(), hash.to_string());
        selector.match_labels.extend([by_hash]);
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: experiment.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![owner(experiment)]),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(template.wanted()),
                min_ready_seconds: template.min_ready_seconds,
                selector,
                template: pods,
                ..ReplicaSetSpec::default()
            },
            ..ReplicaSet::default()
        }
    }

    fn taken(&self, name: &str) -> Option<Taken> {
        let mut all = self.observed.taken.iter();
        all.find(|taken| taken.kind == NamedKind::ReplicaSet && taken.name == name)
            .cloned()
    }

    pub(super) fn say_taken(&mut self, taken: &Taken, instead: String) {
        let message = taken.sentence(&instead);
        self.event(EventKind::Warning, NAME_TAKEN, message, taken.name.clone());
        self.reasons.push(Reason::NameTaken {
            taken: taken.clone(),
            instead,
        });
    }

    /// A state of a template, told of when it is another one.
    pub(super) fn enter(
        &mut self,
        at: &mut TemplateStatus,
        phase: TemplatePhase,
        message: Option<String>,
    ) {
        if at.status == Some(phase) {
            if message.is_some() || phase == TemplatePhase::Running {
                at.message = message;
            }
            return;
        }
        let (kind, reason) = match phase {
            TemplatePhase::Progressing => (EventKind::Normal, "TemplateProgressing"),
            TemplatePhase::Running => (EventKind::Normal, "TemplateRunning"),
            TemplatePhase::Successful => (EventKind::Normal, "TemplateSuccessful"),
            TemplatePhase::Failed => (EventKind::Warning, "TemplateFailed"),
            TemplatePhase::Error => (EventKind::Warning, "TemplateError"),
        };
        let detail = message.as_deref().map(|why| format!(": {why}"));
        let text = format!(
            "template {} is {}{}",
            at.name,
            phase.as_str().to_lowercase(),
            detail.unwrap_or_default()
        );
        self.event(kind, reason, text, format!("{}.{phase}", at.name));
        at.status = Some(phase);
        at.message = message;
        at.last_transition_time = Some(self.observed.now.into());
    }

    /// The time from which every pod of every template is available. It is written before anything is measured, so that a
    /// run can be told from one of another try.
    pub fn settle_available(&mut self) {
        let mut all = self.status.template_statuses.iter();
        let there = all.all(|one| one.status == Some(TemplatePhase::Running));
        if !there || self.status.available_at.is_some() || self.terminated() {
            return;
        }
        self.status.available_at = Some(self.observed.now.into());
        self.status.phase = Some(AnalysisPhase::Running);
        self.tell_phase(AnalysisPhase::Running, None);
    }
}
