//! What the kubectl plugin shows, held as text. In: commands, and a fixture with what each of them answered when somebody
//! read it. Out: whether it still does, with ages and names that the cluster chooses taken out. `UPDATE=1` rewrites the
//! fixture: read each changed line as a user would before keeping it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests_fleet::plugin::Answer;
use tests_fleet::{Cluster, Error, Plugin, Result, eventually, programs};

use crate::object::{Kind, text};
use crate::shop::{SOON, Shop};

/// Where a command of the fixture begins.
const PROMPT: &str = "$ kubectl argo rollouts ";
/// An answer that has stood for so long is the one to keep when a fixture is rewritten.
const STANDS: Duration = Duration::from_secs(3);

/// A session with the plugin, from its first command to its last.
pub struct Transcript {
    path: PathBuf,
    plugin: Plugin,
    shop: Shop,
    expected: Vec<String>,
    found: Vec<String>,
    update: bool,
}

impl Transcript {
    /// A session about one application; the fixture is `tests/fixtures/plugin/<name>.txt`.
    pub fn open(name: &str, cluster: &Cluster, shop: &Shop) -> Result<Self> {
        let path = fixture(name);
        let update = std::env::var_os("UPDATE").is_some();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(_) if update => String::new(),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        Ok(Self {
            path,
            plugin: Plugin::new(&cluster.kubeconfig(), shop.namespace())?,
            shop: shop.clone(),
            expected: blocks(&text),
            found: Vec::new(),
            update,
        })
    }

    /// Runs a command once. It must answer as the fixture says.
    pub async fn does(&mut self, arguments: &[&str]) -> Result<()> {
        let block = self.answer(arguments).await?;
        let expected = self.expected.get(self.found.len()).cloned();
        if !self.update && expected.as_ref() != Some(&block) {
            return Err(self.differs(expected, &block));
        }
        self.keep(block)
    }

    /// Runs a command that changes nothing until it answers as the fixture says: pods come and go for a while.
    pub async fn shows(&mut self, arguments: &[&str]) -> Result<()> {
        let expected = self.expected.get(self.found.len()).cloned();
        let what = format!("{PROMPT}{}", arguments.join(" "));
        let mut last = (String::new(), Instant::now());
        let shown = eventually(&what, SOON, async || {
            let answer = self.answer(arguments).await;
            let block = answer.map_err(|error| error.to_string())?;
            if last.0 != block {
                last = (block.clone(), Instant::now());
            }
            let good = match self.update {
                true => last.1.elapsed() >= STANDS,
                false => expected.as_ref() == Some(&block),
            };
            good.then_some(()).ok_or(block)
        })
        .await;
        let block = last.0;
        if shown.is_err() {
            return Err(self.differs(expected, &block));
        }
        self.keep(block)
    }

    /// The next block; the fixture, if it is rewritten, goes as far as the session has come.
    fn keep(&mut self, block: String) -> Result<()> {
        self.found.push(block);
        if self.update {
            let text = self.found.concat();
            std::fs::write(&self.path, text).map_err(Error::io("write", &self.path))?;
        }
        Ok(())
    }

    /// The end: the fixture has nothing more.
    pub fn end(self) -> Result<()> {
        match self.expected.get(self.found.len()) {
            None => Ok(()),
            Some(_) if self.update => Ok(()),
            Some(more) => Err(self.differs(Some(more.clone()), "")),
        }
    }

    async fn answer(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.plugin.run(arguments).await?;
        let sets = self.shop.all(Kind::ReplicaSet).await?;
        let names: Vec<(String, String)> = sets.iter().filter_map(name).collect();
        Ok(block(arguments, &answer, &names))
    }

    fn differs(&self, expected: Option<String>, found: &str) -> Error {
        let expected = expected.unwrap_or_else(|| String::from("nothing more\n"));
        let path = self.path.display();
        Error::Check(format!(
            "{path} (UPDATE=1 rewrites it) expects:\n{expected}but there is:\n{found}"
        ))
    }
}

/// Where a session is kept.
pub fn fixture(name: &str) -> PathBuf {
    let folder = programs::workspace().join("tests/fixtures/plugin");
    folder.join(format!("{name}.txt"))
}

/// A ReplicaSet's name, and the name to be shown: with the version that it runs in the place of its hash.
fn name(set: &Value) -> Option<(String, String)> {
    let hash = text(set, "/metadata/labels/rollouts-pod-template-hash");
    let (name, image) = (
        text(set, "/metadata/name"),
        text(set, "/spec/template/spec/containers/0/image"),
    );
    let (_, version) = image.split_once(':')?;
    let shown = name.replace(hash, &format!("<{version}>"));
    (!hash.is_empty()).then(|| (name.to_owned(), shown))
}

