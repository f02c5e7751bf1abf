//! The command as a person runs it, against a hub with a real Postgres. In: command lines. Out: exit codes, stdout, stderr.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use hub::args::{Database, LogForm, Serve};
use hub::serve::{self, Running};
use hub_store::embedded::Embedded;
use tokio::process::Command;

struct World {
    config: PathBuf,
    hub: Running,
    postgres: Embedded,
    dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let postgres = Embedded::start_volatile(&dir.path().join("database"))
        .await
        .unwrap();
    let options = Serve {
        data_dir: dir.path().join("hub"),
        database: Database::Url(postgres.url().to_owned()),
        listen: "127.0.0.1:0".parse().unwrap(),
        lease_seconds: 30,
        cluster_certificate_seconds: 600,
        addr_file: None,
        san: Vec::new(),
        log: LogForm::Text,
    };
    let hub = serve::start(&options).await.unwrap();
    World {
        config: options.data_dir.join("admin.yaml"),
        hub,
        postgres,
        dir,
    }
}

async fn groundswell(config: Option<&Path>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groundswell"));
    command
        .args(args)
        .env_remove("GROUNDSWELL_CONFIG")
        .kill_on_drop(true);
    if let Some(config) = config {
        command.env("GROUNDSWELL_CONFIG", config);
    }
    command.output().await.unwrap()
}

