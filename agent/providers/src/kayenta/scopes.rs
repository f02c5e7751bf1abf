//! What a Kayenta judgement compares, and over which time.
//!
//! In: scopes as written, the time. Out: scopes with a beginning and an end each. It must not know requests.

use agent_api::duration;
use agent_api::provider::{KayentaMetric, ScopeDetail};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::question::Asked;

/// Seconds between points when a scope does not say.
const DEFAULT_STEP: i64 = 60;

/// Why scopes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None at all.
    #[error("kayenta has no scopes: say what is compared")]
    None,
    /// A part is missing.
    #[error("kayenta scopes[{index}] has no {part}: give it one")]
    Missing {
        /// Which one.
        index: usize,
        /// What of it.
        part: &'static str,
    },
    /// A name stands twice.
    #[error("kayenta scopes[{index}] is named {name:?} a second time")]
    Twice {
        /// Which one.
        index: usize,
        /// The name.
        name: String,
    },
    /// The beginning is not known.
    #[error(
        "kayenta scopes[{0}] has no start: write one, or give the metric an interval to look back over"
    )]
    NoStart(usize),
    /// Looking back to the beginning of the run.
    #[error(
        "kayenta scopes[{0}] has no start, which lookback: true does not give here: pass it as an argument"
    )]
    Lookback(usize),
    /// A time is none.
    #[error("kayenta scopes[{index}] {field} {written:?} is no time: write 2026-01-31T12:00:00Z")]
    Time {
        /// Which one.
        index: usize,
        /// The field.
        field: &'static str,
        /// As written.
        written: String,
    },
}

/// The scopes by name, as Kayenta takes them.
pub(super) fn written(metric: &KayentaMetric, asked: &Asked<'_>) -> Result<Value, Error> {
    let mut scopes = Map::new();
    for (index, scope) in metric.scopes.iter().enumerate() {
        let missing = |part| Error::Missing { index, part };
        let name = scope.name.as_ref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| missing("name"))?;
        let control = scope.control_scope.as_ref();
        let control = control.ok_or_else(|| missing("controlScope"))?;
        let experiment = scope.experiment_scope.as_ref();
        let experiment = experiment.ok_or_else(|| missing("experimentScope"))?;
        let sides = json!({
            "controlScope": side(index, control, metric, asked)?,
            "experimentScope": side(index, experiment, metric, asked)?,
        });
        if scopes.insert(name.clone(), sides).is_some() {
            let name = name.clone();
            return Err(Error::Twice { index, name });
        }
    }
    if scopes.is_empty() {
        return Err(Error::None);
    }
    Ok(Value::Object(scopes))
}

fn side(
    index: usize,
    given: &ScopeDetail,
    metric: &KayentaMetric,
    asked: &Asked<'_>,
) -> Result<Value, Error> {
    let scope = given.scope.as_ref().filter(|scope| !scope.is_empty());
    let scope = scope.ok_or(Error::Missing {
        index,
        part: "scope",
    })?;
    let start = match time(index, "start", given.start.as_ref())? {
        Some(start) => start,
        None => implied(index, metric, asked)?,
    };
    let end = time(index, "end", given.end.as_ref())?.unwrap_or_else(|| whole(asked.now));
    let mut side = json!({
        "scope": scope,
        "step": given.step.filter(|step| *step > 0).unwrap_or(DEFAULT_STEP),
        "start": start,
        "end": end,
    });
    let region = given.region.as_ref().filter(|region| !region.is_empty());
    if let (Some(region), Some(fields)) = (region, side.as_object_mut()) {
        fields.insert("region".to_owned(), region.clone().into());
    }
    Ok(side)
}

fn time(
    index: usize,
    field: &'static str,
    written: Option<&String>,
) -> Result<Option<String>, Error> {
    let Some(written) = written.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let read: Result<Timestamp, _> = written.trim().parse();
    match read {
        Ok(_) => Ok(Some(written.trim().to_owned())),
        Err(_) => Err(Error::Time {
            index,
            field,
            written: written.clone(),
        }),
    }
}

/// Without a beginning the time since the last measurement is compared.
fn implied(index: usize, metric: &KayentaMetric, asked: &Asked<'_>) -> Result<String, Error> {
    if metric.lookback.unwrap_or(false) {
        return Err(Error::Lookback(index));
    }
    let interval = asked.metric.interval.as_deref();
    let span = interval.and_then(|text| duration::parse(text).ok());
    let start = span
        .filter(|span| span.is_positive())
        .and_then(|span| asked.now.checked_sub(span).ok());
    start.map(whole).ok_or(Error::NoStart(index))
}

/// A time in whole seconds: Kayenta's points are no closer.
fn whole(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
