//! Time on the wire. In: prost timestamps or jiff ones. Out: the other. It must not read a clock.

use jiff::Timestamp;

/// A wire time as a jiff one; `None` when it is outside the range that jiff can hold.
#[must_use]
pub fn from_wire(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A jiff time as a wire one, with full precision.
#[must_use]
pub fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}
