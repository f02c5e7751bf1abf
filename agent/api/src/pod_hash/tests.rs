//! Pod hashes: committed vectors, made by an independent writer.

use serde_json::{Value, json};

use super::{ALPHABET, fnv32a, pod_hash, value_hash};
use crate::names::LABEL_POD_HASH;
use crate::pod_template::PodTemplate;

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

#[test]
fn steps_have_hashes_too() {
    assert_eq!(
        value_hash(&json!([{"setWeight": 20}])),
        value_hash(&json!([{"setWeight": 20, "pause": null}]))
    );
    assert_ne!(
        value_hash(&json!([{"setWeight": 20}])),
        value_hash(&json!([{"setWeight": 21}]))
    );
}
