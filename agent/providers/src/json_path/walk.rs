//! Walking a document. In: nodes and a document. Out: values of it, by reference. It must not copy: a document is as
//! large as an answer may be.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Error, Filter, Node, Operator, Step};

type Found<'a> = Result<Vec<&'a Value>, Error>;

/// The values of a template, in order; `budget` is how many may still be looked at.
pub(super) fn nodes<'a>(nodes: &'a [Node], at: &'a Value, budget: &mut usize) -> Found<'a> {
    let mut found = Vec::new();
    for node in nodes {
        match node {
            Node::Text(text) => found.push(text),
            Node::Path(path) => found.extend(steps(path, vec![at], budget)?),
            Node::Range(path, body) => {
                for one in steps(path, vec![at], budget)? {
                    found.extend(self::nodes(body, one, budget)?);
                }
            }
        }
        spend(budget, 1)?;
    }
    Ok(found)
}

fn spend(budget: &mut usize, count: usize) -> Result<(), Error> {
    *budget = budget.checked_sub(count).ok_or(Error::TooMany)?;
    Ok(())
}

fn steps<'a>(steps: &'a [Step], mut values: Vec<&'a Value>, budget: &mut usize) -> Found<'a> {
    for step in steps {
        values = self::step(step, &values, budget)?;
        spend(budget, values.len())?;
    }
    Ok(values)
}

fn step<'a>(step: &'a Step, values: &[&'a Value], budget: &mut usize) -> Found<'a> {
    match step {
        Step::Literal(value) => Ok(values.iter().map(|_| value).collect()),
        Step::Field(name) => {
            let found: Vec<_> = values.iter().filter_map(|one| one.get(name)).collect();
            if found.is_empty() && !values.is_empty() {
                return Err(Error::Missing(name.clone()));
            }
            Ok(found)
        }
        Step::All => Ok(values.iter().flat_map(|one| children(one)).collect()),
        Step::Descend => {
            let mut found = Vec::new();
            for one in values {
                descend(one, &mut found, budget)?;
            }
            Ok(found)
        }
        Step::Index(index) => lists(values, |list| element(list, *index)),
        Step::Slice { from, to, by } => lists(values, |list| slice(list, *from, *to, *by)),
        Step::Union(paths) => {
            let mut found = Vec::new();
            for path in paths {
                found.extend(steps(path, values.to_vec(), budget)?);
            }
            Ok(found)
        }
        Step::Filter(filter) => {
            let mut found = Vec::new();
            for one in values {
                let list = one.as_array().ok_or_else(|| Error::NoList(kind(one)))?;
                for element in list {
                    if passes(filter, element, budget)? {
                        found.push(element);
                    }
                }
            }
            Ok(found)
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// A value and all below it that have something below themselves.
fn descend<'a>(
    value: &'a Value,
    found: &mut Vec<&'a Value>,
    budget: &mut usize,
) -> Result<(), Error> {
    let children = children(value);
    spend(budget, children.len())?;
    if !children.is_empty() {
        found.push(value);
    }
    children
        .into_iter()
        .try_for_each(|child| descend(child, found, budget))
}

fn lists<'a>(values: &[&'a Value], pick: impl Fn(&'a [Value]) -> Found<'a>) -> Found<'a> {
    let mut found = Vec::new();
    for one in values.iter().filter(|one| !one.is_null()) {
        let list = one.as_array().ok_or_else(|| Error::NoList(kind(one)))?;
        found.extend(pick(list)?);
    }
    Ok(found)
}

/// The place that an index means, counted from the end if negative; one past the end is allowed.
fn bound(index: i64, length: usize) -> Result<usize, Error> {
    let whole = i64::try_from(length).unwrap_or(i64::MAX);
    let place = if index < 0 {
        index.saturating_add(whole)
    } else {
        index
    };
    usize::try_from(place)
        .ok()
        .filter(|place| *place <= length)
        .ok_or(Error::Bounds { index, length })
}

fn element(list: &[Value], index: i64) -> Found<'_> {
    let length = list.len();
    let found = list.get(bound(index, length)?);
    found
        .map(|one| vec![one])
        .ok_or(Error::Bounds { index, length })
}

fn slice(list: &[Value], from: Option<i64>, to: Option<i64>, by: Option<i64>) -> Found<'_> {
    let from = bound(from.unwrap_or(0), list.len())?;
    let to = to.map_or(Ok(list.len()), |to| bound(to, list.len()))?;
    let by = usize::try_from(by.unwrap_or(1)).map_err(|_| Error::Slice)?;
    if by == 0 {
        return Err(Error::Slice);
    }
    let part = list.get(from..to).ok_or(Error::Slice)?;
    Ok(part.iter().step_by(by).collect())
}

fn passes(filter: &Filter, element: &Value, budget: &mut usize) -> Result<bool, Error> {
    match filter {
        Filter::Has(path) => match steps(path, vec![element], budget) {
            Ok(found) => Ok(!found.is_empty()),
            Err(Error::TooMany) => Err(Error::TooMany),
            Err(_) => Ok(false),
        },
        Filter::Compares(left, operator, right) => {
            let left = steps(left, vec![element], budget)?;
            let right = steps(right, vec![element], budget)?;
            match (left.as_slice(), right.as_slice()) {
                ([], _) | (_, []) => Ok(false),
                ([left], [right]) => compare(left, *operator, right),
                (left, right) => Err(Error::Several(left.len().max(right.len()))),
            }
        }
    }
}

fn compare(left: &Value, operator: Operator, right: &Value) -> Result<bool, Error> {
    let refused = || Error::Compare(kind(left), kind(right));
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => match operator {
            Operator::Equal => return Ok(left == right),
            Operator::NotEqual => return Ok(left != right),
            Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
                None
            }
        },
        (_, _) => None,
    };
    let order = order.ok_or_else(refused)?;
    Ok(match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::LessEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::GreaterEqual => order != Ordering::Less,
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
