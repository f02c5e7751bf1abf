//! Times: what is printed reads back equal.

use jiff::Timestamp;
use proptest::prelude::*;

use super::StatusTime;

#[test]
fn cuts_to_the_second_it_lies_in() {
    for (from, to) in [
        ("2026-01-02T03:04:05.999999999Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(
            from.parse::<StatusTime>().unwrap().to_string(),
            to,
            "{from}"
        );
    }
}

#[test]
fn a_text_that_is_no_time_is_refused() {
    assert!(serde_json::from_str::<StatusTime>("\"yesterday\"").is_err());
}

proptest! {
    #[test]
    fn print_parse_equal(seconds in -60_000_000_000_i64..60_000_000_000, nanos in 0..1_000_000_000_i32) {
        let at = StatusTime::from_timestamp(Timestamp::new(seconds, nanos).unwrap());
        prop_assert_eq!(at.as_second(), seconds);
        prop_assert_eq!(at.to_string().parse::<StatusTime>().unwrap(), at);
        let json = serde_json::to_string(&at).unwrap();
        prop_assert_eq!(serde_json::from_str::<StatusTime>(&json).unwrap(), at);
        prop_assert_eq!(StatusTime::from_timestamp(at.timestamp()), at);
    }
}
