//! `rules.tsv`: every invariant of the simulation and every rule of the gate, and how its check was seen to fail. In: the
//! table, the names of bugs. Out: what it lacks. It must not say that a rule holds: lives do.
//!
//! A line: the rule, what it says, where it is checked, and what shows that the check bites: bugs that the simulation finds by
//! this rule, or, where no fleet can be made to break it, tests by file and name.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// The number of invariants of each kind, and of rules of the gate: `S1` to `S23` and so on.
const KINDS: [(&str, u32); 4] = [("S", 23), ("L", 8), ("G", 30), ("link L", 6)];

struct Row {
    rule: String,
    checked: String,
    shown: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("rules.tsv")).unwrap_or_default();
    let lines = text.lines().skip(1).filter_map(|line| {
        let mut cells = line.split('\t');
        let (rule, _says) = (cells.next()?, cells.next()?);
        let (checked, shown) = (cells.next()?, cells.next()?);
        Some(Row {
            rule: rule.to_owned(),
            checked: checked.to_owned(),
            shown: shown.split("; ").map(str::to_owned).collect(),
        })
    });
    lines.collect()
}

/// The rules that a bug has to be found by.
pub fn named(bug: &str) -> Vec<String> {
    let rows = rows().into_iter();
    let named = rows.filter(|row| row.shown.iter().any(|one| one == bug));
    named.map(|row| row.rule).collect()
}

/// What is wrong with the table.
pub fn wrong(bugs: &BTreeSet<String>) -> Vec<String> {
    let rows = rows();
    let mut wrong = Vec::new();
    for (kind, count) in KINDS {
        for number in 1..=count {
            let rule = format!("{kind}{number}");
            let times = rows.iter().filter(|row| row.rule == rule).count();
            if times != 1 {
                wrong.push(format!("{rule} stands {times} times in rules.tsv"));
            }
        }
    }
    for row in &rows {
        if row.checked.is_empty() {
            wrong.push(format!("{} does not say where it is checked", row.rule));
        }
        let unknown = row.shown.iter().filter(|one| !is_there(one, bugs));
        wrong.extend(unknown.map(|one| format!("{}: there is no {one:?}", row.rule)));
    }
    wrong
}

/// Whether a bug is planted, or a file has the test: `path::name`.
fn is_there(shown: &str, bugs: &BTreeSet<String>) -> bool {
    let Some((path, name)) = shown.split_once("::") else {
        return bugs.contains(shown);
    };
    let file = root().join("../..").join(path);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.contains(&format!("fn {name}("))
}
