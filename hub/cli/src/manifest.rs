//! Kubernetes manifests with line numbers. In: names of files and folders, or - for stdin. Out: each document as JSON with the
//! line of each field, or why it is none. It must not know what a kind means.

mod tree;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;
use tree::Tree;

/// What a manifest's file ends in.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Largest file: a manifest is a few hundred lines, and every line is kept with its path.
const MAX_BYTES: u64 = 4 << 20;

/// One document.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file, as named.
    pub file: String,
    /// `kind`, or nothing.
    pub kind: String,
    /// `apiVersion`, or nothing.
    pub api_version: String,
    /// `metadata.name`, or nothing.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// All of it.
    pub value: Value,
    lines: BTreeMap<String, usize>,
    first: usize,
}

/// A text that is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file, as named.
    pub file: String,
    /// Where, counted from 1.
    pub line: usize,
    /// Why, and what to do.
    pub message: String,
}

impl Manifest {
    /// The line of a field such as `spec.metrics[0].name`; of the closest one around it when it is not written.
    pub fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            let Some(end) = path.rfind(['.', '[']) else {
                return self.first;
            };
            path = path.get(..end).unwrap_or_default();
        }
    }

    /// `AnalysisTemplate shop/success-rate`.
    pub fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// Reads files, and of folders the manifests that lie in them.
pub fn read(names: &[String]) -> Result<Vec<Result<Manifest, Broken>>, Failure> {
    let mut all = Vec::new();
    for name in names {
        for (file, text) in texts(name)? {
            all.extend(documents(&file, &text));
        }
    }
    Ok(all)
}

fn texts(name: &str) -> Result<Vec<(String, String)>, Failure> {
    let fail = |path: &str, source| Failure::File {
        path: path.to_owned(),
        source,
    };
    if name == "-" {
        let mut text = String::new();
        let mut input = std::io::stdin().take(MAX_BYTES);
        input
            .read_to_string(&mut text)
            .map_err(|source| fail(name, source))?;
        return Ok(vec![("stdin".to_owned(), text)]);
    }
    let about = std::fs::metadata(name).map_err(|source| fail(name, source))?;
    let mut files = vec![name.to_owned()];
    if about.is_dir() {
        files = in_folder(Path::new(name)).map_err(|source| fail(name, source))?;
        if files.is_empty() {
            return Err(Failure::Nothing(format!(
                "there are no manifests (.yaml, .yml, .json) in the folder {name}: name a file"
            )));
        }
    }
    let mut read = Vec::new();
    for file in files {
        let size = std::fs::metadata(&file).map_or(0, |about| about.len());
        if size > MAX_BYTES {
            return Err(Failure::Nothing(format!(
                "{file} has {size} bytes, {MAX_BYTES} at most: it is no manifest"
            )));
        }
        let text = std::fs::read_to_string(&file).map_err(|source| fail(&file, source))?;
        read.push((file, text));
    }
    Ok(read)
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file() {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// The documents of one text.
pub fn documents(file: &str, text: &str) -> Vec<Result<Manifest, Broken>> {
    let mut all = Vec::new();
    for (before, part) in parts(text) {
        match tree::parse(&part) {
            Ok(tree) if tree.is_null() => {}
            Ok(tree) => all.push(manifest(file, before, &tree)),
            Err((line, message)) => all.push(Err(Broken {
                file: file.to_owned(),
                line: before.saturating_add(line.max(1)),
                message: format!("is not YAML: {message}"),
            })),
        }
    }
    all
}

/// The text between lines of three dashes, with the number of lines before it.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(0, String::new())];
    for (at, line) in text.lines().enumerate() {
        let rest = line.strip_prefix("---");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
            parts.push((at.saturating_add(1), String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn manifest(file: &str, before: usize, tree: &Tree) -> Result<Manifest, Broken> {
    let broken = |line: usize, message: &str| Broken {
        file: file.to_owned(),
        line: before.saturating_add(line),
        message: message.to_owned(),
    };
    let mut lines = BTreeMap::new();
    let mut twice = None;
    let value = tree.json("", &mut lines, &mut twice);
    if let Some((line, path)) = twice {
        return Err(broken(
            line,
            &format!("{path}: is written twice: only one of them would count"),
        ));
    }
    if !value.is_object() {
        return Err(broken(
            tree.line,
            "is no manifest: it must be a map with apiVersion, kind, metadata and spec",
        ));
    }
    for line in lines.values_mut() {
        *line = line.saturating_add(before);
    }
    let text = |pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let namespace = text("/metadata/namespace");
    Ok(Manifest {
        file: file.to_owned(),
        kind: text("/kind"),
        api_version: text("/apiVersion"),
        name: text("/metadata/name"),
        namespace: (!namespace.is_empty()).then_some(namespace),
        first: before.saturating_add(tree.line),
        lines,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_knows_its_line() {
        let text = "# first\n---\napiVersion: v1\nkind: A\nmetadata: {name: x}\nspec:\n  list:\n  - one: 1\n    two: |\n      a\n      b\n  - {one: 2}\n---\n\n---\nkind: B\n";
        let all = documents("f", text);
        let [Ok(first), Ok(second)] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert_eq!((first.kind.as_str(), first.name.as_str()), ("A", "x"));
        for (path, line) in [
            ("kind", 4),
            ("spec.list[0].two", 9),
            ("spec.list[0].three.four", 8),
            ("spec.list[1].one", 12),
            ("spec.other", 6),
            ("nothing", 3),
        ] {
            assert_eq!(first.line(path), line, "{path}");
        }
        assert_eq!(second.line("spec"), 16);
    }

    #[test]
    fn what_is_no_document() {
        for (text, line, part) in [
            ("a: 1\n---\n\na: [\n", 4, "not YAML: unclosed bracket '['"),
            ("kind: A\n---\n- 1\n", 3, "no manifest"),
            (
                "kind: A\nspec:\n  a: 1\n  a: 2\n",
                4,
                "spec.a: is written twice",
            ),
        ] {
            let all = documents("f", text);
            let broken = all.last().unwrap().as_ref().unwrap_err();
            assert_eq!(broken.line, line, "{text:?}: {broken:?}");
            assert!(broken.message.contains(part), "{text:?}: {broken:?}");
        }
    }
}
