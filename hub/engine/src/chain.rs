//! The chain of the history. In: rows, oldest first. Out: the hash of each, and the first row that does not fit. It must not
//! trust what a row says of itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One row of the history, with its place in its chain; also one line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Row {
    /// Of all rows; rises, not without gaps.
    pub sequence: u64,
    /// Which chain: a release's name, `fleetrollout/checkout`, or `hub`.
    pub stream: String,
    /// In its chain, from 1, without gaps.
    pub position: u64,
    /// The database's time.
    pub at: Timestamp,
    /// Or empty.
    pub release: String,
    /// Or empty.
    pub cluster: String,
    /// `PermitGranted`, …
    pub kind: String,
    /// `hub`, `agent:prod-eu`, or a person's name.
    pub actor: String,
    /// One sentence.
    pub message: String,
    /// What it was decided on.
    pub evidence: serde_json::Value,
    /// What it did to the tables (`replay::Step`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<serde_json::Value>,
    /// Of the hub that wrote it; 0: not a decision.
    pub epoch: u64,
    /// Hex, of the row before it in its chain; empty for the first.
    pub previous_hash: String,
    /// Hex.
    pub hash: String,
}

impl Row {
    /// SHA-256 over the previous hash and every field, each with its length before it. The time counts in microseconds:
    /// that is what the database keeps. JSON is hashed in a form that survives jsonb, which keeps no order. None: the
    /// previous hash is not hex.
    #[must_use]
    pub fn hash_of_content(&self) -> Option<Vec<u8>> {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(&hex::decode(&self.previous_hash).ok()?);
        field(&self.position.to_be_bytes());
        field(self.stream.as_bytes());
        field(&self.at.as_microsecond().to_be_bytes());
        for text in [
            &self.release,
            &self.cluster,
            &self.kind,
            &self.actor,
            &self.message,
        ] {
            field(text.as_bytes());
        }
        field(stable(&self.evidence).to_string().as_bytes());
        field(&self.epoch.to_be_bytes());
        // Rows without one have the hash that they had before there were any.
        if let Some(action) = &self.action {
            field(stable(action).to_string().as_bytes());
        }
        Some(hasher.finalize().to_vec())
    }
}

/// The same JSON with every map's keys in order, whatever map serde_json was built with, and whole numbers written whole:
/// `1e16` comes back from jsonb as `10000000000000000`.
fn stable(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map
                .iter()
                .map(|(key, value)| (key.clone(), stable(value)))
                .collect();
            serde_json::Value::Object(ordered.into_iter().collect())
        }
        serde_json::Value::Array(list) => {
            serde_json::Value::Array(list.iter().map(stable).collect())
        }
        serde_json::Value::Number(number) => serde_json::Value::Number(whole(number)),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {
            value.clone()
        }
    }
}

fn whole(number: &serde_json::Number) -> serde_json::Number {
    /// Every whole number below it is one f64 and one i64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => {
            #[allow(clippy::cast_possible_truncation, reason = "whole, and in range")]
            if float.abs() <= EXACT {
                serde_json::Number::from(float as i64)
            } else {
                format!("{float:.0}")
                    .parse::<u64>()
                    .map_or_else(|_| number.clone(), serde_json::Number::from)
            }
        }
        Some(_) | None => number.clone(),
    }
}

/// A row that an agent was handed, as it keeps it outside of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Anchor {
    /// Who has it.
    pub cluster: String,
    /// Of the row.
    pub sequence: u64,
    /// Of the row, hex.
    pub hash: String,
}

/// Where a chain ends by the database's own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ChainHead {
    /// Which chain.
    pub stream: String,
    /// Of its last row.
    pub position: u64,
    /// Of its last row, hex.
    pub hash: String,
}