/// The commands of a fixture with their answers.
fn blocks(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with(PROMPT) || all.is_empty() {
            all.push(String::new());
        }
        if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all
}

/// A command with its answer: what went to standard error after a `!`, a status that is not 0 at the end.
pub fn block(arguments: &[&str], answer: &Answer, names: &[(String, String)]) -> String {
    let mut block = format!("{PROMPT}{}\n", arguments.join(" "));
    for line in answer.stdout.lines() {
        block.push_str(masked(line, names).trim_end());
        block.push('\n');
    }
    for line in answer.stderr.lines() {
        block.push_str(format!("! {}", masked(line, names)).trim_end());
        block.push('\n');
    }
    match answer.status {
        Some(0) => {}
        Some(status) => block.push_str(&format!("exit status {status}\n")),
        None => block.push_str("ended by a signal\n"),
    }
    block
}

/// A line without hashes, random endings and ages, its columns two spaces apart: their widths follow what was masked. The
/// branches of a tree stay as they are.
fn masked(line: &str, names: &[(String, String)]) -> String {
    let body = line.trim_start_matches([' ', '│', '├', '└', '─']);
    let (branches, _) = line.split_at(line.len().saturating_sub(body.len()));
    let columns = body.split("  ").map(str::trim).filter(|it| !it.is_empty());
    let columns: Vec<String> = columns.map(|column| cell(column, names)).collect();
    format!("{branches}{}", columns.join("  "))
}

fn cell(column: &str, names: &[(String, String)]) -> String {
    if is_age(column) {
        return String::from("AGE");
    }
    let mut column = column.to_owned();
    for (name, shown) in names {
        let Some((before, after)) = column.split_once(name) else {
            continue;
        };
        let pod = after.len() == 6 && after.starts_with('-');
        let after = if pod { "-…" } else { after };
        column = format!("{before}{shown}{after}");
        break;
    }
    column
}

/// `7s`, `2m13s`, `3h59m`.
fn is_age(column: &str) -> bool {
    let unit = |character: char| matches!(character, 's' | 'm' | 'h' | 'd' | 'y');
    let mut digits = 0;
    for character in column.chars() {
        if character.is_ascii_digit() {
            digits += 1;
        } else if unit(character) && digits > 0 {
            digits = 0;
        } else {
            return false;
        }
    }
    digits == 0 && !column.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_chooses_is_taken_out() {
        let pair = |name: &str, shown: &str| (name.to_owned(), shown.to_owned());
        let names = [
            pair("checkout-5d8f9c", "checkout-<v1>"),
            pair("compare-baseline", "compare-baseline"),
        ];
        for (line, expected) in [
            ("Name:            checkout", "Name:  checkout"),
            ("  Step:          1/4", "  Step:  1/4"),
            (
                "│  └──⧉ checkout-5d8f9c           ReplicaSet  ✔ Healthy  2m13s  stable",
                "│  └──⧉ checkout-<v1>  ReplicaSet  ✔ Healthy  AGE  stable",
            ),
            (
                "│     ├──□ checkout-5d8f9c-x2z9q  Pod         ✔ Running  7s     ready:1/1",
                "│     ├──□ checkout-<v1>-…  Pod  ✔ Running  AGE  ready:1/1",
            ),
            (
                "   └──□ compare-baseline-x2z9q  Pod  ✔ Running  7s",
                "   └──□ compare-baseline-…  Pod  ✔ Running  AGE",
            ),
            ("a 7s pause is no age", "a 7s pause is no age"),
            ("", ""),
        ] {
            assert_eq!(masked(line, &names), expected);
        }
        for (word, age) in [("7s", true), ("3h59m", true), ("s", false), ("7", false)] {
            assert_eq!(is_age(word), age, "{word}");
        }
    }

    #[test]
    fn a_fixture_is_read_as_it_was_written() {
        let answer = |stdout: &str, stderr: &str, status| Answer {
            stdout: stdout.into(),
            stderr: stderr.into(),
            status,
        };
        let one = block(
            &["status", "checkout"],
            &answer("Healthy\n", "", Some(0)),
            &[],
        );
        let other = block(&["abort"], &answer("", "Error: no\n", Some(1)), &[]);
        assert_eq!(one, format!("{PROMPT}status checkout\nHealthy\n"));
        assert_eq!(
            other,
            format!("{PROMPT}abort\n! Error: no\nexit status 1\n")
        );
        assert_eq!(blocks(&format!("{one}{other}")), [one, other]);
        assert_eq!(blocks(""), Vec::<String>::new());
    }
}
