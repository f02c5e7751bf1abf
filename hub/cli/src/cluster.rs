//! `groundswell cluster token` and `revoke`. In: a cluster's name with labels or a reason. Out: a token, alone on stdout so
//! that scripts can take it, or one sentence. It must not store the token.

use proto::v1::{CreateTokenRequest, RevokeClusterRequest};
use serde_json::json;

use crate::args::{Look, Output, Revoke, Token};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Makes and prints a token.
pub async fn token(client: &mut Client, look: Look, args: &Token) -> Result<Answer, Failure> {
    let request = CreateTokenRequest {
        cluster: args.name.clone(),
        labels: args.labels.iter().cloned().collect(),
        valid_seconds: args.ttl,
    };
    let result = client.service().create_token(request).await;
    let response = client.answer(result)?;
    Ok(Answer::ok(match look.output {
        Output::Json => {
            let expires = json::time(response.expires_at.as_ref());
            json::print(&json!({"token": response.token, "expiresAt": expires}))
        }
        Output::Table => format!("{}\n", response.token),
    }))
}

/// Denies a cluster's certificates.
pub async fn revoke(client: &mut Client, look: Look, args: &Revoke) -> Result<Answer, Failure> {
    let request = RevokeClusterRequest {
        cluster: args.name.clone(),
        reason: args.reason.clone(),
    };
    let result = client.service().revoke_cluster(request).await;
    let response = client.answer(result)?;
    Ok(Answer::ok(match look.output {
        Output::Json => json::print(&json!({"message": response.message})),
        Output::Table => format!("{}\n", response.message),
    }))
}
