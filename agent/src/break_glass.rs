//! Whether the cluster admits break-glass from those with the right alone (gate.md G16).
//!
//! In: the API server. Out: yes or no. It must not take anything else than the two objects as deploy/agent has them for a
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

/// The policy and its binding are there, and refuse.
///
/// # Errors
/// The API server does not answer. That it is forbidden to look is a no.
pub async fn admitted(client: &Client) -> Result<bool, Error> {
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
    Ok(policy.is_some_and(|policy| closes(&policy)) && binding.is_some_and(|one| denies(&one)))
}

fn answer<T>(what: &'static str, got: kube::Result<Option<T>>) -> Result<Option<T>, Error> {
    match got {
        Ok(found) => Ok(found),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
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
