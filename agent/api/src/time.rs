//! Times that enter a status.
//!
//! In: a timestamp of full precision. Out: whole seconds, printed as RFC 3339 in UTC, so that what is planned equals
//! what is read back. Must not touch: the clock.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole second, as Kubernetes prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StatusTime(Timestamp);

impl StatusTime {
    /// Cuts a timestamp to the second it lies in.
    pub fn from_timestamp(at: Timestamp) -> Self {
        // The remainder is taken off downwards; a time before 1970 has a negative one.
        let nanos = at.subsec_nanosecond();
        let seconds = if nanos < 0 {
            at.as_second().saturating_sub(1)
        } else {
            at.as_second()
        };
        Self(Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN))
    }

    /// The time with full precision (zero nanoseconds).
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// Seconds since 1970.
    pub fn as_second(self) -> i64 {
        self.0.as_second()
    }

    /// This time plus a duration, held at the ends of the calendar.
    pub fn saturating_add(self, span: SignedDuration) -> Timestamp {
        let limit = if span.is_negative() {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        self.0.checked_add(span).unwrap_or(limit)
    }
}

impl From<Timestamp> for StatusTime {
    fn from(at: Timestamp) -> Self {
        Self::from_timestamp(at)
    }
}

impl fmt::Display for StatusTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for StatusTime {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(Self::from_timestamp)
    }
}

impl Serialize for StatusTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(from).map(Self::from_timestamp)
    }
}

impl crate::record::Absent for StatusTime {}

#[cfg(test)]
mod tests;
