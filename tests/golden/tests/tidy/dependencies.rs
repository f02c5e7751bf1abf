//! What may be built on what. In: cargo's trees, the lock file, the policy of deny.toml, the CRDs. Out: names that should not
//! be there. The engines do no I/O because nothing that can is below them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::files::root;

#[test]
fn the_engines_are_built_on_what_is_allowed() {
    for engine in ["agent-engine", "hub-engine"] {
        let allowed =
            std::fs::read_to_string(root().join(format!("tests/golden/allow/{engine}.txt")))
                .expect("the list");
        let wrong = difference(&below(engine), &listed(&allowed));
        assert!(
            wrong.is_empty(),
            "{engine}, tests/golden/allow/{engine}.txt: {wrong:?}"
        );
    }
}

#[test]
fn nothing_banned_is_in_the_lock_file() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let policy = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let banned = bans(&policy);
    assert!(
        banned.contains("openssl-sys"),
        "deny.toml was not understood: {banned:?}"
    );
    assert_eq!(locked_and_banned(&lock, &banned), Vec::<String>::new());
}

/// That crate alone: a workspace build may switch on features that hide what its manifest asks for.
fn below(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-p",
            package,
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .expect("cargo tree");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    listed(&String::from_utf8_lossy(&output.stdout))
}

fn listed(text: &str) -> BTreeSet<String> {
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "#")
        .map(str::to_owned)
        .collect()
}

fn difference(found: &BTreeSet<String>, allowed: &BTreeSet<String>) -> Vec<String> {
    let new = found
        .difference(allowed)
        .map(|name| format!("{name} is not allowed"));
    let old = allowed
        .difference(found)
        .map(|name| format!("{name} is no longer there"));
    new.chain(old).collect()
}

fn bans(policy: &str) -> BTreeSet<String> {
    let quoted = policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \""));
    quoted
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

fn locked_and_banned(lock: &str, banned: &BTreeSet<String>) -> Vec<String> {
    let names = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    names
        .filter(|name| banned.contains(*name))
        .map(str::to_owned)
        .collect()
}

/// Files of the folder that differ from what is generated, and those that are missing or too many.
pub fn stale_crds(generated: &[(String, String)], folder: &Path) -> Vec<String> {
    let mut stale: Vec<String> = generated
        .iter()
        .filter(|(name, text)| {
            std::fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text)
        })
        .map(|(name, _)| name.clone())
        .collect();
    let present = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let present = present.map(|entry| entry.file_name().to_string_lossy().into_owned());
    stale.extend(present.filter(|name| generated.iter().all(|(known, _)| known != name)));
    stale
}

#[test]
fn planted_dependencies_are_found() {
    let allowed = listed("# a comment\nserde\nserde_json\n");
    let found =
        listed("agent-engine v0.1.0 (somewhere)\nserde v1.0.0\ntokio v1.0.0\nserde v1.0.0 (*)\n");
    let wrong = difference(&found, &allowed);
    assert_eq!(
        wrong,
        [
            "agent-engine is not allowed",
            "tokio is not allowed",
            "serde_json is no longer there"
        ]
    );
    let banned = bans("deny = [\n  { crate = \"native-tls\" },\n]\n");
    let lock = "[[package]]\nname = \"native-tls\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"native-tls-not\"\n";
    assert_eq!(locked_and_banned(lock, &banned), ["native-tls"]);
}

#[test]
fn planted_custom_resources_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let file =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    let generated = [
        ("a.yaml".to_owned(), "a".to_owned()),
        ("b.yaml".to_owned(), "b".to_owned()),
    ];
    file("a.yaml", "a");
    assert_eq!(stale_crds(&generated, folder.path()), ["b.yaml"], "missing");
    file("b.yaml", "old");
    assert_eq!(stale_crds(&generated, folder.path()), ["b.yaml"], "changed");
    file("b.yaml", "b");
    file("c.yaml", "c");
    assert_eq!(
        stale_crds(&generated, folder.path()),
        ["c.yaml"],
        "too many"
    );
}
