//! The clocks of clusters against the database's (S12). In: how far one is ahead, in seconds. Out: what to say of it. It must
//! not be decided on: nothing starts outside a window by the database's time, whatever a cluster's clock says.

use crate::amount::Seconds;

/// Less is what a message is under way, and what clocks that are kept right differ by.
pub const CLOCK_OFF: i64 = 30;
/// What helps, whichever way it is off.
const SET_IT: &str = "set the clock of the node that its agent runs on (is NTP running there?)";

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
