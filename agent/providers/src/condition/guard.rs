//! What a condition must be before it is run.
//!
//! In: a condition as written. Out: the same condition with its element accesses checked, or why it is refused. It must
//! not evaluate. Two gaps of the interpreter are closed here: a name that is never reached is not looked up, and an
//! element that is not there is nil, so that `result[0] != 5` would pass on an empty answer.

use std::collections::BTreeSet;

use super::element::owned;
use super::fields;
use super::functions::{INSIDE, is_function};
use super::maps;
use super::samples::FIELDS;
use super::token::{Kind, Token, split};

/// Longest condition: those in use have less than a tenth of it, and parsing recurses.
const MAX_BYTES: usize = 4096;
/// Deepest nesting: the parser recurses a dozen frames a level, on a thread's two megabytes.
const MAX_DEPTH: usize = 32;
/// Most conditional operators, which nest without brackets.
const MAX_TERNARIES: usize = 16;
/// Longest text with all accesses checked: every access repeats what it is an access of, so that each one behind another
/// doubles it.
const MAX_WRAPPED: usize = 4 * MAX_BYTES;
/// Largest range: a range is a list in memory.
const MAX_RANGE: i64 = 10_000;

/// Words of the language that are no names.
const KEYWORDS: [&str; 15] = [
    "true",
    "false",
    "nil",
    "not",
    "and",
    "or",
    "in",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "let",
    "if",
    "else",
    "result",
];

/// Why a condition is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too long.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Too deep.
    #[error("it nests deeper than {MAX_DEPTH} brackets or {MAX_TERNARIES} conditional operators")]
    TooDeep,
    /// Quotes or brackets do not match.
    #[error("a quote or bracket is not closed")]
    Unclosed,
    /// A name that nothing defines.
    #[error(
        "it names {0:?}, which is not known: a condition knows result, its functions and what it lets"
    )]
    UnknownName(String),
    /// A function that does not exist.
    #[error("it calls {0:?}, which is not a function of the language")]
    UnknownFunction(String),
    /// A field of a comparison that it does not have.
    #[error("it reads {0:?} of mannWhitney(), which has only {list}", list = FIELDS.join(", "))]
    UnknownField(String),
    /// A list made from a range.
    #[error(
        "its range is not between two whole numbers less than {MAX_RANGE} apart, or it has two ranges"
    )]
    Range,
    /// A map with a value that would have to be computed.
    #[error(
        "its map gives {0} something else than one number, one text, true, false or nil, which the language reads wrongly: \
         write that where it is used"
    )]
    Map(String),
    /// Accesses behind each other.
    #[error(
        "it reads elements of elements too often: {MAX_WRAPPED} letters do not hold the checks of them; read fewer behind \
         each other, as in a[0].b[1]"
    )]
    TooManyAccesses,
    /// A number compared with something else.
    #[error("it compares a number with {0}, which never fits: compare it with a number")]
    Kinds(String),
}

/// Checks a condition and wraps its element accesses; `numeric` says that it will judge nothing but numbers.
pub fn guard(source: &str, numeric: bool) -> Result<String, Refusal> {
    if source.len() > MAX_BYTES {
        return Err(Refusal::TooLong);
    }
    let tokens = owned(&split(source).ok_or(Refusal::Unclosed)?);
    let partners = partners(&tokens)?;
    if tokens
        .iter()
        .filter(|token| token.text == "?" || token.text == "??")
        .count()
        > MAX_TERNARIES
    {
        return Err(Refusal::TooDeep);
    }
    check_names(&tokens)?;
    if let Some(field) = fields::unknown(&tokens, &partners) {
        return Err(Refusal::UnknownField(field));
    }
    if let Some(key) = maps::computed(&tokens) {
        return Err(Refusal::Map(key));
    }
    check_ranges(&tokens)?;
    if numeric {
        check_kinds(&tokens, &partners)?;
    }
    wrap(source, &tokens, &partners).ok_or(Refusal::TooManyAccesses)
}

