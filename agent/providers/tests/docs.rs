//! The providers' pages: each one's template is parsed, validated and measured.
//!
//! In: agent/docs/providers/*.md. Out: every metric of every template Successful, asked of a fake that speaks the
//! provider's documented API on loopback and checks what it is asked. Job's page is parsed, validated and made the Job that a
//! measurement would make: its run needs a cluster. It must not reach anything but loopback.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "docs/page.rs"]
mod page;
#[path = "docs/runs.rs"]
mod runs;

mod fakes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use agent_api::analysis::Argument;
use agent_api::validate_analysis::{Ending, validate_metrics};
use agent_api::{AnalysisPhase, Job, Metric, PROVIDERS};
use agent_engine::args::{resolved, secrets_of};
use agent_providers::job::{LABEL_RUN_UID, Place, manifest};
use agent_providers::question::ReadSecret;
use agent_providers::{
    Asker, Environment, Filled, Outcome, SecretData, SecretNeed, Secrets, Settings, Transport,
};
use jiff::Timestamp;
use secrecy::SecretString;

use fakes::Server;
use page::Page;
use runs::{RUNS, Run};

/// Most legs of one measurement; the fakes need two.
const MAX_LEGS: usize = 4;
/// The namespace that runs are in.
const NAMESPACE: &str = "shop";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/providers")
}

/// All pages by the provider's key.
fn pages() -> BTreeMap<String, Page> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let page = Page::parse(&text).unwrap_or_else(|error| panic!("{name}.md: {error}"));
            (name, page)
        })
        .collect()
}

#[test]
fn every_provider_has_a_page_and_a_run() {
    let expected: BTreeSet<&str> = PROVIDERS
        .into_iter()
        .filter(|provider| *provider != "plugin")
        .collect();
    let pages = pages();
    let found: BTreeSet<&str> = pages.keys().map(String::as_str).collect();
    assert_eq!(found, expected, "pages");
    let runs: BTreeSet<&str> = RUNS.iter().map(|run| run.provider).collect();
    assert_eq!(runs, expected, "runs");
    assert_eq!(runs.len(), RUNS.len(), "one run a page");
}

#[test]
fn the_overview_names_every_page() {
    let text = std::fs::read_to_string(folder().join("../analysis.md")).unwrap();
    for provider in pages().keys() {
        assert!(
            text.contains(&format!("(providers/{provider}.md)")),
            "{provider}"
        );
    }
}

#[test]
fn templates_are_valid() {
    let pages = pages();
    for run in RUNS {
        let page = &pages[run.provider];
        let metrics = filled(page, run, "http://127.0.0.1:1");
        let problems = validate_metrics(&metrics, Ending::MustEnd);
        assert!(problems.is_empty(), "{}: {problems:?}", run.provider);
        for metric in &metrics {
            assert_eq!(metric.provider.given(), [run.provider], "{}", metric.name);
            for condition in [&metric.success_condition, &metric.failure_condition] {
                let condition = condition.as_deref().unwrap_or_default();
                assert!(!condition.contains("{{"), "{condition}");
            }
        }
    }
}

#[test]
fn manifests_of_secrets_are_those_that_are_needed() {
    let pages = pages();
    for run in RUNS {
        let page = &pages[run.provider];
        let metrics = filled(page, run, "http://127.0.0.1:1");
        let needed = metrics.iter().filter_map(agent_providers::question::secret);
        let needed: BTreeSet<String> = needed.map(|need| need.name).collect();
        let of_arguments = page.spec.args.iter().filter_map(|argument| {
            let key = argument.value_from.as_ref()?.secret_key_ref.as_ref()?;
            Some(key.name.clone())
        });
        let needed: BTreeSet<String> = needed.into_iter().chain(of_arguments).collect();
        let shown: BTreeSet<String> = page.secrets.keys().cloned().collect();
        assert_eq!(shown, needed, "{}", run.provider);
    }
}

