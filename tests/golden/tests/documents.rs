//! FleetRollout documents, good and bad. In: `tests/fixtures/fleetrollouts`. Out: each bad file's problems equal its `.txt`,
//! each good file's canonical form equals its `.txt`. `UPDATE=1` rewrites them. It must not touch a database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hub_engine::waves::plan_waves;

/// So many kinds of mistakes there are at least; fewer means that files were lost.
const BAD_MIN: usize = 70;

fn files(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/fleetrollouts")
        .join(kind);
    let entries = std::fs::read_dir(&folder)
        .expect("the folder of fixtures")
        .map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

/// One `line path: message` each; the answer of a good file is its canonical form.
fn answer(text: &str) -> (bool, String) {
    let mut answer = String::new();
    match hub_engine::parse_file(text) {
        Ok(file) => {
            for document in &file.windows {
                let window = serde_json::to_string(&document.window).unwrap();
                let _ = writeln!(answer, "line {}: {window}", document.line);
                for note in &document.notes {
                    let _ = writeln!(answer, "  note: {note}");
                }
            }
            for document in &file.documents {
                let _ = writeln!(
                    answer,
                    "line {}: {}",
                    document.line,
                    document.fleet_rollout.canonical()
                );
                for note in &document.notes {
                    let _ = writeln!(answer, "  note: {note}");
                }
            }
            (true, answer)
        }
        Err(problems) => {
            for problem in &problems {
                let _ = writeln!(
                    answer,
                    "line {} {}: {}",
                    problem.line, problem.path, problem.message
                );
            }
            (false, answer)
        }
    }
}

fn check(kind: &str, good: bool) -> usize {
    let update = std::env::var_os("UPDATE").is_some();
    let files = files(kind);
    let mut wrong = Vec::new();
    let mut seen: Vec<(String, PathBuf)> = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a fixture");
        let (parsed, answer) = answer(&text);
        if parsed != good {
            wrong.push(format!(
                "{}: taken {parsed}, wanted {good}\n{answer}",
                file.display()
            ));
        }
        if let Some((_, other)) = seen.iter().find(|(other, _)| *other == answer) {
            wrong.push(format!(
                "{} and {} say the same",
                file.display(),
                other.display()
            ));
        }
        let golden = file.with_extension("txt");
        if update {
            std::fs::write(&golden, &answer).expect("the golden file is written");
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != answer {
            wrong.push(format!(
                "{} differs (UPDATE=1 rewrites it):\n{answer}",
                golden.display()
            ));
        }
        seen.push((answer, file.clone()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    files.len()
}

#[test]
fn bad_documents_are_refused_with_path_line_and_message() {
    let count = check("bad", false);
    assert!(
        count >= BAD_MIN,
        "{count} bad documents, {BAD_MIN} are needed"
    );
}

#[test]
fn good_documents_have_a_canonical_form() {
    check("good", true);
}

#[test]
fn every_problem_is_found_at_once() {
    let text = include_str!("../../fixtures/fleetrollouts/bad/several-at-once.yaml");
    let problems = hub_engine::parse(text).expect_err("it is bad");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(
        problems.iter().all(|problem| problem.line > 0),
        "{problems:?}"
    );
}

#[test]
fn the_document_in_the_readme_is_good() {
    let readme = include_str!("../../../README.md");
    let (_, from) = readme.split_once("```yaml\n").unwrap();
    let (text, _) = from.split_once("```").unwrap();
    let documents = hub_engine::parse(text).unwrap();
    assert_eq!(documents.len(), 1);
}

/// What a document does not say is not in the plan either: approvals of releases that are open name its digest.
#[test]
fn a_plan_keeps_its_digest() {
    let digest = |on_failure: &str| {
        let text = format!(
            "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: shop}}\nspec:\n  \
             rollout: {{namespace: shop, name: web}}\n  waves: [{{name: all}}]\n  onFailure: {{{on_failure}}}\n"
        );
        let documents = hub_engine::parse(&text).expect("it is good");
        plan_waves(&documents[0].fleet_rollout, &BTreeMap::new()).digest()
    };
    let known = "p1:b58612e0c695af3701c5cdc4059ca4a3ddbf5ee0c58ffbda6291f0d687abeb12";
    assert_eq!(digest("action: Rollback"), known);
    assert_eq!(digest("action: Rollback, steps: Skip"), known);
    assert_ne!(digest("action: Rollback, steps: Backwards"), known);
}

/// So many pages there are, one a policy.
const PAGES: usize = 9;

#[test]
fn every_document_in_the_pages_about_policies_is_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hub/docs");
    let pages: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the pages")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(pages.len() >= PAGES, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        let documents: Vec<&str> = text
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert!(!documents.is_empty(), "{} has no document", page.display());
        for document in documents {
            if let Err(problems) = hub_engine::parse_file(document) {
                panic!("{}: {problems:?}", page.display());
            }
        }
    }
}
