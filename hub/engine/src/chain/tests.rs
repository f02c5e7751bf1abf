//! Every way in which a history can be tampered with, and the row that is named.
use serde_json::json;

use super::*;

/// Two chains, their rows in turn.
fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for sequence in 1..=6_u64 {
        let stream = if sequence % 2 == 0 { "a#1" } else { "hub" };
        let before = rows.iter().rfind(|row| row.stream == stream);
        let mut row = Row {
            sequence,
            stream: stream.to_owned(),
            position: before.map_or(1, |row| row.position + 1),
            at: Timestamp::UNIX_EPOCH,
            release: String::new(),
            cluster: String::new(),
            kind: "Test".to_owned(),
            actor: "hub".to_owned(),
            message: format!("row {sequence}"),
            evidence: json!({"b": 1, "a": sequence}),
            action: (sequence > 2).then(|| json!({"step": "x"})),
            epoch: 1,
            previous_hash: before.map(|row| row.hash.clone()).unwrap_or_default(),
            hash: String::new(),
        };
        row.hash = hex::encode(row.hash_of_content().unwrap());
        rows.push(row);
    }
    rows
}

fn heads(rows: &[Row]) -> Vec<ChainHead> {
    let newest = |stream: &str| rows.iter().rfind(|row| row.stream == stream).unwrap();
    let head = |row: &Row| ChainHead {
        stream: row.stream.clone(),
        position: row.position,
        hash: row.hash.clone(),
    };
    vec![head(newest("hub")), head(newest("a#1"))]
}

fn anchor(row: &Row) -> Anchor {
    Anchor {
        cluster: "eu".to_owned(),
        sequence: row.sequence,
        hash: row.hash.clone(),
    }
}

fn verify(rows: &[Row], heads: &[ChainHead], anchors: Vec<Anchor>) -> Result<Verified, String> {
    let mut verifier = Verifier::new(anchors);
    for row in rows {
        verifier.row(row).map_err(|broken| broken.to_string())?;
    }
    verifier.end(heads).map_err(|broken| broken.to_string())
}

#[test]
fn an_untouched_history_fits_its_heads_and_anchors() {
    let rows = rows();
    let verified = verify(&rows, &heads(&rows), vec![anchor(&rows[3])]).unwrap();
    let wanted = Verified {
        rows: 6,
        streams: 2,
        anchors: 1,
    };
    assert_eq!(verified, wanted);
}

/// Takes a row again as an attacker who knows the form would.
fn rehashed(mut row: Row, change: impl FnOnce(&mut Row)) -> Row {
    change(&mut row);
    row.hash = hex::encode(row.hash_of_content().unwrap());
    row
}

#[test]
fn every_tampering_is_named_by_its_first_row() {
    type Tamper = fn(&mut Vec<Row>);
    let cases: [(&str, Tamper, &str); 11] = [
        (
            "message",
            |rows| rows[2].message.push('x'),
            "row 3 (hub, position 2) was changed",
        ),
        (
            "evidence",
            |rows| rows[3].evidence = json!({"a": 9}),
            "row 4 (a#1, position 2) was changed",
        ),
        (
            "action",
            |rows| rows[3].action = Some(json!({"step": "y"})),
            "row 4 (a#1, position 2) was changed",
        ),
        (
            "no action",
            |rows| rows[3].action = None,
            "row 4 (a#1, position 2) was changed",
        ),
        (
            "time",
            |rows| rows[0].at = Timestamp::MAX,
            "row 1 (hub, position 1) was changed",
        ),
        (
            "actor",
            |rows| rows[5].actor = "ann".to_owned(),
            "row 6 (a#1, position 3) was changed",
        ),
        (
            "changed and hashed again",
            |rows| rows[2] = rehashed(rows[2].clone(), |row| row.message.push('x')),
            "row 5 (hub, position 3) does not follow",
        ),
        (
            "missing",
            |rows| drop(rows.remove(2)),
            "before row 5 a row is missing: hub goes on at position 3, after 1",
        ),
        (
            "reordered",
            |rows| rows.swap(1, 3),
            "before row 4 a row is missing",
        ),
        (
            "twice",
            |rows| rows.insert(1, rows[0].clone()),
            "row 1 (hub, position 1) is out of order",
        ),
        (
            "cut",
            |rows| rows.truncate(5),
            "a#1 was cut: it ends at position 2, and its head says 3",
        ),
    ];
    for (name, tamper, says) in cases {
        let mut tampered = rows();
        let heads = heads(&tampered);
        tamper(&mut tampered);
        let found = verify(&tampered, &heads, Vec::new()).unwrap_err();
        assert!(found.starts_with(says), "{name}: {found}");
    }
}

#[test]
fn whoever_rewrites_everything_meets_the_agents() {
    let handed = rows();
    let mut rewritten = handed.clone();
    rewritten[5] = rehashed(rewritten[5].clone(), |row| row.message.push('x'));
    let anchors = vec![anchor(&handed[5])];
    let found = verify(&rewritten, &heads(&rewritten), anchors.clone()).unwrap_err();
    assert!(
        found.starts_with("row 6 is not the one that the agent of eu was handed"),
        "{found}"
    );
    let restored = &handed[..4];
    let found = verify(restored, &heads(restored), anchors).unwrap_err();
    assert!(
        found.starts_with("row 6, which the agent of eu was handed, is not there"),
        "{found}"
    );
    let mut moved = heads(&handed);
    moved[1].hash = moved[0].hash.clone();
    let found = verify(&handed, &moved, Vec::new()).unwrap_err();
    assert_eq!(found, "the head of a#1 is not its last row (position 3)");
}

#[test]
fn numbers_hash_alike_before_and_after_jsonb() {
    for (written, read) in [
        ("1e16", "10000000000000000"),
        ("-0.0", "0.0"),
        ("2.0", "2.0"),
        ("0.1", "0.1"),
    ] {
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(
            stable(&parse(written)).to_string(),
            stable(&parse(read)).to_string()
        );
    }
}
