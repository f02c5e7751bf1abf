//! What a pass tells the hub. In: what it saw and recorded. Out: reports in the process' queue, as the agent's own shell puts them. It
//! must not write.

use agent::gate_store::reported;
use agent::link::state;
use agent_api::GateStatus;
use agent_engine::{GateChange, Observed};
use proto::v1;

use super::Agent;
use crate::planted::{Bugs, Planted};

impl Agent {
    /// As `apply::gate`: effects and outcomes are told when the record has them.
    pub(super) fn report_record(
        &self,
        part: usize,
        observed: &Observed,
        record: Option<&GateStatus>,
        changes: &[GateChange],
    ) {
        let (Some(process), Some(record)) = (&self.process, record) else {
            return;
        };
        let key = self.parts[part].key();
        for change in changes {
            if let (GateChange::Effective(_), Some(effective)) = (change, &record.effective) {
                let effect = state::effect(observed, effective);
                process.reports.effect(&key, effect);
            }
            if let (GateChange::Outcome(_), Some(outcome)) = (change, &record.outcome) {
                let outcome = state::outcome(observed, outcome);
                process.reports.outcome(&key, outcome);
            }
        }
    }

    pub(super) fn report(
        &self,
        part: usize,
        observed: &Observed,
        status: &agent_api::RolloutStatus,
        record: Option<&GateStatus>,
        reasons: &[agent_engine::Reason],
        bugs: Bugs,
    ) {
        let Some(process) = &self.process else { return };
        let key = self.parts[part].key();
        for glass in state::broken_glass(observed, record) {
            if !bugs.has(Planted::GlassUntold) {
                process.reports.broken_glass(&key, glass);
            }
        }
        for verb in reasons.iter().filter_map(|one| state::verb(observed, one)) {
            process.reports.verb(verb);
        }
        let told = state::rollout_state(observed, status, record, reasons);
        if let (Some(gate), Some(now)) = (observed.gate.gate(), &told.spec) {
            let known = reported(&gate.metadata);
            let was = known.as_ref().map(|(digest, generation)| v1::Content {
                digest: digest.clone(),
                generation: *generation,
                ..v1::Content::default()
            });
            let is_new = known.is_none_or(|(digest, generation)| {
                digest != now.digest && now.generation > generation
            });
            if gate.spec.governed && is_new {
                let change = v1::ContentChanged {
                    rollout: Some(state::reference(observed)),
                    was,
                    now: Some(now.clone()),
                };
                process.reports.content_changed(&key, change);
            }
        }
        process.reports.state(&key, told);
    }
}
