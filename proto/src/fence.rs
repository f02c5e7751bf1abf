//! The fence of a set, signed (gate.md L1, L5): an agent can only show one that its hub has given it. In: a cluster's UID and a
//! fence. Out: the bytes that are signed. It must not sign or verify: the hub holds the private key.

use crate::v1::Fence;

/// First bytes of every signed fence, so that a signature over anything else can never be taken for one.
const DOMAIN: &[u8] = b"groundswell fence v1\0";

/// What is signed. The UID comes last, because its length is nobody's word.
#[must_use]
pub fn signing_bytes(cluster_uid: &str, fence: &Fence) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    bytes.extend_from_slice(&fence.incarnation.to_be_bytes());
    bytes.extend_from_slice(&fence.version.to_be_bytes());
    bytes.extend_from_slice(cluster_uid.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_signed() {
        let of = |uid, incarnation, version| {
            let fence = Fence {
                incarnation,
                version,
            };
            signing_bytes(uid, &fence)
        };
        let one = of("uid", 1, 2);
        for other in [of("uie", 1, 2), of("uid", 2, 2), of("uid", 1, 3)] {
            assert_ne!(one, other);
        }
    }
}
