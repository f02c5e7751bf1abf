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
    use crate::v1::Fence;

    fn with(change: impl FnOnce(&mut Permit)) -> Vec<u8> {
        let mut permit = Permit {
            release: "a#1".into(),
            ..Permit::default()
        };
        change(&mut permit);
        signing_bytes(&permit)
    }

    fn fence(incarnation: u64, version: u64) -> Option<Fence> {
        Some(Fence {
            incarnation,
            version,
        })
    }

    #[test]
    fn every_signed_field_changes_the_bytes() {
        let start_by = prost_types::Timestamp {
            seconds: 1,
            nanos: 0,
        };
        let all = [
            with(|_| {}),
            with(|permit| permit.release = "a#2".into()),
            with(|permit| permit.direction = 2),
            with(|permit| permit.fence = fence(1, 0)),
            with(|permit| permit.fence = fence(0, 1)),
            with(|permit| permit.digest = "d".into()),
            with(|permit| permit.delivery_digest = "d".into()),
            with(|permit| permit.start_by = Some(start_by)),
            with(|permit| permit.max_step = Some(0)),
            with(|permit| permit.lease_seconds = 1),
            with(|permit| permit.why = "w".into()),
            with(|permit| permit.steps_backwards = true),
            with(|permit| permit.cluster_uid = "c".into()),
            with(|permit| permit.rollout_uid = "r".into()),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
