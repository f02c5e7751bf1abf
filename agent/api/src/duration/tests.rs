//! Durations.

use jiff::SignedDuration;

use super::{Error, from_int_or_string, parse};
use crate::intstr::IntOrString;

#[test]
fn reads_every_form() {
    let cases: [(&str, i64); 20] = [
        ("0", 0),
        ("0s", 0),
        ("10", 10_000),
        ("30s", 30_000),
        ("1h30m", 5_400_000),
        ("1h30m10s", 5_410_000),
        ("90m", 5_400_000),
        ("1.5h", 5_400_000),
        (".5s", 500),
        ("1.s", 1_000),
        ("500ms", 500),
        ("1m500ms", 60_500),
        ("2000us", 2),
        ("2000µs", 2),
        ("2000μs", 2),
        ("3000000ns", 3),
        ("-1m", -60_000),
        ("+1m", 60_000),
        ("-5", -5_000),
        ("30m1h", 5_400_000),
    ];
    for (text, millis) in cases {
        assert_eq!(
            parse(text),
            Ok(SignedDuration::from_millis(millis)),
            "{text}"
        );
    }
}

#[test]
fn refuses_what_is_no_duration() {
    for text in [
        "", " ", "s", "h", "-", "+", "1d", "1x", "1.2.3s", ".", ".s", "1 h", "1h ", "h1", "1h30",
        "five", "1µ",
    ] {
        assert_eq!(
            parse(text),
            Err(Error::Malformed(text.to_owned())),
            "{text:?}"
        );
    }
    for text in ["3000000h", "99999999999999999999999999h"] {
        assert_eq!(
            parse(text),
            Err(Error::TooLong(text.to_owned())),
            "{text:?}"
        );
    }
}

#[test]
fn a_number_is_seconds() {
    assert_eq!(
        from_int_or_string(&IntOrString::Int(90)),
        Ok(SignedDuration::from_secs(90))
    );
    assert_eq!(
        from_int_or_string(&"90".into()),
        Ok(SignedDuration::from_secs(90))
    );
    assert_eq!(
        from_int_or_string(&"1m30s".into()),
        Ok(SignedDuration::from_secs(90))
    );
}
