//! A step that makes an Experiment: versions of the Rollout beside each other, away from its users.
//!
//! In: the step, the Experiments observed, the gate's decision. Out: create, terminate and delete actions, the verdict as
//! the end of the step, an abort or a pause. It must not know how an Experiment comes to its verdict.

use std::collections::BTreeMap;

use agent_api::experiment::{SPEC_CANARY, SPEC_STABLE};
use agent_api::names::{
    ANNOTATION_REVISION, LABEL_INSTANCE_ID, LABEL_POD_HASH, LABEL_ROLLOUT_TYPE, LABEL_STEP_INDEX,
    ROLLOUT_TYPE_STEP, pause_reason,
};
use agent_api::{
    AnalysisPhase, CanaryStep, Experiment, ExperimentAnalysis, ExperimentSpec, ExperimentStep,
    ExperimentTemplate, ObjectMeta, PodTemplate, Rollout, RolloutStrategy, StepAnalysis, StepKind,
    StepTemplate, TemplatePhase, WeightDestination,
};

use jiff::SignedDuration;

use super::steps::Done;
use crate::analysis::conditions::{self, BadConditions};
use crate::analysis::template::{self, check_background, check_step};
use crate::claims::{self, NamedKind};
use crate::effective::Effective;
use crate::experiment::leave::has_begun;
use crate::experiment::{Leave, phase, step_analysis};
use crate::observed::Observed;
use crate::pass::Pass;
use crate::pass::current::owner;
use crate::plan::{Action, EventKind, Plan};
use crate::reason::Reason;

/// What an Experiment is made of is there in the next pass, which the status of this one brings about; should it not be, it
/// is looked for again.
const READ_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// The ReplicaSet whose template the present step needs and no cache has whole: the stable version's, while the status is at
/// a step that makes an Experiment of it and that is not there yet.
pub fn stable_wanted(observed: &Observed) -> Option<String> {
    let status = observed.rollout.status.as_ref()?;
    let index = usize::try_from(status.current_step_index?).ok()?;
    let stable = status.stable_rs.as_ref()?;
    if status.current_pod_hash.as_ref() == Some(stable) {
        return None;
    }
    let path = format!("/canary/steps/{index}/experiment/templates");
    let strategy = serde_json::to_value(&observed.rollout.spec.strategy).ok()?;
    let kept = observed.gate.kept.values().map(|kept| &kept.strategy);
    let of_stable = |strategy: &serde_json::Value| {
        let templates = strategy.pointer(&path).and_then(|list| list.as_array());
        let mut all = templates.into_iter().flatten();
        all.any(|one| one.get("specRef").and_then(|word| word.as_str()) == Some(SPEC_STABLE))
    };
    if !of_stable(&strategy) && !kept.into_iter().any(of_stable) {
        return None;
    }
    let canary = status.canary.as_ref();
    let current = canary.and_then(|canary| canary.current_experiment.as_deref());
    let mut made = observed.experiments.iter();
    if current.is_some() && made.any(|one| one.metadata.name.as_deref() == current) {
        return None;
    }
    let mut sets = observed.replica_sets.iter();
    let set = sets.find(|set| {
        let labels = set.metadata.labels.as_ref();
        labels.and_then(|all| all.get(LABEL_POD_HASH)) == Some(&stable.0)
    })?;
    set.metadata.name.clone()
}

/// Whether a Rollout lets one of its Experiments begin, by the plan for the Rollout: while it waits for it, and for no
/// other reason.
pub fn leave(plan: &Plan, name: &str) -> Leave {
    let of_it = plan.reasons.iter().find_map(|reason| {
        if let Reason::ExperimentRunning { experiment, .. } = reason {
            return (experiment == name).then_some(Leave::Given);
        }
        let Reason::ExperimentWaits { name: of, why } = reason else {
            return None;
        };
        let why = why.clone();
        (of == name).then_some(Leave::Withheld { why })
    });
    of_it.unwrap_or_else(|| {
        let other = plan.reasons.first().map(Reason::to_string);
        let why = other.unwrap_or_else(|| "it does not wait for this experiment".to_owned());
        Leave::Withheld { why }
    })
}