#[test]
fn the_job_is_whole() {
    let page = &pages()["job"];
    for metric in &page.spec.metrics {
        let job = metric.provider.job.as_ref().unwrap();
        let spec = job.spec.as_ref().unwrap();
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Never");
        assert!(pod["containers"][0]["image"].is_string());
        assert!(spec["activeDeadlineSeconds"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_job_is_made() {
    let run = RUNS.iter().find(|run| run.provider == "job").unwrap();
    let page = &pages()["job"];
    for metric in filled(page, run, "http://127.0.0.1:1") {
        let place = Place {
            namespace: NAMESPACE.to_owned(),
            run: "checkout-1".to_owned(),
            run_namespace: NAMESPACE.to_owned(),
            cluster: None,
            uid: "uid".to_owned(),
            metric: metric.name.clone(),
            number: 1,
            owned: true,
        };
        let job = metric.provider.job.as_ref().unwrap();
        let made = manifest(job, &place).unwrap();
        let text = made.to_string();
        assert!(!text.contains("{{"), "{text}");
        assert_eq!(
            (&made["apiVersion"], &made["kind"]),
            (&"batch/v1".into(), &"Job".into())
        );
        assert_eq!(made["metadata"]["name"], format!("uid.{}.1", metric.name));
        assert_eq!(made["metadata"]["labels"][LABEL_RUN_UID], "uid");
        // What the page says of the Job is in it, unchanged; its arguments have their values.
        let written = job.spec.as_ref().unwrap();
        for field in ["backoffLimit", "activeDeadlineSeconds", "template"] {
            assert_eq!(made["spec"][field], written[field], "{field}");
        }
        let values = run.args.iter().map(|(_, value)| value);
        assert!(values.clone().count() > 0);
        for value in values {
            assert!(text.contains(value), "{value}: {text}");
        }
        // The agent reads back what it made.
        let read: Job = serde_json::from_value(made).unwrap();
        assert_eq!(read.metadata.namespace.as_deref(), Some(NAMESPACE));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_successful() {
    // The HTTP client takes the process's provider of cryptography.
    drop(rustls::crypto::ring::default_provider().install_default());
    let pages = pages();
    let mut failed = Vec::new();
    for run in RUNS {
        let Some(fake) = run.fake else { continue };
        let server = Server::start(fake()).await;
        let page = &pages[run.provider];
        let address = server.address();
        let asker = Asker::new(
            transport(environment(run, &address)),
            Arc::new(Kept::of(page, run, &address)),
            environment(run, &address),
        );
        for metric in filled(page, run, &address) {
            let arguments = secrets_of(&metric, &arguments(page, run, &address));
            let name = metric.name.clone();
            let filled = asker.fill(metric, &arguments, NAMESPACE).await.unwrap();
            let outcome = measured(&asker, &filled).await;
            let wrong = server.wrong();
            let successful = matches!(
                &outcome,
                Outcome::Over { judgement, .. } if judgement.phase == AnalysisPhase::Successful
            );
            if !successful || !wrong.is_empty() {
                let place = format!("{}: metric {name}", run.provider);
                failed.push(format!("{place}: {outcome:?}, asked wrongly: {wrong:?}"));
            }
        }
        if server.asked() < page.spec.metrics.len() {
            failed.push(format!(
                "{}: only {} requests",
                run.provider,
                server.asked()
            ));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// One measurement with all its legs.
async fn measured(asker: &Asker, metric: &Filled) -> Outcome {
    let mut now = Timestamp::now();
    let mut memory = BTreeMap::new();
    let mut outcome = asker.ask(metric, NAMESPACE, now, &memory).await;
    for _ in 1..MAX_LEGS {
        let Outcome::Later {
            resume_at,
            memory: kept,
        } = outcome
        else {
            break;
        };
        assert!(resume_at > now);
        (now, memory) = (resume_at, kept);
        outcome = asker.ask(metric, NAMESPACE, now, &memory).await;
    }
    outcome
}

/// The page's arguments, those of the run in place of its own.
fn arguments(page: &Page, run: &Run, address: &str) -> Vec<Argument> {
    let mut args = page.spec.args.clone();
    for (name, value) in run.args {
        let found = args.iter_mut().find(|argument| argument.name == *name);
        let argument = found.unwrap_or_else(|| panic!("{} has no {name}", run.provider));
        argument.value = Some(runs::at(value, address));
    }
    args
}

/// The page's metrics with all arguments filled in but those from Secrets.
fn filled(page: &Page, run: &Run, address: &str) -> Vec<Metric> {
    let args = arguments(page, run, address);
    let metrics = page.spec.metrics.iter();
    metrics
        .map(|metric| resolved(metric, &args).unwrap())
        .collect()
}

fn environment(run: &Run, address: &str) -> Environment {
    let variables = run.variables.iter();
    let variables = variables.map(|(name, value)| {
        (
            (*name).to_owned(),
            SecretString::from(runs::at(value, address)),
        )
    });
    Environment {
        variables: variables.collect(),
        ..Environment::default()
    }
}

/// A transport that knows the variables, as the agent's does: Amazon's keys are among them.
fn transport(environment: Environment) -> Transport {
    let settings = Settings {
        variables: environment.variables,
        ..Settings::default()
    };
    Transport::new(settings).unwrap()
}

/// The Secrets of a page's manifests, with the fake's address in them.
struct Kept {
    secrets: BTreeMap<String, SecretData>,
}

impl Kept {
    fn of(page: &Page, run: &Run, address: &str) -> Self {
        let secrets = page.secrets.iter().map(|(name, data)| {
            let mut data = data.clone();
            for (key, value) in run.secret {
                data.insert(runs::at(key, address), runs::at(value, address));
            }
            let data = data.into_iter().map(|(key, value)| (key, value.into()));
            (name.clone(), data.collect())
        });
        Self {
            secrets: secrets.collect(),
        }
    }
}

impl Secrets for Kept {
    fn read<'a>(&'a self, need: &'a SecretNeed, namespace: &'a str) -> ReadSecret<'a> {
        assert_eq!(namespace, NAMESPACE);
        let found = self.secrets.get(&need.name).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }
}
