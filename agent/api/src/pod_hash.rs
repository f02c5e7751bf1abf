//! Pod hashes: the short names of templates.
//!
//! In: a pod template and the collision count. Out: the value of the hash label for a new ReplicaSet. Must not touch:
//! ReplicaSets that exist, whose hash is always read from their label.

use crate::canonical::canonical;
use crate::digest::{Injected, content};
use crate::pod_template::PodTemplate;
use crate::strategy::CanaryStep;
use crate::text::text_id;

text_id! {
    /// Value of the hash label of a ReplicaSet and its pods.
    pub struct PodHash;
}

/// Letters without vowels and without look-alikes, so that no hash is a word.
const ALPHABET: [char; 27] = [
    'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x',
    'z', '2', '4', '5', '6', '7', '8', '9',
];

/// Hash of a template; a collision count gives the same template another one.
pub fn pod_hash(template: &PodTemplate, collision_count: Option<i32>) -> PodHash {
    let mut text = canonical(&content(template, &Injected::default()));
    if let Some(count) = collision_count {
        text.push_str(&count.to_string());
    }
    PodHash(text_hash(&text))
}

/// Hash of a template of an Experiment. It is never that of a Rollout with the same content, nor of another template of the
/// Experiment: nobody's Service selects its pods by accident.
pub fn experiment_hash(
    experiment: &str,
    name: &str,
    template: &PodTemplate,
    collision_count: Option<i32>,
) -> PodHash {
    let mut text = format!("experiment {experiment} {name} ");
    text.push_str(&canonical(&content(template, &Injected::default())));
    if let Some(count) = collision_count {
        text.push_str(&count.to_string());
    }
    PodHash(text_hash(&text))
}

/// Hash of the steps of a canary, as Argo Rollouts notes it in the status: over their JSON with the fields in the order of
/// their types. A controller that finds another hash there than its own takes the steps for new ones and begins anew, so
/// both must note the same for a canary to be taken over where it stands.
pub fn steps_hash(steps: &[CanaryStep]) -> Option<String> {
    let text = serde_json::to_string(steps).ok()?;
    Some(text_hash(&go_json(&text)))
}

/// A few letters that tell one text from another.
pub fn text_hash(text: &str) -> String {
    safe_encode(&fnv32a(text.as_bytes()).to_string())
}

/// JSON as Go writes it: what HTML or JavaScript could take for its own is escaped.
fn go_json(text: &str) -> String {
    const ESCAPED: [(char, &str); 5] = [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ];
    let plain = text.to_owned();
    ESCAPED
        .iter()
        .fold(plain, |text, (from, to)| text.replace(*from, to))
}

/// FNV-1a in 32 bits; the crate of that name has only the 64-bit one.
fn fnv32a(bytes: &[u8]) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(PRIME)
    })
}

/// Maps each byte to a letter of the alphabet.
fn safe_encode(text: &str) -> String {
    let size = ALPHABET.len();
    text.bytes()
        .filter_map(|byte| ALPHABET.get(usize::from(byte).checked_rem(size)?))
        .collect()
}

#[cfg(test)]
mod tests;
