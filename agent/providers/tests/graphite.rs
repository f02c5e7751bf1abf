//! The Graphite provider against a real Graphite: Debian's graphite-web over points written with whisper.
//!
//! In: queries. Out: verdicts. Needs what deploy/install-prerequisites.sh installs. It must not reach anything but loopback
//! and its own folder.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_api::{AnalysisPhase, Metric};
use agent_providers::{Asker, Environment, Filled, NoSecrets, Outcome, Transport};
use jiff::Timestamp;
use serde_json::json;

/// How long Graphite may take to come up: it is a Django application, a second or two when nothing else runs.
const START: Duration = Duration::from_secs(60);

const SETTINGS: &str = "
import os
STORAGE_DIR = LOG_DIR = WHISPER_DIR = os.environ['GRAPHITE_STORAGE_DIR']
CONF_DIR = '/etc/graphite'
INDEX_FILE = os.path.join(STORAGE_DIR, 'index')
SECRET_KEY = 'local'
LOG_ROTATION = False
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': os.path.join(STORAGE_DIR, 'graphite.db')}}
";

/// Two series with a point every 10 s of the last minutes.
const POINTS: &str = "
import os, time, whisper
now = int(time.time())
os.makedirs('shop')
for name, value in (('good', 0.99), ('bad', 0.5)):
    path = 'shop/%s.wsp' % name
    whisper.create(path, [(10, 360)])
    whisper.update_many(path, [(now - i * 10, value) for i in range(0, 60)])
";

/// A running Graphite; it ends when it is dropped.
struct Graphite {
    server: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Graphite {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("settings_of_test.py"), SETTINGS).unwrap();
        run(command("/usr/bin/python3", folder.path()).args(["-c", POINTS]));
        let manage = || command("graphite-manage", folder.path());
        run(manage().args(["migrate", "--run-syncdb", "-v0"]));
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut server = manage()
            .args(["runserver", "--noreload", &address])
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(server.try_wait().unwrap().is_none(), "graphite ended");
            assert!(begun.elapsed() < START, "graphite does not listen");
            std::thread::yield_now();
        }
        Self {
            server,
            address: format!("http://{address}"),
            _folder: folder,
        }
    }
}

impl Drop for Graphite {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("PYTHONPATH", folder)
        .env("GRAPHITE_SETTINGS_MODULE", "settings_of_test")
        .env("GRAPHITE_STORAGE_DIR", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let status = command.status();
    let done = status.as_ref().is_ok_and(std::process::ExitStatus::success);
    assert!(
        done,
        "{command:?}: {status:?}; run deploy/install-prerequisites.sh"
    );
}

const SUM: &str = "target=summarize(\n  asPercent(\n    shop.good,\n    shop.good\n  ),\n  '1min',\n  'avg'\n)&from=-3min";

/// Query, condition, verdict, and a part of the message.
const TABLE: [(&str, &str, AnalysisPhase, &str); 8] = [
    (
        "target=shop.good&from=-1min",
        "all(result, {# > 0.9})",
        AnalysisPhase::Successful,
        "",
    ),
    (
        "target=shop.bad&from=-1min",
        "all(result, {# > 0.9})",
        AnalysisPhase::Failed,
        "",
    ),
    (
        "shop.good",
        "len(result) > 40",
        AnalysisPhase::Successful,
        "",
    ),
    (
        SUM,
        "all(result, {# == 100})",
        AnalysisPhase::Successful,
        "",
    ),
    (
        "target=scale(shop.good,1e999)&from=-1min",
        "all(result, {isInf(#)})",
        AnalysisPhase::Successful,
        "",
    ),
    (
        "target=shop.*&from=-1min",
        "all(result, {# == 0.5})",
        AnalysisPhase::Successful,
        "",
    ),
    (
        "target=shop.none",
        "true",
        AnalysisPhase::Error,
        "no series",
    ),
    (
        "target=invert(offset(shop.good,-0.99))&from=-1min",
        "true",
        AnalysisPhase::Error,
        "no values",
    ),
];

#[tokio::test]
async fn verdicts() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let graphite = Graphite::start();
    let asker = Asker::new(
        Transport::default(),
        Arc::new(NoSecrets),
        Environment::default(),
    );
    for (query, condition, phase, said) in TABLE {
        let metric = json!({
            "name": "rate",
            "successCondition": condition,
            "provider": {"graphite": {"address": graphite.address, "query": query}},
        });
        let metric: Metric = serde_json::from_value(metric).unwrap();
        let (now, memory) = (Timestamp::now(), BTreeMap::new());
        let outcome = asker.ask(&Filled::from(metric), "shop", now, &memory).await;
        let Outcome::Over {
            judgement,
            value,
            metadata,
        } = outcome
        else {
            panic!("{query}: {outcome:?}");
        };
        let message = judgement.message.unwrap_or_default();
        assert_eq!(judgement.phase, phase, "{query}: {message} {value:?}");
        assert!(message.contains(said), "{query}: {message}");
        assert_eq!(
            metadata.contains_key("series"),
            query.contains('*'),
            "{query}"
        );
    }
}
