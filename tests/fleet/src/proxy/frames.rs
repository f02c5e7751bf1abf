//! PostgreSQL's messages, cut out of a stream. In: bytes. Out: whole messages with their bytes as they came. It
//! understands lengths and kinds, and no content but the statements COMMIT and ROLLBACK.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message longer than this is none: the hub's largest are documents of some kilobytes.
const LONGEST: usize = 64 << 20;

/// First messages that ask for encryption (SSLRequest, GSSENCRequest).
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

/// One message.
#[derive(Debug)]
pub(super) struct Frame {
    /// 0 for the first messages of a connection, which have no kind.
    pub kind: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// As it came.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.payload.len() + 5);
        if self.kind != 0 {
            bytes.push(self.kind);
        }
        // `read` has checked the length.
        let length = u32::try_from(self.payload.len() + 4).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    pub fn asks_for_encryption(&self) -> bool {
        let code = self
            .payload
            .first_chunk::<4>()
            .map(|bytes| u32::from_be_bytes(*bytes));
        self.kind == 0 && code.is_some_and(|code| ENCRYPTION.contains(&code))
    }

    /// A client's Query or Parse of COMMIT.
    pub fn commits(&self) -> bool {
        self.begins_with(&["COMMIT", "END"])
    }

    /// A client's Query or Parse of ROLLBACK.
    pub fn rolls_back(&self) -> bool {
        self.begins_with(&["ROLLBACK", "ABORT"])
    }

    fn begins_with(&self, words: &[&str]) -> bool {
        let mut texts = self.payload.split(|byte| *byte == 0);
        let text = match self.kind {
            b'Q' => texts.next(),
            // The statement's name comes first.
            b'P' => texts.nth(1),
            _ => None,
        };
        text.is_some_and(|text| {
            let first = text.trim_ascii_start();
            let first = first
                .split(|byte| !byte.is_ascii_alphabetic())
                .next()
                .unwrap_or_default();
            words
                .iter()
                .any(|word| first.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// A server's word that a COMMIT is done.
    pub fn committed(&self) -> bool {
        self.kind == b'C' && self.payload.starts_with(b"COMMIT\0")
    }
}

/// The next message; `None` at the end of the stream or where it is no PostgreSQL.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin), first: bool) -> Option<Frame> {
    let kind = if first { 0 } else { from.read_u8().await.ok()? };
    let length = usize::try_from(from.read_u32().await.ok()?).ok()?;
    if !(4..LONGEST).contains(&length) {
        return None;
    }
    let mut payload = vec![0; length - 4];
    from.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind, payload })
}