/// For every bracket the index of the one that it belongs to.
fn partners(tokens: &[Token<'_>]) -> Result<Vec<Option<usize>>, Refusal> {
    let mut partners = vec![None; tokens.len()];
    let mut open: Vec<(usize, &str)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let closing = match token.text {
            "(" | "[" | "{" => {
                open.push((index, token.text));
                if open.len() > MAX_DEPTH {
                    return Err(Refusal::TooDeep);
                }
                continue;
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            _ => continue,
        };
        let (start, text) = open.pop().ok_or(Refusal::Unclosed)?;
        if text != closing {
            return Err(Refusal::Unclosed);
        }
        for (at, partner) in [(start, index), (index, start)] {
            if let Some(slot) = partners.get_mut(at) {
                *slot = Some(partner);
            }
        }
    }
    if open.is_empty() {
        Ok(partners)
    } else {
        Err(Refusal::Unclosed)
    }
}

pub(super) fn text_at<'a>(tokens: &[Token<'a>], at: Option<usize>) -> &'a str {
    at.and_then(|at| tokens.get(at))
        .map_or("", |token| token.text)
}

fn check_names(tokens: &[Token<'_>]) -> Result<(), Refusal> {
    let mut lets = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = text_at(tokens, index.checked_sub(1));
        let after = text_at(tokens, index.checked_add(1));
        if token.kind != Kind::Name
            || before == "."
            || before == "?."
            || token.text.starts_with('#')
        {
            continue;
        }
        let map_key = after == ":" && (before == "{" || before == ",");
        if before == "let" {
            lets.insert(token.text);
        } else if KEYWORDS.contains(&token.text) || map_key || lets.contains(token.text) {
            continue;
        } else if after == "(" {
            if !is_function(token.text) {
                return Err(Refusal::UnknownFunction(token.text.to_owned()));
            }
        } else {
            return Err(Refusal::UnknownName(token.text.to_owned()));
        }
    }
    Ok(())
}

fn check_ranges(tokens: &[Token<'_>]) -> Result<(), Refusal> {
    let mut ranges = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text == "..");
    let Some((index, _)) = ranges.next() else {
        return Ok(());
    };
    let bound = |at: Option<usize>| text_at(tokens, at).parse::<i64>().ok();
    let (from, to) = (bound(index.checked_sub(1)), bound(index.checked_add(1)));
    match (from, to, ranges.next()) {
        (Some(from), Some(to), None) if to.saturating_sub(from) < MAX_RANGE => Ok(()),
        (_, _, _) => Err(Refusal::Range),
    }
}

