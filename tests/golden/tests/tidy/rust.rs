//! Rules for Rust files. In: one file. Out: the lines that break the rule. They look at words, not at syntax: what they
//! look for is never needed in a comment or a text either. The words are put together here so that this file passes.

use crate::Wrong;
use crate::files::Source;

/// A longer file holds more than one noun.
const LINES_MAX: usize = 500;

const IGNORE: &str = concat!("#[", "ignore");
const UNFINISHED: [&str; 3] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
];
const SLEEPS: [&str; 3] = [
    concat!("thread::", "sleep"),
    concat!("time::", "sleep"),
    concat!("sleep", "_until"),
];

/// The one place of the tests that sleeps: between two looks, and for a slow link.
const SLEEPER: &str = "tests/fleet/src/eventually.rs";

pub fn short(source: &Source) -> Vec<Wrong> {
    let lines = source.text.lines().count();
    if (source.ends_in("rs") || source.ends_in("go")) && lines > LINES_MAX {
        return vec![Wrong {
            line: lines,
            what: format!("{lines} lines, {LINES_MAX} at most"),
        }];
    }
    Vec::new()
}

pub fn module_doc(source: &Source) -> Vec<Wrong> {
    // Attributes of the whole file may stand before it.
    let mut lines = source.text.lines().map(str::trim);
    let first = lines
        .find(|line| !line.is_empty() && !line.starts_with("#!["))
        .unwrap_or_default();
    if source.ends_in("rs") && !first.starts_with("//!") {
        return vec![Wrong {
            line: 1,
            what: "no //! that says what comes in and what goes out".into(),
        }];
    }
    Vec::new()
}

pub fn not_ignored(source: &Source) -> Vec<Wrong> {
    holding(source, true, |line| line.contains(IGNORE))
}

pub fn finished(source: &Source) -> Vec<Wrong> {
    holding(source, true, |line| {
        UNFINISHED.iter().any(|word| line.contains(word))
    })
}

pub fn no_sleep(source: &Source) -> Vec<Wrong> {
    if source.path == SLEEPER {
        return Vec::new();
    }
    holding(source, false, |line| {
        SLEEPS.iter().any(|word| line.contains(word))
    })
}

/// A test that prints that it skips something has found a tool missing, and passes without having tested.
pub fn no_skip(source: &Source) -> Vec<Wrong> {
    holding(source, false, |line| {
        let prints = ["println!(", "eprintln!(", "print!(", "eprint!("]
            .iter()
            .any(|print| line.contains(print));
        prints && line.to_lowercase().contains("skip")
    })
}

/// Lines of a Rust file, all of them or only those of its tests.
fn holding(source: &Source, everywhere: bool, breaks: impl Fn(&str) -> bool) -> Vec<Wrong> {
    if !source.ends_in("rs") {
        return Vec::new();
    }
    let begin = if everywhere {
        Some(1)
    } else {
        tests_from(source)
    };
    let Some(begin) = begin else {
        return Vec::new();
    };
    source
        .lines()
        .filter(|(line, text)| *line >= begin && breaks(text))
        .map(|(line, text)| Wrong {
            line,
            what: text.trim().into(),
        })
        .collect()
}

/// The first line of test code: the whole file below tests/ or by its name, else from the test module on, which is last.
fn tests_from(source: &Source) -> Option<usize> {
    let path = &source.path;
    let whole =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    if whole {
        return Some(1);
    }
    source
        .lines()
        .find(|(_, text)| text.trim() == "#[cfg(test)]")
        .map(|(line, _)| line)
}
