//! `groundswell audit`. In: the history, from the hub or an export. Out: whether it is whole, or every row of it as NDJSON. It
//! must not take the hub's word: rows are hashed here. It holds one page at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use hub_engine::chain::{Anchor, Broken, ChainHead, Row, Verified, Verifier};
use proto::head::Head;
use proto::v1::{GetAuditRequest, HistoryRow, ListHistoryRequest};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::history::{Audit, AuditCommand};
use crate::args::{Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Rows a call.
const PAGE: u32 = 500;
/// Clusters that a message names; more are counted.
const NAMES_MAX: usize = 5;

/// One line of an export: anchors first, then rows, then the ends of chains.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Anchor(Anchor),
    Row(Box<Row>),
    Head(ChainHead),
}

/// With a hub.
pub async fn run(client: &mut Client, look: Look, args: &Audit) -> Result<Answer, Failure> {
    match &args.command {
        AuditCommand::Export => export(client).await,
        AuditCommand::Verify(args) => match &args.file {
            Some(path) => verify_file(look, path),
            None => verify(client, look).await,
        },
    }
}

/// Without one.
pub fn offline(look: Look, args: &Audit) -> Result<Answer, Failure> {
    match args.offline() {
        Some(path) => verify_file(look, path),
        None => Err(Failure::Usage("name an export with --file".to_owned())),
    }
}

/// What the rows are held against. It is read before them, so that whatever came meanwhile is above it.
struct Against {
    anchors: Vec<Anchor>,
    /// Clusters whose agents keep a head that this hub has not signed: it says nothing about this history.
    unsigned: Vec<String>,
    heads: Vec<ChainHead>,
}

impl Against {
    /// Rows that were committed when the ends of chains were read. Numbers are given before commits: of what came meanwhile a
    /// page may have the later part and lack the earlier one.
    fn of_then(&self, rows: Vec<Row>) -> impl Iterator<Item = Row> + use<> {
        let ends: BTreeMap<String, u64> = self
            .heads
            .iter()
            .map(|head| (head.stream.clone(), head.position))
            .collect();
        rows.into_iter().filter(move |row| {
            ends.get(&row.stream)
                .is_some_and(|end| row.position <= *end)
        })
    }

    /// Said at the end: one agent must not keep anybody from the rows.
    fn signed(&self) -> Result<(), Failure> {
        if self.unsigned.is_empty() {
            return Ok(());
        }
        let (shown, more) = self.unsigned.split_at(self.unsigned.len().min(NAMES_MAX));
        let more = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Failure::Nothing(format!(
            "the rows are whole, but the head that the agent of {}{more} keeps is not signed by this hub and was not compared: \
             its hub was another one, or it was forged; see `groundswell get clusters`",
            shown.join(", ")
        )))
    }
}

async fn against(client: &mut Client) -> Result<Against, Failure> {
    let result = client.service().get_audit(GetAuditRequest {}).await;
    let audit = client.answer(result)?;
    let heads = audit.heads.into_iter().map(|head| ChainHead {
        stream: head.stream,
        position: head.position,
        hash: head.hash,
    });
    let (mut anchors, mut unsigned) = (Vec::new(), Vec::new());
    for anchor in audit.anchors {
        match Head::parse(&anchor.head) {
            Some((head, _)) if anchor.signed => anchors.push(Anchor {
                cluster: anchor.cluster,
                sequence: head.sequence,
                hash: hex::encode(&head.hash),
            }),
            Some(_) | None => unsigned.push(anchor.cluster),
        }
    }
    Ok(Against {
        anchors,
        unsigned,
        heads: heads.collect(),
    })
}

