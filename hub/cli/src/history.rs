//! `groundswell history`. In: a release, or nothing for all, and a filter. Out: every row in order. It must not sort or filter by itself:
//! the order is the hub's sequence.

use proto::v1::{HistoryRow, ListHistoryRequest, ListRefusalsRequest, RefusedAttempt};

use crate::args::{History, Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;
use crate::table::{or_dash, table, time};

/// Rows a call; the rest comes with further calls.
const PAGE: u32 = 500;

/// Reads page after page and prints all.
pub async fn run(client: &mut Client, look: Look, args: &History) -> Result<Answer, Failure> {
    let release = match &args.release {
        Some(name) => client.release_name(name).await?,
        None => String::new(),
    };
    let filter = &args.filter;
    if filter.refusals {
        return refusals(client, look, filter.limit).await;
    }
    let most = filter.limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let mut rows: Vec<HistoryRow> = Vec::new();
    while rows.len() < most {
        let after = rows.last().map_or(filter.after, |row| row.sequence);
        let request = ListHistoryRequest {
            release: release.clone(),
            after,
            limit: u32::try_from(most - rows.len()).unwrap_or(PAGE).min(PAGE),
            cluster: filter.cluster.clone().unwrap_or_default(),
            actor: filter.by.clone().unwrap_or_default(),
            kind: filter.kind.clone().unwrap_or_default(),
            since: filter.since.map(proto::time::to_wire),
            until: filter.until.map(proto::time::to_wire),
        };
        let result = client.service().list_history(request).await;
        let page = client.answer(result)?.rows;
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    Ok(Answer::ok(match look.output {
        Output::Json => json::print(&rows.iter().map(json::history_row).collect()),
        Output::Table if rows.is_empty() => "nothing has happened yet\n".to_owned(),
        Output::Table => {
            let header = [
                "SEQUENCE", "AT", "RELEASE", "CLUSTER", "KIND", "ACTOR", "MESSAGE",
            ];
            table(look, &header, rows.iter().map(row).collect())
        }
    }))
}

/// Why, and how often more.
fn refused(refusal: &RefusedAttempt) -> String {
    match refusal.again {
        0 => refusal.message.clone(),
        again => format!("{} (and {again} more like it soon after)", refusal.message),
    }
}

/// What was tried and refused (S22).
async fn refusals(client: &mut Client, look: Look, limit: Option<u32>) -> Result<Answer, Failure> {
    let limit = limit.unwrap_or_default();
    let result = client
        .service()
        .list_refusals(ListRefusalsRequest { limit })
        .await;
    let refusals = client.answer(result)?.refusals;
    Ok(Answer::ok(match look.output {
        Output::Json => {
            let one = |refusal: &RefusedAttempt| {
                serde_json::json!({
                    "at": json::time(refusal.at.as_ref()), "kind": refusal.kind, "who": refusal.who,
                    "message": refusal.message, "again": refusal.again,
                })
            };
            json::print(&refusals.iter().map(one).collect())
        }
        Output::Table if refusals.is_empty() => "nothing was refused yet\n".to_owned(),
        Output::Table => {
            let one = |refusal: &RefusedAttempt| {
                vec![
                    time(refusal.at.as_ref()),
                    refusal.kind.clone(),
                    or_dash(&refusal.who),
                    or_dash(&refused(refusal)),
                ]
            };
            let rows = refusals.iter().map(one).collect();
            table(look, &["AT", "KIND", "WHO", "MESSAGE"], rows)
        }
    }))
}

fn row(row: &HistoryRow) -> Vec<String> {
    vec![
        row.sequence.to_string(),
        time(row.at.as_ref()),
        or_dash(&row.release),
        or_dash(&row.cluster),
        row.kind.clone(),
        row.actor.clone(),
        or_dash(&row.message),
    ]
}
