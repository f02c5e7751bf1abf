//! What is called otherwise in each canary. In: objects after a canary. Out: the same objects, with names, revisions and
//! moments taken out, so that the ends of two canaries can be compared.

use serde_json::{Value, json};

use crate::object::text;

/// Fields that hold a moment or a number of the API server.
const MOMENTS: [&str; 23] = [
    "abortedAt",
    "at",
    "completedAt",
    "endedAt",
    "finishedAt",
    "generation",
    "incarnation",
    "lastTransitionTime",
    "lastUpdateTime",
    "manualPauseStartedAt",
    "observedGeneration",
    "release",
    "rolloutStartedAt",
    "restartedAt",
    "since",
    "totalManualPauseDurationSeconds",
    "startTime",
    "startedAt",
    "version",
    "argo-rollouts.argoproj.io/restarted-after",
    "fleet.groundswell.dev/permitted-by",
    "kubectl.kubernetes.io/last-applied-configuration",
    "rollout.argoproj.io/revision-history",
];

/// What is called otherwise in each canary.
#[derive(Debug)]
pub struct Names {
    old: String,
    new: String,
    revision: u64,
    digests: Vec<(String, &'static str)>,
}

impl Names {
    /// Of a canary from one ReplicaSet's hash to what is current after it.
    pub fn of(old: &str, after: &Value) -> Self {
        let revision = text(after, "/metadata/annotations/rollout.argoproj.io~1revision");
        Self {
            old: old.to_owned(),
            new: text(after, "/status/currentPodHash").to_owned(),
            revision: revision.parse().unwrap_or_default(),
            digests: Vec::new(),
        }
    }

    /// The digest of a ReplicaSet's content.
    pub fn learn(&mut self, hash: &str, digest: &str) {
        let name = match self.replaced(hash).as_str() {
            "NEW" => "DIGEST-NEW",
            "OLD" => "DIGEST-OLD",
            _ => return,
        };
        self.digests.push((digest.to_owned(), name));
    }

    /// A text without the names of this canary.
    pub fn replaced(&self, text: &str) -> String {
        let known = self.digests.iter().find(|(digest, _)| digest == text);
        if let Some((_, name)) = known {
            return (*name).to_owned();
        }
        let revision = |text: String, number: u64, word: &str| {
            let text = text.replace(&format!("NEW-{number}"), &format!("NEW-{word}"));
            let text = text.replace(&format!("revision {number} "), &format!("revision {word} "));
            if text == number.to_string() {
                return word.to_owned();
            }
            match text.strip_suffix(&format!(" revision {number}")) {
                Some(front) => format!("{front} revision {word}"),
                None => text,
            }
        };
        let text = text.replace(&self.new, "NEW").replace(&self.old, "OLD");
        let text = revision(text, self.revision, "REVISION");
        revision(text, self.revision.saturating_sub(1), "REVISION-BEFORE")
    }

    /// A value without the names and moments of this canary.
    pub fn normal(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| match MOMENTS.contains(&key.as_str()) {
                    true => (key.clone(), json!("set")),
                    false => (key.clone(), self.normal(value)),
                })
                .collect(),
            Value::Array(items) => items.iter().map(|item| self.normal(item)).collect(),
            Value::String(text) => json!(self.replaced(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_taken_out() {
        let names = Names {
            old: "aaa".into(),
            new: "bbb".into(),
            revision: 7,
            digests: vec![("v1:c0de".into(), "DIGEST-NEW")],
        };
        assert_eq!(
            names.replaced("checkout-bbb-7-2"),
            "checkout-NEW-REVISION-2"
        );
        assert_eq!(names.replaced("aaa"), "OLD");
        assert_eq!(names.replaced("v1:c0de"), "DIGEST-NEW");
        assert_eq!(names.replaced("6"), "REVISION-BEFORE");
        let normal =
            names.normal(&json!({"startedAt": "2026", "phase": "Healthy", "steps": [{"n": 3}]}));
        assert_eq!(
            normal,
            json!({"startedAt": "set", "phase": "Healthy", "steps": [{"n": 3}]})
        );
    }
}
