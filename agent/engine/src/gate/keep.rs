//! Which templates are kept after a pass (G2, G4).
//!
//! In: what was decided and done, the kept content as observed, the record as planned so far. Out: keep and forget actions,
//! and the record's list of what is kept. It must not decide what runs.

use agent_api::digest::content_digest;
use agent_api::names::gate_name;
use agent_api::{ContentDigest, GateStatus, KeptTemplate, Permit, PodTemplate};

use super::record::Recorder;
use crate::effective::{Effective, strategy_value};
use crate::observed::Observed;
use crate::plan::{Action, KeepTemplate};

/// Kept contents that succeeded here and are never forgotten (G4).
const KEPT_SUCCEEDED: usize = 2;
/// Kept contents beside them (G4).
const KEPT_OTHERS: usize = 5;
/// Letters of each digest in the name of a ControllerRevision: enough that two contents of one Rollout never meet.
const NAME_LETTERS: usize = 16;

impl Recorder<'_> {
    /// Keeps the spec's content, marks what was served, forgets what is too much (G4).
    pub(super) fn keep(
        &self,
        status: &mut GateStatus,
        permit: Option<&Permit>,
        actions: &mut Vec<Action>,
    ) {
        self.mirror(status, actions);
        if let Some(template) = self.own_template().filter(|_| self.keeps_spec(permit)) {
            let name = kept_name(self.observed, self.spec);
            actions.push(Action::KeepTemplate(Box::new(KeepTemplate {
                digest: self.spec.digest.clone(),
                delivery: self.spec.delivery.clone(),
                name: name.clone(),
                template: template.clone(),
                strategy: strategy_value(&self.spec.strategy),
                templates: self.spec.templates.clone(),
            })));
            self.drop_kept(status, &self.spec.digest, &name, actions);
            let known = status
                .kept
                .iter()
                .find(|kept| kept.digest == self.spec.digest);
            let entry = KeptTemplate {
                digest: self.spec.digest.clone(),
                delivery_digest: self.spec.delivery.clone(),
                name,
                last_served_at: known.and_then(|kept| kept.last_served_at),
                kept_at: self.now(),
                ..KeptTemplate::default()
            };
            status.kept.retain(|kept| kept.digest != self.spec.digest);
            status.kept.push(entry);
        }
        if let Some(served) = status.served.clone() {
            for kept in status
                .kept
                .iter_mut()
                .filter(|kept| kept.digest == served.digest)
            {
                kept.last_served_at = Some(kept.last_served_at.unwrap_or(served.at).max(served.at));
            }
        }
        self.forget(status, actions);
    }

    /// What is there is recorded, what is not is not. A pass that was cut off may have left the object of an older
    /// delivery behind, which only the record still names.
    fn mirror(&self, status: &mut GateStatus, actions: &mut Vec<Action>) {
        status
            .kept
            .retain(|kept| self.observed.gate.kept.contains_key(&kept.digest));
        for (digest, kept) in &self.observed.gate.kept {
            let known = status.kept.iter_mut().find(|known| known.digest == *digest);
            let name = name_of(self.observed, digest, kept.delivery.as_str());
            match known {
                Some(known) if known.delivery_digest == kept.delivery => {}
                Some(known) => {
                    actions.push(Action::ForgetTemplate {
                        digest: digest.clone(),
                        name: std::mem::replace(&mut known.name, name),
                    });
                    known.delivery_digest = kept.delivery.clone();
                }
                None => status.kept.push(KeptTemplate {
                    digest: digest.clone(),
                    delivery_digest: kept.delivery.clone(),
                    name,
                    last_served_at: None,
                    kept_at: self.now(),
                    ..KeptTemplate::default()
                }),
            }
        }
    }

    /// The template that the spec's digest is of. One that was copied back from a ReplicaSet is only known by that digest.
    fn own_template(&self) -> Option<&PodTemplate> {
        let kept = self.observed.gate.kept.get(&self.spec.digest);
        let kept = kept.map(|kept| &kept.template);
        let written = self.spec.template.as_ref();
        let own = |template: &&PodTemplate| {
            self.observed.stored.is_empty() || content_digest(template) == self.spec.digest
        };
        written.filter(own).or(kept.filter(|_| written.is_some()))
    }

    /// G2: the delivery of the moment it was held for is frozen while a permit names it or it is on its way by it.
    fn keeps_spec(&self, permit: Option<&Permit>) -> bool {
        let flight = self.facts.in_flight.as_ref();
        let flight = flight.filter(|flight| flight.digest == self.spec.digest && !flight.aborted);
        let Some(kept) = self.observed.gate.kept.get(&self.spec.digest) else {
            // What it is on its way by is lost: the spec's steps are not that.
            return flight.is_none() || self.runs_spec();
        };
        let frozen = permit.is_some_and(|permit| {
            permit.delivery_digest == kept.delivery && permit.digest == self.spec.digest
        }) || flight.is_some() && !self.runs_spec();
        kept.delivery != self.spec.delivery && !frozen
    }

    /// The spec's content runs, by the spec's steps.
    fn runs_spec(&self) -> bool {
        self.effective.is_some_and(|runs| {
            runs.digest == self.spec.digest
                && runs.delivery == self.spec.delivery
                && (runs.template.is_some() || self.spec.template.is_none())
        })
    }

    /// The object of an older delivery of the same content goes.
    fn drop_kept(
        &self,
        status: &GateStatus,
        digest: &ContentDigest,
        name: &str,
        actions: &mut Vec<Action>,
    ) {
        let old = status
            .kept
            .iter()
            .filter(|kept| kept.digest == *digest && kept.name != name);
        actions.extend(old.map(|kept| Action::ForgetTemplate {
            digest: digest.clone(),
            name: kept.name.clone(),
        }));
    }

    fn forget(&self, status: &mut GateStatus, actions: &mut Vec<Action>) {
        let wanted = self
            .observed
            .gate
            .gate()
            .and_then(|gate| gate.spec.permit.as_ref())
            .map(|permit| &permit.digest);
        let flight = self.facts.in_flight.as_ref().map(|flight| &flight.digest);
        let in_use = |digest: &ContentDigest| {
            *digest == self.spec.digest
                || [wanted, flight, self.facts.served.as_ref()].contains(&Some(digest))
        };
        let mut succeeded: Vec<&KeptTemplate> = status
            .kept
            .iter()
            .filter(|kept| kept.last_served_at.is_some())
            .collect();
        succeeded.sort_by_key(|kept| std::cmp::Reverse(kept.last_served_at));
        let safe: Vec<ContentDigest> = succeeded
            .iter()
            .take(KEPT_SUCCEEDED)
            .map(|kept| kept.digest.clone())
            .collect();
        let mut others: Vec<KeptTemplate> = status
            .kept
            .iter()
            .filter(|kept| !safe.contains(&kept.digest) && !in_use(&kept.digest))
            .cloned()
            .collect();
        others.sort_by_key(|kept| std::cmp::Reverse((kept.kept_at, kept.digest.clone())));
        for kept in others.into_iter().skip(KEPT_OTHERS) {
            status.kept.retain(|known| known.digest != kept.digest);
            actions.push(Action::ForgetTemplate {
                digest: kept.digest,
                name: kept.name,
            });
        }
    }
}

/// Name of the ControllerRevision of a content and its delivery; namespace and Rollout are in it because it lies in the
/// agent's own namespace.
fn name_of(observed: &Observed, digest: &ContentDigest, delivery: &str) -> String {
    let metadata = &observed.rollout.metadata;
    let gate = gate_name(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    );
    format!("{gate}.{}.{}", letters(digest.as_str()), letters(delivery))
}

fn kept_name(observed: &Observed, content: &Effective) -> String {
    name_of(observed, &content.digest, content.delivery.as_str())
}

/// The first letters after the form of a digest.
fn letters(digest: &str) -> String {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.chars()
        .take(NAME_LETTERS)
        .collect::<String>()
        .to_lowercase()
}
