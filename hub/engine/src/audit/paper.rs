//! Observing (G13). In: an action. Out: whether a FleetRollout that only observes may take it, and whether a gate says what
//! its document says. It must not ask what the waves would have done.

use super::Findings;
use crate::action::{Action, ChangeFate};
use crate::document::Enforcement;
use crate::observed::Observed;

pub(super) fn check(findings: &mut Findings, state: &Observed, action: &Action) {
    let observes = state.fleet_rollout.enforcement == Enforcement::Observe;
    let held = match action {
        Action::Govern { cluster, terms } => {
            let same = terms.enforcement == state.fleet_rollout.enforcement;
            findings.need(same, "G13", || {
                format!("the gate of {cluster} says {:?}", terms.enforcement)
            });
            return;
        }
        Action::SettleChange { fate, .. } => match fate {
            ChangeFate::OnPaper { .. } => !observes,
            ChangeFate::Joined { .. } | ChangeFate::Older { .. } | ChangeFate::Barred { .. } => {
                observes
            }
            ChangeFate::Withdrawn
            | ChangeFate::FirstDeploy
            | ChangeFate::NotNewer
            | ChangeFate::NotSelected => false,
        },
        // Taking away holds nothing.
        Action::SetWaiting { .. }
        | Action::RefuseRequest { .. }
        | Action::RevokePermit { .. }
        | Action::Member { .. } => false,
        Action::OpenRelease { .. }
        | Action::Obey { .. }
        | Action::StartRelease { .. }
        | Action::JoinTarget { .. }
        | Action::BindContent { .. }
        | Action::BindDelivery { .. }
        | Action::SetTargetState { .. }
        | Action::RequestApproval { .. }
        | Action::StartWave { .. }
        | Action::VoidApprovals { .. }
        | Action::GrantPermit { .. }
        | Action::StartBake { .. }
        | Action::PassWave { .. }
        | Action::FailWave { .. }
        | Action::HaltRelease { .. }
        | Action::StartRollback { .. }
        | Action::EndRelease { .. }
        | Action::Bar { .. }
        | Action::Unbar { .. } => observes,
    };
    findings.need(!held, "G13", || {
        format!(
            "{:?} does not go with: {action}",
            state.fleet_rollout.enforcement
        )
    });
}
