//! The database's times. In: sqlx's. Out: jiff's, and back. It must not read a clock.

use jiff::Timestamp;
use time::OffsetDateTime;

/// A database time; one outside jiff's range (`infinity`, `epoch` are inside) becomes the nearest one it can hold.
pub fn from_db(time: OffsetDateTime) -> Timestamp {
    Timestamp::from_nanosecond(time.unix_timestamp_nanos()).unwrap_or(Timestamp::MAX)
}

/// The same for a column that may be null.
pub fn from_db_opt(time: Option<OffsetDateTime>) -> Option<Timestamp> {
    time.map(from_db)
}

/// A time for the database, which keeps microseconds.
pub fn to_db(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(time.as_nanosecond())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
