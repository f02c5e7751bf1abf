//! The contract of a controller of Rollouts, row by row: which cases show each. In: `contract.tsv` (row, our words, cases).
//! Out: a failure where a row has no case or names one that is not there; rows that are marked `open` are printed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROWS: &str = include_str!("../../fixtures/contract.tsv");
/// Sections of the contract with the rows that each has to have at least.
const SECTIONS: [(&str, usize); 11] = [
    ("1.1", 12),
    ("1.2", 9),
    ("1.3", 11),
    ("1.4", 9),
    ("1.6", 19),
    ("1.7", 8),
    ("1.8", 3),
    ("1.9", 3),
    ("1.10", 7),
    ("1.12", 4),
    ("2", 19),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Names of all test functions of the agent and of the folders of tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["agent", "tests"] {
        collect(&root().join(folder), &mut names);
    }
    names
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                let name = line
                    .trim_start_matches("async ")
                    .strip_prefix("fn ")
                    .and_then(|rest| rest.split('(').next());
                match name {
                    Some(name) if marked => {
                        names.insert(name.to_owned());
                        marked = false;
                    }
                    _ => marked |= line == "#[test]" || line.starts_with("#[tokio::test"),
                }
            }
        }
    }
}

/// What is wrong with a row; nothing when all its cases are there.
fn wrong(row: &str, tests: &BTreeSet<String>, seen: &mut BTreeSet<String>) -> Vec<String> {
    let columns: Vec<&str> = row.split('\t').collect();
    let [id, words, cases] = columns.as_slice() else {
        return vec![format!("{row:?} has not three columns")];
    };
    let mut wrong = Vec::new();
    if !seen.insert((*id).to_owned()) {
        wrong.push(format!("{id} is there twice"));
    }
    if words.is_empty() || cases.is_empty() {
        wrong.push(format!("{id} is empty"));
    }
    if *cases == "open" {
        println!("open: {id} {words}");
        return wrong;
    }
    for case in cases.split(' ') {
        let there = match case.split_once(':') {
            Some(("golden", name)) => {
                let of = |kind: &str| root().join("tests/fixtures").join(kind).join(name);
                let kinds = ["agent", "experiment"];
                let there = |kind: &&str| of(kind).join("observed.yaml").is_file();
                !name.is_empty() && kinds.iter().any(there)
            }
            Some(("test", name)) => tests.contains(name),
            Some(_) | None => false,
        };
        if !there {
            wrong.push(format!("{id} names {case:?}, which is not there"));
        }
    }
    wrong
}

#[test]
fn every_row_of_the_contract_has_a_case() {
    let (tests, mut seen) = (tests(), BTreeSet::new());
    let found: Vec<String> = ROWS
        .lines()
        .flat_map(|row| wrong(row, &tests, &mut seen))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (section, least) in SECTIONS {
        let of = |id: &&String| id.rsplit_once('.').map(|(of, _)| of) == Some(section);
        let rows = seen.iter().filter(of).count();
        assert!(rows >= least, "section {section} has only {rows} rows");
    }
}

#[test]
fn a_bad_row_is_noticed() {
    let tests = BTreeSet::from(["known".to_owned()]);
    for (row, good) in [
        ("1\twords\ttest:known", true),
        ("1\twords\tgolden:at_rest", true),
        ("1\twords\topen", true),
        ("1\twords\ttest:unknown", false),
        ("1\twords\tgolden:never_written", false),
        ("1\twords\tgolden:", false),
        ("1\twords\t", false),
        ("1\t\topen", false),
        ("1\twords", false),
    ] {
        let found = wrong(row, &tests, &mut BTreeSet::new());
        assert_eq!(found.is_empty(), good, "{row:?}: {found:?}");
    }
}
