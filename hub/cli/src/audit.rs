//! `groundswell audit`. In: the history, from the hub or an export. Out: whether it is whole, or every row of it as NDJSON. It
//! must not take the hub's word: rows are hashed here. It holds one page at a time.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use hub_engine::chain::{Anchor, Broken, ChainHead, Row, Verified, Verifier};
use proto::head::Head;
use proto::v1::{AuditAnchor, GetAuditRequest, HistoryRow, ListHistoryRequest};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::history::{Audit, AuditCommand};
use crate::args::{Look, Output};
use crate::client::Client;
use crate::failure::{Answer, Failure};
use crate::json;

/// Rows a call.
const PAGE: u32 = 500;

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

/// Anchors are read before the rows and the ends of chains before them, too: rows that come meanwhile are above both.
async fn audit(client: &mut Client) -> Result<(Vec<Anchor>, Vec<ChainHead>), Failure> {
    let result = client.service().get_audit(GetAuditRequest {}).await;
    let audit = client.answer(result)?;
    let heads = audit.heads.into_iter().map(|head| ChainHead {
        stream: head.stream,
        position: head.position,
        hash: head.hash,
    });
    let mut anchors = Vec::new();
    for anchor in audit.anchors {
        anchors.push(handed(anchor)?);
    }
    Ok((anchors, heads.collect()))
}

fn handed(anchor: AuditAnchor) -> Result<Anchor, Failure> {
    match Head::parse(&anchor.head) {
        Some((head, _)) if anchor.signed => Ok(Anchor {
            cluster: anchor.cluster,
            sequence: head.sequence,
            hash: hex::encode(&head.hash),
        }),
        Some(_) | None => Err(Failure::Nothing(format!(
            "the head that the agent of {} keeps is not signed by this hub: its hub was another one, or it was forged",
            anchor.cluster
        ))),
    }
}

async fn verify(client: &mut Client, look: Look) -> Result<Answer, Failure> {
    let (anchors, heads) = audit(client).await?;
    let mut verifier = Verifier::new(anchors);
    let mut after = 0;
    loop {
        let rows = page(client, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in &rows {
            verifier.row(row).map_err(broken)?;
        }
    }
    Ok(whole(look, verifier.end(&heads).map_err(broken)?))
}

async fn export(client: &mut Client) -> Result<Answer, Failure> {
    let (anchors, heads) = audit(client).await?;
    let mut out = std::io::stdout().lock();
    for anchor in anchors {
        print(&mut out, &Line::Anchor(anchor))?;
    }
    let mut after = 0;
    loop {
        let rows = page(client, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.sequence;
        for row in rows {
            print(&mut out, &Line::Row(Box::new(row)))?;
        }
    }
    for head in heads {
        print(&mut out, &Line::Head(head))?;
    }
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
