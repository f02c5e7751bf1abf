//! What people read. In: runs and ratios. Out: tables. It leaves nothing out and judges nothing.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, Table, presets};

use crate::compare::Ratio;
use crate::meter::Phase;
use crate::story::Run;
use crate::tally::{Asked, Tally};

/// A table whose columns but the first few are numbers.
pub(crate) fn table(header: Vec<String>, texts: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A header.
pub(crate) fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Time, CPU and memory of each phase.
pub fn costs(runs: &[Run]) -> String {
    let header = words([
        "CONTROLLER",
        "PHASE",
        "WALL s",
        "MEDIAN s",
        "CPU s",
        "PEAK MiB",
        "PSS MiB",
        "WRITES",
        "REQUESTS",
        "IN VAIN",
        "SERVER CPU s",
    ]);
    let mut table = table(header, 2);
    for run in runs {
        for phase in &run.phases {
            table.add_row(vec![
                run.name.clone(),
                phase.name.to_owned(),
                format!("{:.1}", phase.wall),
                format!("{:.1}", phase.median),
                format!("{:.2}", phase.cpu),
                format!("{:.1}", phase.peak_rss),
                format!("{:.1}", phase.peak_pss),
                phase.requests.writes.to_string(),
                phase.requests.total().to_string(),
                in_vain(phase).to_string(),
                format!("{:.1}", phase.server_cpu),
            ]);
        }
    }
    table.to_string()
}

fn in_vain(phase: &Phase) -> u64 {
    phase.unchanged.iter().map(|one| one.surplus()).sum()
}

/// Requests by verb and object, of each phase; those of create and update for each Rollout.
pub fn requests(runs: &[Run]) -> String {
    let mut header = words(["OBJECT", "VERB", "ANSWER"]);
    for run in runs {
        header.extend(
            run.phases
                .iter()
                .map(|phase| format!("{} {}", run.name, phase.name)),
        );
        header.push("each Rollout".to_owned());
    }
    let mut table = table(header, 3);
    let phases = || runs.iter().flat_map(|run| &run.phases);
    let asked: BTreeSet<Asked> = phases()
        .flat_map(|phase| phase.requests.iter().map(|(asked, _)| asked.clone()))
        .collect();
    for asked in asked {
        let answer = asked
            .refused
            .map_or_else(|| "ok".to_owned(), |code| code.to_string());
        let mut row = vec![asked.target.clone(), asked.verb.clone(), answer];
        let of = |tally: &Tally| {
            tally
                .iter()
                .find(|(one, _)| **one == asked)
                .map_or(0, |(_, count)| count)
        };
        for run in runs {
            row.extend(
                run.phases
                    .iter()
                    .map(|phase| of(&phase.requests).to_string()),
            );
            let busy: u64 = run
                .phases
                .iter()
                .filter(|phase| phase.name != "idle")
                .map(|phase| of(&phase.requests))
                .sum();
            row.push(format!("{:.2}", busy as f64 / run.count as f64));
        }
        table.add_row(row);
    }
    table.to_string()
}

/// How many objects that were written in vain are shown.
const SHOWN: usize = 5;

/// Writes that changed nothing; empty when there were none.
pub fn defects(runs: &[Run]) -> String {
    let mut lines = Vec::new();
    for run in runs {
        for phase in run
            .phases
            .iter()
            .filter(|phase| !phase.unchanged.is_empty())
        {
            lines.push(format!(
                "DEFECT {} {}: {} writes changed nothing, to {} objects",
                run.name,
                phase.name,
                in_vain(phase),
                phase.unchanged.len()
            ));
            for one in phase.unchanged.iter().take(SHOWN) {
                lines.push(format!(
                    "  {}: {} changes, writes by {:?}",
                    one.object, one.changes, one.writes
                ));
            }
        }
    }
    lines.join("\n")
}

/// Ratios beside their goals.
pub fn ratios(ratios: &[Ratio]) -> String {
    let mut table = table(words(["", "OURS", "THEIRS", "RATIO", "GOAL", ""]), 1);
    for one in ratios {
        table.add_row(vec![
            one.what.to_owned(),
            format!("{:.2}", one.ours),
            format!("{:.2}", one.theirs),
            format!("{:.2}", one.ratio()),
            format!("{:.2}", one.goal),
            if one.reached() { "ok" } else { "MISSED" }.to_owned(),
        ]);
    }
    table.to_string()
}
