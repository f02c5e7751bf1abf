//! Amounts as documents write them. In: `2`, `50%`, `30m`. Out: numbers. It must not know what they limit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of clusters, or a share of a wave's clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Amount {
    /// So many clusters.
    Count(u32),
    /// So many of each hundred.
    Percent(u8),
}

impl Amount {
    /// Of `clusters`, rounded down.
    #[must_use]
    pub fn of(self, clusters: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(percent) => clusters.saturating_mul(usize::from(percent)) / 100,
        }
    }

    /// Of `clusters`, rounded up: a share of some is never nobody.
    #[must_use]
    pub fn rounded_up_of(self, clusters: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Self::Percent(percent) => clusters.saturating_mul(usize::from(percent)).div_ceil(100),
        }
    }

    /// Of `clusters`, but never none: a share that rounds to nothing still lets one cluster move.
    #[must_use]
    pub fn at_least_one_of(self, clusters: usize) -> usize {
        self.of(clusters).max(1)
    }
}

/// Text that is neither a count nor a percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a number of clusters nor a percentage from 0% to 100%")]
pub struct NotAnAmount {
    text: String,
}

impl std::str::FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let wrong = || NotAnAmount {
            text: text.to_owned(),
        };
        let digits = text.strip_suffix('%').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        if digits.len() == text.len() {
            return digits.parse().map(Self::Count).map_err(|_| wrong());
        }
        match digits.parse::<u8>() {
            Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Amount {
    type Error = NotAnAmount;

    fn try_from(text: String) -> Result<Self, NotAnAmount> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// The longest time a document may name: ten years, so that adding one to a timestamp never overflows.
pub const SECONDS_MAX: u32 = 10 * 366 * 24 * 3600;

/// A length of time in whole seconds, written `90s`, `30m`, `1h30m`, `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(pub u32);

impl Seconds {
    /// `time` and this much more; the end of time when there is no such moment.
    #[must_use]
    pub fn after(self, time: jiff::Timestamp) -> jiff::Timestamp {
        time.checked_add(jiff::SignedDuration::from_secs(i64::from(self.0)))
            .unwrap_or(jiff::Timestamp::MAX)
    }
}

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration; write it as 90s, 30m, 1h30m or 2d, ten years at most")]
pub struct NotADuration {
    text: String,
}

impl std::str::FromStr for Seconds {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let wrong = || NotADuration {
            text: text.to_owned(),
        };
        let mut total: u64 = 0;
        let mut digits = String::new();
        let mut last_unit = u64::MAX;
        for letter in text.chars() {
            if letter.is_ascii_digit() {
                digits.push(letter);
                continue;
            }
            let unit: u64 = match letter {
                'd' => 86_400,
                'h' => 3_600,
                'm' => 60,
                's' => 1,
                _ => return Err(wrong()),
            };
            let count: u64 = digits.parse().map_err(|_| wrong())?;
            if unit >= last_unit {
                return Err(wrong());
            }
            total = count
                .checked_mul(unit)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(wrong)?;
            last_unit = unit;
            digits.clear();
        }
        let seconds = u32::try_from(total).map_err(|_| wrong())?;
        if !digits.is_empty() || last_unit == u64::MAX || seconds > SECONDS_MAX {
            return Err(wrong());
        }
        Ok(Self(seconds))
    }
}

impl TryFrom<String> for Seconds {
    type Error = NotADuration;

    fn try_from(text: String) -> Result<Self, NotADuration> {
        text.parse()
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> Self {
        seconds.to_string()
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                write!(f, "{}{letter}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}
