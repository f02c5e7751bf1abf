//! Rows that are committed while they are read.
#![allow(clippy::unwrap_used)]

use super::*;

/// The next row of a chain.
fn row(sequence: u64, stream: &str, before: Option<&Row>) -> Row {
    let mut row = Row {
        sequence,
        stream: stream.to_owned(),
        position: before.map_or(1, |before| before.position + 1),
        at: jiff::Timestamp::default(),
        release: String::new(),
        cluster: String::new(),
        kind: "Test".to_owned(),
        actor: "hub".to_owned(),
        message: String::new(),
        evidence: serde_json::Value::Null,
        action: None,
        epoch: 0,
        previous_hash: before.map(|before| before.hash.clone()).unwrap_or_default(),
        hash: String::new(),
    };
    row.hash = hex::encode(row.hash_of_content().unwrap());
    row
}

/// One transaction has row 2 and is not over when the first page is read; another one's row 3 is on it.
#[test]
fn what_is_committed_between_pages_is_not_missing() {
    let a1 = row(1, "a", None);
    let a2 = row(2, "a", Some(&a1));
    let b1 = row(3, "b", None);
    let a3 = row(4, "a", Some(&a2));
    let head = ChainHead {
        stream: "a".to_owned(),
        position: 1,
        hash: a1.hash.clone(),
    };
    let against = Against {
        anchors: Vec::new(),
        unsigned: Vec::new(),
        heads: vec![head],
    };
    let pages = [vec![a1, b1], vec![a3.clone()]];
    let mut verifier = Verifier::new(Vec::new());
    for row in pages.into_iter().flat_map(|page| against.of_then(page)) {
        verifier.row(&row).unwrap();
    }
    assert_eq!(verifier.end(&against.heads).unwrap().rows, 1);
    // What was there and is not is found as before.
    let against = Against {
        heads: vec![ChainHead {
            stream: "a".to_owned(),
            position: 3,
            hash: a3.hash.clone(),
        }],
        ..against
    };
    let mut verifier = Verifier::new(Vec::new());
    let found = against.of_then(vec![a3]).map(|row| verifier.row(&row));
    assert!(found.last().unwrap().is_err());
}