/// What is wrong with the analyses of a step that makes an Experiment: each by its place.
pub fn problems(
    step: &ExperimentStep,
    effective: &Effective,
    rollout: &Rollout,
    bad: &BadConditions,
) -> Vec<(usize, String)> {
    let spec = ExperimentSpec {
        dry_run: step.dry_run.clone(),
        ..ExperimentSpec::default()
    };
    let none_required = !step.analyses.iter().any(ExperimentAnalysis::is_required);
    let all_must_end = step.duration.is_none() && none_required;
    let wrong = step.analyses.iter().enumerate().filter_map(|(index, one)| {
        let analysis = step_analysis(one, &spec);
        let found = if one.is_required() || all_must_end {
            check_step(&analysis, &effective.templates, rollout)
        } else {
            check_background(&analysis, &effective.templates, rollout)
        };
        let problem = match found {
            Err(error) => Some(error.to_string()),
            Ok(()) => conditions::problem(&analysis, &effective.templates, rollout, bad),
        };
        Some((index, problem?))
    });
    wrong.collect()
}

/// The analyses of a strategy's steps that make an Experiment, in the form of a Rollout's own.
pub(crate) fn analyses(strategy: &RolloutStrategy) -> Vec<StepAnalysis> {
    let steps = strategy.canary.iter().flat_map(|canary| &canary.steps);
    let steps = steps.filter_map(|step| step.experiment.as_ref());
    let all = steps.flat_map(|step| &step.analyses);
    all.map(|one| step_analysis(one, &ExperimentSpec::default()))
        .collect()
}

