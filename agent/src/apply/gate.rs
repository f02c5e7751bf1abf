//! The Gate record, written before every effect that rests on it.
//!
//! In: the planned record. Out: one merge patch bound to the version that was observed, and words to the hub of what is
//! new in it. It must not touch what the hub said.

use agent_api::names::gate_name;
use agent_api::{Gate, GateStatus};
use agent_engine::GateChange;
use proto::v1;

use super::{Error, Pass};
use crate::gate_store::reported;
use crate::key::ObjectKey;
use crate::link::state;
use crate::spent::News;
use crate::status_patch::status_patch;
use crate::written::Kind;

impl Pass<'_> {
    pub(super) async fn record_gate(
        &mut self,
        planned: GateStatus,
        changes: &[GateChange],
    ) -> Result<(), Error> {
        let name = gate_name(&self.key.namespace, &self.key.name);
        let gate = self
            .observed
            .gate
            .gate()
            .ok_or_else(|| self.unobserved("Gate", &name))?;
        // G10, G17: first where it outlives the Gate.
        let ends = |change: &GateChange| matches!(change, GateChange::Outcome(_));
        let serves = |change: &GateChange| matches!(change, GateChange::Served(_));
        let news = News {
            outcome: planned
                .outcome
                .as_ref()
                .filter(|_| changes.iter().any(ends)),
            served: planned
                .served
                .as_ref()
                .filter(|_| changes.iter().any(serves)),
        };
        let (spent, writer) = (&self.applier.spent, &self.applier.writer);
        spent.remember(writer, &self.key, &self.uid, news).await?;
        let version = gate.metadata.resource_version.clone().unwrap_or_default();
        let key = ObjectKey::new(self.applier.namespace.clone(), name);
        if let Some(patch) = status_patch(&version, gate.status.as_ref(), &planned)? {
            let stored = self.applier.writer.merge::<Gate>(&key, &patch).await?;
            let uid = crate::observe::uid_of(&stored);
            self.applier.written.wrote(
                Kind::Gate,
                &uid,
                &self.uid,
                stored.resource_version.as_deref().unwrap_or_default(),
            );
        }
        for change in changes {
            self.report_record(change, &planned);
        }
        self.record = Some(planned);
        Ok(())
    }

    fn report_record(&self, change: &GateChange, record: &GateStatus) {
        let reports = &self.applier.reports;
        match change {
            GateChange::Effective(_) => {
                if let Some(effective) = &record.effective {
                    reports.effect(&self.key, state::effect(self.observed, effective));
                }
            }
            GateChange::Outcome(_) => {
                if let Some(outcome) = &record.outcome {
                    reports.outcome(&self.key, state::outcome(self.observed, outcome));
                }
            }
            // The state that follows carries these.
            GateChange::Held(_)
            | GateChange::HoldCleared
            | GateChange::Step(_)
            | GateChange::Paused(_)
            | GateChange::Lease
            | GateChange::LeaseEnd
            | GateChange::Served(_)
            | GateChange::Kept
            | GateChange::LocalPermit
            | GateChange::BreakGlass
            | GateChange::WithoutHub(_)
            | GateChange::Observed => {}
        }
    }

    /// Tells the hub of content that it was not told of (G24). What it was told of is on the Gate, so that neither a
    /// restart nor a hub that is away loses a change.
    pub(super) fn report_change(&self, now: Option<&v1::Content>) {
        let (Some(gate), Some(now)) = (self.observed.gate.gate(), now) else {
            return;
        };
        let told = reported(&gate.metadata);
        let mut now = now.clone();
        // A workload that was made again counts its generations from 1; it is read past the caches, so what it says now
        // is no older than what was told.
        if let (Some(_), Some((digest, generation))) = (&self.observed.workload, &told)
            && *digest != now.digest
        {
            now.generation = now.generation.max(generation.saturating_add(1));
        }
        let was = told.as_ref().map(|(digest, generation)| v1::Content {
            digest: digest.clone(),
            generation: *generation,
            ..v1::Content::default()
        });
        let is_new = told
            .is_none_or(|(digest, generation)| digest != now.digest && now.generation > generation);
        if gate.spec.governed && is_new {
            let rollout = Some(state::reference(self.observed));
            self.applier.reports.content_changed(
                &self.key,
                v1::ContentChanged {
                    rollout,
                    was,
                    now: Some(now),
                },
            );
        }
    }
}
