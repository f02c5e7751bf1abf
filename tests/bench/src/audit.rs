//! The API server's audit log. In: the lines that it has grown by. Out: requests, each once: who asked for what, about
//! which object, with which answer. It judges none of them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tests_fleet::{Error, Result};

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Plural name of its kind.
    pub resource: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.resource, self.namespace, self.name)
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub user: String,
    /// get, list, watch, create, update, patch, delete or deletecollection.
    pub verb: String,
    /// `rollouts/status`; of what is no resource its path.
    pub target: String,
    /// The object, if it was named.
    pub object: Option<ObjectName>,
    /// HTTP status of the answer.
    pub code: u16,
    /// Nothing was to be stored.
    pub rehearsal: bool,
}

impl Request {
    /// Whether it asks for something to be stored.
    pub fn writes(&self) -> bool {
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        !self.rehearsal && verbs.contains(&self.verb.as_str())
    }

    /// Whether it was answered with what was asked for.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    object_ref: Option<Reference>,
    response_status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Line {
    /// A watch is counted when it is opened, everything else when it is answered.
    fn counts(&self) -> bool {
        let stage = if self.verb == "watch" {
            "ResponseStarted"
        } else {
            "ResponseComplete"
        };
        self.stage == stage || self.stage == "Panic"
    }

    fn request(self) -> Request {
        let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let reference = self.object_ref.unwrap_or_default();
        let target = match (
            reference.resource.is_empty(),
            reference.subresource.is_empty(),
        ) {
            (true, _) => path.to_owned(),
            (false, true) => reference.resource.clone(),
            (false, false) => format!("{}/{}", reference.resource, reference.subresource),
        };
        let named = !reference.resource.is_empty() && !reference.name.is_empty();
        Request {
            user: self.user.username,
            rehearsal: query.contains("dryRun="),
            object: named.then_some(ObjectName {
                resource: reference.resource,
                namespace: reference.namespace,
                name: reference.name,
            }),
            verb: self.verb,
            target,
            code: self.response_status.map_or(0, |status| status.code),
        }
    }
}

/// A log that is being written, and how far it was read.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    offset: u64,
}

impl Log {
    /// From the beginning of the file.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            offset: 0,
        }
    }

    /// The requests that were answered since the last call.
    pub fn news(&mut self) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.read_to_string(&mut text))
            .map_err(Error::io("read", &self.path))?;
        // A line that is being written is left for the next time.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        parse(text.get(..whole).unwrap_or_default(), &self.path)
    }
}

fn parse(text: &str, path: &Path) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line)
            .map_err(Error::parse(format!("a line of {}", path.display())))?;
        if line.counts() {
            requests.push(line.request());
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stage: &str, verb: &str, uri: &str, reference: &str, code: u16) -> String {
        format!(
            r#"{{"kind":"Event","stage":"{stage}","verb":"{verb}","requestURI":"{uri}","user":{{"username":"u"}},"objectRef":{reference},"responseStatus":{{"code":{code}}}}}"#
        )
    }

    #[test]
    fn every_request_counts_once() {
        let set = r#"{"resource":"rollouts","subresource":"status","namespace":"n","name":"a"}"#;
        let text = [
            line("ResponseStarted", "watch", "/w?watch=true", "null", 200),
            line("ResponseComplete", "watch", "/w?watch=true", "null", 200),
            line("ResponseComplete", "patch", "/r/a/status", set, 409),
            line("ResponseComplete", "get", "/version", "null", 200),
            line(
                "ResponseComplete",
                "create",
                "/s?dryRun=All",
                r#"{"resource":"replicasets","namespace":"n"}"#,
                201,
            ),
        ]
        .join("\n");
        let found = parse(&text, Path::new("audit.log")).expect("read");
        let short: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.verb.as_str(),
                    one.target.as_str(),
                    one.writes(),
                    one.succeeded(),
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("watch", "/w", false, true),
                ("patch", "rollouts/status", true, false),
                ("get", "/version", false, true),
                ("create", "replicasets", false, true),
            ]
        );
        let object = found[1].object.as_ref().expect("named");
        assert_eq!(object.to_string(), "rollouts n/a");
    }

    #[test]
    fn a_line_that_is_being_written_waits() {
        let run = tests_fleet::RunDir::temporary("audit").expect("a folder");
        let file = run.join("audit.log");
        let whole = line("ResponseComplete", "get", "/version", "null", 200) + "\n";
        let (half, rest) = whole.split_at(30);
        std::fs::write(&file, format!("{whole}{half}")).expect("written");
        let mut log = Log::new(&file);
        assert_eq!(log.news().expect("read").len(), 1);
        assert_eq!(log.news().expect("read").len(), 0);
        std::fs::write(&file, format!("{whole}{half}{rest}")).expect("written");
        assert_eq!(log.news().expect("read").len(), 1);
    }
}
