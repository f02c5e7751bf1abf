//! What a backtest found. In: endings of replayed runs, judged histories. Out: tables or JSON. It must not judge.

use agent_api::{AnalysisPhase, Metric};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::distribution::{Distribution, SHOWN, thresholds};
use super::history::{Grid, History};
use super::replay::{Ending, Episode, Judged, episodes, every};
use crate::args::{Look, Output};
use crate::json;
use crate::table::{or_dash, table};

/// Most episodes in the table; the JSON has all.
const MAX_ROWS: usize = 20;
/// Longest value in a table.
const MAX_VALUE: usize = 30;
/// Verdicts in the order in which they are shown.
const PHASES: [AnalysisPhase; 4] = [
    AnalysisPhase::Successful,
    AnalysisPhase::Failed,
    AnalysisPhase::Inconclusive,
    AnalysisPhase::Error,
];

/// One metric's history.
#[derive(Debug)]
pub struct MetricReport {
    name: String,
    moments: usize,
    empty: usize,
    /// Judgements, in the order of [`PHASES`].
    judged: [usize; 4],
    distribution: Distribution,
    /// Numbers of the conditions.
    thresholds: Vec<(&'static str, f64)>,
    conditions: [Option<String>; 2],
}

impl MetricReport {
    /// Of a metric, its arguments filled in.
    pub fn new(metric: &Metric, history: &History, judged: &[Judged]) -> Self {
        let conditions = [&metric.success_condition, &metric.failure_condition];
        let fields = ["successCondition", "failureCondition"];
        let mut found = Vec::new();
        for (field, condition) in fields.into_iter().zip(conditions) {
            let numbers = thresholds(condition.as_deref().unwrap_or_default());
            found.extend(numbers.into_iter().map(|number| (field, number)));
        }
        Self {
            name: metric.name.clone(),
            moments: history.grid.count,
            empty: history.empty(),
            judged: PHASES.map(|phase| judged.iter().filter(|one| one.phase == phase).count()),
            distribution: Distribution::new(history.numbers()),
            thresholds: found,
            conditions: conditions.map(Clone::clone),
        }
    }

    fn row(&self) -> Vec<String> {
        let mut row = vec![
            self.name.clone(),
            self.moments.to_string(),
            self.empty.to_string(),
            self.distribution.not_a_number.to_string(),
        ];
        let quantile = |(_, share)| {
            self.distribution
                .quantile(share)
                .map_or_else(|| "-".to_owned(), rounded)
        };
        row.extend(SHOWN.map(quantile));
        row.extend(self.judged.map(|count| share(count, self.moments)));
        row
    }

    /// Where the conditions' numbers lie.
    fn places(&self) -> Vec<Vec<String>> {
        let one = |(field, number): &(&str, f64)| {
            let below = self.distribution.below(*number);
            let below = below.map_or_else(
                || "-".to_owned(),
                |below| {
                    let below = below * 100.0;
                    format!("{below:.1} % of {}", self.distribution.count())
                },
            );
            vec![
                self.name.clone(),
                (*field).to_owned(),
                number.to_string(),
                below,
            ]
        };
        self.thresholds.iter().map(one).collect()
    }

    fn json(&self) -> Value {
        let quantiles =
            SHOWN.map(|(name, share)| (name.to_owned(), json!(self.distribution.quantile(share))));
        let [success, failure] = &self.conditions;
        let counts = PHASES.iter().zip(self.judged);
        let places = self.thresholds.iter().map(|(field, number)| {
            json!({"condition": field, "threshold": number, "below": self.distribution.below(*number)})
        });
        json!({
            "name": self.name,
            "successCondition": success,
            "failureCondition": failure,
            "moments": self.moments,
            "empty": self.empty,
            "notANumber": self.distribution.not_a_number,
            "values": self.distribution.count(),
            "quantiles": Value::Object(quantiles.into_iter().collect()),
            "judged": counts.map(|(phase, count)| (phase.to_string(), json!(count))).collect::<Value>(),
            "thresholds": places.collect::<Vec<_>>(),
        })
    }
}

/// What came out.
#[derive(Debug)]
pub struct Report {
    name: String,
    grid: Grid,
    /// Seconds between two starts.
    every: i64,
    runs: usize,
    /// Runs by verdict, in the order of [`PHASES`].
    verdicts: [usize; 4],
    episodes: Vec<Episode>,
    metrics: Vec<MetricReport>,
    left_out: Vec<(String, String)>,
}

impl Report {
    /// Of all runs.
    pub fn new(
        name: String,
        grid: Grid,
        endings: &[Ending],
        metrics: Vec<MetricReport>,
        left_out: Vec<(String, String)>,
    ) -> Self {
        Self {
            name,
            every: grid
                .step
                .saturating_mul(i64::try_from(every(grid)).unwrap_or(i64::MAX)),
            grid,
            runs: endings.len(),
            verdicts: PHASES.map(|phase| endings.iter().filter(|one| one.phase == phase).count()),
            episodes: episodes(endings),
            metrics,
            left_out,
        }
    }

    /// Whether it says nothing: no run ended within the history, or no metric has a value anywhere.
    pub fn is_empty(&self) -> bool {
        self.runs == 0 || self.metrics.iter().all(|one| one.empty == one.moments)
    }

    /// For people or for programs.
    pub fn print(&self, look: Look) -> String {
        match look.output {
            Output::Table => self.text(look),
            Output::Json => json::print(&self.json()),
        }
    }

