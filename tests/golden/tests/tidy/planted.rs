//! Bad samples. In: a file that breaks exactly one rule, and its good twin. Out: the rule finds the one and not the other.

use crate::RULES;
use crate::files::Source;

const DOC: &str = "//! What comes in.\n";

/// Rule, path, bad text, good text.
type Sample = (&'static str, &'static str, String, String);

fn rust(text: &str) -> String {
    format!("{DOC}{text}\n")
}

fn samples() -> Vec<Sample> {
    let mut samples = samples_of_rust();
    samples.extend(samples_of_sleep());
    samples.extend(samples_of_others());
    samples
}

fn samples_of_rust() -> Vec<Sample> {
    let file = "a/src/lib.rs";
    let ignored = concat!("#[", "ignore]");
    let reason = concat!("#[", "ignore = \"slow\"]");
    let undone = concat!("todo", "!()");
    let unwritten = concat!("unimplemented", "!(\"x\")");
    let skips = concat!("eprintln", "!(\"no postgres, skipping\");");
    vec![
        (
            "short",
            file,
            rust(&"//\n".repeat(500)),
            rust(&"//\n".repeat(498)),
        ),
        ("module_doc", file, "fn a() {}\n".into(), rust("fn a() {}")),
        ("not_ignored", file, rust(ignored), rust("#[test]")),
        ("not_ignored", file, rust(reason), rust("#[test]")),
        ("finished", file, rust(undone), rust("done()")),
        ("finished", file, rust(unwritten), rust("done()")),
        (
            "no_skip",
            "a/src/tests.rs",
            rust(skips),
            rust("let state = Skipped;"),
        ),
    ]
}

fn samples_of_sleep() -> Vec<Sample> {
    let sleep = concat!("tokio::time::", "sleep(PAUSE).await;");
    let blocking = concat!("std::thread::", "sleep(PAUSE);");
    let inside = rust(&format!("#[cfg(test)]\nmod tests {{\n{sleep}\n}}"));
    let outside = rust(&format!("{sleep}\n#[cfg(test)]\nmod tests {{}}"));
    let wait = rust("eventually()");
    vec![
        (
            "no_sleep",
            "tests/e2e/tests/kill.rs",
            rust(sleep),
            wait.clone(),
        ),
        ("no_sleep", "a/src/gate/tests.rs", rust(blocking), wait),
        ("no_sleep", "a/src/lib.rs", inside, outside),
    ]
}

fn samples_of_others() -> Vec<Sample> {
    let root = concat!("path = \"/ro", "ot/x\"\n");
    let home = concat!("cd /ho", "me/me/x\n");
    let skip = concat!("\tt.Skip", "(\"no etcd\")\n");
    let sleep = concat!("\ttime.", "Sleep(2 * time.Second)\n");
    vec![
        ("short", "a/main.go", "//\n".repeat(501), "//\n".repeat(500)),
        (
            "no_machine_path",
            "a/b.toml",
            root.into(),
            "path = \"/roots/x\"\n".into(),
        ),
        (
            "no_machine_path",
            "README.md",
            home.into(),
            "cd apps/home/me\n".into(),
        ),
        (
            "go_no_skip",
            "a/b_test.go",
            skip.into(),
            "\tt.Fatal(\"no etcd\")\n".into(),
        ),
        (
            "go_no_sleep",
            "a/b_test.go",
            sleep.into(),
            "\twait(t)\n".into(),
        ),
    ]
}

#[test]
fn every_rule_finds_its_planted_sample() {
    for (name, path, bad, good) in samples() {
        let (_, rule) = RULES
            .iter()
            .find(|(known, _)| *known == name)
            .expect("a known rule");
        assert_eq!(
            rule(&Source::new(path, &bad)).len(),
            1,
            "{name} is blind in {path}: {bad}"
        );
        assert_eq!(
            rule(&Source::new(path, &good)),
            [],
            "{name} is too strict in {path}: {good}"
        );
    }
}

#[test]
fn every_rule_has_a_sample() {
    for (name, _) in RULES {
        assert!(
            samples().iter().any(|(sample, ..)| *sample == name),
            "no sample for {name}"
        );
    }
}
