//! Tokens of a condition, as far as guarding it needs them.
//! In: text. Out: tokens with their places. It must not know grammar: the language's own parser has the last word.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A name, a keyword, or `#` with or without a name.
    Name,
    /// A number.
    Number,
    /// Text in quotes.
    Text,
    /// One punctuation mark or operator.
    Mark,
}

/// A token with the bytes that it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
    /// Where it starts.
    pub start: usize,
}

impl Token<'_> {
    /// Where it ends.
    pub fn end(&self) -> usize {
        self.start.saturating_add(self.text.len())
    }
}

/// Marks of two letters; of these only the dots matter here, the others keep their halves together.
const DOUBLE: [&str; 9] = ["?.", "??", "..", "==", "!=", "<=", ">=", "&&", "||"];

/// Splits a condition. Comments are left out; a text that is not closed gives `None`.
pub fn split(source: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next()?;
        let length = if first.is_whitespace() {
            at = at.saturating_add(first.len_utf8());
            continue;
        } else if rest.starts_with("//") {
            at = at.saturating_add(rest.find('\n').unwrap_or(rest.len()));
            continue;
        } else if rest.starts_with("/*") {
            at = at.saturating_add(rest.find("*/")?.saturating_add(2));
            continue;
        } else {
            length(rest, first)?
        };
        let text = rest.get(..length)?;
        tokens.push(Token {
            kind: kind(first),
            text,
            start: at,
        });
        at = at.saturating_add(length);
    }
    Some(tokens)
}

fn kind(first: char) -> Kind {
    match first {
        '"' | '\'' | '`' => Kind::Text,
        '0'..='9' => Kind::Number,
        '#' | '_' | '$' | 'a'..='z' | 'A'..='Z' => Kind::Name,
        _ => Kind::Mark,
    }
}

fn length(rest: &str, first: char) -> Option<usize> {
    match kind(first) {
        Kind::Text => quoted(rest, first),
        Kind::Name => Some(
            rest.char_indices()
                .skip(1)
                .find(|(_, c)| !is_name(*c))
                .map_or(rest.len(), |(at, _)| at),
        ),
        Kind::Number => Some(number(rest)),
        Kind::Mark if DOUBLE.iter().any(|mark| rest.starts_with(mark)) => Some(2),
        Kind::Mark => Some(first.len_utf8()),
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Up to the closing quote; a backslash takes the next letter with it, but not between back quotes.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            return Some(at.saturating_add(1));
        }
    }
    None
}

/// Digits, letters of exponents and other bases, one dot that is not the first of two.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at.saturating_add(1));
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let exponent_sign = matches!(byte, b'+' | b'-')
            && matches!(before, Some(b'e' | b'E'))
            && !rest.starts_with("0x")
            && !rest.starts_with("0X");
        let fraction = *byte == b'.' && next != Some(&b'.') && before != Some(&b'.');
        if !(byte.is_ascii_alphanumeric() || *byte == b'_' || fraction || exponent_sign) {
            break;
        }
        at = at.saturating_add(1);
    }
    at
}
