//! What the tree must look like. In: the files of the repository, the dependency trees of the engines. Out: a list of
//! places that break a rule, with the rule. Every rule is itself tried on a bad sample, so that none is silently blind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod dependencies;
mod files;
mod go;
mod planted;
mod rust;

use files::Source;

/// A rule looks at one file and says what is wrong with it, each with its line.
type Rule = fn(&Source) -> Vec<Wrong>;

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    line: usize,
    what: String,
}

/// Every rule for single files, by name.
const RULES: [(&str, Rule); 9] = [
    ("short", rust::short),
    ("module_doc", rust::module_doc),
    ("not_ignored", rust::not_ignored),
    ("finished", rust::finished),
    ("no_sleep", rust::no_sleep),
    ("no_skip", rust::no_skip),
    ("no_machine_path", files::no_machine_path),
    ("go_no_skip", go::no_skip),
    ("go_no_sleep", go::no_sleep),
];

#[test]
fn every_file_keeps_the_rules() {
    let sources = files::all();
    assert!(
        sources.len() > 50,
        "the tree was not found: {} files",
        sources.len()
    );
    let wrong: Vec<String> = sources.iter().flat_map(broken).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn broken(source: &Source) -> Vec<String> {
    RULES
        .iter()
        .flat_map(|(name, rule)| {
            rule(source)
                .into_iter()
                .map(move |wrong| format!("{}:{}: {name}: {}", source.path, wrong.line, wrong.what))
        })
        .collect()
}

#[test]
fn custom_resources_are_fresh() {
    let stale = dependencies::stale_crds(
        &agent_api::crd::render_all(),
        &files::root().join("deploy/crds"),
    );
    assert!(stale.is_empty(), "generate deploy/crds again: {stale:?}");
}