/// The language finds out before it runs that `result[0] != "x"` compares what cannot be compared; its interpreter would
/// say that they differ.
fn check_kinds(tokens: &[Token<'_>], partners: &[Option<usize>]) -> Result<(), Refusal> {
    let at = |index: Option<usize>| index.and_then(|index| tokens.get(index));
    for (index, token) in tokens.iter().enumerate() {
        if !matches!(token.text, "==" | "!=" | "in") {
            continue;
        }
        let next = index.saturating_add(1);
        let before = index.checked_sub(1);
        // `not in` has a word more.
        let before = before.filter(|before| text_at(tokens, Some(*before)) != "not");
        let before = before.or(index.checked_sub(2));
        let left = before.and_then(|before| operand(tokens, partners, before.saturating_add(1), 0));
        let is_number = |start: Option<usize>| {
            let root = text_at(tokens, start);
            let field = text_at(tokens, start.and_then(|start| start.checked_add(1)));
            (root == "result" || root == "#") && !matches!(field, "." | "?.")
        };
        let word =
            |token: &&Token<'_>| token.kind == Kind::Text || matches!(token.text, "true" | "false");
        let found = match (is_number(left), is_number(Some(next))) {
            (true, _) => at(Some(next)).filter(word),
            (_, true) => at(before).filter(word),
            (_, _) => None,
        };
        if let Some(found) = found {
            return Err(Refusal::Kinds(found.text.to_owned()));
        }
    }
    Ok(())
}

/// `a[i]` becomes `a[inside(a, i)]`, which fails where the element is missing; `None` where that becomes too long.
fn wrap(source: &str, tokens: &[Token<'_>], partners: &[Option<usize>]) -> Option<String> {
    wrap_span(source, tokens, partners, 0, tokens.len())
}

fn wrap_span(
    source: &str,
    tokens: &[Token<'_>],
    partners: &[Option<usize>],
    from: usize,
    to: usize,
) -> Option<String> {
    let mut text = String::new();
    let mut index = from;
    while let Some(token) = tokens.get(index).filter(|_| index < to) {
        let close = partners.get(index).copied().flatten();
        match (token.text, close, operand(tokens, partners, index, from)) {
            ("[", Some(close), Some(start)) if is_element(tokens, partners, index, close) => {
                let list = wrap_span(source, tokens, partners, start, owner_end(tokens, index))?;
                let place = wrap_span(source, tokens, partners, index.saturating_add(1), close)?;
                text.push_str(&format!("[{INSIDE}({list}, {place})]"));
                index = close.saturating_add(1);
            }
            // A field that may be absent of a thing that may be nil, but not of a number.
            ("?.", _, Some(start)) if is_name(tokens, index.saturating_add(1)) => {
                let name = index.saturating_add(1);
                let owner = wrap_span(source, tokens, partners, start, index)?;
                let field = text_at(tokens, Some(name));
                text.push_str(&format!("?.[{INSIDE}({owner}, \"{field}\")]"));
                text.push_str(gap(source, tokens, name));
                index = name.saturating_add(1);
            }
            // A field without an owner is one of the predicate's element.
            (".", _, None) if is_name(tokens, index.saturating_add(1)) => {
                text.push_str("#.");
                index = index.saturating_add(1);
            }
            (other, _, _) => {
                text.push_str(other);
                text.push_str(gap(source, tokens, index));
                index = index.saturating_add(1);
            }
        }
        if text.len() > MAX_WRAPPED {
            return None;
        }
    }
    Some(text)
}

fn is_name(tokens: &[Token<'_>], index: usize) -> bool {
    tokens
        .get(index)
        .is_some_and(|token| token.kind == Kind::Name)
}

/// Where the operand of a bracket ends: before the bracket, and before the question mark between them.
fn owner_end(tokens: &[Token<'_>], index: usize) -> usize {
    let before = index.checked_sub(1);
    let before = before.filter(|before| text_at(tokens, Some(*before)) == "?.");
    before.unwrap_or(index)
}

/// What stood between a token and the next one: a blank where it was a comment.
fn gap<'a>(source: &'a str, tokens: &[Token<'_>], index: usize) -> &'a str {
    let end = tokens.get(index).map_or(0, Token::end);
    let next = index
        .checked_add(1)
        .and_then(|next| tokens.get(next))
        .map_or(end, |token| token.start);
    source
        .get(end..next)
        .map_or("", |gap| if gap.is_empty() { "" } else { " " })
}

/// Where the operand of a bracket at `index` begins; `None` when the bracket makes a list.
pub(super) fn operand(
    tokens: &[Token<'_>],
    partners: &[Option<usize>],
    index: usize,
    from: usize,
) -> Option<usize> {
    let end = owner_end(tokens, index);
    let mut start = end.checked_sub(1).filter(|start| *start >= from)?;
    loop {
        let token = tokens.get(start)?;
        match (token.text, token.kind) {
            (")" | "]" | "}", Kind::Mark) => start = partners.get(start).copied().flatten()?,
            (word, Kind::Name) if KEYWORDS.contains(&word) && word != "result" => return None,
            (_, Kind::Name | Kind::Text) => {}
            (_, Kind::Number | Kind::Mark) => return None,
        }
        let before = start.checked_sub(1).filter(|before| *before >= from);
        let (text, kind) = before
            .and_then(|at| tokens.get(at))
            .map_or(("", Kind::Mark), |token| (token.text, token.kind));
        let here = text_at(tokens, Some(start));
        let continues = (here == "(" || here == "[")
            && (kind == Kind::Name && !KEYWORDS.contains(&text) || text == "result")
            || (here == "(" || here == "[") && matches!(text, ")" | "]");
        if text == "." || text == "?." {
            let owner = before
                .and_then(|at| at.checked_sub(1))
                .filter(|at| *at >= from);
            // `.field` without an owner is the element of a predicate, which is no operand that can be repeated alone.
            start = owner.filter(|at| ends_operand(tokens, *at)).or(before)?;
            if text_at(tokens, Some(start)) == text {
                return Some(start);
            }
        } else if continues {
            start = before?;
        } else {
            return Some(start);
        }
    }
}

fn ends_operand(tokens: &[Token<'_>], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| match token.kind {
        Kind::Name => !KEYWORDS.contains(&token.text) || token.text == "result",
        Kind::Text => true,
        Kind::Number => false,
        Kind::Mark => matches!(token.text, ")" | "]" | "}"),
    })
}

/// Whether brackets hold one place and not a slice.
fn is_element(tokens: &[Token<'_>], partners: &[Option<usize>], open: usize, close: usize) -> bool {
    let mut index = open.saturating_add(1);
    let mut conditional = false;
    while index < close {
        match text_at(tokens, Some(index)) {
            "(" | "[" | "{" => index = partners.get(index).copied().flatten().unwrap_or(close),
            "?" => conditional = true,
            ":" if !conditional => return false,
            _ => {}
        }
        index = index.saturating_add(1);
    }
    close > open.saturating_add(1)
}
