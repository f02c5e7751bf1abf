//! `groundswell lint`. In: manifests. Out: what is wrong with each, as a compiler would say it. It must not ask the hub, and a
//! cluster only when told to.

pub mod analysis;
mod args;
mod config;
mod experiment;
pub(crate) mod live;
mod rollout;
pub mod schema;
pub mod set;

use serde_json::{Value, json};

use crate::args::{Lint, Look, Output};
use crate::failure::{Answer, Failure};
use crate::json::print;
use crate::manifest::{self, Manifest};
use live::Live;
use schema::Schemas;
use set::Set;

/// Kinds that are looked at.
pub const KINDS: [&str; 5] = [
    "Rollout",
    "AnalysisTemplate",
    "ClusterAnalysisTemplate",
    "AnalysisRun",
    "Experiment",
];
/// Whose they are.
pub const GROUP: &str = "argoproj.io/v1alpha1";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot be carried out.
    Error,
    /// It can, and is probably not what was meant.
    Warning,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Where, such as `spec.metrics[0].name`; nothing for the whole document.
    pub path: String,
    /// What, and what to do.
    pub message: String,
}

impl Finding {
    /// Something that cannot be carried out.
    pub fn error(path: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.to_owned(),
            message: message.into(),
        }
    }

    /// Something that is probably not meant.
    pub fn warning(path: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, message)
        }
    }
}

/// A finding with its place in a file.
#[derive(Debug, PartialEq, Eq)]
struct Located {
    file: String,
    line: usize,
    finding: Finding,
}

impl Located {
    fn new(manifest: &Manifest, finding: Finding) -> Self {
        Self {
            file: manifest.file.clone(),
            line: manifest.line(&finding.path),
            finding,
        }
    }

    fn text(&self) -> String {
        let Finding {
            severity,
            path,
            message,
        } = &self.finding;
        let mut text = format!("{}:{}: ", self.file, self.line);
        if !path.is_empty() {
            text.push_str(&format!("{path}: "));
        }
        if *severity == Severity::Warning {
            text.push_str("warning: ");
        }
        format!("{text}{message}\n")
    }

    fn json(&self) -> Value {
        json!({
            "file": self.file,
            "line": self.line,
            "path": self.finding.path,
            "severity": match self.finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "message": self.finding.message,
        })
    }
}

/// What makes documents unusable, one line each.
pub fn errors(manifests: &mut [Manifest]) -> Vec<String> {
    let (_, located) = located(manifests, None);
    let errors = located
        .iter()
        .filter(|one| one.finding.severity == Severity::Error);
    errors.map(|one| one.text().trim_end().to_owned()).collect()
}

/// Reads the files and prints what is wrong.
pub async fn run(look: Look, args: &Lint) -> Result<Answer, Failure> {
    let mut located = Vec::new();
    let mut manifests = Vec::new();
    for read in manifest::read(&args.files)? {
        match read {
            Ok(manifest) => manifests.push(manifest),
            Err(broken) => located.push(Located {
                file: broken.file,
                line: broken.line,
                finding: Finding::error("", broken.message),
            }),
        }
    }
    let live = match args.live {
        true => Some(Live::connect(args.context.as_deref()).await?),
        false => None,
    };
    let templates = match &live {
        Some(live) => Some(live.templates(&manifests).await),
        None => None,
    };
    let (checked, found) = self::located(&mut manifests, templates);
    located.extend(found);
    if let Some(live) = &live {
        let ours = manifests
            .iter()
            .filter(|one| one.api_version == GROUP && KINDS.contains(&one.kind.as_str()));
        for manifest in ours {
            let found = live.check(manifest).await;
            located.extend(
                found
                    .into_iter()
                    .map(|finding| Located::new(manifest, finding)),
            );
        }
    }
    if checked == 0 && located.is_empty() {
        return Err(Failure::Nothing(format!(
            "there is nothing to check in {}: no document is one of {} of {GROUP} (FleetRollouts are checked by `groundswell apply --dry-run`)",
            args.files.join(" "),
            KINDS.join(", "),
        )));
    }
    located.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    Ok(answer(look, &located, checked))
}