impl Pass<'_> {
    /// `<rollout>-<hash>-<revision>-<step>`, and the attempt at the end from the second one on. It is the beginning of names
    /// of Services, so it has no dots.
    fn experiment_name(&self) -> String {
        let (name, index) = (self.name(), self.index);
        let base = format!("{name}-{}-{}-{index}", self.new.hash, self.new.revision);
        if self.new.attempt == 0 {
            base
        } else {
            format!("{base}-{}", self.new.attempt)
        }
    }

    fn find_experiment(&self, name: &str) -> Option<&Experiment> {
        let mut all = self.observed.experiments.iter();
        all.find(|one| one.metadata.name.as_deref() == Some(name))
    }

    fn current_experiment(&self) -> Option<&str> {
        self.status.canary.as_ref()?.current_experiment.as_deref()
    }

    /// Makes the Experiment of the step, and acts on its verdict.
    pub(super) fn experiment_step(&mut self, step: &ExperimentStep) -> Done {
        let shown = self.index.saturating_add(1);
        let ended = self.experiment_was_ended(&self.experiment_name());
        if ended || self.resumed_after_experiment() {
            self.clear_pauses();
            self.next_attempt();
        }
        let name = self.experiment_name();
        let found = self.find_experiment(&name).map(|one| {
            let status = one.status.clone().unwrap_or_default();
            let begins = !has_begun(one);
            (phase(one), begins, status.message.unwrap_or_default())
        });
        let Some((phase, begins, message)) = found else {
            self.clear_pauses();
            return self.make_experiment(step, name);
        };
        self.note_experiment(&name);
        match phase {
            AnalysisPhase::Successful => Done::Yes,
            AnalysisPhase::Running | AnalysisPhase::Pending => {
                self.clear_pauses();
                if begins && self.waits_for_fleet(&name) {
                    return Done::No;
                }
                self.reasons.push(Reason::ExperimentRunning {
                    step: shown,
                    experiment: name,
                });
                Done::No
            }
            AnalysisPhase::Inconclusive => {
                let reason = pause_reason::INCONCLUSIVE_EXPERIMENT;
                if self.pause(reason).is_none() {
                    self.add_pause(reason);
                    let text = format!("paused at step {shown}: experiment {name} is inconclusive");
                    self.event(EventKind::Warning, "RolloutPaused", text, "inconclusive");
                }
                self.reasons
                    .push(Reason::ExperimentInconclusive { experiment: name });
                Done::No
            }
            AnalysisPhase::Failed | AnalysisPhase::Error => {
                self.abort_for_experiment(&name, phase, &message);
                Done::No
            }
        }
    }

    fn abort_for_experiment(&mut self, name: &str, phase: AnalysisPhase, message: &str) {
        let shown = self.index.saturating_add(1);
        let word = phase.as_str().to_lowercase();
        let detail = if message.is_empty() {
            String::new()
        } else {
            format!(": {message}")
        };
        self.abort(format!("experiment {name} of step {shown} {word}{detail}"));
        let why = self.news.aborted.clone().unwrap_or_default();
        self.reasons.push(Reason::Aborted { why });
    }

    /// While a person has paused no Experiment is begun, but one that failed takes the version back all the same.
    pub(super) fn hear_experiment_in_pause(&mut self) {
        let name = self.experiment_name();
        let ended = self.experiment_was_ended(&name);
        let Some(one) = self.find_experiment(&name).filter(|_| !ended) else {
            return;
        };
        let found = phase(one);
        let status = one.status.clone().unwrap_or_default();
        self.note_experiment(&name);
        match found {
            AnalysisPhase::Failed | AnalysisPhase::Error => {
                self.abort_for_experiment(&name, found, &status.message.unwrap_or_default());
            }
            AnalysisPhase::Successful
            | AnalysisPhase::Running
            | AnalysisPhase::Pending
            | AnalysisPhase::Inconclusive => {}
        }
    }

    /// Somebody cleared the pause that an inconclusive Experiment had made.
    fn resumed_after_experiment(&self) -> bool {
        let name = self.experiment_name();
        let before = self.before.canary.as_ref();
        let known = before.and_then(|canary| canary.current_experiment.as_ref());
        let unclear = self.find_experiment(&name).map(phase) == Some(AnalysisPhase::Inconclusive);
        let cleared = self.pause(pause_reason::INCONCLUSIVE_EXPERIMENT).is_none();
        known == Some(&name) && unclear && cleared && self.status.controller_pause == Some(true)
    }

    fn note_experiment(&mut self, name: &str) {
        self.status
            .canary
            .get_or_insert_default()
            .current_experiment = Some(name.to_owned());
    }

    /// Pods of the new version are a raise like any other: not without the fleet's word.
    fn waits_for_fleet(&mut self, name: &str) -> bool {
        if self.decision.may_raise {
            return false;
        }
        let (name, why) = (name.to_owned(), self.decision.message.clone());
        let why = why.unwrap_or_else(|| "the fleet lets nothing grow now".to_owned());
        self.reasons.push(Reason::ExperimentWaits { name, why });
        true
    }

    fn make_experiment(&mut self, step: &ExperimentStep, mut name: String) -> Done {
        if self.waits_for_fleet(&name) {
            return Done::No;
        }
        for _ in &self.observed.taken {
            let Some(taken) = claims::taken(self.observed, NamedKind::Experiment, &name) else {
                break;
            };
            self.next_attempt();
            name = self.experiment_name();
            self.say_taken(taken, &name);
        }
        let experiment = match self.experiment(step, &name) {
            Ok(experiment) => experiment,
            Err(why) => {
                self.reasons.push(Reason::ExperimentWaits { name, why });
                let again = self.observed.now.checked_add(READ_AGAIN);
                self.wake_at(again.unwrap_or(jiff::Timestamp::MAX));
                return Done::No;
            }
        };
        self.note_experiment(&name);
        let text = format!("created experiment {name}");
        self.event(EventKind::Normal, "ExperimentCreated", text, "");
        self.reasons.push(Reason::ExperimentRunning {
            step: self.index.saturating_add(1),
            experiment: name,
        });
        self.writes.push(Action::CreateExperiment {
            experiment: Box::new(experiment),
        });
        Done::No
    }

    fn experiment(&self, step: &ExperimentStep, name: &str) -> Result<Experiment, String> {
        let rollout = &self.observed.rollout;
        let templates: Result<Vec<ExperimentTemplate>, String> = step
            .templates
            .iter()
            .map(|template| self.experiment_template(template))
            .collect();
        let stable = self.status.stable_rs.clone().unwrap_or_default();
        let mut analyses = step.analyses.clone();
        for argument in analyses.iter_mut().flat_map(|one| &mut one.args) {
            if argument.value_from.is_some() {
                template::give_value(argument, rollout, &stable, &self.new.hash)
                    .map_err(|error| error.to_string())?;
            }
        }
        let mut labels = BTreeMap::from([
            (LABEL_POD_HASH.to_owned(), self.new.hash.to_string()),
            (LABEL_ROLLOUT_TYPE.to_owned(), ROLLOUT_TYPE_STEP.to_owned()),
            (LABEL_STEP_INDEX.to_owned(), self.index.to_string()),
        ]);
        let own = rollout.metadata.labels.as_ref();
        if let Some(id) = own.and_then(|labels| labels.get(LABEL_INSTANCE_ID)) {
            labels.insert(LABEL_INSTANCE_ID.to_owned(), id.clone());
        }
        let revision = self.new.revision.to_string();
        Ok(Experiment {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: rollout.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(BTreeMap::from([(ANNOTATION_REVISION.to_owned(), revision)])),
                owner_references: Some(vec![owner(self.observed)]),
                ..ObjectMeta::default()
            },
            spec: ExperimentSpec {
                templates: templates?,
                duration: step.duration.clone(),
                progress_deadline_seconds: rollout.spec.progress_deadline_seconds,
                analyses,
                scale_down_delay_seconds: step.scale_down_delay_seconds,
                dry_run: step.dry_run.clone(),
                analysis_run_metadata: step.analysis_run_metadata.clone(),
                ..ExperimentSpec::default()
            },
            ..Experiment::default()
        })
    }

    fn experiment_template(&self, of: &StepTemplate) -> Result<ExperimentTemplate, String> {
        let template = if of.spec_ref == SPEC_CANARY {
            let kept = self.effective.template.clone();
            kept.ok_or_else(|| "the template of the new version is not kept".to_owned())?
        } else {
            let stable = self.observed.stable_template.clone();
            stable.ok_or_else(|| "the template of the stable version is read first".to_owned())?
        };
        let selector = self.observed.selector();
        Ok(ExperimentTemplate {
            name: of.name.clone(),
            replicas: of.replicas,
            min_ready_seconds: self.observed.rollout.spec.min_ready_seconds,
            selector: of.selector.clone().unwrap_or_else(|| selector.clone()),
            template: with_metadata(template, of),
            service: of
                .wants_service()
                .then(|| of.service.clone().unwrap_or_default()),
            ..ExperimentTemplate::default()
        })
    }

    /// The step that makes an Experiment, if it is the present one and the version walks.
    fn at_experiment(&self) -> Option<&ExperimentStep> {
        let walks =
            !self.at_stable() && !self.initial() && !self.aborted() && self.at_once.is_none();
        match self.step(self.index).map(CanaryStep::kind) {
            Some(StepKind::Experiment(step)) if walks => Some(step),
            Some(_) | None => None,
        }
    }

    /// Shares of the traffic for the Experiment's Services, while its pods are there and it is not over.
    pub(super) fn experiment_shares(&self) -> Vec<WeightDestination> {
        let Some(step) = self.at_experiment() else {
            return Vec::new();
        };
        let name = self.experiment_name();
        let running = self.find_experiment(&name);
        let running = running.filter(|one| phase(one) == AnalysisPhase::Running);
        let status = running.and_then(|one| one.status.as_ref());
        let shares = step.templates.iter().filter_map(|template| {
            let mut all = status?.template_statuses.iter();
            let at = all.find(|one| one.name == template.name)?;
            let there = at.status == Some(TemplatePhase::Running) && at.available_replicas > 0;
            let weight = template.weight.filter(|weight| there && *weight > 0)?;
            Some(WeightDestination {
                weight,
                service_name: at.service_name.clone(),
                pod_template_hash: at.pod_template_hash.clone(),
                ..WeightDestination::default()
            })
        });
        shares.collect()
    }

    /// Ends what runs and is not the present step's, and deletes what history does not keep.
    pub fn end_other_experiments(&mut self) {
        let wanted = self.at_experiment().is_some();
        // What an abort came from stays to be seen.
        if !wanted
            && self.news.aborted.is_none()
            && let Some(canary) = &mut self.status.canary
        {
            canary.current_experiment = None;
        }
        let current = self.current_experiment().map(ToOwned::to_owned);
        let current = current.filter(|_| wanted);
        for one in &self.observed.experiments {
            let name = one.metadata.name.clone().unwrap_or_default();
            let over = phase(one).is_completed() || one.spec.terminate == Some(true);
            if !over && current.as_ref() != Some(&name) {
                let text = format!("ending experiment {name}");
                self.event(EventKind::Normal, "ExperimentTerminating", text, &name);
                self.writes.push(Action::TerminateExperiment { name });
            }
        }
    }

    /// The Experiment that the status names, or one of the version that is on its way: its name must not be made again.
    pub(crate) fn is_current_experiment(&self, one: &Experiment) -> bool {
        let labels = one.metadata.labels.as_ref();
        let hash = labels.and_then(|labels| labels.get(LABEL_POD_HASH));
        self.current_experiment() == one.metadata.name.as_deref()
            || !self.at_stable() && hash.map(String::as_str) == Some(self.new.hash.as_str())
    }
}

/// The template with the labels and annotations of the step.
fn with_metadata(template: PodTemplate, of: &StepTemplate) -> PodTemplate {
    let Some(metadata) = &of.metadata else {
        return template;
    };
    let labels = metadata.labels.iter();
    let with_labels = labels.fold(template, |pods, (key, value)| pods.with_label(key, value));
    let annotations = metadata.annotations.iter();
    annotations.fold(with_labels, |pods, (key, value)| {
        pods.with_annotation(key, value)
    })
}
