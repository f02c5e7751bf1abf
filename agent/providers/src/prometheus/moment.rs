//! Expressions of time: `now() - duration("1h")`.
//!
//! In: an expression, the time that is now. Out: the time that it means. It must not read a clock. Of the expr language
//! it has what makes times: `now()`, `date("2025-01-31T00:00:00Z")`, `duration("1h30m")`, sums and differences,
//! multiples, brackets, and the methods `Add`, `Sub` and `Truncate`.

use agent_api::duration;
use jiff::{SignedDuration, Timestamp, civil};

use crate::rest::take;

/// Longest expression.
const MAX_BYTES: usize = 512;
/// Deepest nesting.
const MAX_DEPTH: usize = 16;

/// Why an expression gives no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{0}")]
    Syntax(&'static str),
    /// A date or duration cannot be read.
    #[error("{0:?} is no date or duration")]
    Text(String),
    /// Things are put together that do not fit.
    #[error("times and durations are added or taken away only where that means something")]
    Mismatch,
    /// The answer is something else.
    #[error("it gives a duration or a number")]
    NoTime,
    /// The time is out of range.
    #[error("it is out of range")]
    Range,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Time(Timestamp),
    Span(SignedDuration),
    Number(i32),
}

/// The time that an expression means.
pub fn evaluate(text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    if text.trim().is_empty() {
        return Err(Error::Syntax("it is empty"));
    }
    if text.len() > MAX_BYTES {
        return Err(Error::Syntax("it is too long"));
    }
    let mut reader = Reader { rest: text, now };
    let value = reader.sum(0)?;
    if !reader.blank().rest.is_empty() {
        return Err(Error::Syntax("something follows its end"));
    }
    match value {
        Value::Time(time) => Ok(time),
        Value::Span(_) | Value::Number(_) => Err(Error::NoTime),
    }
}

struct Reader<'a> {
    rest: &'a str,
    now: Timestamp,
}

impl<'a> Reader<'a> {
    fn blank(&mut self) -> &mut Self {
        self.rest = self.rest.trim_start();
        self
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.blank().rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str, otherwise: &'static str) -> Result<(), Error> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(Error::Syntax(otherwise))
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Syntax("it nests too deep"));
        }
        let mut left = self.product(depth)?;
        loop {
            if self.eat("+") {
                left = add(left, self.product(depth)?)?;
            } else if self.eat("-") {
                left = subtract(left, self.product(depth)?)?;
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self, depth: usize) -> Result<Value, Error> {
        let mut left = self.method(depth)?;
        while self.eat("*") {
            left = match (left, self.method(depth)?) {
                (Value::Span(span), Value::Number(number))
                | (Value::Number(number), Value::Span(span)) => {
                    Value::Span(span.checked_mul(number).ok_or(Error::Range)?)
                }
                (Value::Number(left), Value::Number(right)) => {
                    Value::Number(left.checked_mul(right).ok_or(Error::Range)?)
                }
                (_, _) => return Err(Error::Mismatch),
            };
        }
        Ok(left)
    }

    fn method(&mut self, depth: usize) -> Result<Value, Error> {
        let mut value = self.operand(depth)?;
        while self.eat(".") {
            let name = self.word();
            self.need("(", "a method has no bracket")?;
            let argument = self.sum(depth.saturating_add(1))?;
            self.need(")", "a bracket is not closed")?;
            value = match (name, value, argument) {
                ("Add", Value::Time(_), Value::Span(_)) => add(value, argument)?,
                ("Sub", Value::Time(_), Value::Time(_)) => subtract(value, argument)?,
                ("Truncate", Value::Time(time), Value::Span(span)) => truncate(time, span)?,
                ("Add" | "Sub" | "Truncate", _, _) => return Err(Error::Mismatch),
                (_, _, _) => return Err(Error::Syntax("it has a method that is not known")),
            };
        }
        Ok(value)
    }

    fn operand(&mut self, depth: usize) -> Result<Value, Error> {
        if self.eat("(") {
            let value = self.sum(depth.saturating_add(1))?;
            self.need(")", "a bracket is not closed")?;
            return Ok(value);
        }
        if self.blank().rest.starts_with(|c: char| c.is_ascii_digit()) {
            let digits = self.word();
            let number = digits.parse();
            return number
                .map(Value::Number)
                .map_err(|_| Error::Text(digits.to_owned()));
        }
        let name = self.word();
        self.need(
            "(",
            "it has something else than now(), date() and duration()",
        )?;
        let value = match name {
            "now" => Value::Time(self.now),
            "date" => Value::Time(date(self.text()?)?),
            "duration" => Value::Span(span(self.text()?)?),
            _ => {
                return Err(Error::Syntax(
                    "it has something else than now(), date() and duration()",
                ));
            }
        };
        self.need(")", "a bracket is not closed")?;
        Ok(value)
    }

    fn word(&mut self) -> &'a str {
        self.blank();
        let length = self.rest.find(|c: char| !c.is_ascii_alphanumeric());
        let length = length.unwrap_or(self.rest.len());
        take(&mut self.rest, length)
    }

    fn text(&mut self) -> Result<&'a str, Error> {
        let unclosed = Error::Syntax("a text in quotes is missing or not closed");
        let quote = ["\"", "'", "`"].into_iter().find(|quote| self.eat(quote));
        let quote = quote.ok_or_else(|| unclosed.clone())?;
        let length = self.rest.find(quote).ok_or(unclosed)?;
        let text = take(&mut self.rest, length);
        take(&mut self.rest, quote.len());
        Ok(text)
    }
}

