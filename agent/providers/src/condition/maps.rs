//! Maps that a condition writes down: the interpreter takes the first word of what it finds behind a key for the value, or
//! gives up, so that `{limit: 5 * 2}.limit` would be 5.
//!
//! In: tokens of a condition. Out: the first key whose value is not one literal. It must not evaluate.

use super::guard::text_at;
use super::token::{Kind, Token};

/// The key of a map whose value is anything but one number, one text, `true`, `false` or `nil`.
pub(super) fn computed(tokens: &[Token<'_>]) -> Option<String> {
    let open = |index: &usize| text_at(tokens, Some(*index)) == "{";
    (0..tokens.len())
        .filter(open)
        .find_map(|index| computed_in(tokens, index.saturating_add(1)))
}

/// The same of one map; `first` is where its first key would be. Blocks and predicates have no keys.
fn computed_in(tokens: &[Token<'_>], first: usize) -> Option<String> {
    let mut key = first;
    while is_key(tokens, key) {
        let (value, next) = (key.saturating_add(2), key.saturating_add(3));
        let ends = matches!(text_at(tokens, Some(next)), "," | "}");
        if !(is_literal(tokens.get(value)?) && ends) {
            return Some(text_at(tokens, Some(key)).to_owned());
        }
        key = next.saturating_add(1);
    }
    None
}

fn is_key(tokens: &[Token<'_>], at: usize) -> bool {
    let word = tokens.get(at).map(|token| token.kind);
    matches!(word, Some(Kind::Name | Kind::Text)) && text_at(tokens, at.checked_add(1)) == ":"
}

fn is_literal(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Number | Kind::Text => true,
        Kind::Name => matches!(token.text, "true" | "false" | "nil"),
        Kind::Mark => false,
    }
}
