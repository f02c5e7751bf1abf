//! What a run from here looks like. In: measurements, a finished run. Out: one line each, a table of verdicts, an exit code. It
//! must not judge.

use std::io::Write as _;

use agent_api::{AnalysisPhase, AnalysisRun, MetricResult};
use agent_engine::analysis::Finished;

use crate::args::{Look, Output};
use crate::failure::{self, Answer};
use crate::json;
use crate::table::{or_dash, table};

/// Longest value in a line; the whole one is in the JSON.
const MAX_VALUE: usize = 60;

/// Prints measurements as they are made: to stdout, or beside the JSON to stderr.
pub struct Show {
    look: Look,
    width: usize,
}

impl Show {
    /// Says what is going to be measured.
    pub fn new(look: Look, run: &AnalysisRun) -> Self {
        let names = run
            .spec
            .metrics
            .iter()
            .map(|metric| metric.name.chars().count());
        let show = Self {
            look,
            width: names.max().unwrap_or_default(),
        };
        let count = run.spec.metrics.len();
        let what = if count == 1 {
            "1 metric".to_owned()
        } else {
            format!("{count} metrics")
        };
        show.print(&format!("measuring {what}; Ctrl-C ends the run\n"));
        show
    }

    /// One measurement, or one leg of it.
    pub fn measured(&self, one: &Finished) {
        let width = self.width;
        let mut line = format!(
            "{}  {:width$}  {:12}  {}",
            one.finished_at.strftime("%H:%M:%S"),
            one.metric,
            one.phase.as_str(),
            one.value.as_deref().map_or_else(|| "-".to_owned(), short),
        );
        if let Some(at) = one.resume_at {
            line.push_str(&format!(
                "  the provider is asked again at {}",
                at.strftime("%H:%M:%S")
            ));
        }
        if let Some(message) = &one.message {
            line.push_str(&format!("  {message}"));
        }
        self.print(&format!("{}\n", line.trim_end()));
    }

    fn print(&self, line: &str) {
        // Nobody reads on when the pipe is closed; the run goes on to its verdict.
        let _ = match self.look.output {
            Output::Table => std::io::stdout().write_all(line.as_bytes()),
            Output::Json => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}

fn short(value: &str) -> String {
    if value.chars().count() <= MAX_VALUE {
        return value.to_owned();
    }
    let kept: String = value.chars().take(MAX_VALUE).collect();
    format!("{kept}…")
}

/// Says what is probably not meant, beside the output.
pub fn warn(what: &str) {
    // Nobody reads it when stderr is closed.
    let _ = std::io::stderr().write_all(format!("warning: {what}\n").as_bytes());
}

/// The end of a run; `unfinished` when it was ended from the keyboard before there was a verdict.
pub fn verdict(look: Look, run: &AnalysisRun, unfinished: bool) -> Answer {
    let status = run.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    let text = match look.output {
        Output::Json => json::print(&serde_json::to_value(run).unwrap_or_default()),
        Output::Table => {
            let said = status.message.as_deref().filter(|_| !unfinished);
            let rows = status.metric_results.iter();
            let rows = rows.map(|result| row(result, said)).collect();
            let header = [
                "METRIC",
                "PHASE",
                "SUCCESSFUL",
                "FAILED",
                "INCONCLUSIVE",
                "ERROR",
                "LAST VALUE",
                "MESSAGE",
            ];
            let mut text = format!("\n{}", table(look, &header, rows));
            if unfinished {
                text.push_str("\nno verdict: interrupted before there was one\n");
                return Answer {
                    text,
                    code: failure::INTERRUPTED,
                };
            }
            let why = status
                .message
                .map(|why| format!(": {why}"))
                .unwrap_or_default();
            text.push_str(&format!("\nverdict: {phase}{why}\n"));
            text
        }
    };
    let code = match phase {
        AnalysisPhase::Running if unfinished => failure::INTERRUPTED,
        AnalysisPhase::Successful => 0,
        AnalysisPhase::Failed => failure::DEGRADED,
        AnalysisPhase::Inconclusive => failure::NEEDS_APPROVAL,
        AnalysisPhase::Error | AnalysisPhase::Running | AnalysisPhase::Pending => failure::UNKNOWN,
    };
    Answer { text, code }
}

/// Stands for the message that the verdict repeats.
const BELOW: &str = "see the verdict";

fn row(result: &MetricResult, said: Option<&str>) -> Vec<String> {
    let number = |count: Option<i32>| count.unwrap_or(0).to_string();
    let last = result.measurements.last();
    let value = last.and_then(|last| last.value.as_deref()).map(short);
    let name = if result.dry_run == Some(true) {
        format!("{} (dry run)", result.name)
    } else {
        result.name.clone()
    };
    vec![
        name,
        result.phase.unwrap_or_default().to_string(),
        number(result.successful),
        number(result.failed),
        number(result.inconclusive),
        number(result.error),
        or_dash(&value.unwrap_or_default()),
        match result.message.as_deref() {
            Some(message) if said == Some(message) => BELOW.to_owned(),
            other => or_dash(other.unwrap_or_default()),
        },
    ]
}
