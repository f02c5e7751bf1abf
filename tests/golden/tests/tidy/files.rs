//! The files of the repository. In: its folder. Out: paths with texts, and the rule that holds for all of them. What Git
//! ignores, and what is not text, is no part of it.

use std::path::{Path, PathBuf};

use crate::Wrong;

/// Folders that are not ours to judge.
const SKIPPED: [&str; 4] = ["target", ".git", "node_modules", "dist"];

/// What a source or a document ends in.
const ENDINGS: [&str; 13] = [
    "rs", "go", "toml", "yaml", "md", "sh", "proto", "sql", "txt", "tsv", "json", "mod", "run",
];

/// Where people keep their work; a path below one of these holds on one machine only.
const HOMES: [&str; 3] = ["root", "home", "work"];

/// One file.
pub struct Source {
    /// From the repository's folder.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    pub fn ends_in(&self, ending: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == ending)
    }

    /// Lines with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }
}

pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("tests/golden is two folders down")
        .to_path_buf()
}

pub fn all() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let entry = entry.expect("an entry");
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().expect("a type").is_dir() {
                if !SKIPPED.contains(&name.as_ref()) {
                    folders.push(path);
                }
            } else if is_text(&path, &name) {
                let inside = path.strip_prefix(&root).expect("below the root");
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                found.push(Source::new(&inside.to_string_lossy(), &text));
            }
        }
    }
    found
}

fn is_text(path: &Path, name: &str) -> bool {
    let ending = path
        .extension()
        .map_or(name.into(), |ending| ending.to_string_lossy());
    ENDINGS.contains(&ending.as_ref()) || name == "Makefile"
}

/// No path of somebody's machine.
pub fn no_machine_path(source: &Source) -> Vec<Wrong> {
    let names_a_home = |line: &str| {
        HOMES.iter().any(|home| {
            let prefix = format!("/{home}/");
            line.match_indices(&prefix).any(|(at, found)| {
                let before = line[..at].chars().next_back();
                let after = line[at + found.len()..].chars().next();
                before.is_none_or(|c| !c.is_ascii_alphanumeric() && !"_.-}>".contains(c))
                    && after.is_some_and(|c| c.is_ascii_lowercase())
            })
        })
    };
    source
        .lines()
        .filter(|(_, line)| names_a_home(line))
        .map(|(line, text)| Wrong {
            line,
            what: text.trim().into(),
        })
        .collect()
}
