//! Reading a template. In: text. Out: its nodes, or what is wrong with it. It must not know documents.

use serde_json::Value;

use super::{Filter, MAX_BYTES, MAX_DEPTH, Node, Operator, Step};
use crate::rest::take;

type Parsed<T> = Result<T, &'static str>;

const TOO_DEEP: &str = "it nests too deep";

/// Reads a whole template.
pub(super) fn template(text: &str) -> Parsed<Vec<Node>> {
    if text.len() > MAX_BYTES {
        return Err("it is too long");
    }
    if !text.contains('{') {
        return Err("it has no braces");
    }
    let mut cursor = Cursor { rest: text };
    let nodes = nodes(&mut cursor, 0)?;
    Ok(nodes)
}

/// Nodes up to the end of the text, or inside a range up to `{end}`.
fn nodes(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Vec<Node>> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    let mut nodes = Vec::new();
    loop {
        let text = cursor.take_until(|c| c == '{');
        if !text.is_empty() {
            nodes.push(Node::Text(Value::String(text.to_owned())));
        }
        if cursor.next().is_none() {
            return if depth == 0 {
                Ok(nodes)
            } else {
                Err("a range has no end")
            };
        }
        cursor.skip_blanks();
        if cursor.eat_word("end") {
            cursor.skip_blanks();
            return match (cursor.next(), depth) {
                (Some('}'), 1..) => Ok(nodes),
                (Some('}'), 0) => Err("an end has no range"),
                (_, _) => Err("something follows end"),
            };
        }
        let ranged = cursor.eat_word("range");
        let steps = steps(cursor, Some('}'), depth)?;
        nodes.push(if ranged {
            let body = self::nodes(cursor, depth.saturating_add(1))?;
            Node::Range(steps, body)
        } else {
            Node::Path(steps)
        });
    }
}

/// Steps up to a closing character, or to the end of the text.
fn steps(cursor: &mut Cursor<'_>, end: Option<char>, depth: usize) -> Parsed<Vec<Step>> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP);
    }
    let mut steps = Vec::new();
    loop {
        cursor.skip_blanks();
        let Some(first) = cursor.peek() else {
            return if end.is_none() {
                Ok(steps)
            } else {
                Err("a brace is not closed")
            };
        };
        if end == Some(first) {
            cursor.next();
            return Ok(steps);
        }
        match first {
            '@' | '$' => {
                cursor.next();
            }
            '[' if cursor.eat("[?(") => steps.push(filter(cursor, depth)?),
            '[' => steps.extend(brackets(cursor, depth)?),
            '.' if cursor.eat("..") => descend(cursor, &mut steps)?,
            '.' => {
                cursor.next();
                steps.extend(field(cursor)?);
            }
            '"' | '\'' => steps.push(Step::Literal(Value::String(quoted(cursor)?))),
            '+' | '-' | '0'..='9' => steps.push(Step::Literal(number(cursor)?)),
            _ if cursor.eat_word("true") => steps.push(Step::Literal(Value::Bool(true))),
            _ if cursor.eat_word("false") => steps.push(Step::Literal(Value::Bool(false))),
            _ => return Err("it has a character or word that means nothing there"),
        }
    }
}

fn descend(cursor: &mut Cursor<'_>, steps: &mut Vec<Step>) -> Parsed<()> {
    if steps.last() == Some(&Step::Descend) || cursor.peek() == Some('.') {
        return Err("it has more than two dots in a row");
    }
    steps.push(Step::Descend);
    if cursor
        .peek()
        .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '*')
    {
        steps.extend(field(cursor)?);
    }
    Ok(())
}

/// A name after a dot; a backslash takes the next character with it. Before brackets there may be none.
fn field(cursor: &mut Cursor<'_>) -> Parsed<Option<Step>> {
    let mut name = String::new();
    while let Some(c) = cursor.peek().filter(|c| !ends_name(*c)) {
        cursor.next();
        name.push(if c == '\\' {
            cursor.next().ok_or("a backslash is the last character")?
        } else {
            c
        });
    }
    match name.as_str() {
        "" if cursor.peek() == Some('[') => Ok(None),
        "" => Err("a dot has no name behind it"),
        "*" => Ok(Some(Step::All)),
        _ => Ok(Some(Step::Field(name))),
    }
}

