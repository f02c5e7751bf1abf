//! When something may start (S12, F52, F59): windows and freezes. In: a moment by the database's clock, a cluster's labels,
//! the windows that bear on it. Out: open until then, or closed until then and why. Deny wins. It must not read a clock, nor
//! the machine's time zones.

mod cron;
mod rule;
mod together;
mod zone;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use cron::{Cron, NotACron};
pub use rule::{DURATION_MAX, Effect, Freeze, Window};
pub use together::{Never, never_open};
pub use zone::{NotAZone, Zone};

use crate::document::{FleetRollout, Selector};

/// Changes that are followed until something opens or closes; more are answered with the moment reached, so that whoever
/// waits looks again.
const CHANGES_MAX: usize = 500;
/// From here on it is looked for a moment at which windows are open, whenever a document is read: one answer for good. A leap
/// day comes soon after it.
pub(crate) const LOOK_FROM: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// What happens to a cluster that is on its way when its window closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnWindowClose {
    /// It finishes; nothing else starts.
    #[default]
    Finish,
    /// It stops at the step that it has reached, and goes on when a window opens.
    HoldAtStep,
}

/// Windows and freezes of one document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Calendar {
    /// In the order of the document.
    pub windows: Vec<Window>,
    /// In the order of the document.
    pub freezes: Vec<Freeze>,
    /// A rollback waits for an open window, too.
    pub rollback_waits: bool,
    /// What a closing window does to what is on its way.
    pub on_close: OnWindowClose,
}

impl Calendar {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Windows for a part of the fleet, whatever is released there (kind `FleetWindow`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FleetWindow {
    /// `metadata.name`.
    pub name: String,
    /// Where it holds; empty: in the whole fleet.
    #[serde(default)]
    pub clusters: Selector,
    /// What holds there.
    #[serde(default)]
    pub calendar: Calendar,
}

/// Whether something may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may, until then; none: nothing closes it.
    Open {
        /// When it closes.
        until: Option<Timestamp>,
    },
    /// It may not, before then at the earliest.
    Closed {
        /// When it opens.
        until: Timestamp,
        /// The window or freeze that keeps it closed.
        why: String,
    },
}

/// The windows that bear on one cluster, each with the name of its document.
#[derive(Debug, Clone)]
pub struct Windows<'a> {
    documents: Vec<Part<'a>>,
}

/// What one document says.
#[derive(Debug, Clone)]
struct Part<'a> {
    name: String,
    windows: &'a [Window],
    freezes: &'a [Freeze],
}

impl<'a> Part<'a> {
    fn of(name: String, calendar: &'a Calendar) -> Self {
        Self {
            name,
            windows: &calendar.windows,
            freezes: &calendar.freezes,
        }
    }
}

impl<'a> Windows<'a> {
    /// Whether there is any for whatever labels.
    pub(crate) fn any(fleet_rollout: &FleetRollout, fleet: &[FleetWindow]) -> bool {
        let calendars = fleet.iter().map(|window| &window.calendar);
        let mut all = calendars.chain([&fleet_rollout.calendar]);
        all.any(|calendar| !calendar.windows.is_empty() || !calendar.freezes.is_empty())
    }

    /// Those of the FleetRollout and of every FleetWindow that selects these labels.
    #[must_use]
    pub fn of(
        fleet_rollout: &'a FleetRollout,
        fleet: &'a [FleetWindow],
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let own = || {
            let name = format!("FleetRollout {}", fleet_rollout.name);
            Part::of(name, &fleet_rollout.calendar)
        };
        let selected = fleet
            .iter()
            .filter(|window| window.clusters.selects(labels))
            .map(|window| Part::of(format!("FleetWindow {}", window.name), &window.calendar));
        let documents = std::iter::once_with(own)
            .chain(selected)
            .filter(|part| !part.windows.is_empty() || !part.freezes.is_empty())
            .collect();
        Self { documents }
    }

    /// The same for an expedited release (gate.md G30): the FleetRollout's own windows do not count, its freezes do, and so
    /// does whatever is written for the fleet.
    #[must_use]
    pub fn expedited(
        fleet_rollout: &'a FleetRollout,
        fleet: &'a [FleetWindow],
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let mut all = Self::of(fleet_rollout, fleet, labels);
        let own = format!("FleetRollout {}", fleet_rollout.name);
        for part in all.documents.iter_mut().filter(|part| part.name == own) {
            part.windows = &[];
        }
        all
    }

    /// Those of one document alone.
    #[must_use]
    pub fn alone(name: &str, calendar: &'a Calendar) -> Self {
        Self {
            documents: vec![Part::of(name.to_owned(), calendar)],
        }
    }

    /// Whether something may start at this moment.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Standing {
        let Some((mut until, why)) = self.blocked(now) else {
            return Standing::Open {
                until: self.closes(now),
            };
        };
        let horizon = now.checked_add(rule::AHEAD).unwrap_or(Timestamp::MAX);
        for _ in 0..CHANGES_MAX {
            match self.blocked(until) {
                Some((later, _)) if later > until && until < horizon => until = later,
                Some(_) | None => break,
            }
        }
        Standing::Closed { until, why }
    }

    /// What keeps it closed, and until when that does; a freeze before a denying window before missing ones.
    fn blocked(&self, at: Timestamp) -> Option<(Timestamp, String)> {
        let frozen = self.documents.iter().find_map(|part| {
            let freeze = part.freezes.iter().find(|freeze| freeze.covers(at))?;
            let name = &part.name;
            Some((freeze.to, format!("{name} freezes it: {}", freeze.reason)))
        });
        let denied = || {
            self.documents.iter().find_map(|part| {
                let window = of(part, Effect::Deny).find(|window| window.covers(at))?;
                let name = &part.name;
                Some((window.next_change(at), format!("{name} denies {window}")))
            })
        };
        let outside = || {
            self.documents.iter().find_map(|part| {
                let mut allowed = of(part, Effect::Allow).peekable();
                allowed.peek()?;
                if of(part, Effect::Allow).any(|window| window.covers(at)) {
                    return None;
                }
                let (opens, window) = allowed
                    .map(|window| (window.next_change(at), window))
                    .min_by_key(|(opens, _)| *opens)?;
                Some((opens, format!("{} allows {window} next", part.name)))
            })
        };
        frozen.or_else(denied).or_else(outside)
    }

    /// When what is open now closes.
    fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        let mut at = now;
        for _ in 0..CHANGES_MAX {
            at = self.next_change(at)?;
            if self.blocked(at).is_some() {
                return Some(at);
            }
        }
        Some(at)
    }

    fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let windows = self
            .documents
            .iter()
            .flat_map(|part| part.windows)
            .map(|window| window.next_change(after));
        let freezes = self
            .documents
            .iter()
            .flat_map(|part| part.freezes)
            .flat_map(|freeze| [freeze.from, freeze.to])
            .filter(|moment| *moment > after);
        windows.chain(freezes).min()
    }
}

fn of<'a>(part: &Part<'a>, effect: Effect) -> impl Iterator<Item = &'a Window> + use<'a> {
    part.windows
        .iter()
        .filter(move |window| window.effect == effect)
}

/// Whether these windows alone leave any moment open; freezes end by themselves.
#[must_use]
pub fn ever_open(calendar: &Calendar, from: Timestamp) -> bool {
    let lasting = Calendar {
        freezes: Vec::new(),
        ..calendar.clone()
    };
    let windows = Windows::alone("", &lasting);
    match windows.at(from) {
        Standing::Open { .. } => true,
        Standing::Closed { until, .. } => windows.blocked(until).is_none(),
    }
}
