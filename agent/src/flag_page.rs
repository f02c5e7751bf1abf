//! The page of all flags. In: the table of arguments. Out: agent/docs/flags.md. It must not describe a flag in other words
//! than `--help` does.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, CommandFactory as _};

use crate::args::Args;

/// Before the table.
const HEAD: &str = "# Flags of the agent

What `groundswell-agent --help` says, in one page. A flag whose name another controller has too means the same here.

| Flag | Meaning | Default |
|---|---|---|
";

/// The page, as it should be in the repository.
#[must_use]
pub fn page() -> String {
    let mut command = Args::command();
    command.build();
    let mut page = HEAD.to_owned();
    let shown = command
        .get_arguments()
        .filter(|flag| !flag.is_hide_set() && flag.get_long().is_some())
        // These clap itself adds.
        .filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version"));
    for flag in shown {
        // Writing to a text does not fail.
        let _ = writeln!(page, "{}", row(flag));
    }
    page
}

fn row(flag: &Arg) -> String {
    let mut name = format!("--{}", flag.get_long().unwrap_or_default());
    let values = flag.get_possible_values();
    if takes_value(flag) {
        let given = flag.get_value_names().unwrap_or_default();
        let given: Vec<&str> = given.iter().map(clap::builder::Str::as_str).collect();
        name.push_str(&format!(" {}", given.join(" ")));
    }
    let help = flag.get_help().map(ToString::to_string);
    let mut meaning = cell(&help.unwrap_or_default());
    let shown: Vec<String> = values
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if takes_value(flag) && !shown.is_empty() {
        meaning.push_str(&format!(": {}", shown.join(", ")));
    }
    if let Some(variable) = flag.get_env() {
        meaning.push_str(&format!(
            "; or the variable `{}`",
            variable.to_string_lossy()
        ));
    }
    let default: Vec<String> = flag
        .get_default_values()
        .iter()
        .filter(|_| takes_value(flag))
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    format!("| `{name}` | {meaning} | {} |", default.join(", "))
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

/// On one line, and no end of a column.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1` writes it anew.
    #[test]
    fn the_page_has_the_flags_that_there_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/flags.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == page(),
            "flags.md is stale: run this test with UPDATE=1"
        );
        assert!(
            written.contains("| `--analysis-allow-loopback"),
            "{written}"
        );
    }
}