fn ends_name(c: char) -> bool {
    c.is_whitespace() || matches!(c, '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

fn brackets(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Vec<Step>> {
    cursor.next();
    let inside = cursor.take_quoted(|c| c == ']')?;
    if cursor.next() != Some(']') {
        return Err("a bracket is not closed");
    }
    let mut parts = Vec::new();
    let mut rest = Cursor { rest: inside };
    loop {
        parts.push(rest.take_quoted(|c| c == ',')?.trim());
        if rest.next().is_none() {
            break;
        }
    }
    match parts.as_slice() {
        [one] => place(one, depth),
        several => {
            let each = several.iter().map(|part| place(part, depth));
            Ok(vec![Step::Union(each.collect::<Parsed<_>>()?)])
        }
    }
}

/// One place in brackets: a key in quotes, an index, a slice, or all.
fn place(text: &str, depth: usize) -> Parsed<Vec<Step>> {
    if text == "*" {
        return Ok(vec![Step::All]);
    }
    for quote in ['\'', '"'] {
        let inside = text.strip_prefix(quote);
        if let Some(key) = inside.and_then(|rest| rest.strip_suffix(quote)) {
            let path = format!(".{key}");
            let mut cursor = Cursor { rest: &path };
            return steps(&mut cursor, None, depth.saturating_add(1));
        }
    }
    let number = |part: &str| match part {
        "" => Ok(None),
        part => part
            .parse::<i64>()
            .map(Some)
            .map_err(|_| "an index is no number"),
    };
    let parts = text.split(':').map(number).collect::<Parsed<Vec<_>>>()?;
    Ok(vec![match parts.as_slice() {
        [Some(index)] => Step::Index(*index),
        [from, to] => Step::Slice {
            from: *from,
            to: *to,
            by: None,
        },
        [from, to, by] => Step::Slice {
            from: *from,
            to: *to,
            by: *by,
        },
        _ => return Err("brackets hold neither an index, a slice nor a key"),
    }])
}

/// What stands between `[?(` and `)]`.
fn filter(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<Step> {
    let inside = cursor.take_quoted(|c| c == ')')?;
    if !cursor.eat(")]") {
        return Err("a filter is not closed");
    }
    let mut rest = Cursor { rest: inside };
    let is_operator = |c: char| matches!(c, '=' | '!' | '<' | '>');
    let left = rest.take_quoted(is_operator)?;
    let operator = rest.take_until(|c| !is_operator(c));
    let deeper = depth.saturating_add(1);
    let side = |text: &str| steps(&mut Cursor { rest: text.trim() }, None, deeper);
    let operator = match operator {
        "" => return Ok(Step::Filter(Filter::Has(side(left)?))),
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterEqual,
        _ => return Err("a filter has an unknown operator"),
    };
    if left.trim().is_empty() || rest.rest.trim().is_empty() {
        return Err("a filter compares with nothing");
    }
    let (left, right) = (side(left)?, side(rest.rest)?);
    Ok(Step::Filter(Filter::Compares(left, operator, right)))
}

fn quoted(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let open = cursor.next();
    let mut text = String::new();
    loop {
        match cursor.next() {
            None => return Err("a quote is not closed"),
            Some('\\') => text.push(match cursor.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => return Err("a quote is not closed"),
            }),
            close if close == open => return Ok(text),
            Some(other) => text.push(other),
        }
    }
}

fn number(cursor: &mut Cursor<'_>) -> Parsed<Value> {
    let bad = "it has a number that is none";
    let sign = cursor.eat("-");
    if !sign {
        cursor.eat("+");
    }
    let digits = cursor.take_until(|c| !(c.is_ascii_digit() || c == '.'));
    let number: f64 = digits.parse().map_err(|_| bad)?;
    let number = if sign { -number } else { number };
    serde_json::Number::from_f64(number)
        .map(Value::Number)
        .ok_or(bad)
}

/// A place in the text.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A word that does not go on.
    fn eat_word(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) if rest.chars().next().is_none_or(ends_name) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take_until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let length = self.rest.find(ends).unwrap_or(self.rest.len());
        take(&mut self.rest, length)
    }

    /// Up to a character outside of quotes.
    fn take_quoted(&mut self, ends: impl Fn(char) -> bool) -> Parsed<&'a str> {
        let (mut open, mut escaped) = (None, false);
        for (at, c) in self.rest.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if open == Some(c) {
                open = None;
            } else if open.is_none() && matches!(c, '"' | '\'') {
                open = Some(c);
            } else if open.is_none() && ends(c) {
                return Ok(take(&mut self.rest, at));
            }
        }
        if open.is_some() {
            return Err("a quote is not closed");
        }
        Ok(std::mem::take(&mut self.rest))
    }
}
