//! A server's own words in a message.
//! In: whatever it said. Out: one short line without control characters. It must not judge.

/// Longest part of a server's own words in a message.
const MAX_QUOTE: usize = 200;

/// The beginning, on one line.
#[must_use]
pub fn quote(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_QUOTE)
        .collect()
}

/// The beginning of a body, whatever it holds.
#[must_use]
pub fn quote_bytes(body: &[u8]) -> String {
    quote(&String::from_utf8_lossy(body))
}
