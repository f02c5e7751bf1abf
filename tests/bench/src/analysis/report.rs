//! What people read of it. In: an outcome. Out: a line for each scenario, tables of costs, requests and goals. A goal that
//! is missed is said and is no failure: machines differ, and others run beside it.

use crate::table::{table, words};

use super::{Outcome, Scenario};

/// Latest of 99 of 100 measurements, in milliseconds.
const LATE_AT_MOST: f64 = 1000.0;
/// MiB, resident.
const MEMORY_BELOW: f64 = 300.0;
/// Cores.
const CORES_BELOW: f64 = 1.0;

/// Cores that the agent kept busy.
fn cores(scenario: &Scenario) -> f64 {
    scenario.phase.cpu / scenario.phase.wall
}

/// AnalysisRuns have no subresource for their status.
fn status_writes(scenario: &Scenario) -> u64 {
    scenario.phase.requests.count("patch", "analysisruns")
}

/// One scenario in a line.
pub fn line(scenario: &Scenario) -> String {
    let late = &scenario.lateness;
    format!(
        "{}: {} measurements, late by p50 {:.0} ms, p99 {:.0} ms, {:.2} cores, {:.0} MiB, {} status writes",
        scenario.phase.name,
        late.count,
        late.p50,
        late.p99,
        cores(scenario),
        scenario.phase.peak_rss,
        status_writes(scenario)
    )
}

/// Lateness and costs of each scenario.
pub fn costs(outcome: &Outcome) -> String {
    let header = words([
        "SCENARIO",
        "RUNS",
        "STUCK",
        "MEASURED",
        "A SECOND",
        "OVERDUE",
        "LEAST ms",
        "P50 ms",
        "P90 ms",
        "P99 ms",
        "MOST ms",
        "CORES",
        "PEAK MiB",
        "STATUS WRITES/s",
        "PER RUN AND MINUTE",
        "SERVER CORES",
    ]);
    let mut table = table(header, 1);
    for scenario in &outcome.scenarios {
        let (late, phase) = (&scenario.lateness, &scenario.phase);
        let writes = status_writes(scenario) as f64 / phase.wall;
        table.add_row(vec![
            phase.name.to_owned(),
            outcome.runs.to_string(),
            scenario.stuck.to_string(),
            late.count.to_string(),
            format!("{:.0}", late.count as f64 / phase.wall),
            late.overdue.to_string(),
            format!("{:.0}", late.least),
            format!("{:.0}", late.p50),
            format!("{:.0}", late.p90),
            format!("{:.0}", late.p99),
            format!("{:.0}", late.most),
            format!("{:.2}", cores(scenario)),
            format!("{:.1}", phase.peak_rss),
            format!("{writes:.1}"),
            format!("{:.2}", writes * 60.0 / outcome.runs as f64),
            format!("{:.2}", phase.server_cpu / phase.wall),
        ]);
    }
    table.to_string()
}

/// Requests of the agent by verb and object.
pub fn requests(outcome: &Outcome) -> String {
    let mut table = table(words(["SCENARIO", "REQUEST", "COUNT", "A SECOND"]), 2);
    for scenario in &outcome.scenarios {
        for (asked, count) in scenario.phase.requests.iter() {
            table.add_row(vec![
                scenario.phase.name.to_owned(),
                asked.to_string(),
                count.to_string(),
                format!("{:.1}", count as f64 / scenario.phase.wall),
            ]);
        }
    }
    table.to_string()
}

/// Each goal and whether it is reached.
pub fn goals(outcome: &Outcome) -> String {
    let mut table = table(words(["SCENARIO", "GOAL", "MEASURED", "LIMIT", ""]), 2);
    for scenario in &outcome.scenarios {
        let goals = [
            ("late, p99 ms", scenario.lateness.p99, LATE_AT_MOST),
            ("memory MiB", scenario.phase.peak_rss, MEMORY_BELOW),
            ("cores", cores(scenario), CORES_BELOW),
        ];
        for (what, found, limit) in goals {
            let reached = if found < limit { "ok" } else { "MISSED" };
            table.add_row(vec![
                scenario.phase.name.to_owned(),
                what.to_owned(),
                format!("{found:.2}"),
                format!("{limit:.2}"),
                reached.to_owned(),
            ]);
        }
    }
    table.to_string()
}