/// How many documents were looked at, and what is wrong with them.
fn located(manifests: &mut [Manifest], templates: Option<set::OfCluster>) -> (usize, Vec<Located>) {
    let mut located = Vec::new();
    let schemas = Schemas::new();
    let shapes: Vec<Option<Vec<Finding>>> = manifests
        .iter_mut()
        .map(|manifest| shape(&schemas, manifest))
        .collect();
    let set = Set::new(manifests).and(templates);
    let mut checked = 0_usize;
    for (manifest, shape) in manifests.iter().zip(shapes) {
        let Some(found) = shape else { continue };
        checked = checked.saturating_add(1);
        for finding in content(&set, manifest, found) {
            located.push(Located::new(manifest, finding));
        }
    }
    (checked, located)
}

/// What is wrong with the form of one document; `None` for a kind that is not looked at.
fn shape(schemas: &Schemas, manifest: &mut Manifest) -> Option<Vec<Finding>> {
    let kind = manifest.kind.as_str();
    let one = |path: &str, message: String| Some(vec![Finding::error(path, message)]);
    if kind.is_empty() {
        return one("", "has no kind: write apiVersion and kind".to_owned());
    }
    if !KINDS.contains(&kind) {
        let ours = manifest.api_version == GROUP;
        let meant = schemas.meant(kind).filter(|_| ours)?;
        return one("kind", format!("is {kind:?}: did you mean {meant}?"));
    }
    if manifest.api_version != GROUP {
        let message = format!("is {:?}: write {GROUP}", manifest.api_version);
        return one("apiVersion", message);
    }
    Some(schemas.check(kind, &mut manifest.value))
}

/// All that is wrong with one document of whose form this is known.
fn content(set: &Set<'_>, manifest: &Manifest, mut found: Vec<Finding>) -> Vec<Finding> {
    let more = match manifest.kind.as_str() {
        _ if manifest.api_version != GROUP => Vec::new(),
        "Rollout" => rollout::check(set, manifest),
        "Experiment" => experiment::check(set, manifest),
        "AnalysisTemplate" | "ClusterAnalysisTemplate" | "AnalysisRun" => {
            analysis::check(set, manifest)
        }
        _ => Vec::new(),
    };
    // What follows from a field that is misspelled was said with it.
    let said = |path: &str| {
        let mut known = found.iter().map(|finding| finding.path.as_str());
        let below = |known: &str| {
            let rest = known.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !path.is_empty() && known.any(below)
    };
    let more: Vec<Finding> = more
        .into_iter()
        .filter(|finding| !said(&finding.path))
        .collect();
    found.extend(more);
    found.extend(set.named_twice(manifest));
    found
}

fn answer(look: Look, located: &[Located], checked: usize) -> Answer {
    let of = |severity: Severity| {
        let all = located.iter();
        all.filter(|one| one.finding.severity == severity).count()
    };
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let text = match look.output {
        Output::Json => print(&json!({
            "documents": checked,
            "errors": errors,
            "warnings": warnings,
            "findings": located.iter().map(Located::json).collect::<Vec<_>>(),
        })),
        Output::Table => {
            let lines: String = located.iter().map(Located::text).collect();
            let mut end = format!("{} checked: ", many(checked, "document"));
            end.push_str(&match (errors, warnings) {
                (0, 0) => "no problems".to_owned(),
                (0, _) => many(warnings, "warning"),
                (_, 0) => many(errors, "error"),
                (_, _) => format!("{}, {}", many(errors, "error"), many(warnings, "warning")),
            });
            format!("{lines}{end}\n")
        }
    };
    Answer {
        text,
        code: u8::from(errors > 0),
    }
}

fn many(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// The object of a document, or where it cannot be read.
fn decode<T: serde::de::DeserializeOwned>(manifest: &Manifest) -> Result<T, Finding> {
    serde_path_to_error::deserialize(&manifest.value).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { path.as_str() };
        Finding::error(path, format!("cannot be read: {}", error.inner()))
    })
}
