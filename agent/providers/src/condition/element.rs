//! `.field` without an owner, which inside a predicate is a field of the element.
//!
//! In: tokens of a condition. Out: the same with `#` before such a dot: the interpreter knows that form only. It must not
//! judge where it stands: outside a predicate the interpreter refuses `#`.

use super::token::{Kind, Token};

/// Gives every dot without an owner the element as its owner. `map(list, .field)`, where the field alone is the predicate,
/// stays as it is.
pub(super) fn owned<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut owned = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|at| tokens.get(at));
        let field = tokens.get(index.saturating_add(1));
        let after = tokens.get(index.saturating_add(2));
        let named = field.is_some_and(|field| field.kind == Kind::Name);
        if matches!(token.text, "." | "?.") && named && !owns(before) && !alone(before, after) {
            owned.push(Token {
                kind: Kind::Name,
                text: "#",
                start: token.start,
            });
        }
        owned.push(*token);
    }
    owned
}

/// Whether a field can be of what ends here.
fn owns(before: Option<&Token<'_>>) -> bool {
    before.is_some_and(|token| match token.kind {
        Kind::Name => !matches!(
            token.text,
            "not" | "and" | "or" | "in" | "contains" | "startsWith" | "endsWith" | "matches"
        ),
        Kind::Text | Kind::Number => true,
        Kind::Mark => matches!(token.text, ")" | "]" | "}"),
    })
}

fn alone(before: Option<&Token<'_>>, after: Option<&Token<'_>>) -> bool {
    let is = |token: Option<&Token<'_>>, texts: [&str; 2]| {
        token.is_some_and(|token| texts.contains(&token.text))
    };
    is(before, [",", ","]) && is(after, [")", ","])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use crate::condition::evaluate;
    use crate::value::MetricValue;

    #[test]
    fn fields_of_elements() {
        let value = MetricValue::Json(json!({"rows": [
            {"n": "2", "deep": {"n": 2}, "list": [2]},
            {"n": "3", "deep": {"n": 3}, "list": [3]},
        ]}));
        for (condition, expected) in [
            ("all(result.rows, {asFloat(.n) >= 2})", Some(true)),
            ("all(result.rows, {asFloat(.n) >= 3})", Some(false)),
            ("all(result.rows, {.deep.n > 1 && .deep.n < 4})", Some(true)),
            ("any(result.rows, {not (.n == \"3\")})", Some(true)),
            ("all(result.rows, {.list[0] > 1})", Some(true)),
            ("all(result.rows, {.list[1] > 1})", None),
            ("all(result.rows, {default(.deep, 0) != 0})", Some(true)),
            ("sum(map(result.rows, {.deep.n})) == 5", Some(true)),
            ("all(result.rows, {asFloat(#.n) >= 2})", Some(true)),
            ("all(result.rows, {.n})", None),
            (".rows == 1", None),
            ("asFloat(.rows) == 1", None),
        ] {
            let found = evaluate(condition, &value, Timestamp::UNIX_EPOCH);
            assert_eq!(
                found.as_ref().ok(),
                expected.as_ref(),
                "{condition}: {found:?}"
            );
        }
    }
}