fn add(left: Value, right: Value) -> Result<Value, Error> {
    match (left, right) {
        (Value::Time(time), Value::Span(span)) | (Value::Span(span), Value::Time(time)) => time
            .checked_add(span)
            .map(Value::Time)
            .map_err(|_| Error::Range),
        (Value::Span(left), Value::Span(right)) => {
            left.checked_add(right).map(Value::Span).ok_or(Error::Range)
        }
        (Value::Time(_), Value::Time(_) | Value::Number(_))
        | (Value::Span(_), Value::Number(_))
        | (Value::Number(_), _) => Err(Error::Mismatch),
    }
}

fn subtract(left: Value, right: Value) -> Result<Value, Error> {
    match (left, right) {
        (Value::Time(time), Value::Span(span)) => time
            .checked_sub(span)
            .map(Value::Time)
            .map_err(|_| Error::Range),
        (Value::Time(left), Value::Time(right)) => Ok(Value::Span(left.duration_since(right))),
        (Value::Span(left), Value::Span(right)) => {
            left.checked_sub(right).map(Value::Span).ok_or(Error::Range)
        }
        (Value::Time(_), Value::Number(_))
        | (Value::Span(_), Value::Time(_) | Value::Number(_))
        | (Value::Number(_), _) => Err(Error::Mismatch),
    }
}

/// The multiple of a duration before a time. The language counts from the year 1, which for days, hours and what divides
/// them is the same as from 1970.
fn truncate(time: Timestamp, span: SignedDuration) -> Result<Value, Error> {
    let (nanos, unit) = (time.as_nanosecond(), span.as_nanos());
    if unit <= 0 {
        return Ok(Value::Time(time));
    }
    let cut = nanos.saturating_sub(nanos.checked_rem_euclid(unit).ok_or(Error::Range)?);
    Timestamp::from_nanosecond(cut)
        .map(Value::Time)
        .map_err(|_| Error::Range)
}

fn span(text: &str) -> Result<SignedDuration, Error> {
    let bad = || Error::Text(text.to_owned());
    if text.parse::<i64>().is_ok_and(|number| number != 0) {
        return Err(bad());
    }
    duration::parse(text).map_err(|_| bad())
}

/// A time with its zone, or a day or time of UTC.
fn date(text: &str) -> Result<Timestamp, Error> {
    let utc = || {
        let day: civil::DateTime = text.parse().ok()?;
        day.in_tz("UTC").ok().map(|zoned| zoned.timestamp())
    };
    text.parse()
        .ok()
        .or_else(utc)
        .ok_or_else(|| Error::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Ok` is the time, `Err` a part of the message.
    fn check(text: &str, expected: Result<&str, &str>) {
        let now: Timestamp = "2026-03-01T12:34:56.789Z".parse().unwrap();
        match (evaluate(text, now), expected) {
            (Ok(found), Ok(time)) => assert_eq!(found, time.parse().unwrap(), "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn times() {
        check("now()", Ok("2026-03-01T12:34:56.789Z"));
        check(
            " now( ) - duration(\"1h\") ",
            Ok("2026-03-01T11:34:56.789Z"),
        );
        check("now()-duration('1h30m')", Ok("2026-03-01T11:04:56.789Z"));
        check("duration(\"1s\") + now()", Ok("2026-03-01T12:34:57.789Z"));
        check(
            "now() - 2 * duration(\"1h\")",
            Ok("2026-03-01T10:34:56.789Z"),
        );
        check(
            "now() - (duration(\"1h\") - duration(\"30m\"))",
            Ok("2026-03-01T12:04:56.789Z"),
        );
        check(
            "now().Add(duration(\"-1h\"))",
            Ok("2026-03-01T11:34:56.789Z"),
        );
        check(
            "now().Truncate(duration(\"1h\"))",
            Ok("2026-03-01T12:00:00Z"),
        );
        check("date(\"2026-01-01T00:00:00Z\")", Ok("2026-01-01T00:00:00Z"));
        check(
            "date(\"2026-01-01T02:00:00+02:00\")",
            Ok("2026-01-01T00:00:00Z"),
        );
        check("date('2026-01-01')", Ok("2026-01-01T00:00:00Z"));
        check("date('2026-01-01 10:00:00')", Ok("2026-01-01T10:00:00Z"));
        check(
            "now() - now().Sub(date('2026-01-01'))",
            Ok("2026-01-01T00:00:00Z"),
        );
        check("now() - duration(\"0\")", Ok("2026-03-01T12:34:56.789Z"));
    }

    #[test]
    fn no_times() {
        check("", Err("empty"));
        check("duration(\"1h\")", Err("gives a duration"));
        check("5", Err("gives a duration or a number"));
        check("now() - 3600", Err("means something"));
        check("now() + now()", Err("means something"));
        check("duration(\"1h\") - now()", Err("means something"));
        check("now() * 2", Err("means something"));
        check("now() - duration(\"5\")", Err("no date or duration"));
        check("now() - duration(\"5x\")", Err("no date or duration"));
        check("date(\"soon\")", Err("no date or duration"));
        check("now", Err("something else than"));
        check("yesterday()", Err("something else than"));
        check("now().Unix()", Err("something else than"));
        check("now().Round(duration('1h'))", Err("not known"));
        check("now() - duration(\"1h)", Err("quotes"));
        check("now() - duration(1h)", Err("quotes"));
        check("(now()", Err("not closed"));
        check("now() now()", Err("follows"));
        check("now() - duration('2000000h') * 2000", Err("out of range"));
        check(&"(".repeat(400), Err("too deep"));
        check(&" ".repeat(1000), Err("empty"));
        check(&"now() ".repeat(100), Err("too long"));
    }
}
