//! Durations as the API writes them: `1h30m`, `500ms`, or a bare number of seconds.
//!
//! In: text or number. Out: a signed duration. Must not touch: the clock.

use jiff::SignedDuration;

use crate::intstr::IntOrString;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text does not follow the form.
    #[error("{0:?} is not a duration: write for example \"30s\", \"1h30m\" or a number of seconds")]
    Malformed(String),
    /// The duration does not fit.
    #[error("{0:?} is too long a duration: write less than 290 years")]
    TooLong(String),
}

// Units with their nanoseconds; longer names first, so that `ms` is not read as `m`.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
// The form's own limit: a signed 64-bit count of nanoseconds.
const MAX_NANOS: i128 = i64::MAX as i128;
// More decimals than this cannot change the nanoseconds of an hour.
const MAX_FRACTION_DIGITS: usize = 18;

/// Reads `1h30m`, `-1.5s` or a bare whole number of seconds.
pub fn parse(text: &str) -> Result<SignedDuration, Error> {
    let malformed = || Error::Malformed(text.to_owned());
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(SignedDuration::from_secs(seconds));
    }
    let (negative, mut left) = match text.strip_prefix('-') {
        Some(tail) => (true, tail),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if left.is_empty() {
        return Err(malformed());
    }
    let mut total: i128 = 0;
    while !left.is_empty() {
        let (nanos, tail) = part(left).ok_or_else(malformed)?;
        total = total.saturating_add(nanos);
        if total > MAX_NANOS {
            return Err(Error::TooLong(text.to_owned()));
        }
        left = tail;
    }
    let nanos = i64::try_from(total).map_err(|_| Error::TooLong(text.to_owned()))?;
    Ok(SignedDuration::from_nanos(if negative {
        nanos.saturating_neg()
    } else {
        nanos
    }))
}

/// One number with its unit at the start of `text`, and what follows it.
fn part(text: &str) -> Option<(i128, &str)> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, tail) = text.split_at_checked(number_end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let (unit, scale) = UNITS
        .iter()
        .filter(|(unit, _)| tail.starts_with(unit))
        .max_by_key(|(unit, _)| unit.len())?;
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let digits = fraction.get(..fraction.len().min(MAX_FRACTION_DIGITS))?;
    let decimals: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let divisor = 10_i128.pow(u32::try_from(digits.len()).ok()?);
    // Too long is told apart by the caller, so sums are held at the end instead of being refused here.
    let nanos = whole
        .saturating_mul(*scale)
        .saturating_add(decimals.checked_mul(*scale)?.checked_div(divisor)?);
    Some((nanos, tail.strip_prefix(unit)?))
}

/// Reads a duration given as a number of seconds or as text.
pub fn from_int_or_string(value: &IntOrString) -> Result<SignedDuration, Error> {
    match value {
        IntOrString::Int(seconds) => Ok(SignedDuration::from_secs(i64::from(*seconds))),
        IntOrString::String(text) => parse(text),
    }
}

#[cfg(test)]
mod tests;
