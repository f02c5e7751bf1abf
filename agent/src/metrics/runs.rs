//! AnalysisRuns that are there now, object by object, as Prometheus text.
//!
//! In: the cache. Out: four families, made anew at each scrape. It must stay small: a run has a series for each phase of each
//! of its metrics, and series of the library would take ten times the text.

use std::fmt::{self, Write as _};

use agent_api::{AnalysisPhase, AnalysisRun};

use super::objects::{PHASES, provider};
use super::tally::{head, labels};
use crate::cache::Caches;
use crate::key::ObjectKey;

/// Name and help of each family.
const FAMILIES: [(&str, &str); 4] = [
    ("analysis_run_info", "An AnalysisRun"),
    ("analysis_run_phase", "Whether an AnalysisRun is in a phase"),
    (
        "analysis_run_metric_type",
        "Whom a metric of an AnalysisRun asks",
    ),
    (
        "analysis_run_metric_phase",
        "Whether a metric of an AnalysisRun is in a phase",
    ),
];

/// All four; one without series is left out.
pub(super) fn write(caches: &Caches, text: &mut String) -> fmt::Result {
    let mut lines = [const { String::new() }; FAMILIES.len()];
    for found in caches.runs.all() {
        if let Ok(run) = &found.object {
            one(run, &mut lines)?;
        }
    }
    for ((name, help), lines) in FAMILIES.into_iter().zip(lines) {
        if !lines.is_empty() {
            head(text, name, help, "gauge")?;
            text.push_str(&lines);
        }
    }
    Ok(())
}

fn one(run: &AnalysisRun, [infos, phases, types, of_metrics]: &mut [String; 4]) -> fmt::Result {
    let own = labels(&ObjectKey::of(&run.metadata));
    let [info, phase_name, type_name, metric_name] = FAMILIES.map(|(name, _)| name);
    let status = run.status.as_ref();
    let now = status
        .and_then(|status| status.phase)
        .unwrap_or(AnalysisPhase::Pending);
    writeln!(infos, "{info}{{{own},phase=\"{now}\"}} 1")?;
    for phase in PHASES {
        let value = u8::from(phase == now);
        writeln!(phases, "{phase_name}{{{own},phase=\"{phase}\"}} {value}")?;
    }
    for metric in &run.spec.metrics {
        let mut results = status.into_iter().flat_map(|status| &status.metric_results);
        let result = results.find(|one| one.name == metric.name);
        let (name, kind) = (escaped(&metric.name), escaped(&provider(&metric.provider)));
        writeln!(
            types,
            "{type_name}{{metric=\"{name}\",{own},type=\"{kind}\"}} 1"
        )?;
        let dry = result.and_then(|one| one.dry_run).unwrap_or(false);
        // What was not measured yet is to come.
        let now = result.and_then(|one| one.phase);
        let now = now.unwrap_or(AnalysisPhase::Pending);
        for phase in PHASES {
            let value = u8::from(phase == now);
            writeln!(
                of_metrics,
                "{metric_name}{{dry_run=\"{dry}\",metric=\"{name}\",{own},phase=\"{phase}\",type=\"{kind}\"}} {value}"
            )?;
        }
    }
    Ok(())
}

/// Names of metrics are anybody's text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_label() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
