//! A metric's values over a span of time. In: answers to range queries. Out: the value that a question at any moment of the span
//! would have got. It must not send anything or judge.

use agent_providers::{MetricValue, prometheus};
use jiff::Timestamp;
use serde::Deserialize;

/// Most points that Prometheus gives for each series in one answer.
pub const MAX_POINTS: usize = 11_000;
/// Most numbers of a metric that are held: a query over more has no aggregation.
const MAX_NUMBERS: usize = 5_000_000;

/// The moments that are looked at: `count` from `from` on, `step` seconds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The first, in seconds.
    pub from: i64,
    /// Seconds between two; at least 1.
    pub step: i64,
    /// How many.
    pub count: usize,
}

impl Grid {
    /// From the first moment to the last one that is not after `to`.
    pub fn new(from: i64, to: i64, step: i64) -> Self {
        let step = step.max(1);
        let count = to.saturating_sub(from).max(0) / step;
        Self {
            from,
            step,
            count: usize::try_from(count).unwrap_or(0).saturating_add(1),
        }
    }

    /// The last moment.
    pub fn to(self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    /// The moment with this number.
    pub fn time(self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.from.saturating_add(self.step.saturating_mul(index))
    }

    /// The last moment that is not after this time.
    pub fn index(self, time: Timestamp) -> Option<usize> {
        let since = time.as_second().checked_sub(self.from)?;
        let index = usize::try_from(since / self.step).ok()?;
        (since >= 0 && index < self.count).then_some(index)
    }

    /// In parts of at most so many moments.
    pub fn parts(self, most: usize) -> Vec<Self> {
        let most = most.max(1);
        let starts = (0..self.count).step_by(most);
        starts
            .map(|start| Self {
                from: self.time(start),
                count: most.min(self.count.saturating_sub(start)),
                ..self
            })
            .collect()
    }
}

/// Why an answer is no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused, or its answer cannot be read.
    #[error(transparent)]
    Answer(#[from] prometheus::Error),
    /// Too much.
    #[error(
        "the history has more than {MAX_NUMBERS} numbers: aggregate the query, or take a shorter --since or a longer --step"
    )]
    TooMany,
}

/// Values at the moments of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The moments.
    pub grid: Grid,
    /// The values of all series that have one, for each moment.
    points: Vec<Vec<f64>>,
    numbers: usize,
    /// Whether the query gives a scalar and no vector.
    scalar: bool,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    values: Vec<(f64, String)>,
}

impl History {
    /// Without a value anywhere.
    pub fn new(grid: Grid, scalar: bool) -> Self {
        Self {
            grid,
            points: vec![Vec::new(); grid.count],
            numbers: 0,
            scalar,
        }
    }

    /// Takes in the answer to a range query over a part of the grid.
    pub fn add(&mut self, status: u16, body: &[u8]) -> Result<(), Error> {
        let (data, _): (Data, _) = prometheus::data(status, body)?;
        for (time, text) in data.result.into_iter().flat_map(|series| series.values) {
            let bad = |what: &str| prometheus::Error::Unreadable(what.to_owned());
            let number: f64 = text.parse().map_err(|_| bad("a value is no number"))?;
            let time = Timestamp::from_second(whole(time)).map_err(|_| bad("a time is none"))?;
            let point = self.grid.index(time).and_then(|at| self.points.get_mut(at));
            let Some(point) = point else { continue };
            point.push(number);
            self.numbers = self.numbers.saturating_add(1);
            if self.numbers > MAX_NUMBERS {
                return Err(Error::TooMany);
            }
        }
        Ok(())
    }

    /// What a question at this moment of the grid would have got.
    pub fn value(&self, index: usize) -> Option<MetricValue> {
        let point = self.points.get(index)?;
        match (self.scalar, point.first()) {
            (true, Some(number)) => Some(MetricValue::Scalar(*number)),
            (true, None) | (false, _) => Some(MetricValue::Vector(point.clone())),
        }
    }

    /// All values, in order of time.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        self.points.iter().flatten().copied()
    }

    /// Moments without any value.
    pub fn empty(&self) -> usize {
        self.points.iter().filter(|point| point.is_empty()).count()
    }
}

/// Prometheus writes times with up to three digits of a second; those of a grid are whole.
#[allow(clippy::cast_possible_truncation)]
fn whole(time: f64) -> i64 {
    time.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_parts() {
        let grid = Grid::new(100, 161, 15);
        assert_eq!((grid.count, grid.to()), (5, 160));
        let at = |second| grid.index(Timestamp::from_second(second).unwrap());
        assert_eq!(
            [at(99), at(100), at(114), at(115), at(160), at(175)],
            [None, Some(0), Some(0), Some(1), Some(4), None]
        );
        let parts = grid.parts(2);
        assert_eq!(
            parts
                .iter()
                .map(|part| (part.from, part.count))
                .collect::<Vec<_>>(),
            [(100, 2), (130, 2), (160, 1)]
        );
        assert_eq!(Grid::new(5, 5, 0).count, 1);
    }

    #[test]
    fn series_are_put_side_by_side() {
        let grid = Grid::new(100, 120, 10);
        let mut history = History::new(grid, false);
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"a":"1"},"values":[[100,"1"],[110,"NaN"]]},
            {"metric":{"a":"2"},"values":[[110,"+Inf"],[130,"9"]]}]}}"#;
        history.add(200, body).unwrap();
        let text = |at| history.value(at).map(|value| value.text());
        assert_eq!(
            [text(0), text(1), text(2), text(3)],
            [
                Some("[1]".into()),
                Some("[NaN,+Inf]".into()),
                Some("[]".into()),
                None
            ]
        );
        assert_eq!((history.empty(), history.numbers().count()), (1, 3));
        let mut scalar = History::new(grid, true);
        scalar.add(200, body).unwrap();
        assert_eq!(scalar.value(0), Some(MetricValue::Scalar(1.0)));
    }

    #[test]
    fn bad_answers_are_said() {
        let mut history = History::new(Grid::new(0, 1, 1), false);
        for (status, body, part) in [
            (503, "<html>\n gone", "503: a page of HTML"),
            (
                400,
                r#"{"status":"error","error":"parse error"}"#,
                "400: parse error",
            ),
            (200, "nonsense", "cannot be read"),
            (200, r#"{"status":"error","error":"x"}"#, "200: x"),
            (
                200,
                r#"{"status":"success","data":{"result":[{"values":[[0,"x"]]}]}}"#,
                "no number",
            ),
        ] {
            let text = history
                .add(status, body.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(text.contains(part), "{body}: {text}");
        }
    }
}
