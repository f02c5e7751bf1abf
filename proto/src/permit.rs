//! The bytes that a permit's signature covers (gate.md G17). In: a permit. Out: bytes. It must not sign or verify: the
//! hub holds the private key, the agent the public one.

use crate::v1::Permit;

/// First bytes of every signed permit, so that a signature over anything else can never be taken for one.
const DOMAIN: &[u8] = b"groundswell permit v1\0";

/// The permit as a length-prefixed list of its fields in the order of the `.proto` file, without signature and trace.
/// Protobuf's own encoding is not canonical, so it is not what is signed.
#[must_use]
pub fn signing_bytes(permit: &Permit) -> Vec<u8> {
    let fence = permit.fence.unwrap_or_default();
    let start_by = permit.start_by.unwrap_or_default();
    let mut bytes = DOMAIN.to_vec();
    let mut field = |value: &[u8]| {
        bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
        bytes.extend_from_slice(value);
    };
    field(permit.release.as_bytes());
    field(&permit.direction.to_be_bytes());
    field(&fence.incarnation.to_be_bytes());
    field(&fence.version.to_be_bytes());
    field(permit.digest.as_bytes());
    field(permit.delivery_digest.as_bytes());
    field(&start_by.seconds.to_be_bytes());
    field(&permit.max_step.map_or(-1_i64, i64::from).to_be_bytes());
    field(&permit.lease_seconds.to_be_bytes());
    field(permit.why.as_bytes());
    field(&[u8::from(permit.steps_backwards)]);
    field(permit.cluster_uid.as_bytes());
    field(permit.rollout_uid.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signed_field_changes_the_bytes() {
        let base = Permit {
            release: "a#1".into(),
            ..Permit::default()
        };
        let changed: Vec<Permit> = vec![
            Permit {
                release: "a#2".into(),
                ..base.clone()
            },
            Permit {
                direction: 2,
                ..base.clone()
            },
            Permit {
                fence: Some(crate::v1::Fence {
                    incarnation: 1,
                    version: 0,
                }),
                ..base.clone()
            },
            Permit {
                fence: Some(crate::v1::Fence {
                    incarnation: 0,
                    version: 1,
                }),
                ..base.clone()
            },
            Permit {
                digest: "d".into(),
                ..base.clone()
            },
            Permit {
                delivery_digest: "d".into(),
                ..base.clone()
            },
            Permit {
                start_by: Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                }),
                ..base.clone()
            },
            Permit {
                max_step: Some(0),
                ..base.clone()
            },
            Permit {
                lease_seconds: 1,
                ..base.clone()
            },
            Permit {
                why: "w".into(),
                ..base.clone()
            },
            Permit {
                steps_backwards: true,
                ..base.clone()
            },
            Permit {
                cluster_uid: "c".into(),
                ..base.clone()
            },
            Permit {
                rollout_uid: "r".into(),
                ..base.clone()
            },
        ];
        let mut seen = vec![signing_bytes(&base)];
        for permit in changed {
            let bytes = signing_bytes(&permit);
            assert!(!seen.contains(&bytes), "{permit:?} signs like another");
            seen.push(bytes);
        }
    }
}
