//! What a wave as a whole waits for. In: the wave that a release is at. Out: reasons. It must not act.

use super::List;
use crate::member::emptied;
use crate::reason::Why;
use crate::release::{Release, Stage, Wave, WavePhase};

impl List<'_> {
    pub(super) fn wave(&mut self, release: &Release, wave: &Wave) {
        if !wave.phase.behind() && wave.phase != WavePhase::Failed && emptied(release, wave.number)
        {
            let why = Why::NothingSpeaksForIt {
                wave: wave.number,
                name: wave.name.clone(),
            };
            let next = format!(
                "groundswell release skip {} --wave {} --reason TEXT",
                release.id, wave.name
            );
            self.add(Some(release), Some(wave.number), None, why, next);
            return;
        }
        if let (WavePhase::Baking, Some(until)) = (wave.phase, wave.bake_until) {
            let why = Why::Baking {
                wave: wave.number,
                name: wave.name.clone(),
                until,
            };
            self.add(Some(release), Some(wave.number), None, why, String::new());
        }
        match wave.phase {
            WavePhase::WaitingForApproval => self.approval(release, wave, Stage::Before),
            WavePhase::WaitingToPass => self.approval(release, wave, Stage::After),
            WavePhase::Pending
            | WavePhase::Running
            | WavePhase::Baking
            | WavePhase::Passed
            | WavePhase::Failed
            | WavePhase::Skipped => {}
        }
        if matches!(
            wave.phase,
            WavePhase::Pending | WavePhase::WaitingForApproval
        ) {
            self.order(release, wave);
        }
    }

    fn approval(&mut self, release: &Release, wave: &Wave, stage: Stage) {
        let Some(spec) = release.approval_of(wave.number, stage) else {
            return;
        };
        let have = release.approvals_that_count(wave.number, stage).len();
        // It is not the approvals that are missing.
        if u32::try_from(have).unwrap_or(u32::MAX) >= spec.required {
            return;
        }
        let why = Why::WaitingForApproval {
            wave: wave.number,
            name: wave.name.clone(),
            have: u32::try_from(have).unwrap_or(u32::MAX),
            required: spec.required,
            groups: spec.groups.clone(),
            stage,
        };
        let next = format!(
            "groundswell approve {} --wave {} --comment TEXT",
            release.id, wave.name
        );
        self.add(Some(release), Some(wave.number), None, why, next);
    }

    /// The FleetRollouts that have to pass before the wave starts.
    fn order(&mut self, release: &Release, wave: &Wave) {
        for other in &self.state.before {
            let Some((before, phase)) = other.waits_for() else {
                continue;
            };
            let why = Why::WaitingForFleetRollout {
                release: before.clone(),
                phase,
            };
            let next = if phase.ended() {
                format!("groundswell history {before}")
            } else {
                format!("groundswell explain {before}")
            };
            self.add(Some(release), Some(wave.number), None, why, next);
        }
    }
}
