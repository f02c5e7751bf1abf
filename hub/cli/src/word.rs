//! A person's words: `release pause`, `abort`, …, `rollback`, `stop`. In: arguments. Out: the hub's sentence. A reply that was
//! lost is asked for again by the same key, so that nothing is done twice. It must not decide whether a word makes sense.

use proto::v1::act_request::{Scope, Verb};
use proto::v1::{ActRequest, StopRequest};
use serde_json::json;
use tonic::{Code, Response, Status};

use crate::args::word::{Abort, About, Promote, Retry, Skip, Stop, Why};
use crate::args::{Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Bytes of a key that nobody else makes.
const KEY_BYTES: usize = 16;

/// `release pause`, `release resume` and `rollback`.
pub async fn about(
    client: &mut Client,
    look: Look,
    args: &About,
    verb: Verb,
) -> Result<Answer, Failure> {
    let request = ActRequest::default();
    say(client, look, args, verb, request).await
}

/// `release abort`.
pub async fn abort(client: &mut Client, look: Look, args: &Abort) -> Result<Answer, Failure> {
    let scope = match (args.rollback, args.halt) {
        (true, _) => Scope::Touched,
        (false, true) => Scope::Unfinished,
        (false, false) => Scope::Unspecified,
    };
    let request = ActRequest {
        scope: scope.into(),
        ..ActRequest::default()
    };
    say(client, look, &args.about, Verb::Abort, request).await
}

/// `release retry`.
pub async fn retry(client: &mut Client, look: Look, args: &Retry) -> Result<Answer, Failure> {
    let request = ActRequest {
        cluster: args.cluster.clone(),
        ..ActRequest::default()
    };
    say(client, look, &args.about, Verb::Retry, request).await
}

/// `release skip`.
pub async fn skip(client: &mut Client, look: Look, args: &Skip) -> Result<Answer, Failure> {
    let request = ActRequest {
        cluster: args.cluster.clone().unwrap_or_default(),
        wave: args.wave.clone().unwrap_or_default(),
        ..ActRequest::default()
    };
    say(client, look, &args.about, Verb::Skip, request).await
}

/// `release promote`.
pub async fn promote(client: &mut Client, look: Look, args: &Promote) -> Result<Answer, Failure> {
    let request = ActRequest {
        wave: args.wave.clone().unwrap_or_default(),
        ..ActRequest::default()
    };
    say(client, look, &args.about, Verb::Promote, request).await
}

async fn say(
    client: &mut Client,
    look: Look,
    args: &About,
    verb: Verb,
    rest: ActRequest,
) -> Result<Answer, Failure> {
    let release = client.release_name(&args.release).await?;
    let request = ActRequest {
        release: release.clone(),
        verb: verb.into(),
        reason: args.why.reason.clone(),
        key: key(&args.why)?,
        ..rest
    };
    let mut result = client.service().act(request.clone()).await;
    if lost(&result) {
        result = client.service().act(request).await;
    }
    let message = client.answer(result)?.message;
    let next = format!("groundswell release show {release}");
    Ok(said(look, &message, &next))
}

/// `stop` and `unstop`.
pub async fn stop(
    client: &mut Client,
    look: Look,
    args: &Stop,
    lift: bool,
) -> Result<Answer, Failure> {
    let request = StopRequest {
        fleet_rollout: args.fleetrollout.clone().unwrap_or_default(),
        all: args.all,
        lift,
        reason: args.why.reason.clone(),
        key: key(&args.why)?,
    };
    let mut result = client.service().stop(request.clone()).await;
    if lost(&result) {
        result = client.service().stop(request).await;
    }
    let message = client.answer(result)?.message;
    Ok(said(look, &message, "groundswell get releases"))
}

/// A sentence of the hub's and what shows more.
pub fn said(look: Look, message: &str, next: &str) -> Answer {
    Answer::ok(match look.output {
        Output::Json => json::print(&json!({"message": message})),
        Output::Table => format!("{message}\nnext:\n  {next}\n"),
    })
}

/// Whether it may have been done and nobody said so.
pub fn lost<T>(result: &Result<Response<T>, Status>) -> bool {
    result.as_ref().is_err_and(|status| {
        matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
        )
    })
}

/// The person's key, or a new one.
pub fn key(why: &Why) -> Result<String, Failure> {
    if let Some(key) = &why.key {
        return Ok(key.clone());
    }
    let mut bytes = [0_u8; KEY_BYTES];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| {
        Failure::Nothing(
            "this system gives no random numbers; name the request with --key".to_owned(),
        )
    })?;
    Ok(hex::encode(bytes))
}
