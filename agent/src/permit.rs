//! Whether a permit is to be trusted (gate.md G17).
//!
//! In: a permit as kept, the hub's public key, who this cluster and this Rollout are. Out: nothing, or why it does not
//! count. It must not remember: a permit is verified each time it is loaded.

use agent_api::{Permit, Uid};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::wire;

/// Length of an Ed25519 public key.
const KEY_BYTES: usize = 32;

/// The hub's public key for permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitKey([u8; KEY_BYTES]);

/// Why a permit does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The key is no Ed25519 key.
    #[error("the hub's permit key is not 32 bytes in base64: join this cluster again")]
    Key,
    /// There is no key.
    #[error("this agent has no permit key: join this cluster to the hub")]
    NoKey,
    /// The permit cannot be what was signed.
    #[error("the permit cannot be read: {0}")]
    Unreadable(#[from] wire::Error),
    /// The signature is wrong.
    #[error("the permit's signature is not the hub's")]
    Signature,
    /// It is for another cluster.
    #[error("the permit is for another cluster ({0})")]
    Cluster(Uid),
    /// It is for another Rollout.
    #[error("the permit is for another Rollout of this name ({0})")]
    Rollout(Uid),
}

impl PermitKey {
    /// Reads a key as the hub hands it out.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| Error::Key)?;
        bytes.try_into().map(Self).map_err(|_| Error::Key)
    }

    /// Whether a signature, in base64, is the hub's.
    #[must_use]
    pub fn signed(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).unwrap_or_default();
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(bytes, &signature)
            .is_ok()
    }
}

/// Verifies a permit for one Rollout of one cluster.
pub fn verify(
    permit: &Permit,
    key: Option<&PermitKey>,
    cluster: &Uid,
    rollout: &Uid,
) -> Result<(), Error> {
    let key = key.ok_or(Error::NoKey)?;
    let bytes = proto::permit::signing_bytes(&wire::permit_to_wire(permit)?);
    if !key.signed(&bytes, &permit.signature) {
        return Err(Error::Signature);
    }
    if permit.cluster_uid != *cluster {
        return Err(Error::Cluster(permit.cluster_uid.clone()));
    }
    if permit.rollout_uid != *rollout {
        return Err(Error::Rollout(permit.rollout_uid.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use agent_api::{Direction, Fence, StatusTime};
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn signer(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn key(pair: &Ed25519KeyPair) -> PermitKey {
        PermitKey::from_base64(&STANDARD.encode(pair.public_key().as_ref())).unwrap()
    }

    fn signed(pair: &Ed25519KeyPair) -> Permit {
        let mut permit = Permit {
            release: "checkout#2".into(),
            direction: Direction::Forward,
            fence: Fence {
                incarnation: 1,
                version: 7,
            },
            digest: "v1:a".into(),
            delivery_digest: "v1:b".into(),
            start_by: Some("2026-11-23T12:00:00Z".parse::<StatusTime>().unwrap()),
            lease_seconds: 30,
            cluster_uid: "cluster".into(),
            rollout_uid: "rollout".into(),
            ..Permit::default()
        };
        let bytes = proto::permit::signing_bytes(&wire::permit_to_wire(&permit).unwrap());
        permit.signature = STANDARD.encode(pair.sign(&bytes));
        permit
    }

    fn check(permit: &Permit, expected: Result<(), Error>) {
        let (cluster, rollout) = (Uid::from("cluster"), Uid::from("rollout"));
        assert_eq!(
            verify(permit, Some(&key(&signer(1))), &cluster, &rollout),
            expected,
            "{permit:?}"
        );
    }

    #[test]
    fn only_the_hubs_own_word_counts() {
        let good = signed(&signer(1));
        check(&good, Ok(()));
        check(&signed(&signer(2)), Err(Error::Signature));
        check(
            &Permit {
                digest: "v1:c".into(),
                ..good.clone()
            },
            Err(Error::Signature),
        );
        check(
            &Permit {
                max_step: Some(9),
                ..good.clone()
            },
            Err(Error::Signature),
        );
        check(
            &Permit {
                lease_seconds: 31,
                ..good.clone()
            },
            Err(Error::Signature),
        );
        check(
            &Permit {
                signature: String::new(),
                ..good.clone()
            },
            Err(Error::Signature),
        );
        check(
            &Permit {
                signature: "?".into(),
                ..good.clone()
            },
            Err(Error::Signature),
        );
        check(
            &Permit {
                max_step: Some(-1),
                ..good
            },
            Err(Error::Unreadable(wire::Error::Range("permit.max_step"))),
        );
    }

    #[test]
    fn it_is_for_this_cluster_and_this_rollout() {
        let good = signed(&signer(1));
        let pair = key(&signer(1));
        let at = |cluster: &str, rollout: &str| {
            verify(&good, Some(&pair), &cluster.into(), &rollout.into())
        };
        assert_eq!(at("cluster", "rollout"), Ok(()));
        assert_eq!(
            at("other", "rollout"),
            Err(Error::Cluster("cluster".into()))
        );
        assert_eq!(
            at("cluster", "made-again"),
            Err(Error::Rollout("rollout".into()))
        );
        assert_eq!(
            verify(&good, None, &"cluster".into(), &"rollout".into()),
            Err(Error::NoKey)
        );
        assert_eq!(PermitKey::from_base64("AAAA"), Err(Error::Key));
    }
}
