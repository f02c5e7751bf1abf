//! What is to be measured. In: manifests, values of arguments. Out: the run that the agent would make of them. It must not ask
//! a provider.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::analysis::{Argument, TemplateRef};
use agent_api::names::ANNOTATION_STRICT;
use agent_api::{AnalysisRun, AnalysisRunSpec, PodHash, Rollout, StepAnalysis};
use agent_engine::analysis::template::{is_strict, run_spec};
use agent_engine::observed::{TemplateKey, Templates};

use super::secrets::LocalSecrets;
use crate::args::analysis::Subject;
use crate::failure::Failure;
use crate::lint;
use crate::lint::schema::closest;
use crate::lint::set::Set;
use crate::manifest::{self, Manifest};

/// A run with what it needs from here.
#[derive(Debug)]
pub struct Loaded {
    /// The run, all arguments valued but those from Secrets.
    pub run: AnalysisRun,
    /// Secrets of the files and the command line.
    pub secrets: LocalSecrets,
}

/// Reads the files and fills in the arguments.
pub fn load(args: &Subject) -> Result<Loaded, Failure> {
    let mut manifests = Vec::new();
    let mut broken = Vec::new();
    for read in manifest::read(&args.files)? {
        match read {
            Ok(manifest) => manifests.push(manifest),
            Err(one) => broken.push(format!("{}:{}: {}", one.file, one.line, one.message)),
        }
    }
    let mut given = file_args(args)?;
    given.extend(args.args.iter().cloned());
    for manifest in manifests.iter_mut().filter(|one| one.kind == "AnalysisRun") {
        write_args(&mut manifest.value, &given);
    }
    broken.extend(lint::errors(&mut manifests));
    if !broken.is_empty() {
        broken.push(
            "nothing was measured; correct the files, `groundswell lint -f` checks them".to_owned(),
        );
        return Err(Failure::Problems(broken.join("\n")));
    }
    let secrets = LocalSecrets::read(&manifests, &args.secrets)?;
    let mut run = match written_run(&manifests)? {
        Some(run) if args.template.is_empty() => run,
        Some(_) | None => of_templates(&manifests, &args.template, &given)?,
    };
    fill(&mut run.spec, &given)?;
    choose(&mut run.spec, &args.metric)?;
    Ok(Loaded { run, secrets })
}

/// A run that is written needs its values before it can be checked.
fn write_args(run: &mut serde_json::Value, given: &BTreeMap<String, String>) {
    let args = run
        .pointer_mut("/spec/args")
        .and_then(serde_json::Value::as_array_mut);
    for argument in args.into_iter().flatten() {
        let name = argument.get("name").and_then(serde_json::Value::as_str);
        let value = name.and_then(|name| given.get(name)).cloned();
        if let (Some(fields), Some(value)) = (argument.as_object_mut(), value) {
            fields.insert("value".to_owned(), value.into());
            fields.remove("valueFrom");
        }
    }
}

fn file_args(args: &Subject) -> Result<BTreeMap<String, String>, Failure> {
    let Some(path) = &args.args_file else {
        return Ok(BTreeMap::new());
    };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| Failure::File {
        path: name.clone(),
        source,
    })?;
    let read: Result<BTreeMap<String, serde_json::Value>, _> = serde_saphyr::from_str(&text);
    let bad = |what: &str| Failure::Problems(format!("{name}: {what}: write name: value"));
    let values = read.map_err(|_| bad("is no list of arguments"))?;
    values
        .into_iter()
        .map(|(key, value)| match value {
            serde_json::Value::String(text) => Ok((key, text)),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => {
                Ok((key, value.to_string()))
            }
            serde_json::Value::Null
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => Err(bad(&format!("{key} is no text"))),
        })
        .collect()
}

fn written_run(manifests: &[Manifest]) -> Result<Option<AnalysisRun>, Failure> {
    let mut runs = manifests.iter().filter(|one| one.kind == "AnalysisRun");
    let Some(manifest) = runs.next() else {
        return Ok(None);
    };
    if let Some(second) = runs.next() {
        return Err(Failure::Problems(format!(
            "{}:{}: is a second AnalysisRun: one is measured at a time",
            second.file,
            second.line("kind")
        )));
    }
    let mut run: AnalysisRun = serde_json::from_value(manifest.value.clone())
        .map_err(|error| Failure::Problems(format!("{}: {error}", manifest.title())))?;
    run.status = None;
    Ok(Some(run))
}

