//! The newest row of the hub's history, signed, as agents keep it (gate.md L5): a hub that is behind one of them was restored
//! from a backup. In: sequence and hash. Out: the bytes that are signed, and the text that is handed out. It must not sign or
//! verify: the hub holds the private key, the agent the public one.

/// First bytes of every signed head, so that a signature over anything else can never be taken for one.
const DOMAIN: &[u8] = b"groundswell history head v1\0";

/// The newest row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Of the row.
    pub sequence: u64,
    /// Of the row, over everything before it in its chain.
    pub hash: Vec<u8>,
}

impl Head {
    /// What is signed.
    #[must_use]
    pub fn signing_bytes(&self) -> Vec<u8> {
        let mut bytes = DOMAIN.to_vec();
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes
    }

    /// `sequence.hash.signature`: hash in hex, signature in base64.
    #[must_use]
    pub fn text(&self, signature: &str) -> String {
        format!("{}.{}.{signature}", self.sequence, hex::encode(&self.hash))
    }

    /// The head and its signature out of such a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, &str)> {
        let mut parts = text.splitn(3, '.');
        let sequence = parts.next()?.parse().ok()?;
        let hash = hex::decode(parts.next()?).ok()?;
        Some((Self { sequence, hash }, parts.next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_and_every_part_of_it_is_signed() {
        let head = Head {
            sequence: 7,
            hash: vec![1, 2],
        };
        let text = head.text("c2ln");
        assert_eq!(text, "7.0102.c2ln");
        assert_eq!(Head::parse(&text), Some((head.clone(), "c2ln")));
        for bad in ["", "7", "7.0102", "x.0102.s", "7.xy.s"] {
            assert_eq!(Head::parse(bad), None, "{bad}");
        }
        let other = |sequence, hash: &[u8]| {
            Head {
                sequence,
                hash: hash.to_vec(),
            }
            .signing_bytes()
        };
        assert_ne!(head.signing_bytes(), other(8, &[1, 2]));
        assert_ne!(head.signing_bytes(), other(7, &[1, 3]));
    }
}
