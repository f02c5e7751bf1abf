//! What the witnesses wrote, typed. In: files of one JSON object a line. Out: records in the order of the file. A last
//! line without its end is one that is being written and is left out; anything else that cannot be read is an error.

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happening {
    /// Its process runs.
    Started,
    /// Its readiness probe says yes.
    Ready,
    /// It says no again.
    Unready,
    /// The process ended by itself.
    Exited,
    /// It was ended because the pod was deleted.
    Stopped,
    /// No program for the image.
    PullFailed,
}

/// One line of a kubelet's journal.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalLine {
    /// When.
    pub time: Timestamp,
    /// What.
    pub event: Happening,
    /// The pod's namespace.
    #[serde(default)]
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// The container's image.
    pub image: String,
    /// The pod's template hash label.
    #[serde(default)]
    pub hash: String,
    /// Of the container's process.
    #[serde(default)]
    pub exit_code: i32,
}

/// One answer that the load generator got.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// When it came.
    pub time: Timestamp,
    /// How long after the request, in milliseconds.
    #[serde(default)]
    pub ms: f64,
    /// HTTP status; 0: no answer at all.
    pub status: u16,
    /// Who answered; empty: nobody.
    #[serde(default)]
    pub version: String,
    /// The answering pod's template hash.
    #[serde(default)]
    pub hash: String,
    /// The answering pod.
    #[serde(default)]
    pub pod: String,
}

impl Answer {
    /// When it was asked for. A pod that stalls answers late and several at once; whose turn it was is told by the requests.
    pub fn asked(&self) -> Timestamp {
        let micros = (self.ms.max(0.0) * 1000.0) as i64;
        self.time - jiff::SignedDuration::from_micros(micros)
    }

    /// Whether the person who asked was served.
    pub fn failed(&self) -> bool {
        !(200..400).contains(&self.status)
    }
}

/// One event of a watch.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    /// When it was seen.
    pub time: Timestamp,
    /// ADDED, MODIFIED or DELETED; SYNCED when a first list is whole, LOST when a watch had to start over.
    pub event: String,
    /// Rollout, ReplicaSet or Pod.
    #[serde(default)]
    pub kind: String,
    /// Of the object.
    #[serde(default)]
    pub namespace: String,
    /// Of the object.
    #[serde(default)]
    pub name: String,
    /// Of the object.
    #[serde(default)]
    pub uid: String,
    /// Its template hash label.
    #[serde(default)]
    pub hash: String,
    /// What its spec wants.
    #[serde(default)]
    pub spec_replicas: Option<i64>,
    /// A Rollout's phase.
    #[serde(default)]
    pub phase: String,
    /// A Rollout's message.
    #[serde(default)]
    pub message: String,
    /// Of its pod template.
    #[serde(default)]
    pub images: Vec<String>,
}

/// Reads a whole file of records.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    parse(&text, &path.display().to_string())
}

fn parse<T: DeserializeOwned>(text: &str, place: &str) -> Result<Vec<T>> {
    let whole = text
        .rfind('\n')
        .and_then(|end| text.get(..end))
        .unwrap_or_default();
    whole
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(Error::parse(format!("{place}:{}", at + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-01-01T00:00:00.5Z","status":503,"version":"","ms":3}"#;

    #[test]
    fn a_line_that_is_being_written_is_left_out() {
        let answers: Vec<Answer> =
            parse(&format!("{LINE}\n{}", &LINE[..20]), "load").expect("read");
        assert_eq!(answers.len(), 1);
        assert!(answers[0].failed());
    }

    #[test]
    fn a_broken_line_is_named() {
        let error =
            parse::<Answer>(&format!("{LINE}\nnot json\n{LINE}\n"), "load").expect_err("broken");
        assert!(error.to_string().starts_with("load:2: "), "{error}");
    }
}
