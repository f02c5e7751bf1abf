//! `groundswell history`. In: a release, or nothing for all. Out: every row in order. It must not sort or filter by itself:
//! the order is the hub's sequence.

use proto::v1::{HistoryRow, ListHistoryRequest};

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
    let mut rows: Vec<HistoryRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.sequence);
        let request = ListHistoryRequest {
            release: release.clone(),
            after,
            limit: PAGE,
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
