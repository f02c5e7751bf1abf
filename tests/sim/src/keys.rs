//! The hub's key for permits. In: nothing. Out: signatures as the hub makes them, the key as agents hold it. It must not be
//! random.

use agent::permit::PermitKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_engine::Fence;
use hub_store::desired::{DesiredSet, Entry, Governance, SignedPermit};
use proto::v1;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// The pair.
#[derive(Debug)]
pub struct Keys {
    pair: Ed25519KeyPair,
    /// What agents verify with.
    pub public: PermitKey,
}

impl Keys {
    /// Always the same pair.
    ///
    /// # Panics
    /// Never: the seed has the right length.
    #[must_use]
    pub fn new() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed of 32 bytes");
        let text = STANDARD.encode(pair.public_key().as_ref());
        let public = PermitKey::from_base64(&text).expect("a key of 32 bytes");
        Self { pair, public }
    }

    /// Signs the bytes that the hub's own conversion puts on the wire.
    #[must_use]
    pub fn sign(&self, permit: SignedPermit) -> SignedPermit {
        let fence = permit.permit.fence;
        let entry = Entry {
            rollout: hub_engine::RolloutName {
                namespace: String::new(),
                name: String::new(),
            },
            fleet_rollout: "".into(),
            version: 0,
            governance: Governance::Governed {
                terms: hub_engine::observed::Terms::default(),
                waiting: None,
                permit: Some(permit.clone()),
            },
        };
        let set = DesiredSet {
            fence: Fence { ..fence },
            entries: vec![entry],
        };
        let wire = hub::wire::set::desired(&set, None);
        let governance = wire.entries.into_iter().find_map(|entry| entry.governance);
        let Some(v1::gate_entry::Governance::Governed(governed)) = governance else {
            return permit;
        };
        let bytes = proto::permit::signing_bytes(&governed.permit.unwrap_or_default());
        SignedPermit {
            signature: STANDARD.encode(self.pair.sign(&bytes)),
            ..permit
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}
