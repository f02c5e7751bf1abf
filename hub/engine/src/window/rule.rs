//! One window or freeze. In: a moment. Out: whether it covers it, and when that changes. It must not weigh one against
//! another: that is `calendar`.

use std::fmt;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::zone::Zone;
use crate::amount::Seconds;

/// The longest window: a longer time is a freeze, with its own dates.
pub const DURATION_MAX: Seconds = Seconds(31 * 86_400);
/// Boundaries that are passed over while nothing changes (a window every minute that lasts a minute): more are not looked
/// at, and the moment that was reached is answered, so that whoever waits looks again.
const STEPS_MAX: usize = 5_000;
/// Nobody plans a release further ahead.
pub(super) const AHEAD: SignedDuration = SignedDuration::from_hours(24 * 366 * 9);

/// What a window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Something may start only while one of these is open.
    Allow,
    /// Nothing may start while this is open.
    Deny,
}

/// A time that comes again. It covers every moment at which a clock on the wall of its zone shows a time between a start and
/// the start plus the duration. So over a skipped hour it is an hour shorter, and one that lies wholly in a skipped hour does
/// not come that day; over a repeated hour it is an hour longer, and one within it comes both times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Allow or deny.
    pub effect: Effect,
    /// When it starts.
    pub cron: Cron,
    /// How long it lasts, by the clock on the wall; never zero.
    pub duration: Seconds,
    /// Whose clock.
    pub timezone: Zone,
}

/// One stretch of time in which nothing starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// From this moment …
    pub from: Timestamp,
    /// … until just before this one.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
}

impl Freeze {
    /// Whether the moment lies in it.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" for {} in {}",
            self.cron, self.duration, self.timezone
        )
    }
}

impl Window {
    /// Whether the moment lies in it.
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.end_after(self.on_the_wall(at)).is_some()
    }

    /// The first moment after this one at which `covers` has another answer, or up to which it surely has the same.
    #[must_use]
    pub fn next_change(&self, after: Timestamp) -> Timestamp {
        let now = self.covers(after);
        let horizon = after.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let mut at = after;
        for _ in 0..STEPS_MAX {
            at = self.boundary(at).unwrap_or(horizon);
            if at >= horizon {
                return horizon;
            }
            if self.covers(at) != now {
                return at;
            }
        }
        at
    }

    fn on_the_wall(&self, at: Timestamp) -> DateTime {
        self.timezone.rules().to_offset(at).to_datetime(at)
    }

    /// The end of the start that covers this time of the wall.
    fn end_after(&self, wall: DateTime) -> Option<DateTime> {
        let days = self.duration.0 / 86_400 + 1;
        let start = self.cron.latest(wall, days)?;
        let length = SignedDuration::from_secs(i64::from(self.duration.0));
        let end = start.checked_add(length).ok()?;
        (wall < end).then_some(end)
    }

    /// The next start, end or change of the zone's offset. Between two changes of the offset the wall's clock runs evenly.
    fn boundary(&self, after: Timestamp) -> Option<Timestamp> {
        let rules = self.timezone.rules();
        let offset = rules.to_offset(after);
        let wall = offset.to_datetime(after);
        let moments = [self.cron.next(wall), self.end_after(wall)];
        let own = moments
            .into_iter()
            .flatten()
            .filter_map(|moment| offset.to_timestamp(moment).ok())
            .filter(|moment| *moment > after)
            .min();
        let shift = rules.following(after).next().map(|shift| shift.timestamp());
        own.into_iter().chain(shift).min()
    }
}
