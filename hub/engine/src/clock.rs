//! The clocks of clusters against the database's (S12). In: how far one is ahead, in seconds. Out: what to say of it, and
//! what time it is there. It must let nothing start: outside a window by the database's time nothing does, whatever a cluster's
//! clock says.

use jiff::{SignedDuration, Timestamp};

use crate::amount::Seconds;

/// Less is what a message is under way, and what clocks that are kept right differ by.
pub const CLOCK_OFF: i64 = 30;
/// What helps, whichever way it is off.
const SET_IT: &str = "set the clock of the node that its agent runs on (is NTP running there?)";

/// What time it is there.
#[must_use]
pub(crate) fn there(now: Timestamp, ahead: i64) -> Timestamp {
    let there = now.checked_add(SignedDuration::from_secs(ahead));
    there.unwrap_or(if ahead > 0 {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    })
}

/// Whether a permit with this start-by, granted now, is over there before it comes; of a clock that is off by so much that no
/// message under way explains it.
pub(crate) fn is_over_there(start_by: Timestamp, now: Timestamp, ahead: i64) -> bool {
    ahead >= CLOCK_OFF && start_by < there(now, ahead)
}

/// Of a cluster whose clock is ahead, so that by it a permit's time is over too early; none: it is right enough.
#[must_use]
pub fn ahead(seconds: i64) -> Option<String> {
    (seconds >= CLOCK_OFF).then(|| {
        format!(
            "the cluster's clock is {} ahead of the database's, and by it the time to start in is over: {SET_IT}",
            length(seconds)
        )
    })
}

/// Of any cluster, beside its name.
#[must_use]
pub fn note(seconds: i64) -> Option<String> {
    let way = if seconds > 0 { "ahead of" } else { "behind" };
    (seconds.saturating_abs() >= CLOCK_OFF).then(|| {
        let length = length(seconds);
        format!("ClockOff: its clock is {length} {way} the database's; {SET_IT}")
    })
}

/// As documents write it; what is longer than any of them may say is as long as that.
fn length(seconds: i64) -> Seconds {
    let most = crate::amount::SECONDS_MAX;
    Seconds(u32::try_from(seconds.unsigned_abs()).map_or(most, |length| length.min(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_is_over_where_its_time_is_by_a_clock_that_is_off() {
        let (now, hour) = (Timestamp::UNIX_EPOCH, SignedDuration::from_hours(1));
        for (ahead, over) in [
            (0, false),
            (3_600, false),
            (3_601, true),
            (-9_999, false),
            (i64::MAX, true),
        ] {
            assert_eq!(is_over_there(now + hour, now, ahead), over, "{ahead}");
        }
        assert!(
            !is_over_there(now, now, CLOCK_OFF - 1),
            "a message under way"
        );
        assert_eq!(there(now, i64::MIN), Timestamp::MIN);
    }

    #[test]
    fn only_a_clock_that_is_off_is_told() {
        for right in [0, 29, -29] {
            assert_eq!((note(right), ahead(right)), (None, None));
        }
        assert!(note(3_600).is_some_and(|text| text.contains("is 1h ahead of the database's")));
        assert!(note(-90).is_some_and(|text| text.contains("is 1m30s behind the database's")));
        assert!(ahead(3_600).is_some_and(|text| text.contains("1h ahead")));
        assert_eq!(
            ahead(-3_600),
            None,
            "what is behind lets nothing be over too early"
        );
        assert!(note(i64::MIN).is_some() && ahead(i64::MAX).is_some());
    }
}
