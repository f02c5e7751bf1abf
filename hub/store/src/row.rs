//! Row types. In: a struct's fields. Out: the same struct, with its column names and whether each may be null, so that one
//! test can compare every statement with what reads it. It must not convert anything.

/// Declares a row type in the order of its statement's columns.
macro_rules! row {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, sqlx::FromRow)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }

        impl $name {
            /// (column, may be null), in order.
            #[cfg_attr(not(test), allow(dead_code, reason = "read by the test that compares statements with rows"))]
            pub(crate) const COLUMNS: &'static [(&'static str, bool)] =
                &[$((stringify!($field), $crate::row::nullable(stringify!($type)))),*];
        }
    };
}
pub(crate) use row;

/// Whether a type's text is an `Option`.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "evaluated in the constant above")
)]
pub(crate) const fn nullable(type_text: &str) -> bool {
    let (text, option) = (type_text.as_bytes(), b"Option");
    if text.len() < option.len() {
        return false;
    }
    let mut index = 0;
    let (mut left, mut right) = (text, option.as_slice());
    while index < option.len() {
        let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) else {
            return false;
        };
        if *a != *b {
            return false;
        }
        (left, right) = (left_rest, right_rest);
        index += 1;
    }
    true
}

/// Rows written by one statement: a fleet of any size costs few statements, and none of them holds more than some MiB.
pub(crate) const ROWS_MAX: usize = 1_000;
