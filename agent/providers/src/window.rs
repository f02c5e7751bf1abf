//! The time that a question looks back over, and how long its answer is waited for.
//!
//! In: durations as written. Out: the beginning of the window, the limit of a request. It must not look at the clock.

use std::time::Duration;

use agent_api::duration;
use jiff::{SignedDuration, Timestamp};

use crate::transport::MAX_TIMEOUT;

/// The time looked back over when the metric does not say.
pub(crate) const DEFAULT_WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// Longest window: no provider keeps points of a use for a verdict longer.
const MAX_WINDOW: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Why a duration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no duration.
    #[error("{field}: {reason}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: duration::Error,
    },
    /// It is no time to look back over or to wait.
    #[error("{field} is {written:?}: it must be more than zero and at most a year")]
    Range {
        /// The field.
        field: &'static str,
        /// As written.
        written: String,
    },
}

/// Where a window of this length begins that ends now.
pub(crate) fn start(
    field: &'static str,
    written: Option<&str>,
    now: Timestamp,
) -> Result<Timestamp, Error> {
    let span = span(field, written)?.unwrap_or(DEFAULT_WINDOW);
    now.checked_sub(span).map_err(|_| Error::Range {
        field,
        written: written.unwrap_or_default().to_owned(),
    })
}

/// How long an answer is waited for: as written, never longer than the transport allows.
pub(crate) fn timeout(
    field: &'static str,
    written: Option<&str>,
    default: Duration,
) -> Result<Duration, Error> {
    let span = span(field, written)?;
    let given = span.and_then(|span| Duration::try_from(span).ok());
    Ok(given.unwrap_or(default).min(MAX_TIMEOUT))
}

/// How long an answer is waited for, in whole seconds as written; none, zero and less are the default.
pub(crate) fn seconds(written: Option<i64>, default: Duration) -> Duration {
    let given = written.and_then(|seconds| u64::try_from(seconds).ok());
    let given = given.filter(|seconds| *seconds > 0);
    given.map_or(default, Duration::from_secs).min(MAX_TIMEOUT)
}

fn span(field: &'static str, written: Option<&str>) -> Result<Option<SignedDuration>, Error> {
    let Some(written) = written.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let span = duration::parse(written).map_err(|reason| Error::Malformed { field, reason })?;
    if span <= SignedDuration::ZERO || span > MAX_WINDOW {
        return Err(Error::Range {
            field,
            written: written.to_owned(),
        });
    }
    Ok(Some(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        for (written, expected) in [
            (None, Some("2026-01-01T00:55:00Z")),
            (Some(""), Some("2026-01-01T00:55:00Z")),
            (Some("1h"), Some("2026-01-01T00:00:00Z")),
            (Some("60"), Some("2026-01-01T00:59:00Z")),
            (Some("0"), None),
            (Some("-5m"), None),
            (Some("200000h"), None),
            (Some("soon"), None),
        ] {
            let found = start("interval", written, now).map(|at| at.to_string());
            assert_eq!(found.ok().as_deref(), expected, "{written:?}");
        }
        let ten = Duration::from_secs(10);
        let wait = |written| timeout("requestTimeout", written, ten).ok();
        assert_eq!(wait(None), Some(ten));
        assert_eq!(wait(Some("1m")), Some(Duration::from_secs(60)));
        assert_eq!(wait(Some("10h")), Some(MAX_TIMEOUT));
        assert_eq!(wait(Some("-1s")), None);
    }
}