/// The run of a step that names these templates; of all that no other one names when none is asked for.
fn of_templates(
    manifests: &[Manifest],
    wanted: &[String],
    given: &BTreeMap<String, String>,
) -> Result<AnalysisRun, Failure> {
    let templates = Set::new(manifests).templates(None);
    if templates.is_empty() {
        return Err(Failure::Nothing(
            "there is no AnalysisTemplate, ClusterAnalysisTemplate or AnalysisRun in the files"
                .to_owned(),
        ));
    }
    let roots = roots(&templates, wanted)?;
    let name = roots
        .first()
        .map(|key| key.name.clone())
        .unwrap_or_default();
    let analysis = StepAnalysis {
        templates: roots
            .iter()
            .map(|key| TemplateRef {
                template_name: key.name.clone(),
                cluster_scope: Some(key.cluster_scope),
                ..TemplateRef::default()
            })
            .collect(),
        args: values(&roots, &templates, given)?,
        ..StepAnalysis::default()
    };
    let (rollout, hash) = (Rollout::default(), PodHash::default());
    let spec = run_spec(&analysis, &templates, &rollout, &hash, &hash)
        .map_err(|error| Failure::Problems(error.to_string()))?;
    let mut run = AnalysisRun {
        spec,
        ..AnalysisRun::default()
    };
    run.metadata.name = Some(name);
    if is_strict(&analysis, &templates) {
        let strict = (ANNOTATION_STRICT.to_owned(), "true".to_owned());
        run.metadata.annotations = Some(BTreeMap::from([strict]));
    }
    Ok(run)
}

fn roots(templates: &Templates, wanted: &[String]) -> Result<Vec<TemplateKey>, Failure> {
    let named: BTreeSet<TemplateKey> = templates
        .values()
        .flat_map(|spec| spec.templates.iter().map(TemplateKey::of))
        .collect();
    if wanted.is_empty() {
        let open = templates.keys().filter(|key| !named.contains(key));
        return Ok(open.cloned().collect());
    }
    let mut found = Vec::new();
    for name in wanted {
        let of_name = templates.keys().filter(|key| key.name == *name);
        let before = found.len();
        found.extend(of_name.cloned());
        if found.len() == before {
            let names: Vec<&str> = templates.keys().map(|key| key.name.as_str()).collect();
            return Err(Failure::Usage(format!(
                "--template {name}: there is no template {name}; {}",
                there_are(&names)
            )));
        }
    }
    Ok(found)
}

/// The names that could have been meant.
fn there_are(names: &[&str]) -> String {
    match names {
        [] => "there is none".to_owned(),
        [one] => format!("there is {one}"),
        [_, ..] => format!("there are {}", names.join(", ")),
    }
}

/// All arguments of the templates.
fn declared<'a>(roots: &[TemplateKey], templates: &'a Templates) -> Vec<&'a Argument> {
    let mut open: Vec<TemplateKey> = roots.to_vec();
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(key) = open.pop() {
        let Some(spec) = templates.get(&key).filter(|_| seen.insert(key.clone())) else {
            continue;
        };
        open.extend(spec.templates.iter().map(TemplateKey::of));
        found.extend(&spec.args);
    }
    found
}

fn from_secret(argument: &Argument) -> bool {
    let source = argument.value_from.as_ref();
    argument.value.is_none() && source.is_some_and(|source| source.secret_key_ref.is_some())
}

/// Values of arguments; those from Secrets are read when a provider is asked.
fn values(
    roots: &[TemplateKey],
    templates: &Templates,
    given: &BTreeMap<String, String>,
) -> Result<Vec<Argument>, Failure> {
    let mut missing = BTreeSet::new();
    let mut found = Vec::new();
    let declared = declared(roots, templates);
    for argument in &declared {
        let valued = |other: &&&Argument| {
            other.name == argument.name && (other.value.is_some() || from_secret(other))
        };
        match given.get(&argument.name).cloned() {
            Some(value) => found.push(Argument {
                name: argument.name.clone(),
                value: Some(value),
                ..Argument::default()
            }),
            None if declared.iter().any(|other| valued(&other)) => {}
            None => {
                missing.insert(argument.name.clone());
            }
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let options: Vec<String> = missing
        .iter()
        .map(|name| format!("--arg {name}=…"))
        .collect();
    Err(Failure::Usage(format!(
        "the templates need values that are not in them: add {}",
        options.join(" ")
    )))
}

/// Values from the command line; one that nothing declares was not meant.
fn fill(spec: &mut AnalysisRunSpec, given: &BTreeMap<String, String>) -> Result<(), Failure> {
    for (name, value) in given {
        let Some(argument) = spec.args.iter_mut().find(|one| one.name == *name) else {
            let names = spec.args.iter().map(|one| one.name.as_str());
            let hint = match closest(name, names.clone()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
            };
            return Err(Failure::Usage(format!(
                "argument {name:?} is not declared: {hint}"
            )));
        };
        argument.value = Some(value.clone());
        argument.value_from = None;
    }
    let open = |argument: &&Argument| argument.value.is_none() && !from_secret(argument);
    if let Some(argument) = spec.args.iter().find(open) {
        let name = &argument.name;
        return Err(Failure::Usage(format!(
            "argument {name:?} has no value here: add --arg {name}=…"
        )));
    }
    Ok(())
}

/// Only the metrics that are asked for.
fn choose(spec: &mut AnalysisRunSpec, wanted: &[String]) -> Result<(), Failure> {
    for name in wanted {
        if !spec.metrics.iter().any(|metric| metric.name == *name) {
            let names: Vec<&str> = spec.metrics.iter().map(|one| one.name.as_str()).collect();
            return Err(Failure::Usage(format!(
                "--metric {name}: there is no metric {name}; {}",
                there_are(&names)
            )));
        }
    }
    if !wanted.is_empty() {
        spec.metrics.retain(|metric| wanted.contains(&metric.name));
    }
    Ok(())
}
