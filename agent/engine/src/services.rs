//! The Services of a Rollout: which it names, what is wrong with them, what they select.
//!
//! In: strategies, `Observed.services`. Out: names, problems with their paths, and the writes of a pass. It must not
//! decide which version a Service ought to select.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::names::{ANNOTATION_MANAGED_BY, LABEL_POD_HASH};
use agent_api::object::ObjectMeta;
use agent_api::validate::Problem;
use agent_api::{PodHash, PodTemplate, Rollout, RolloutStrategy, Service};

use crate::observed::{GateObserved, Observed};
use crate::pass::Pass;
use crate::plan::{Action, EventKind};

/// A Service as a strategy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The field, such as `spec.strategy.blueGreen.activeService`.
    pub path: String,
    /// The Service.
    pub name: String,
}

/// The Services that a strategy names, in the order of its fields.
pub fn named(strategy: &RolloutStrategy) -> Vec<Named> {
    let blue_green = strategy.blue_green.as_ref();
    let canary = strategy.canary.as_ref();
    let fields = [
        (
            "spec.strategy.canary.canaryService",
            canary.and_then(|canary| canary.canary_service.as_ref()),
        ),
        (
            "spec.strategy.canary.stableService",
            canary.and_then(|canary| canary.stable_service.as_ref()),
        ),
        (
            "spec.strategy.blueGreen.activeService",
            blue_green.and_then(|blue_green| blue_green.active_service.as_ref()),
        ),
        (
            "spec.strategy.blueGreen.previewService",
            blue_green.and_then(|blue_green| blue_green.preview_service.as_ref()),
        ),
    ];
    let given = fields.into_iter().filter_map(|(path, name)| {
        Some(Named {
            path: path.to_owned(),
            name: name.filter(|name| !name.is_empty())?.clone(),
        })
    });
    given.collect()
}

/// Their names.
pub fn names(strategy: &RolloutStrategy) -> BTreeSet<String> {
    named(strategy).into_iter().map(|one| one.name).collect()
}

/// The names of the spec's Services and of those that kept content names.
pub fn all_names(strategy: &RolloutStrategy, gate: &GateObserved) -> BTreeSet<String> {
    let mut all = names(strategy);
    for kept in gate.kept.values() {
        if let Ok(strategy) = serde_json::from_value(kept.strategy.clone()) {
            all.extend(names(&strategy));
        }
    }
    all
}

/// The Rollout that manages a Service.
pub fn manager(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(ANNOTATION_MANAGED_BY).map(String::as_str)
}

/// A Service by name.
pub fn find<'a>(observed: &'a Observed, name: &str) -> Option<&'a Service> {
    let mut all = observed.services.iter();
    all.find(|service| service.metadata.name.as_deref() == Some(name))
}

/// The version that a Service selects.
pub fn selects(service: &Service) -> Option<PodHash> {
    let hash = service.spec.selector.get(LABEL_POD_HASH)?;
    (!hash.is_empty()).then(|| PodHash(hash.clone()))
}

/// What is wrong with the Services that the strategy of a Rollout names; each becomes right when the Service does.
pub fn problems(observed: &Observed, rollout: &Rollout, template: &PodTemplate) -> Vec<Problem> {
    let named = named(&rollout.spec.strategy);
    let own = rollout.metadata.name.as_deref().unwrap_or_default();
    let labels = template.labels();
    let fault = |one: &Named| {
        let message = fault(find(observed, &one.name), &one.name, own, &labels)?;
        Some(Problem {
            path: one.path.clone(),
            message,
        })
    };
    named.iter().filter_map(fault).collect()
}

fn fault(
    service: Option<&Service>,
    name: &str,
    own: &str,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let Some(service) = service else {
        return Some(format!(
            "Service {name:?} is not there: create it, the Rollout goes on by itself then"
        ));
    };
    if let Some(other) = manager(&service.metadata).filter(|manager| *manager != own) {
        return Some(format!(
            "Service {name:?} is managed by the Rollout {other:?}: give each Rollout Services of its own"
        ));
    }
    let mut selector = service.spec.selector.iter();
    let (key, value) =
        selector.find(|(key, value)| *key != LABEL_POD_HASH && labels.get(*key) != Some(*value))?;
    Some(format!(
        "Service {name:?} selects {key}={value}, which the template's labels do not have: correct one of them"
    ))
}

impl Pass<'_> {
    /// Lets a Service select a version, and marks it as ours; nothing when both are so already.
    pub fn switch_service(&mut self, name: &str, to: &PodHash) {
        let Some(service) = find(self.observed, name) else {
            return;
        };
        let from = selects(service);
        let ours = manager(&service.metadata) == Some(self.name());
        if from.as_ref() == Some(to) && ours {
            return;
        }
        // Which Services that version may have is among what is lost.
        if self.has_no_steps() && *to == self.new.hash && from.as_ref() != Some(to) {
            return;
        }
        if from.as_ref() != Some(to) {
            let was = from.as_ref().map_or("all pods", |hash| hash.as_str());
            let message = format!("switched selector of service {name} from {was} to {to}");
            let what = format!("{name}.{was}.{to}").replace(' ', "-");
            self.event(EventKind::Normal, "SwitchService", message, &what);
        }
        self.writes.push(Action::SwitchService {
            name: name.to_owned(),
            from,
            to: to.clone(),
        });
    }

    /// Lets go of Services that the strategy does not name any more. Where that strategy is not the one that what is on its
    /// way came by, it could gain users by it.
    pub fn release_services(&mut self) {
        if self.has_no_steps() {
            return;
        }
        let names = names(&self.effective.strategy);
        let strange = self.observed.services.iter().filter_map(|service| {
            let name = service.metadata.name.clone()?;
            let ours = manager(&service.metadata) == Some(self.name());
            (ours && !names.contains(&name)).then_some(Action::ReleaseService { name })
        });
        let strange: Vec<Action> = strange.collect();
        self.writes.extend(strange);
    }
}
