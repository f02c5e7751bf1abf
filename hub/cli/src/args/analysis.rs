//! The command line of `groundswell analysis`. In: arguments. Out: typed options. It must not open files or connections.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::SignedDuration;

/// `analysis …`.
#[derive(Debug, Args)]
pub struct Analysis {
    /// Which.
    #[command(subcommand)]
    pub command: AnalysisCommand,
}

/// What can be done with an analysis.
#[derive(Debug, Subcommand)]
pub enum AnalysisCommand {
    /// Measure and judge from here, as the agent would in a cluster.
    #[command(
        after_help = "Exit codes: 0 Successful, 1 it could not be begun, 2 usage, 3 Failed, 4 Error, 5 Inconclusive, \
                      130 interrupted before the verdict"
    )]
    Run(Run),
    /// Replay a Prometheus' history: when would it have failed?
    #[command(
        after_help = "Exit codes: 0 the history was replayed, whatever the verdicts (a program reads them with -o json), 1 it could \
                      not be read, 2 usage, 4 no value or no run in this history"
    )]
    Backtest(Backtest),
}

/// What is measured.
#[derive(Debug, Args)]
pub struct Subject {
    /// AnalysisTemplates, ClusterAnalysisTemplates or an AnalysisRun, in files or folders; - is stdin.
    #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "FILE")]
    pub files: Vec<String>,
    /// Only this template, when the files have several; without it, all that no other one names.
    #[arg(long, value_name = "NAME")]
    pub template: Vec<String>,
    /// Only this metric.
    #[arg(long, value_name = "NAME")]
    pub metric: Vec<String>,
    /// Value of an argument.
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub args: Vec<(String, String)>,
    /// YAML with values of arguments, name: value.
    #[arg(long, value_name = "FILE")]
    pub args_file: Option<PathBuf>,
    /// Content of a Secret's key, from a file or a variable: it is never written on the command line. Secrets in the
    /// files are known too.
    #[arg(long = "secret", value_name = "NAME.KEY=@FILE|env:VARIABLE", value_parser = pair)]
    pub secrets: Vec<(String, String)>,
    /// Where Prometheus is, for metrics that do not say.
    #[arg(long, value_name = "URL")]
    pub prometheus_address: Option<String>,
}

/// Options of `analysis run`.
#[derive(Debug, Args)]
pub struct Run {
    /// What is measured.
    #[command(flatten)]
    pub subject: Subject,
    /// A metric whose result does not count; .* is all.
    #[arg(long, value_name = "NAME")]
    pub dry_run_metric: Vec<String>,
    /// How many measurements of each metric, instead of what is written.
    #[arg(long, allow_negative_numbers = true, value_parser = at_least_one)]
    pub count: Option<i32>,
    /// Time between measurements, instead of what is written.
    #[arg(long, value_name = "DURATION", value_parser = text_of_duration)]
    pub interval: Option<String>,
    /// Time before the first measurement, instead of what is written.
    #[arg(long, value_name = "DURATION", value_parser = text_of_duration)]
    pub initial_delay: Option<String>,
}

/// Options of `analysis backtest`.
#[derive(Debug, Args)]
pub struct Backtest {
    /// What is measured.
    #[command(flatten)]
    pub subject: Subject,
    /// How far back: 90s, 1h30m or 7d; a number alone is seconds.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub since: SignedDuration,
    /// Time between two starts of a run, and between two points of the history; without it, the shortest interval of the
    /// metrics, and not more points than can be looked at.
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub step: Option<SignedDuration>,
    /// Where the history ends, such as 2026-11-25T12:00:00Z; without it, now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<jiff::Timestamp>,
    /// How long a run lasts whose metrics have no count.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = span)]
    pub run_for: SignedDuration,
    /// Another successCondition: METRIC=CONDITION, or a CONDITION when there is one metric.
    #[arg(long, value_name = "[METRIC=]CONDITION")]
    pub success_condition: Vec<String>,
    /// Another failureCondition.
    #[arg(long, value_name = "[METRIC=]CONDITION")]
    pub failure_condition: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE".to_owned()),
    }
}

fn text_of_duration(text: &str) -> Result<String, String> {
    let parsed = agent_api::duration::parse(text).map_err(|error| error.to_string())?;
    if parsed.is_negative() {
        return Err("must not be negative".to_owned());
    }
    Ok(text.to_owned())
}

fn at_least_one(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| *number >= 1);
    number.ok_or_else(|| "must be a whole number of at least 1".to_owned())
}

fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse()
        .map_err(|_| "is no time: write for example 2026-11-25T12:00:00Z".to_owned())
}

/// Longest span: no Prometheus looks back further than ten years.
const MAX_DAYS: i64 = 3650;

/// `90s`, `1h30m`, `7d`.
fn span(text: &str) -> Result<SignedDuration, String> {
    const HOURS_A_DAY: i64 = 24;
    let days = text
        .strip_suffix('d')
        .filter(|days| !days.is_empty() && days.chars().all(|digit| digit.is_ascii_digit()));
    let most = SignedDuration::from_hours(HOURS_A_DAY.saturating_mul(MAX_DAYS));
    let span = match days {
        // So many digits that they are no number are too many days.
        Some(days) => days.parse::<i64>().map_or(SignedDuration::MAX, |days| {
            SignedDuration::from_hours(
                HOURS_A_DAY.saturating_mul(days.min(MAX_DAYS.saturating_add(1))),
            )
        }),
        None => agent_api::duration::parse(text)
            .map_err(|_| "is no duration: write for example 30s, 1h30m or 7d".to_owned())?,
    };
    if span.as_secs() < 1 {
        return Err("must be at least 1s".to_owned());
    }
    if span > most {
        return Err(format!("must be at most {MAX_DAYS}d"));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_pairs() {
        assert_eq!(span("7d").unwrap(), SignedDuration::from_hours(168));
        assert_eq!(span("90s").unwrap(), SignedDuration::from_secs(90));
        for bad in [
            "0s",
            "-1h",
            "soon",
            "d",
            "1.5d",
            "99999d",
            "99999999999999999999d",
        ] {
            assert!(span(bad).is_err(), "{bad}");
        }
        assert_eq!(span("99999d").unwrap_err(), "must be at most 3650d");
        assert!(span("soon").unwrap_err().contains("7d"));
        assert_eq!(
            (at_least_one("2"), at_least_one("-1").is_err()),
            (Ok(2), true)
        );
        assert!(moment("yesterday").unwrap_err().contains("T12:00:00Z"));
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }
}
