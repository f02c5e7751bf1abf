//! Values that are a number or text, as `maxSurge: 1` and `maxSurge: 25%`.
//!
//! In: JSON number or string. Out: the same, with percentages resolved against a total. Must not touch: defaults.

use serde::{Deserialize, Serialize};

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A plain number.
    Int(i32),
    /// A percentage, a duration, a number in quotes, or a template argument.
    String(String),
}

/// Which way a share of pods is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Towards the next whole number above.
    Up,
    /// Towards the next whole number below.
    Down,
}

/// Why a value has no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is neither a number nor a percentage.
    #[error("{0:?} is neither a whole number nor a percentage: write 2 or \"25%\"")]
    NotANumber(String),
    /// The number is below zero.
    #[error("{0:?} is negative: write 0 or more")]
    Negative(String),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl IntOrString {
    /// The number that this stands for, without percentages; a number in quotes counts.
    pub fn as_int(&self) -> Result<i32, Error> {
        match self {
            Self::Int(number) => Ok(*number),
            Self::String(text) => text
                .trim()
                .parse()
                .map_err(|_| Error::NotANumber(text.clone())),
        }
    }

    /// The percentage written, if it is one.
    pub fn as_percent(&self) -> Option<i32> {
        match self {
            Self::Int(_) => None,
            Self::String(text) => text.strip_suffix('%')?.parse().ok(),
        }
    }

    /// The number of pods meant out of `total`; a percentage is rounded as told.
    pub fn resolve(&self, total: i32, round: Round) -> Result<i32, Error> {
        let written = self.as_percent().map_or_else(|| self.as_int(), Ok)?;
        // Checked before rounding, which would turn a small negative share into 0.
        if written < 0 {
            return Err(Error::Negative(self.to_string()));
        }
        Ok(self
            .as_percent()
            .map_or(written, |percent| share(percent, total, round)))
    }

    /// [`Self::resolve`] rounding up, as surge is.
    pub fn resolve_up(&self, total: i32) -> Result<i32, Error> {
        self.resolve(total, Round::Up)
    }

    /// [`Self::resolve`] rounding down, as unavailability is.
    pub fn resolve_down(&self, total: i32) -> Result<i32, Error> {
        self.resolve(total, Round::Down)
    }
}

/// `percent` of `total`, rounded; held inside what a replica count can be.
fn share(percent: i32, total: i32, round: Round) -> i32 {
    let product = i64::from(percent).saturating_mul(i64::from(total));
    let floor = product.div_euclid(100);
    let exact = product.rem_euclid(100) == 0;
    let whole = match round {
        Round::Down => floor,
        Round::Up => {
            if exact {
                floor
            } else {
                floor.saturating_add(1)
            }
        }
    };
    i32::try_from(whole).unwrap_or(if whole < 0 { i32::MIN } else { i32::MAX })
}

impl std::fmt::Display for IntOrString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::String(text) => f.write_str(text),
        }
    }
}

impl From<i32> for IntOrString {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for IntOrString {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl crate::record::Absent for IntOrString {}

#[cfg(test)]
mod tests;