async fn verify(client: &mut Client, look: Look) -> Result<Answer, Failure> {
    let mut against = against(client).await?;
    let mut verifier = Verifier::new(std::mem::take(&mut against.anchors));
    let mut after = 0;
    loop {
        let rows = page(client, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in against.of_then(rows) {
            verifier.row(&row).map_err(broken)?;
        }
    }
    let verified = verifier.end(&against.heads).map_err(broken)?;
    against.signed()?;
    Ok(whole(look, verified))
}

async fn export(client: &mut Client) -> Result<Answer, Failure> {
    let mut against = against(client).await?;
    let mut out = std::io::stdout().lock();
    for anchor in std::mem::take(&mut against.anchors) {
        print(&mut out, &Line::Anchor(anchor))?;
    }
    let mut after = 0;
    loop {
        let rows = page(client, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in against.of_then(rows) {
            print(&mut out, &Line::Row(Box::new(row)))?;
        }
    }
    for head in &against.heads {
        print(&mut out, &Line::Head(head.clone()))?;
    }
    against.signed()?;
    Ok(Answer::ok(String::new()))
}

fn print(out: &mut impl std::io::Write, line: &Line) -> Result<(), Failure> {
    let failed = |source| Failure::File {
        path: "stdout".to_owned(),
        source,
    };
    let text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
    writeln!(out, "{text}").map_err(failed)
}

fn verify_file(look: Look, path: &Path) -> Result<Answer, Failure> {
    let shown = path.display().to_string();
    let failed = |source| Failure::File {
        path: shown.clone(),
        source,
    };
    let (mut verifier, mut anchors, mut heads) = (None, Vec::new(), Vec::new());
    for (number, line) in (1_u64..).zip(BufReader::new(File::open(path).map_err(failed)?).lines()) {
        let line: Line = serde_json::from_str(&line.map_err(failed)?).map_err(|error| {
            Failure::Nothing(format!(
                "{shown}:{number} is no line of an export: {error}; write one with `groundswell audit export`"
            ))
        })?;
        match line {
            Line::Anchor(anchor) => anchors.push(anchor),
            Line::Head(head) => heads.push(head),
            Line::Row(row) => verifier
                .get_or_insert_with(|| Verifier::new(std::mem::take(&mut anchors)))
                .row(&row)
                .map_err(broken)?,
        }
    }
    if heads.is_empty() {
        return Err(Failure::Nothing(format!(
            "{shown} has no ends of chains: the export was cut; write it again with `groundswell audit export`"
        )));
    }
    let verifier = verifier.unwrap_or_else(|| Verifier::new(anchors));
    Ok(whole(look, verifier.end(&heads).map_err(broken)?))
}

fn broken(broken: Broken) -> Failure {
    Failure::Nothing(broken.to_string())
}

fn whole(look: Look, verified: Verified) -> Answer {
    let Verified {
        rows,
        streams,
        anchors,
    } = verified;
    Answer::ok(match look.output {
        Output::Json => json::print(&json!({"rows": rows, "chains": streams, "anchors": anchors})),
        Output::Table => format!(
            "the history is whole: {rows} rows in {streams} chains, and what {anchors} agents were handed is in it\n"
        ),
    })
}

async fn page(client: &mut Client, after: u64) -> Result<Vec<Row>, Failure> {
    let request = ListHistoryRequest {
        after,
        limit: PAGE,
        ..ListHistoryRequest::default()
    };
    let result = client.service().list_history(request).await;
    client.answer(result)?.rows.into_iter().map(row).collect()
}

/// As the hub sent it; what cannot be read makes a row that does not fit.
fn row(row: HistoryRow) -> Result<Row, Failure> {
    let sequence = row.sequence;
    let json = |text: &str| {
        serde_json::from_str(text).map_err(|error| {
            Failure::Nothing(format!("row {sequence} of the history is no JSON: {error}"))
        })
    };
    let at = row.at.as_ref().and_then(proto::time::from_wire);
    Ok(Row {
        sequence,
        at: at.unwrap_or_default(),
        evidence: json(&row.evidence_json)?,
        action: (!row.action_json.is_empty())
            .then(|| json(&row.action_json))
            .transpose()?,
        stream: row.stream,
        position: row.position,
        release: row.release,
        cluster: row.cluster,
        kind: row.kind,
        actor: row.actor,
        message: row.message,
        epoch: row.epoch,
        previous_hash: row.previous_hash,
        hash: row.hash,
    })
}

#[cfg(test)]
mod tests;
