//! `groundswell break-glass`. In: a Rollout, a digest or the held one, a reason. Out: two annotations on the Rollout. It must
//! not judge who may: the cluster's admission does, and it says who wrote (gate.md G16).

use agent_api::names::{ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY, gate_name};
use agent_api::{Gate, Rollout};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::args::break_glass::BreakGlass;
use crate::args::{Look, Output};
use crate::failure::{Answer, Failure};
use crate::json;
use crate::lint::live;

/// Who wrote, in managed fields.
const MANAGER: &str = "groundswell";
/// Letters of a reason; an annotation may be long, a line of the history should not.
const MAX_REASON: usize = 500;

/// Writes the word.
pub async fn run(look: Look, args: &BreakGlass) -> Result<Answer, Failure> {
    let reason = args.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        return Err(Failure::Usage(format!(
            "--reason: write why, in 1 to {MAX_REASON} letters; it is kept in the history"
        )));
    }
    let (client, config) = live::connect(args.context.as_deref())
        .await
        .map_err(|why| {
            Failure::Nothing(format!(
                "no cluster can be reached: {why}; set KUBECONFIG or --context"
            ))
        })?;
    let namespace = args.namespace.clone();
    let namespace = namespace.unwrap_or(config.default_namespace);
    let by = whoami(&client).await?;
    let digest = match &args.digest {
        Some(digest) => digest.clone(),
        None => held(&client, args, &namespace).await?,
    };
    let patch = json!({"metadata": {"annotations": {
        ANNOTATION_BREAK_GLASS: format!("{digest} {reason}"),
        ANNOTATION_BREAK_GLASS_BY: by,
    }}});
    let rollouts: Api<Rollout> = Api::namespaced(client, &namespace);
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    rollouts
        .patch_metadata(&args.rollout, &parameters, &Patch::Merge(&patch))
        .await
        .map_err(|error| refused(&format!("{namespace}/{}", args.rollout), &error))?;
    let message = format!(
        "{by} broke the glass for {digest} of {namespace}/{}: it starts without the fleet's word, once; watch it with \
         kubectl argo rollouts get rollout {} -n {namespace}",
        args.rollout, args.rollout
    );
    Ok(Answer::ok(match look.output {
        Output::Json => json::print(&json!({
            "rollout": args.rollout, "namespace": namespace, "digest": digest, "by": by, "reason": reason,
        })),
        Output::Table => format!("{message}\n"),
    }))
}

/// The name that the API server knows us by.
async fn whoami(client: &Client) -> Result<String, Failure> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(|error| refused("who asks", &error))?;
    let user = review.status.and_then(|status| status.user_info);
    user.and_then(|user| user.username).ok_or_else(|| {
        Failure::Nothing("the cluster does not say who asks; break-glass needs a name".to_owned())
    })
}

/// What the Gate holds.
async fn held(client: &Client, args: &BreakGlass, namespace: &str) -> Result<String, Failure> {
    let gates: Api<Gate> = Api::namespaced(client.clone(), &args.agent_namespace);
    let name = gate_name(namespace, &args.rollout);
    let gate = gates.get(&name).await.map_err(|error| {
        let of = format!(
            "Gate {}/{name} (say --digest instead of --held)",
            args.agent_namespace
        );
        refused(&of, &error)
    })?;
    let held = gate.status.and_then(|status| status.held);
    let digest = held.map(|held| held.digest.to_string());
    digest.ok_or_else(|| {
        Failure::Nothing(format!(
            "{namespace}/{} holds nothing back; break-glass is for content that is held",
            args.rollout
        ))
    })
}

fn refused(what: &str, error: &kube::Error) -> Failure {
    let why = if let kube::Error::Api(status) = error {
        status.message.clone()
    } else {
        error.to_string()
    };
    Failure::Nothing(format!("{what}: {why}"))
}