impl World {
    /// Code, stdout, stderr.
    async fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = groundswell(Some(&self.config), args).await;
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

impl World {
    /// What no command writes.
    fn sql(&self, statement: &str) {
        let mut psql = std::process::Command::new("psql");
        psql.args(["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        let output = psql.arg(self.postgres.url()).output().unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `line 12 spec.waves[0].bake: …` as this command prints it.
fn as_printed(file: &str, line: &str) -> String {
    let rest = line.strip_prefix("line ").unwrap();
    let (number, rest) = rest.split_once(' ').unwrap();
    let (path, message) = if let Some(message) = rest.strip_prefix(": ") {
        ("", message)
    } else {
        rest.split_once(": ").unwrap()
    };
    let place = if number == "0" {
        file.to_owned()
    } else {
        format!("{file}:{number}")
    };
    if path.is_empty() {
        format!("{place}: {message}")
    } else {
        format!("{place}: {path}: {message}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_documents_are_answered_line_by_line_and_store_nothing() {
    let world = world().await;
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/fleetrollouts/bad");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = file.to_str().unwrap();
        let (code, out, err) = world.run(&["apply", "-f", name]).await;
        assert_eq!((code, out.as_str()), (1, ""), "{name}: {err}");
        let golden = std::fs::read_to_string(file.with_extension("txt")).unwrap();
        let mut expected: Vec<String> = golden.lines().map(|line| as_printed(name, line)).collect();
        expected.push("nothing was stored; correct the file and apply it again".to_owned());
        assert_eq!(err.lines().collect::<Vec<_>>(), expected);
        tried += 1;
    }
    assert!(tried >= 25, "only {tried} bad documents");
    assert_eq!(
        world.run(&["get", "fleetrollouts", "-o", "json"]).await.1,
        "[]\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_created_then_unchanged_then_configured() {
    let world = world().await;
    let good = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/fleetrollouts/good/full.yaml");
    let good = good.to_str().unwrap();
    let first = |out: &str| out.lines().next().unwrap_or_default().to_owned();
    let dry = world.run(&["apply", "-f", good, "--dry-run"]).await;
    assert_eq!(
        (dry.0, first(&dry.1)),
        (0, "fleetrollout/checkout created (dry run)".to_owned())
    );
    assert_eq!(
        first(&world.run(&["apply", "-f", good]).await.1),
        "fleetrollout/checkout created"
    );
    assert_eq!(
        first(&world.run(&["apply", "-f", good]).await.1),
        "fleetrollout/checkout unchanged"
    );
    let changed = world.dir.path().join("changed.yaml");
    std::fs::write(
        &changed,
        std::fs::read_to_string(good)
            .unwrap()
            .replace("bake: 30m", "bake: 31m"),
    )
    .unwrap();
    let changed = world.run(&["apply", "-f", changed.to_str().unwrap()]).await;
    assert_eq!(first(&changed.1), "fleetrollout/checkout configured");

    let (code, out, _) = world.run(&["get", "fleetrollouts"]).await;
    assert_eq!(code, 0);
    assert!(
        out.starts_with("NAME") && out.contains("shop/checkout"),
        "{out}"
    );
    let (_, out, _) = world.run(&["history", "-o", "json"]).await;
    let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .any(|row| row["actor"] == "admin"),
        "{out}"
    );
    let (code, out, _) = world
        .run(&["cluster", "token", "prod-eu", "--label", "tier=prod"])
        .await;
    assert_eq!((code, out.trim().split('.').count()), (0, 3));
    let (_, out, _) = world.run(&["get", "clusters"]).await;
    assert!(
        out.starts_with("no clusters yet"),
        "a token is no cluster: {out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_one_sentence_with_a_next_step() {
    let world = world().await;
    for (args, code, says) in [
        (vec!["release", "show", "checkout#9"], 1, "groundswell get"),
        (vec!["explain", "checkout"], 1, "checkout"),
        (
            vec!["approve", "checkout#9", "--comment", "x", "--yes"],
            1,
            "groundswell get",
        ),
        (
            vec!["release", "start", "checkout", "--reason", "r"],
            1,
            "checkout",
        ),
        (
            vec!["cluster", "token", "Prod", "--ttl", "1h"],
            1,
            "lower-case",
        ),
        (vec!["cluster", "token", "prod", "--ttl", "2h"], 1, "3600"),
        (vec!["apply", "-f", "/nowhere.yaml"], 1, "/nowhere.yaml"),
        (
            vec!["get", "clusters", "--fleetrollout", "x"],
            2,
            "get releases",
        ),
        (vec!["get", "pods"], 2, "clusters"),
    ] {
        let (got, out, err) = world.run(&args).await;
        assert_eq!((got, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
    let none = groundswell(None, &["get", "clusters"]).await;
    assert!(text(&none.stderr).contains("--config"), "{none:?}");
    let config = world.config.clone();
    world.hub.stop().await.unwrap();
    let away = groundswell(Some(&config), &["get", "clusters"]).await;
    assert_eq!(away.status.code(), Some(1));
    assert!(
        text(&away.stderr).starts_with("cannot reach the hub at https://"),
        "{away:?}"
    );
}

/// S2, S22: the history is verified from outside, online and from an export, and what was refused is there, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_verified_exported_and_asked() {
    let world = world().await;
    let file = world.dir.path().join("checkout.yaml");
    let document = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {name: checkout}\n\
        spec:\n  rollout: {namespace: shop, name: checkout}\n  enforcement: Enforce\n  waves: [{name: all}]\n";
    std::fs::write(&file, document).unwrap();
    let (code, _, err) = world.run(&["apply", "-f", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = world.run(&["audit", "verify"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("the history is whole: "), "{out}");
    let (code, export, err) = world.run(&["audit", "export"]).await;
    assert_eq!(code, 0, "{err}");
    let path = world.dir.path().join("history.ndjson");
    let offline = async |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output =
            groundswell(None, &["audit", "verify", "--file", path.to_str().unwrap()]).await;
        (output.status.code().unwrap(), text_of(&output))
    };
    let (code, said) = offline(&export).await;
    assert_eq!(code, 0, "{said}");
    let forged = export.replace(
        "created FleetRollout checkout",
        "created FleetRollout checkin",
    );
    assert_ne!(forged, export);
    let (code, said) = offline(&forged).await;
    assert!(code == 1 && said.contains("was changed"), "{said}");
    let rows: Vec<&str> = export
        .lines()
        .filter(|line| !line.starts_with("{\"head\""))
        .collect();
    let (code, said) = offline(&rows.join("\n")).await;
    assert!(code == 1 && said.contains("the export was cut"), "{said}");
    // One agent that says of itself what this hub has not signed keeps nobody from the rows.
    world.sql("insert into clusters (name, labels) values ('eu', '{}')");
    world.sql("insert into cluster_sessions (cluster, audit_head) values ('eu', 'x')");
    let (code, _, err) = world.run(&["audit", "verify"]).await;
    let unsigned = "the rows are whole, but the head that the agent of eu keeps is not signed";
    assert!(code == 1 && err.contains(unsigned), "{err}");
    let (code, export, err) = world.run(&["audit", "export"]).await;
    assert!(code == 1 && err.contains(unsigned), "{err}");
    let (code, said) = offline(&export).await;
    assert_eq!(code, 0, "{said}");
    let (_, out, _) = world
        .run(&["history", "--kind", "FleetRolloutApplied", "--limit", "1"])
        .await;
    assert!(out.contains("created FleetRollout checkout"), "{out}");
    let (_, out, _) = world.run(&["history", "--by", "nobody"]).await;
    assert_eq!(out, "nothing has happened yet\n");
    let (code, _, err) = world.run(&["hub", "recover", "--reason", "none"]).await;
    assert!(
        code == 1 && err.contains("nothing to recover from"),
        "{err}"
    );
    let (_, out, _) = world.run(&["history", "--refusals"]).await;
    assert!(
        out.contains("nothing was refused yet") || out.contains("KIND"),
        "{out}"
    );
    world.hub.stop().await.unwrap();
}

/// A file that apply refuses gets no plan, with the same words and code.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_a_file_is_refused_as_apply_refuses_it() {
    let world = world().await;
    let file = world.dir.path().join("checkout.yaml");
    let document = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {name: checkout}\n\
        spec:\n  rollout: {namespace: shop, name: checkout}\n  after: [payments]\n  waves: [{name: all}]\n";
    std::fs::write(&file, document).unwrap();
    let path = file.to_str().unwrap();
    for output in ["table", "json"] {
        let applied = world
            .run(&["apply", "--dry-run", "-f", path, "-o", output])
            .await;
        assert_eq!(applied.0, 1);
        let said = applied.1.clone() + &applied.2;
        assert!(said.contains("there is no FleetRollout payments"), "{said}");
        assert_eq!(
            world.run(&["plan", "-f", path, "-o", output]).await,
            applied
        );
    }
    let window = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetWindow\nmetadata: {name: sale}\nspec: {}\n";
    std::fs::write(&file, window).unwrap();
    let (code, _, err) = world.run(&["plan", "-f", path]).await;
    assert!(
        code == 1 && err.contains("FleetWindows only"),
        "{code} {err}"
    );
    world.hub.stop().await.unwrap();
}

/// G13: who says nothing observes, and every command says so.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_observes_says_so() {
    let world = world().await;
    let file = world.dir.path().join("checkout.yaml");
    let document = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {name: checkout}\n\
        spec:\n  rollout: {namespace: shop, name: checkout}\n  waves: [{name: all}]\n";
    std::fs::write(&file, document).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = world.run(&["apply", "-f", file]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("enforcement is Observe"), "{out}");
    for (args, code, says) in [
        (vec!["get", "fleetrollouts"], 0, "Observe"),
        (vec!["plan", "checkout"], 0, "on paper, no release opens"),
        (
            vec!["release", "start", "checkout", "--reason", "r"],
            1,
            "enforcement: Enforce first",
        ),
        (
            vec!["explain", "checkout"],
            0,
            "FleetRollout checkout (Observe)",
        ),
        (vec!["explain", "checkout"], 0, "[Observing]"),
        (
            vec!["explain", "checkout", "-o", "json"],
            0,
            "\"Observing\"",
        ),
        (vec!["explain", "checkout#1"], 1, "checkout#1"),
    ] {
        let (got, out, err) = world.run(&args).await;
        assert_eq!(got, code, "{args:?}: {out}{err}");
        assert!((out.clone() + &err).contains(says), "{args:?}: {out}{err}");
    }
    world.hub.stop().await.unwrap();
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}
