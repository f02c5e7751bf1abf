//! Secrets of an analysis that is run from here. In: manifests of Secrets, files and variables named on the command line. Out:
//! their content for providers and arguments. It must not print or keep any of it elsewhere.

use std::collections::BTreeMap;

use agent_api::AnalysisRunSpec;
use agent_providers::question::ReadSecret;
use agent_providers::{SecretData, SecretNeed, Secrets};
use base64::Engine as _;
use secrecy::SecretString;
use serde_json::Value;

use crate::failure::Failure;
use crate::manifest::Manifest;

/// Secrets by name; what namespace they are in does not matter here.
#[derive(Debug, Clone, Default)]
pub struct LocalSecrets(BTreeMap<String, SecretData>);

impl LocalSecrets {
    /// Reads them; `NAME.KEY=@FILE` and `NAME.KEY=env:VARIABLE` come before manifests.
    pub fn read(manifests: &[Manifest], given: &[(String, String)]) -> Result<Self, Failure> {
        let mut all: BTreeMap<String, SecretData> = BTreeMap::new();
        for manifest in manifests.iter().filter(|one| one.kind == "Secret") {
            let data = all.entry(manifest.name.clone()).or_default();
            for (key, text) in texts(manifest, "stringData") {
                data.insert(key, text.into());
            }
            for (key, text) in texts(manifest, "data") {
                let decoded = base64::engine::general_purpose::STANDARD.decode(text.trim());
                let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let decoded = decoded.ok_or_else(|| {
                    let path = format!("data.{key}");
                    Failure::Problems(format!(
                        "{}:{}: {path}: is no text in base64",
                        manifest.file,
                        manifest.line(&path)
                    ))
                })?;
                data.entry(key).or_insert_with(|| decoded.into());
            }
        }
        for (name, source) in given {
            let Some((secret, key)) = name.split_once('/').or_else(|| name.split_once('.')) else {
                return Err(Failure::Usage(format!(
                    "--secret {name}: write NAME.KEY=@FILE, or NAME/KEY=@FILE when the name has dots"
                )));
            };
            let content = content(name, source)?;
            all.entry(secret.to_owned())
                .or_default()
                .insert(key.to_owned(), content);
        }
        Ok(Self(all))
    }

    /// Whether everything that the metrics use is there.
    pub fn check(&self, spec: &AnalysisRunSpec) -> Result<(), Failure> {
        for (argument, from) in agent_engine::args::secrets(spec) {
            let data = self.0.get(&from.name);
            if data.is_none_or(|data| !data.contains_key(&from.key)) {
                return Err(Failure::Usage(format!(
                    "argument {argument:?} comes from the key {:?} of the Secret {:?}: add --secret {}.{}=@FILE or =env:VARIABLE, or a file with the Secret",
                    from.key, from.name, from.name, from.key
                )));
            }
        }
        Ok(())
    }
}

fn texts(manifest: &Manifest, field: &str) -> Vec<(String, String)> {
    let map = manifest.value.get(field).and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    map.into_iter().flatten().filter_map(text).collect()
}

fn content(name: &str, source: &str) -> Result<SecretString, Failure> {
    if let Some(path) = source.strip_prefix('@') {
        let read = std::fs::read_to_string(path).map_err(|error| {
            Failure::Usage(format!(
                "--secret {name}: cannot read {path}: {error}; name the file that holds the secret after @"
            ))
        })?;
        // Editors end files with a line feed, which no key has.
        return Ok(read.trim_end_matches(['\n', '\r']).to_owned().into());
    }
    if let Some(variable) = source.strip_prefix("env:") {
        return match std::env::var(variable) {
            Ok(content) => Ok(content.into()),
            Err(_) => Err(Failure::Usage(format!(
                "--secret {name}: there is no variable {variable} in the environment"
            ))),
        };
    }
    // The content itself must not be repeated, and should not have been written.
    Err(Failure::Usage(format!(
        "--secret {name}: write @FILE or env:VARIABLE; what stands on a command line is seen by others and kept in its history"
    )))
}

impl Secrets for LocalSecrets {
    fn read<'a>(&'a self, need: &'a SecretNeed, _namespace: &'a str) -> ReadSecret<'a> {
        let found = self.0.get(&need.name).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }
}
