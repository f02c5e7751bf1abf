//! What a member without a cluster keeps durably. In: sets of the hub, new content. Out: its state and what it has to report.
//! It does no I/O.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use proto::v1::gate_entry::Governance;
use proto::v1::{
    Content, ContentChanged, DesiredSet, Fence, GateEntry, Outcome, Permit, PermitEffect,
    RolloutRef, RolloutState, ack, outcome, report,
};

use crate::member::{tick, uid};
use crate::shop::NAME;

/// The namespace of the one Rollout.
pub const NAMESPACE: &str = "shop";
/// Digests kept (gate.md G4).
const KEPT: usize = 5;

/// A permit as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its place among the permits of all members.
    pub order: u64,
    /// (incarnation, version).
    pub fence: (u64, u64),
    /// checkout#2.
    pub release: String,
    /// Of the content.
    pub digest: String,
}

/// The durable state of one member.
#[derive(Debug)]
pub struct Ledger {
    /// Its name.
    pub cluster: String,
    /// Of the last set that it stored.
    pub fence: Option<Fence>,
    /// Every permit.
    pub received: Vec<Received>,
    /// What must never be.
    pub violations: Vec<String>,
    entries: Vec<GateEntry>,
    spec: Content,
    served: String,
    kept: Vec<String>,
    permit: Option<Permit>,
    effect: Option<PermitEffect>,
    outcome: Option<Outcome>,
    pending: Vec<(u64, report::Body)>,
    ids: u64,
    order: Arc<AtomicU64>,
}

fn number(fence: Option<Fence>) -> (u64, u64) {
    fence.map_or((0, 0), |fence| (fence.incarnation, fence.version))
}

/// The content of a version, the same in every cluster.
fn content(version: u64) -> Content {
    Content {
        digest: format!("v1:{version}"),
        delivery_digest: "v1:steps".into(),
        revision: format!("r{version}"),
        images: vec![format!("demo:{version}")],
        generation: i64::try_from(version).unwrap_or(i64::MAX),
    }
}

impl Ledger {
    /// Serves version 0, which came before the fleet.
    pub fn new(cluster: &str, order: Arc<AtomicU64>) -> Self {
        let spec = content(0);
        Self {
            cluster: cluster.to_owned(),
            fence: None,
            received: Vec::new(),
            violations: Vec::new(),
            entries: Vec::new(),
            served: spec.digest.clone(),
            kept: vec![spec.digest.clone()],
            spec,
            permit: None,
            effect: None,
            outcome: None,
            pending: Vec::new(),
            ids: 0,
            order,
        }
    }

    fn rollout(&self) -> RolloutRef {
        RolloutRef {
            namespace: NAMESPACE.into(),
            name: NAME.into(),
            uid: format!("{}-{NAME}", uid(&self.cluster)),
        }
    }

    /// New content, held until it is permitted.
    pub fn apply(&mut self, version: u64) {
        let was = std::mem::replace(&mut self.spec, content(version));
        self.kept.push(self.spec.digest.clone());
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        self.report(report::Body::State(self.state()));
        self.report(report::Body::Changed(ContentChanged {
            rollout: Some(self.rollout()),
            was: Some(was),
            now: Some(self.spec.clone()),
        }));
    }

    /// The whole of it, as reported.
    pub fn state(&self) -> RolloutState {
        let held = self.spec.digest != self.served;
        RolloutState {
            rollout: Some(self.rollout()),
            spec: Some(self.spec.clone()),
            served_digest: self.served.clone(),
            served_delivery_digest: self.spec.delivery_digest.clone(),
            held_digest: if held {
                self.spec.digest.clone()
            } else {
                String::new()
            },
            kept: self.kept.clone(),
            healthy: self
                .kept
                .iter()
                .filter(|digest| **digest != self.spec.digest || !held)
                .cloned()
                .collect(),
            phase: if held { "Paused" } else { "Healthy" }.into(),
            outcome: self.outcome.clone(),
            permit_fence: self.permit.as_ref().and_then(|permit| permit.fence),
            effect: self.effect.clone(),
            lease_live: self.permit.is_some(),
            ..RolloutState::default()
        }
    }

    fn report(&mut self, body: report::Body) {
        self.ids += 1;
        self.pending.push((self.ids, body));
    }

    /// What the hub has not said that it has committed.
    pub fn pending(&self) -> Vec<(u64, report::Body)> {
        self.pending.clone()
    }

    /// The hub has committed this report.
    pub fn committed(&mut self, id: u64) {
        self.pending.retain(|(pending, _)| *pending != id);
    }

    /// Of the set that it holds.
    pub fn set_hash(&self) -> String {
        proto::set::hash(&self.entries)
    }

    /// Stores a set before anything is done about it.
    pub fn store(&mut self, set: &DesiredSet) -> ack::Result {
        let (own, theirs) = (number(self.fence), number(set.fence));
        if theirs == own && !set.full {
            return ack::Result::Already;
        }
        if theirs < own {
            self.violations.push(format!(
                "{}: a set at {theirs:?} after one at {own:?}",
                self.cluster
            ));
            return ack::Result::Stale;
        }
        if !set.full && set.base_version != own.1 {
            return ack::Result::NeedFull;
        }
        if set.full {
            self.entries.clear();
        }
        for entry in &set.entries {
            self.entries
                .retain(|own| (&own.namespace, &own.name) != (&entry.namespace, &entry.name));
            self.entries.push(entry.clone());
        }
        if self.set_hash() != set.set_hash {
            return ack::Result::NeedFull;
        }
        self.fence = set.fence;
        ack::Result::Stored
    }

    /// Serves what it is permitted, at once, and says so.
    pub fn act(&mut self) {
        let permit = self
            .entries
            .iter()
            .find_map(|entry| match &entry.governance {
                Some(Governance::Governed(governed)) => governed.permit.clone(),
                Some(Governance::Ungovern(_)) | None => None,
            });
        let Some(permit) = permit else {
            return;
        };
        let (new, old) = (
            number(permit.fence),
            self.permit.as_ref().map(|known| number(known.fence)),
        );
        if old == Some(new) {
            if self.permit.as_ref() != Some(&permit) {
                self.violations
                    .push(format!("{}: two permits at {new:?}", self.cluster));
            }
            return;
        }
        if old > Some(new) {
            self.violations.push(format!(
                "{}: a permit at {new:?} after one at {old:?}",
                self.cluster
            ));
            return;
        }
        self.received.push(Received {
            order: tick(&self.order),
            fence: new,
            release: permit.release.clone(),
            digest: permit.digest.clone(),
        });
        self.serve(permit);
    }

    fn serve(&mut self, permit: Permit) {
        let rollout = Some(self.rollout());
        let effect = PermitEffect {
            rollout: rollout.clone(),
            fence: permit.fence,
            release: permit.release.clone(),
            digest: permit.digest.clone(),
            generation: self.spec.generation,
            at: None,
        };
        let outcome = Outcome {
            rollout,
            fence: permit.fence,
            release: permit.release.clone(),
            digest: permit.digest.clone(),
            result: outcome::Result::Served.into(),
            generation: self.spec.generation,
            ..Outcome::default()
        };
        self.served = permit.digest.clone();
        self.permit = Some(permit);
        self.effect = Some(effect.clone());
        self.outcome = Some(outcome.clone());
        self.report(report::Body::Effect(effect));
        self.report(report::Body::Outcome(outcome));
        self.report(report::Body::State(self.state()));
    }
}
