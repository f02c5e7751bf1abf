//! Fields of a comparison of samples: a misspelled one would be nil, and nil is unequal to everything.
//!
//! In: tokens of a condition. Out: the first field that no comparison has. It must not evaluate: what holds a comparison is
//! told from the text, and rather too much than too little is taken for one.

use std::collections::BTreeSet;

use super::guard::{operand, text_at};
use super::samples::FIELDS;
use super::token::{Kind, Token};

/// The function whose answer has fields.
const COMPARES: &str = "mannWhitney";

/// A field that is read of a comparison, directly, by the name that a `let` gave it, or through a list or map that holds
/// it, and that a comparison does not have.
pub(super) fn unknown(tokens: &[Token<'_>], partners: &[Option<usize>]) -> Option<String> {
    let holders = holders(tokens);
    let places: Vec<usize> = (0..tokens.len())
        .filter(|at| holders.contains(text_at(tokens, Some(*at))))
        .filter(|at| !matches!(text_at(tokens, at.checked_sub(1)), "." | "?." | "let"))
        .collect();
    for (index, token) in tokens.iter().enumerate() {
        let next = text_at(tokens, index.checked_add(1));
        let (field, read_at) = match token.text {
            "." | "?." if next != "[" => (next, index),
            _ if token.kind == Kind::Text => (quoted(token.text), index.saturating_sub(1)),
            _ => continue,
        };
        let Some(start) = owner(tokens, partners, read_at).filter(|_| !FIELDS.contains(&field))
        else {
            continue;
        };
        let of_owner = |place: &usize| (start..read_at).contains(place);
        let of_element = |place: &usize| is_element_of(tokens, partners, start, *place);
        if places
            .iter()
            .any(|place| of_owner(place) || of_element(place))
        {
            return Some(field.to_owned());
        }
    }
    None
}

/// The names behind which a comparison can be.
fn holders<'a>(tokens: &[Token<'a>]) -> BTreeSet<&'a str> {
    let mut holders = BTreeSet::from([COMPARES]);
    let mut open: Option<&str> = None;
    for pair in tokens.windows(2) {
        let [token, next] = pair else { continue };
        match (token.text, open) {
            ("let", _) => open = Some(next.text),
            (";", _) => open = None,
            (name, Some(given)) if name != given && holders.contains(name) => {
                holders.insert(given);
            }
            (_, _) => {}
        }
    }
    holders
}

/// A text without its quotes.
fn quoted(text: &str) -> &str {
    let end = text.len().saturating_sub(1);
    text.get(1..end).unwrap_or_default()
}

/// Where begins what a field is read of: before a dot or a bracket, or in `get(`.
fn owner(tokens: &[Token<'_>], partners: &[Option<usize>], read_at: usize) -> Option<usize> {
    match text_at(tokens, Some(read_at)) {
        "." | "?." | "[" => operand(tokens, partners, read_at, 0),
        "," => (0..read_at).rev().find(|at| {
            let close = partners.get(*at).copied().flatten();
            text_at(tokens, at.checked_sub(1)) == "get"
                && close.is_some_and(|close| close > read_at)
        }),
        _ => None,
    }
}

/// Whether `#` at `start` can be an element of what stands at `place`: the same call has both, and `#` is not an argument of
/// what stands there.
fn is_element_of(
    tokens: &[Token<'_>],
    partners: &[Option<usize>],
    start: usize,
    place: usize,
) -> bool {
    let spans = |open: usize| {
        let close = partners.get(open).copied().flatten();
        close.is_some_and(|close| open < close && close > start)
    };
    text_at(tokens, Some(start)).starts_with('#')
        && place < start
        && !spans(place.saturating_add(1))
        && (0..place).any(|open| text_at(tokens, Some(open)) == "(" && spans(open))
}
