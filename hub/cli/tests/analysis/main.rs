//! `groundswell analysis` as a person runs it, against a real Prometheus. In: command lines. Out: exit codes, stdout, stderr.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod backtest;
mod history;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use history::Prometheus;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// What is looked for in everything that is printed.
const CANARY: &str = "canary-secret-9f3c";

const TEMPLATE: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: latency}
spec:
  args:
  - {name: service}
  - {name: rounds, value: "3"}
  metrics:
  - name: latency
    interval: 1s
    count: "{{args.rounds}}"
    successCondition: result[0] < 0.3
    failureCondition: result[0] > 0.5
    provider:
      prometheus: {query: 'last_over_time(latency{service="{{args.service}}"}[2d])'}
"#;

/// Asks the web, with a Secret.
const WEB: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: web}
spec:
  args:
  - {name: token, valueFrom: {secretKeyRef: {name: quality, key: token}}}
  metrics:
  - name: web
    successCondition: result == 1
    provider:
      web: {url: 'http://127.0.0.1:1/', jsonPath: '{$.a}', headers: [{key: x-token, value: '{{args.token}}'}]}
"#;

struct World {
    prometheus: Prometheus,
    folder: tempfile::TempDir,
    /// The last moment of the history.
    until: i64,
}

/// A day, a value a minute: 0.2, but 0.9 for half an hour from the 10th hour on, and 0.4 for five minutes from the 20th.
fn world() -> World {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let until = i64::try_from(now.as_secs()).unwrap() / 60 * 60;
    let value = |minute: i64| match minute {
        600..630 => 0.9,
        1200..1205 => 0.4,
        _ => 0.2,
    };
    let values: Vec<(i64, f64)> = (0..=1440)
        .map(|minute| (until - 86_400 + minute * 60, value(minute)))
        .collect();
    World {
        prometheus: Prometheus::with(&values),
        folder: tempfile::tempdir().unwrap(),
        until,
    }
}

fn groundswell(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groundswell"));
    command
        .arg("analysis")
        .args(args)
        .current_dir(folder)
        .env_remove("GROUNDSWELL_CONFIG")
        .env("CANARY", CANARY);
    command
}

fn text(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!out.contains(CANARY) && !err.contains(CANARY), "{out}{err}");
    (output.status.code().unwrap(), out, err)
}

impl World {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let args = [args, &["--prometheus-address", &self.prometheus.url]].concat();
        text(&groundswell(self.folder.path(), &args).output().unwrap())
    }
}

#[test]
fn a_template_is_tried_and_its_verdict_is_the_exit_code() {
    let world = world();
    world.write("t.yaml", TEMPLATE);
    world.write("args.yaml", "service: api\nrounds: 2\n");
    let run = ["run", "-f", "t.yaml", "--interval", "1ms"];
    let with = |more: &[&str]| world.run(&[&run, more].concat());
    let (code, out, err) = with(&["--arg", "service=web"]);
    assert_eq!(code, 0, "{out}{err}");
    let measured = out
        .lines()
        .filter(|line| line.contains("  Successful    [0.2]"));
    assert_eq!(measured.count(), 3, "{out}");
    assert!(out.ends_with("\nverdict: Successful\n"), "{out}");

    for (condition, code, verdict) in [
        ("result[0] < 0.1", 5, "Inconclusive"),
        ("result[0] < 'x'", 4, "Error"),
    ] {
        let other = TEMPLATE.replace("result[0] < 0.3", condition);
        world.write(
            "other.yaml",
            &other.replace("count:", "consecutiveErrorLimit: 0\n    count:"),
        );
        let found = world.run(&["run", "-f", "other.yaml", "--arg", "service=web"]);
        assert_eq!(found.0, code, "{found:?}");
        assert!(
            found.1.contains(&format!("verdict: {verdict}: ")),
            "{found:?}"
        );
    }
    world.write(
        "bad.yaml",
        &TEMPLATE
            .replace("result[0] > 0.5", "result[0] > 0.1")
            .replace("0.3", "0.1"),
    );
    let found = world.run(&["run", "-f", "bad.yaml", "--args-file", "args.yaml"]);
    assert_eq!(found.0, 3, "{found:?}");
    let found = world.run(&[
        "run",
        "-f",
        "bad.yaml",
        "--args-file",
        "args.yaml",
        "--dry-run-metric",
        "latency",
        "--interval",
        "1ms",
    ]);
    assert_eq!(found.0, 0, "{found:?}");
    assert!(found.1.contains("latency (dry run)  Failed"), "{found:?}");
}

