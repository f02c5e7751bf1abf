//! What becomes of a Rollout if the hub is silent (G20, G21), for people, before it happens and while it does.
//!
//! In: the facts, the decision, what the pass did, contact. Out: one sentence for the record, in the hub's own words. It must
//! not decide: the same facts decide in `lease_over`, and this says what they come to.

use agent_api::{Enforcement, StatusTime};

use super::decision::{AbortCause, Decision, Mode, PermitUse};
use super::facts::{Contact, Facts, OnHubLoss, Permission};
use crate::observed::HubContact;

/// Nothing is on its way.
const RESTS: &str = "serves what it serves and starts nothing";
/// Everything may go on.
const GOES_ON: &str = "goes on to its end under its own analysis, and starts nothing after that";
/// What would hold it at a step comes too late for that: the share that it is at is the whole, and was permitted.
const NO_STEP_LEFT: &str = "goes on to its end, as every step is behind it";

/// What a pass comes to, as far as it matters here.
pub(super) struct Course<'a> {
    /// What it was decided from.
    pub facts: &'a Facts,
    /// What was decided.
    pub decision: &'a Decision,
    /// Contact with the hub.
    pub hub: HubContact,
    /// The permit has its outcome.
    pub ended: bool,
    /// Content that is not all of what is served runs and was not aborted.
    pub moving: bool,
    /// Every step is behind it.
    pub past_steps: bool,
}

impl Course<'_> {
    /// For people. It says no numbers that change by themselves: the record is written when it changes.
    pub(super) fn without_hub(&self) -> String {
        let (facts, decision) = (self.facts, self.decision);
        if facts.enforcement == Enforcement::Observe {
            return "goes on as Git says: its waves are on paper only".to_owned();
        }
        let used = decision.permit == PermitUse::Used && !self.ended;
        match &decision.mode {
            Mode::Rollback { .. } if used => {
                return "goes back to the end: nothing holds that".to_owned();
            }
            Mode::Forward { .. } if used && facts.stopped.is_none() => return self.permitted(),
            Mode::Open | Mode::Held | Mode::Forward { .. } | Mode::Rollback { .. } => {}
        }
        if !self.moving || self.ended {
            return RESTS.to_owned();
        }
        match (&decision.message, decision.may_raise) {
            (Some(why), false) if self.past_steps => format!("{NO_STEP_LEFT}: {why}"),
            (Some(why), false) => format!("holds at its step: {why}"),
            (None, false) => RESTS.to_owned(),
            (_, true) if self.is_local() => GOES_ON.to_owned(),
            (_, true) => RESTS.to_owned(),
        }
    }

    /// Nobody outside let it start, so nobody's silence holds it.
    fn is_local(&self) -> bool {
        let flight = self.facts.in_flight.as_ref();
        flight.is_none_or(|flight| match flight.permission {
            Permission::Nobody | Permission::Local => true,
            Permission::Fleet => false,
        })
    }

    /// A permit is carried out.
    fn permitted(&self) -> String {
        let (facts, decision) = (self.facts, self.decision);
        let to_the_end = match facts.permit.as_ref().and_then(|permit| permit.max_step) {
            None => GOES_ON.to_owned(),
            Some(step) => format!("goes on to step {step} under its own analysis, and no further"),
        };
        if facts.lease_live {
            return match facts.on_hub_loss {
                OnHubLoss::Finish => to_the_end,
                OnHubLoss::Hold => "holds at its next step when its lease has ended".to_owned(),
                OnHubLoss::Abort { after } => format!(
                    "goes back to what it served {} after its lease has ended, if it is not through by then",
                    spoken(after)
                ),
            };
        }
        let now = match (facts.contact, facts.on_hub_loss) {
            (Contact::Connected, _) => {
                let holds = if self.past_steps {
                    NO_STEP_LEFT
                } else {
                    "holds at its step"
                };
                return format!("{holds}: the lease has ended and the hub does not renew it");
            }
            (Contact::Lost { .. }, OnHubLoss::Hold) if self.past_steps => NO_STEP_LEFT.to_owned(),
            (Contact::Lost { .. }, OnHubLoss::Finish) => to_the_end,
            (Contact::Lost { .. }, OnHubLoss::Hold) => {
                "holds at its step until the hub is back".to_owned()
            }
            (Contact::Lost { .. }, OnHubLoss::Abort { after }) => match decision.abort_in_flight {
                Some(AbortCause::HubSilent { .. } | AbortCause::Recorded) => {
                    "goes back to what it served".to_owned()
                }
                None => format!(
                    "holds at its step, and goes back to what it served {} after its lease has ended",
                    spoken(after)
                ),
            },
        };
        let silence = match self.hub {
            HubContact::Lost { since } => {
                format!("the hub is silent since {}", StatusTime::from(since))
            }
            HubContact::Connected | HubContact::Never => {
                "the hub was not heard since this agent started".to_owned()
            }
        };
        format!("{silence} and the lease has ended: {now}")
    }
}

/// As the document and the hub write it: `10m`, `1h30m`.
pub(super) fn spoken(seconds: i64) -> String {
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= unit {
            text.push_str(&format!("{}{letter}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_spoken_as_the_document_writes_them() {
        for (seconds, wanted) in [
            (0, "0s"),
            (-3, "0s"),
            (90, "1m30s"),
            (600, "10m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(spoken(seconds), wanted);
        }
    }
}