    fn text(&self, look: Look) -> String {
        let mut text = format!(
            "{}: {} runs replayed from {} to {}, one started every {:#}, values {:#} apart\n",
            self.name,
            self.runs,
            when(self.grid.from),
            when(self.grid.to()),
            SignedDuration::from_secs(self.every),
            SignedDuration::from_secs(self.grid.step),
        );
        text.push_str(&self.hints());
        let verdicts = PHASES.iter().zip(self.verdicts).map(|(phase, count)| {
            vec![
                phase.to_string(),
                count.to_string(),
                share(count, self.runs),
            ]
        });
        text.push_str(&format!(
            "\n{}",
            table(look, &["VERDICT", "RUNS", "SHARE"], verdicts.collect())
        ));
        if !self.episodes.is_empty() {
            let header = [
                "WOULD END",
                "STARTED FROM",
                "TO",
                "RUNS",
                "BY METRIC",
                "AT",
                "VALUE",
                "BECAUSE",
            ];
            let rows = self.episodes.iter().take(MAX_ROWS).map(row);
            text.push_str(&format!("\n{}", table(look, &header, rows.collect())));
            let more = self.episodes.len().saturating_sub(MAX_ROWS);
            if more > 0 {
                text.push_str(&format!("and {more} more; -o json has all\n"));
            }
        }
        let mut header = vec!["METRIC", "POINTS", "EMPTY", "NAN"];
        let quantiles = SHOWN.map(|(name, _)| name.to_uppercase());
        header.extend(quantiles.iter().map(String::as_str));
        header.extend(["SUCCESSFUL", "FAILED", "INCONCLUSIVE", "ERROR"]);
        let rows = self.metrics.iter().map(MetricReport::row);
        text.push_str(&format!("\n{}", table(look, &header, rows.collect())));
        let places: Vec<Vec<String>> = self.metrics.iter().flat_map(MetricReport::places).collect();
        if !places.is_empty() {
            let header = ["METRIC", "CONDITION", "THRESHOLD", "VALUES BELOW IT"];
            text.push_str(&format!("\n{}", table(look, &header, places)));
        }
        text
    }

    /// What has to be known before the numbers are read.
    fn hints(&self) -> String {
        let mut text = String::new();
        for (name, why) in &self.left_out {
            text.push_str(&format!("metric {name:?} {why}: left out\n"));
        }
        if self.runs == 0 {
            text.push_str("no run would have ended within the history: take a longer --since or a shorter --run-for\n");
        }
        for metric in self.metrics.iter().filter(|one| one.empty == one.moments) {
            text.push_str(&format!(
                "metric {:?} has no value anywhere in this history: look at its query and its arguments\n",
                metric.name
            ));
        }
        let partly = |one: &&MetricReport| one.empty > 0 && one.empty < one.moments;
        for metric in self.metrics.iter().filter(partly) {
            text.push_str(&format!(
                "metric {:?} has no value at {} of {} points: these are judged too, but count in no quantile and no share of values\n",
                metric.name, metric.empty, metric.moments
            ));
        }
        text
    }

    fn json(&self) -> Value {
        let verdicts = PHASES.iter().zip(self.verdicts);
        let verdicts = verdicts.map(|(phase, count)| (phase.to_string(), json!(count)));
        let left_out = self.left_out.iter();
        json!({
            "name": self.name,
            "from": when(self.grid.from),
            "to": when(self.grid.to()),
            "stepSeconds": self.grid.step,
            "startedEverySeconds": self.every,
            "runs": self.runs,
            "verdicts": verdicts.collect::<Value>(),
            "episodes": self.episodes.iter().map(episode).collect::<Vec<_>>(),
            "metrics": self.metrics.iter().map(MetricReport::json).collect::<Vec<_>>(),
            "leftOut": left_out.map(|(name, why)| json!({"metric": name, "reason": why})).collect::<Vec<_>>(),
        })
    }
}

fn row(episode: &Episode) -> Vec<String> {
    let first = &episode.first;
    let judged = first.judged.as_ref();
    let value = judged.map(|judged| judged.value.chars().take(MAX_VALUE).collect::<String>());
    vec![
        first.phase.to_string(),
        seconds(first.started),
        seconds(episode.last_started),
        episode.runs.to_string(),
        or_dash(&first.metric),
        seconds(first.at),
        or_dash(&value.unwrap_or_default()),
        or_dash(judged.map_or("", |judged| &judged.because)),
    ]
}

fn episode(episode: &Episode) -> Value {
    let first = &episode.first;
    json!({
        "phase": first.phase,
        "firstStarted": seconds(first.started),
        "lastStarted": seconds(episode.last_started),
        "runs": episode.runs,
        "metric": first.metric,
        "at": seconds(first.at),
        "ended": seconds(first.ended),
        "value": first.judged.as_ref().map(|judged| &judged.value),
        "because": first.judged.as_ref().map(|judged| &judged.because),
    })
}

fn when(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| "-".to_owned(), |time| time.to_string())
}

fn seconds(time: Timestamp) -> String {
    when(time.as_second())
}

#[allow(clippy::cast_precision_loss)]
fn share(count: usize, of: usize) -> String {
    if of == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", count as f64 * 100.0 / of as f64)
}

/// Four digits that count, without an exponent for what people measure.
fn rounded(number: f64) -> String {
    const DIGITS: f64 = 4.0;
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let scale = 10_f64.powf(DIGITS - 1.0 - number.abs().log10().floor());
    let rounded = (number * scale).round() / scale;
    rounded.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (0.123_456, "0.1235"),
            (123_456.0, "123500"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(rounded(number), text);
        }
        assert_eq!(
            (share(1, 3), share(0, 0)),
            ("33.3 %".to_owned(), "-".to_owned())
        );
    }
}
