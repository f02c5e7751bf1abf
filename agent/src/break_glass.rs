//! Whether the cluster admits break-glass from those with the right alone (gate.md G16).
//!
//! In: the API server. Out: how it stands. It must not take anything else than the two objects as deploy/agent has them for a
//! yes: without them anybody who may annotate a Rollout could start what is held.

use agent_api::names::BREAK_GLASS_POLICY;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{Api, Client};

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell whether break-glass is admitted: get {what}: {source}")]
pub struct Error {
    what: &'static str,
    source: Box<kube::Error>,
}

/// How break-glass stands in this cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The policy and its binding are there, and refuse whoever has no right: a word counts.
    Admitted,
    /// One of them is not there, or does not refuse: no word counts.
    NotInForce,
    /// This agent may not look, so that no word counts.
    MayNotLook,
}

impl Standing {
    /// What a person has to know at the start; nothing where words count.
    #[must_use]
    pub fn says(self) -> Option<String> {
        match self {
            Self::Admitted => None,
            Self::NotInForce => Some(format!(
                "nobody can break the glass here: {BREAK_GLASS_POLICY} is not in force; apply deploy/agent/break-glass.yaml"
            )),
            Self::MayNotLook => Some(format!(
                "nobody can break the glass here: this agent may not see whether {BREAK_GLASS_POLICY} is in force; with \
                 --namespaced apply deploy/namespaced-fleet beside deploy/namespaced"
            )),
        }
    }
}

/// How it stands now.
///
/// # Errors
/// The API server does not answer.
pub async fn standing(client: &Client) -> Result<Standing, Error> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let policy = answer(
        "ValidatingAdmissionPolicy",
        policies.get_opt(BREAK_GLASS_POLICY).await,
    )?;
    let binding = answer(
        "ValidatingAdmissionPolicyBinding",
        bindings.get_opt(BREAK_GLASS_POLICY).await,
    )?;
    Ok(match (policy, binding) {
        (Seen::Hidden, _) | (_, Seen::Hidden) => Standing::MayNotLook,
        (Seen::There(policy), Seen::There(binding)) if closes(&policy) && denies(&binding) => {
            Standing::Admitted
        }
        (Seen::There(_) | Seen::Absent, Seen::There(_) | Seen::Absent) => Standing::NotInForce,
    })
}

enum Seen<T> {
    There(T),
    Absent,
    Hidden,
}

fn answer<T>(what: &'static str, got: kube::Result<Option<T>>) -> Result<Seen<T>, Error> {
    match got {
        Ok(found) => Ok(found.map_or(Seen::Absent, Seen::There)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Seen::Hidden),
        Err(source) => Err(Error {
            what,
            source: Box::new(source),
        }),
    }
}

/// What cannot be judged is refused.
fn closes(policy: &ValidatingAdmissionPolicy) -> bool {
    let spec = policy.spec.as_ref();
    spec.is_some_and(|spec| spec.failure_policy.as_deref() == Some("Fail"))
}

fn denies(binding: &ValidatingAdmissionPolicyBinding) -> bool {
    let spec = &binding.spec;
    spec.policy_name == BREAK_GLASS_POLICY
        && spec
            .validation_actions
            .iter()
            .any(|action| action == "Deny")
        && spec.match_resources.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An API server that answers for the policy and for its binding with these; a number is a refusal.
    fn client(policy: &Value, binding: &Value) -> Client {
        let (policy, binding) = (policy.clone(), binding.clone());
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let path = request.uri().path().to_owned();
            let said = if path.contains("validatingadmissionpolicybindings") {
                binding.clone()
            } else {
                policy.clone()
            };
            async move {
                let (code, body) = match said.as_u64() {
                    None => (200, said),
                    Some(code) => {
                        let reason = if code == 404 { "NotFound" } else { "Forbidden" };
                        let body = json!({
                            "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no",
                        });
                        (u16::try_from(code).unwrap(), body)
                    }
                };
                let body = kube::client::Body::from(body.to_string().into_bytes());
                let answer = http::Response::builder().status(code).body(body);
                Ok::<_, std::io::Error>(answer.unwrap())
            }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn a_word_counts_only_where_the_policy_is_seen_to_refuse() {
        let policy = |fails: &str| json!({"metadata": {"name": BREAK_GLASS_POLICY}, "spec": {"failurePolicy": fails}});
        let binding = |does: &str| {
            json!({
                "metadata": {"name": BREAK_GLASS_POLICY},
                "spec": {"policyName": BREAK_GLASS_POLICY, "validationActions": [does]},
            })
        };
        let cases = [
            (policy("Fail"), binding("Deny"), Standing::Admitted),
            (policy("Ignore"), binding("Deny"), Standing::NotInForce),
            (policy("Fail"), binding("Warn"), Standing::NotInForce),
            (json!(404), binding("Deny"), Standing::NotInForce),
            (policy("Fail"), json!(404), Standing::NotInForce),
            (json!(403), binding("Deny"), Standing::MayNotLook),
            (policy("Fail"), json!(403), Standing::MayNotLook),
        ];
        for (policy, binding, wanted) in cases {
            let standing = standing(&client(&policy, &binding)).await.unwrap();
            assert_eq!(standing, wanted, "{policy} {binding}");
            assert_eq!(standing.says().is_none(), wanted == Standing::Admitted);
        }
        let says = Standing::MayNotLook.says().unwrap();
        assert!(says.contains("deploy/namespaced-fleet"), "{says}");
        let away = client(&json!(500), &binding("Deny"));
        assert!(
            super::standing(&away).await.is_err(),
            "no answer is no word"
        );
    }
}
