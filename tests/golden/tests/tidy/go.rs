//! Rules for the sandbox's Go tests. In: one file. Out: the lines that break the rule.

use crate::Wrong;
use crate::files::Source;

const SKIPS: [&str; 4] = [
    concat!(".Skip", "("),
    concat!(".Skip", "f("),
    concat!(".Skip", "Now("),
    concat!("testing.", "Short("),
];

pub fn no_skip(source: &Source) -> Vec<Wrong> {
    holding(source, |line| SKIPS.iter().any(|word| line.contains(word)))
}

/// A look, a short sleep and the next look is a wait for a condition; Go has no other. So a sleep is right where it is
/// named as the pause of such a loop, and a sleep for a fixed number of seconds is not.
pub fn no_sleep(source: &Source) -> Vec<Wrong> {
    holding(source, |line| {
        line.contains(concat!("time.", "Sleep(")) && line.contains("time.Second")
    })
}

fn holding(source: &Source, breaks: impl Fn(&str) -> bool) -> Vec<Wrong> {
    if !source.path.ends_with("_test.go") {
        return Vec::new();
    }
    source
        .lines()
        .filter(|(_, text)| breaks(text))
        .map(|(line, text)| Wrong {
            line,
            what: text.trim().into(),
        })
        .collect()
}
