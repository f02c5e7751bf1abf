//! Annotated CSV, as InfluxDB answers Flux: tables one after another, each with its annotations and its header.
//!
//! In: the text. Out: the value of each record, or the query's error, which comes as a table too. It must not know HTTP.

use crate::quote::quote;
use csv::{ReaderBuilder, StringRecord};
use serde_json::Value;

use crate::value::MetricValue;

/// Most records: a verdict over more is a query without an aggregation.
const MAX_RECORDS: usize = 10_000;

/// Why tables cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no such text.
    #[error("influxdb's answer cannot be read: {0}; look at what answers at its address")]
    Unreadable(String),
    /// The query failed.
    #[error("influxdb could not answer the query: {0}")]
    Query(String),
    /// The records have no value.
    #[error("influxdb's records have no _value: keep that column in the query")]
    NoValue,
    /// A value is not of its type.
    #[error("influxdb's value {text:?} is no {kind}")]
    Kind {
        /// The type by its annotation.
        kind: String,
        /// The value.
        text: String,
    },
    /// Too many records.
    #[error("influxdb answered with more than {MAX_RECORDS} records: aggregate the query")]
    TooMany,
}

/// Where the columns of the table that is being read are.
#[derive(Default)]
struct Columns {
    kinds: StringRecord,
    defaults: StringRecord,
    header: Option<Header>,
}

enum Header {
    Value(usize),
    Error(usize),
}

/// One value, before it is known whether all are numbers.
#[derive(Clone)]
enum Cell {
    Number(f64),
    Other(Value),
}

/// All values, numbers as a vector; none where there is no record.
pub(super) fn values(body: &[u8]) -> Result<Option<MetricValue>, Error> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(body);
    let mut columns = Columns::default();
    let mut cells = Vec::new();
    let mut record = StringRecord::new();
    let mut annotated = false;
    loop {
        let more = reader.read_record(&mut record);
        if !more.map_err(|error| Error::Unreadable(quote(&error.to_string())))? {
            break;
        }
        let first = record.get(0).unwrap_or_default();
        match first {
            "#datatype" | "#group" | "#default" => {
                if !annotated {
                    columns = Columns::default();
                    annotated = true;
                }
                match first {
                    "#datatype" => columns.kinds = record.clone(),
                    "#default" => columns.defaults = record.clone(),
                    _ => {}
                }
            }
            _ if annotated || columns.header.is_none() => {
                annotated = false;
                columns.header = Some(header(&record)?);
            }
            _ => cells.push(columns.cell(&record)?),
        }
        if cells.len() > MAX_RECORDS {
            return Err(Error::TooMany);
        }
    }
    Ok(joined(cells))
}

fn header(record: &StringRecord) -> Result<Header, Error> {
    let place = |name| record.iter().position(|column| column == name);
    // The error table has these two columns, and an empty one for annotations.
    if let (Some(error), Some(_)) = (place("error"), place("reference")) {
        return Ok(Header::Error(error));
    }
    if let Some(value) = place("_value") {
        return Ok(Header::Value(value));
    }
    if place("result").is_none() || place("table").is_none() {
        let found = record.iter().collect::<Vec<_>>().join(",");
        let found = quote(&found);
        return Err(Error::Unreadable(format!(
            "{found:?} is no header of a table"
        )));
    }
    Err(Error::NoValue)
}

impl Columns {
    fn cell(&self, record: &StringRecord) -> Result<Cell, Error> {
        let at = match self.header {
            None => return Err(Error::NoValue),
            Some(Header::Error(at)) => {
                let said = record.get(at).unwrap_or_default();
                return Err(Error::Query(quote(said)));
            }
            Some(Header::Value(at)) => at,
        };
        let given = record.get(at).unwrap_or_default();
        let text = match given {
            "" => self.defaults.get(at).unwrap_or_default(),
            given => given,
        };
        let kind = self.kinds.get(at).unwrap_or_default();
        if text.is_empty() && kind != "string" {
            return Ok(Cell::Other(Value::Null));
        }
        read(kind, text).ok_or_else(|| Error::Kind {
            kind: quote(kind),
            text: quote(text),
        })
    }
}

/// A value of an annotated type; times and durations stay words.
fn read(kind: &str, text: &str) -> Option<Cell> {
    match kind {
        "double" | "long" | "unsignedLong" => text.parse().ok().map(Cell::Number),
        "boolean" => text
            .parse()
            .ok()
            .map(|truth: bool| Cell::Other(truth.into())),
        _ => Some(Cell::Other(text.into())),
    }
}

fn joined(cells: Vec<Cell>) -> Option<MetricValue> {
    if cells.is_empty() {
        return None;
    }
    let numbers = cells.iter().map(|cell| match cell {
        Cell::Number(number) => Some(*number),
        Cell::Other(_) => None,
    });
    if let Some(numbers) = numbers.collect::<Option<Vec<f64>>>() {
        return Some(MetricValue::Vector(numbers));
    }
    let values = cells.into_iter().map(|cell| match cell {
        Cell::Number(number) => Value::from(number),
        Cell::Other(value) => value,
    });
    Some(MetricValue::Json(values.collect()))
}