/// The first row that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are those of the row")]
pub enum Broken {
    /// Its content is not what its hash was taken over.
    #[error(
        "row {sequence} ({stream}, position {position}) was changed: its hash is not that of its content"
    )]
    Changed {
        sequence: u64,
        stream: String,
        position: u64,
    },
    /// Something before it is not there.
    #[error(
        "before row {sequence} a row is missing: {stream} goes on at position {position}, after {after}"
    )]
    Missing {
        sequence: u64,
        stream: String,
        position: u64,
        after: u64,
    },
    /// It stands before one that was written earlier.
    #[error(
        "row {sequence} ({stream}, position {position}) is out of order: position {after} came before it"
    )]
    Reordered {
        sequence: u64,
        stream: String,
        position: u64,
        after: u64,
    },
    /// The row before it is another one than when it was written.
    #[error(
        "row {sequence} ({stream}, position {position}) does not follow the row before it: that one was replaced"
    )]
    Unlinked {
        sequence: u64,
        stream: String,
        position: u64,
    },
    /// The last rows of a chain are gone.
    #[error("{stream} was cut: it ends at position {position}, and its head says {head}")]
    Cut {
        stream: String,
        position: u64,
        head: u64,
    },
    /// A chain's head is another row than its last.
    #[error("the head of {stream} is not its last row (position {position})")]
    OtherHead { stream: String, position: u64 },
    /// An agent was handed another row.
    #[error(
        "row {sequence} is not the one that the agent of {cluster} was handed: the history was rewritten or restored"
    )]
    OtherAnchor { cluster: String, sequence: u64 },
    /// An agent was handed a row that is not there.
    #[error(
        "row {sequence}, which the agent of {cluster} was handed, is not there: the history was cut or restored"
    )]
    NoAnchor { cluster: String, sequence: u64 },
}

/// What fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// How many rows.
    pub rows: u64,
    /// In how many chains.
    pub streams: u64,
    /// How many agents' anchors are among them.
    pub anchors: u64,
}

/// Follows every chain at once; it keeps one entry a chain and one an anchor.
#[derive(Debug, Default)]
pub struct Verifier {
    streams: BTreeMap<String, (u64, String)>,
    anchors: BTreeMap<u64, Vec<Anchor>>,
    last: u64,
    verified: Verified,
}

impl Verifier {
    /// Before the first row.
    #[must_use]
    pub fn new(anchors: Vec<Anchor>) -> Self {
        let mut verifier = Self::default();
        for anchor in anchors {
            let same = verifier.anchors.entry(anchor.sequence).or_default();
            same.push(anchor);
        }
        verifier
    }

    /// The next row, by sequence.
    ///
    /// # Errors
    /// The row that does not fit.
    pub fn row(&mut self, row: &Row) -> Result<(), Broken> {
        let (after, hash) = self.streams.get(&row.stream).cloned().unwrap_or_default();
        let (sequence, stream, position) = (row.sequence, row.stream.clone(), row.position);
        if position <= after || sequence <= self.last {
            return Err(Broken::Reordered {
                sequence,
                stream,
                position,
                after,
            });
        }
        if position != after + 1 {
            return Err(Broken::Missing {
                sequence,
                stream,
                position,
                after,
            });
        }
        if row.hash_of_content().map(hex::encode).as_deref() != Some(row.hash.as_str()) {
            return Err(Broken::Changed {
                sequence,
                stream,
                position,
            });
        }
        if row.previous_hash != hash {
            return Err(Broken::Unlinked {
                sequence,
                stream,
                position,
            });
        }
        for anchor in self.anchors.remove(&sequence).unwrap_or_default() {
            if anchor.hash != row.hash {
                let cluster = anchor.cluster;
                return Err(Broken::OtherAnchor { cluster, sequence });
            }
            self.verified.anchors += 1;
        }
        self.streams.insert(stream, (position, row.hash.clone()));
        self.last = sequence;
        self.verified.rows += 1;
        Ok(())
    }

    /// After the last row: every chain ends where its head says, and every anchor was there.
    ///
    /// # Errors
    /// The chain or anchor that does not fit.
    pub fn end(mut self, heads: &[ChainHead]) -> Result<Verified, Broken> {
        for head in heads {
            let (position, hash) = self.streams.get(&head.stream).cloned().unwrap_or_default();
            let stream = head.stream.clone();
            if position < head.position {
                let head = head.position;
                return Err(Broken::Cut {
                    stream,
                    position,
                    head,
                });
            }
            // Rows that came while the others were read may be above it.
            if position == head.position && hash != head.hash {
                return Err(Broken::OtherHead { stream, position });
            }
        }
        if let Some((sequence, anchor)) = self
            .anchors
            .pop_first()
            .and_then(|(sequence, anchors)| Some((sequence, anchors.into_iter().next()?)))
        {
            let cluster = anchor.cluster;
            return Err(Broken::NoAnchor { cluster, sequence });
        }
        self.verified.streams = u64::try_from(self.streams.len()).unwrap_or(u64::MAX);
        Ok(self.verified)
    }
}

#[cfg(test)]
mod tests;