#[test]
fn the_json_is_the_run_as_a_cluster_would_hold_it() {
    let world = world();
    world.write("t.yaml", TEMPLATE);
    let (code, out, err) = world.run(&[
        "run",
        "-f",
        "t.yaml",
        "--arg",
        "service=web",
        "--count",
        "1",
        "-o",
        "json",
    ]);
    let run: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        (&run["kind"], &run["spec"]["args"][0]["value"]),
        (&"AnalysisRun".into(), &"web".into())
    );
    assert_eq!(run["status"]["phase"], "Successful");
    assert_eq!(
        run["status"]["metricResults"][0]["measurements"][0]["value"],
        "[0.2]"
    );
    assert!(
        err.contains("Successful"),
        "measurements are shown beside it: {err}"
    );
    // What was printed can be measured again.
    world.write("again.yaml", &out);
    let again = world.run(&["run", "-f", "again.yaml"]);
    assert_eq!(again.0, 0, "{again:?}");
}

/// Answers every request with what it was sent, so that a secret would come back.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let line = request
                .lines()
                .find(|line| line.to_lowercase().starts_with("x-key"))
                .unwrap_or("no key");
            let body = format!(r#"{{"status":"error","error":"{line}"}}"#);
            let head = "HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length";
            write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    url
}

#[test]
fn secrets_reach_the_provider_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let template = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {{name: keyed}}\nspec:\n  args:\n  - name: key\n    \
         valueFrom: {{secretKeyRef: {{name: keys, key: api.key}}}}\n  metrics:\n  - name: keyed\n    successCondition: 'true'\n    \
         consecutiveErrorLimit: 0\n    provider:\n      prometheus:\n        address: {}\n        query: up\n        headers:\n        \
         - {{key: x-key, value: '{{{{args.key}}}}'}}\n",
        echo()
    );
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("t.yaml", &template);
    write("key.txt", &format!("{CANARY}\n"));
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData: {{api.key: {CANARY}}}\n"
    );
    write("secret.yaml", &secret);
    for more in [
        &["--secret", "keys.api.key=env:CANARY"][..],
        &["--secret", "keys/api.key=@key.txt"],
        &["-f", "secret.yaml"],
    ] {
        let args = [&["run", "-f", "t.yaml", "-o", "json"], more].concat();
        let (code, out, err) = text(&groundswell(folder.path(), &args).output().unwrap());
        assert_eq!(code, 4, "{more:?}: {out}{err}");
        assert!(out.contains("*****"), "the provider got it: {out}");
        let run: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            run["spec"]["args"][0]["valueFrom"]["secretKeyRef"]["name"],
            "keys"
        );
    }
    for (more, part) in [
        (&[][..], "add --secret keys.api.key=@FILE"),
        (
            &["--secret", "keys.api.key=canary-secret-9f3c"],
            "@FILE or env:VARIABLE",
        ),
        (
            &["--secret", "keys.api.key=env:NOWHERE"],
            "no variable NOWHERE",
        ),
    ] {
        let args = [&["run", "-f", "t.yaml"], more].concat();
        let (code, out, err) = text(&groundswell(folder.path(), &args).output().unwrap());
        assert_eq!((code, out.as_str()), (2, ""), "{more:?}: {err}");
        assert!(err.contains(part), "{more:?}: {err}");
    }
}

