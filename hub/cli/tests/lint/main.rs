//! `groundswell lint` as a person runs it. In: a folder of manifests. Out: the text beside it, with the exit code. `UPDATE=1`
//! writes the texts anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod live;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Code, stdout, stderr; there is no configuration, and none is needed.
fn lint(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_groundswell"))
        .arg("lint")
        .args(args)
        .current_dir(cases())
        .env_remove("GROUNDSWELL_CONFIG")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint/cases")
}

#[test]
fn every_case_is_answered_as_written() {
    let mut tried = 0;
    for entry in std::fs::read_dir(cases()).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let name = folder.file_name().unwrap().to_str().unwrap();
        let (code, out, err) = lint(&["-f", name]);
        let found = format!("{out}{err}exit {code}\n");
        let golden = folder.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(found, expected, "{name}");
        tried += 1;
    }
    assert!(tried >= 4, "only {tried} cases");
}

#[test]
fn what_cannot_be_checked_is_one_sentence() {
    let empty = tempfile::tempdir().unwrap();
    let other = empty.path().join("pod.txt");
    std::fs::write(&other, "kind: Pod\n").unwrap();
    for (args, code, part) in [
        (vec!["-f", "/nowhere.yaml"], 1, "/nowhere.yaml"),
        (
            vec!["-f", empty.path().to_str().unwrap()],
            1,
            "no manifests",
        ),
        (vec!["-f", other.to_str().unwrap()], 1, "nothing to check"),
        (vec![], 2, "--file"),
    ] {
        let (found, out, err) = lint(&args);
        assert_eq!((found, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn programs_read_json() {
    let (code, out, _) = lint(&["-f", "bad_rollout", "-o", "json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    let findings = found["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|one| one["severity"] == "error");
    assert_eq!(found["errors"], errors.count());
    let first = &findings[0];
    assert_eq!(first["file"], "bad_rollout/rollout.yaml");
    assert!(
        first["line"].as_u64().unwrap() > 1 && first["path"].is_string(),
        "{first}"
    );
}

/// The templates of the documentation can be used as they are.
#[test]
fn templates_of_the_documentation_are_good() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../agent/docs/statistics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut templates = 0;
    for part in page.split("```yaml\n").skip(1) {
        let template = part.split("```").next().unwrap();
        templates += 1;
        let file = folder.path().join(format!("{templates}.yaml"));
        std::fs::write(file, template).unwrap();
    }
    let (code, out, err) = lint(&["-f", folder.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out, format!("{templates} documents checked: no problems\n"));
    assert!(templates >= 3);
}
