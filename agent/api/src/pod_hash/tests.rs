//! Pod hashes: committed vectors, made by an independent writer.

use serde_json::{Value, json};

use super::{ALPHABET, fnv32a, pod_hash, safe_encode, steps_hash};
use crate::names::LABEL_POD_HASH;
use crate::pod_template::PodTemplate;
use crate::strategy::CanaryStep;

#[test]
fn follows_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../testdata/digests.json")).unwrap();
    for vector in vectors["content"].as_array().unwrap() {
        let template = PodTemplate::of(vector["template"].clone());
        assert_eq!(
            json!(pod_hash(&template, None)),
            vector["podHash"],
            "{}",
            vector["name"]
        );
        assert_eq!(
            json!(pod_hash(&template, Some(1))),
            vector["podHashAfterCollision"],
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn fnv_is_the_published_one() {
    for (text, hash) in [
        ("", 0x811c_9dc5),
        ("a", 0xe40c_292c),
        ("foobar", 0xbf9c_f968),
    ] {
        assert_eq!(fnv32a(text.as_bytes()), hash, "{text:?}");
    }
}

#[test]
fn is_a_label_and_does_not_see_itself() {
    let template = PodTemplate::of(json!({"spec": {"containers": [{"image": "a"}]}}));
    let hash = pod_hash(&template, None);
    assert!(
        hash.as_str()
            .chars()
            .all(|letter| ALPHABET.contains(&letter)),
        "{hash}"
    );
    assert!((1..=10).contains(&hash.as_str().len()), "{hash}");
    assert_eq!(
        pod_hash(&template.with_label(LABEL_POD_HASH, hash.as_str()), None),
        hash
    );
    assert_ne!(pod_hash(&template.with_label("a", "b"), None), hash);
}

/// Hashes of the other controller, of these steps as Go prints them.
#[test]
fn steps_have_the_hash_that_argo_rollouts_notes() {
    let read = |steps: serde_json::Value| -> Vec<CanaryStep> {
        serde_json::from_value(steps).expect("steps")
    };
    let analysis = json!({
        "args": [{"value": "a<b", "name": "x"}], "templates": [{"templateName": "t"}],
    });
    for (steps, printed) in [
        (
            json!([{"setWeight": 20}, {"pause": {}}, {"pause": {"duration": "1s"}}]),
            r#"[{"setWeight":20},{"pause":{}},{"pause":{"duration":"1s"}}]"#,
        ),
        (
            json!([{"pause": {"duration": 5}}, {"setCanaryScale": {"replicas": 1, "weight": 2}}]),
            r#"[{"pause":{"duration":5}},{"setCanaryScale":{"weight":2,"replicas":1}}]"#,
        ),
        (
            json!([{"analysis": analysis}]),
            r#"[{"analysis":{"templates":[{"templateName":"t"}],"args":[{"name":"x","value":"a\u003cb"}]}}]"#,
        ),
    ] {
        let hash = safe_encode(&fnv32a(printed.as_bytes()).to_string());
        assert_eq!(steps_hash(&read(steps)), Some(hash), "{printed}");
    }
    // This one was read from a Rollout that Argo Rollouts wrote.
    let steps = json!([
        {"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}, {"setWeight": 80},
        {"pause": {"duration": 1}},
    ]);
    assert_eq!(steps_hash(&read(steps)).as_deref(), Some("5c8d469f7b"));
}