#[test]
fn an_interrupt_ends_the_run_with_what_is_known() {
    let world = world();
    world.write("t.yaml", TEMPLATE);
    let args = [
        "run",
        "-f",
        "t.yaml",
        "--arg",
        "service=web",
        "--interval",
        "1h",
        "--prometheus-address",
        &world.prometheus.url,
    ];
    let mut child = groundswell(world.folder.path(), &args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("[0.2]") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("no verdict: interrupted"), "{rest}");
    assert!(!rest.contains("verdict: Successful"), "{rest}");
    assert!(rest.contains("latency  Running"), "{rest}");
}

#[test]
fn an_interrupted_run_is_no_pass_for_programs_either() {
    let world = world();
    world.write("t.yaml", TEMPLATE);
    let address = ["--prometheus-address", &world.prometheus.url, "-o", "json"];
    let run = ["run", "-f", "t.yaml", "--arg", "service=web", "--interval"];
    let mut child = groundswell(world.folder.path(), &[&run[..], &["1h"], &address].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().contains("[0.2]")));
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let (code, out, _) = text(&output);
    let found: Value = serde_json::from_str(&out).unwrap();
    let status = &found["status"];
    assert_eq!((code, &status["phase"]), (130, &"Running".into()), "{out}");
    assert_eq!(status["metricResults"][0]["phase"], "Running");
    assert!(status["runSummary"].is_null(), "{out}");
    // It can be measured again, now to its end.
    world.write("again.yaml", &out);
    let again = world.run(&["run", "-f", "again.yaml", "--interval", "1ms"]);
    assert_eq!(again.0, 0, "{again:?}");
}

#[test]
fn a_count_that_lets_nothing_fail_is_said() {
    let world = world();
    let lax = TEMPLATE.replace("count:", "failureLimit: 1\n    count:");
    world.write("t.yaml", &lax.replace("0.5", "0.1").replace("0.3", "0.1"));
    let run = ["run", "-f", "t.yaml", "--arg", "service=web", "--count"];
    let (code, out, err) = world.run(&[&run[..], &["1"]].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        err.contains("warning: metric \"latency\" cannot fail"),
        "{err}"
    );
    let (code, _, err) = world.run(&[&run[..], &["2"]].concat());
    assert_eq!((code, err.as_str()), (3, ""));
}

#[test]
fn what_cannot_be_measured_is_said_before_anything_is() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("t.yaml", TEMPLATE);
    write("syntax.yaml", "a: [\n");
    write("null.yaml", ": : [\n");
    write(
        "slow.yaml",
        &TEMPLATE.replace("interval: 1s", "interval: 1m"),
    );
    write("web.yaml", WEB);
    write(
        "pod.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n",
    );
    write("list.yaml", "- 1\n");
    write(
        "expr.yaml",
        &TEMPLATE.replace("result[0] < 0.3", "resutl[0] < 0.3"),
    );
    let (before, _) = TEMPLATE.split_once("metrics:").unwrap();
    let job = "metrics:\n  - {name: smoke, provider: {job: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}}}}}\n";
    write(
        "job.yaml",
        &format!("{before}{job}").replace("{name: service}", "{name: service, value: x}"),
    );
    let lines = include_str!("wrong.tsv").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let [code, part, args] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let args: Vec<&str> = args.split('|').collect();
        let (found, out, err) = text(&groundswell(folder.path(), &args).output().unwrap());
        assert_eq!(
            (found.to_string().as_str(), out.as_str()),
            (code, ""),
            "{line}: {err}"
        );
        assert!(err.contains(part), "{line}: {err}");
    }
    write(
        "t.yaml",
        &TEMPLATE.replace("count:", "consecutiveErrorLimit: 0\n    count:"),
    );
    let nobody = [
        "run",
        "-f",
        "t.yaml",
        "--arg",
        "service=web",
        "--prometheus-address",
        "http://127.0.0.1:1",
    ];
    let (code, out, _) = text(&groundswell(folder.path(), &nobody).output().unwrap());
    assert_eq!(code, 4, "{out}");
    // In one sentence, without the layers of the client, once in the line of its measurement and once in the verdict.
    let sentence = "127.0.0.1:1 cannot be reached: Connection refused; look whether it runs and at the address";
    assert_eq!(out.matches(sentence).count(), 2, "{out}");
    assert!(!out.contains("os error"), "{out}");
}
