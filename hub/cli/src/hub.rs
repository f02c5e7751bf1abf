//! `groundswell hub recover`. In: a reason. Out: one sentence. It must not judge whether recovering is right.

use proto::v1::RecoverHubRequest;
use serde_json::json;

use crate::args::history::{Hub, HubCommand};
use crate::args::{Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Asks for it.
pub async fn run(client: &mut Client, look: Look, args: &Hub) -> Result<Answer, Failure> {
    let HubCommand::Recover(args) = &args.command;
    let reason = args.reason.clone();
    let result = client
        .service()
        .recover_hub(RecoverHubRequest { reason })
        .await;
    let message = client.answer(result)?.message;
    Ok(Answer::ok(match look.output {
        Output::Json => json::print(&json!({"message": message})),
        Output::Table => format!("{message}\n"),
    }))
}
