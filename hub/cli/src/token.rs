//! `groundswell cluster token`. In: a cluster's name and labels. Out: a token, alone on stdout so that scripts can take it.
//! It must not store the token.

use proto::v1::CreateTokenRequest;
use serde_json::json;

use crate::args::{Cluster, ClusterCommand, Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Makes and prints a token.
pub async fn run(client: &mut Client, look: Look, args: &Cluster) -> Result<Answer, Failure> {
    let ClusterCommand::Token(args) = &args.command;
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
