//! `groundswell hub …`. In: a reason to recover, or nothing. Out: one sentence, or how the hub stands. It must not judge whether
//! recovering is right.

use proto::v1::finding::Level;
use proto::v1::{CheckHubRequest, RecoverHubRequest};
use serde_json::json;

use crate::args::history::{Hub, HubCommand};
use crate::args::{Look, Output};
use crate::client::Client;
use crate::failure::{Answer, DEGRADED, Failure};
use crate::json;
use crate::table::table;

/// Asks for it.
pub async fn run(client: &mut Client, look: Look, args: &Hub) -> Result<Answer, Failure> {
    match &args.command {
        HubCommand::Recover(args) => recover(client, look, args.reason.clone()).await,
        HubCommand::Check => check(client, look).await,
    }
}

async fn recover(client: &mut Client, look: Look, reason: String) -> Result<Answer, Failure> {
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

/// Ends with another status than 0 only where something is bad: a warning is a choice.
async fn check(client: &mut Client, look: Look) -> Result<Answer, Failure> {
    let result = client.service().check_hub(CheckHubRequest {}).await;
    let findings = client.answer(result)?.findings;
    let bad = findings.iter().any(|one| one.level() == Level::Bad);
    let text = match look.output {
        Output::Json => {
            let one = |finding: &proto::v1::Finding| json!({"level": word(finding.level()), "what": finding.what, "message": finding.message});
            json::print(&json!({"findings": findings.iter().map(one).collect::<Vec<_>>()}))
        }
        Output::Table => {
            let row = |finding: &proto::v1::Finding| {
                let level = word(finding.level()).to_owned();
                vec![level, finding.what.clone(), finding.message.clone()]
            };
            table(
                look,
                &["LEVEL", "WHAT", "HOW IT STANDS"],
                findings.iter().map(row).collect(),
            )
        }
    };
    let code = if bad { DEGRADED } else { 0 };
    Ok(Answer { text, code })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Bad => "BAD",
        Level::Unspecified => "unknown",
    }
}
