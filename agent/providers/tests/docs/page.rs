//! A page: its template and the Secrets that it shows.
//! In: Markdown. Out: both, parsed from the blocks marked `yaml`. It must not fill anything in.

use std::collections::BTreeMap;

use agent_api::{AnalysisTemplate, AnalysisTemplateSpec};
use serde_json::Value;

/// What every page has, as headings.
const HEADINGS: [&str; 2] = ["## Authentication", "## Limits"];
/// What a page says of what conditions judge.
const RESULTS: [&str; 2] = ["## `result`", "## Verdict"];

pub struct Page {
    pub spec: AnalysisTemplateSpec,
    /// `stringData` by the Secret's name.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
}

impl Page {
    pub fn parse(text: &str) -> Result<Self, String> {
        for heading in HEADINGS {
            if !text.contains(&format!("\n{heading}\n")) {
                return Err(format!("has no {heading}"));
            }
        }
        if !RESULTS
            .iter()
            .any(|heading| text.contains(&format!("\n{heading}\n")))
        {
            return Err("does not say what result is".to_owned());
        }
        let mut templates = Vec::new();
        let mut secrets = BTreeMap::new();
        for block in blocks(text) {
            let read: Value = serde_saphyr::from_str(block).map_err(|error| error.to_string())?;
            match read["kind"].as_str() {
                Some("AnalysisTemplate") => {
                    let template: AnalysisTemplate =
                        serde_json::from_value(read).map_err(|error| error.to_string())?;
                    templates.push(template.spec);
                }
                Some("Secret") => {
                    let name = read["metadata"]["name"].as_str();
                    let name = name.ok_or("a Secret has no name")?.to_owned();
                    let data = serde_json::from_value(read["stringData"].clone());
                    secrets.insert(name, data.map_err(|error| error.to_string())?);
                }
                other => return Err(format!("shows {other:?}")),
            }
        }
        match (templates.pop(), templates.is_empty()) {
            (Some(spec), true) => Ok(Self { spec, secrets }),
            (None, _) => Err("has no AnalysisTemplate".to_owned()),
            (Some(_), false) => Err("has more than one AnalysisTemplate".to_owned()),
        }
    }
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("```yaml\n").skip(1);
    after.filter_map(|rest| rest.split("\n```").next())
}
