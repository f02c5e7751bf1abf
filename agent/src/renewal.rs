//! The next certificate, before the one in use has expired.
//!
//! In: the identity in use. Out: the next one, stored and then used for every new session. It must not let go of an identity
//! that works: the old certificate stays good until its end, and a lost answer is asked for again with the same request.

use std::time::Duration;

use agent_api::Uid;
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use proto::v1::RenewRequest;
use proto::v1::link_client::LinkClient;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::identity::{self, Identity, IdentityStore, Validity};
use crate::join::VERSION;
use crate::link::dial::Proxy;
use crate::link::tls;

/// It is time when so much of the life has passed: a third is left for a hub that is away.
const DUE_AFTER: (i32, i32) = (2, 3);
/// Of the life, so much more at most: clusters that joined together do not come together.
const JITTER_PART: i32 = 12;
/// Between tries.
const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    most: Duration::from_secs(600),
};
/// The clock is looked at so often: it may have been set meanwhile.
const LOOK: Duration = Duration::from_secs(3600);
/// After a renewal nothing is due at once, whatever the certificate says.
const LEAST: Duration = Duration::from_secs(1);

/// Why there is no next certificate yet.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error(transparent)]
    Channel(#[from] tls::Error),
    #[error("the hub does not renew it: {0}")]
    Hub(String),
}

/// Keeps an identity good.
pub struct Renewal {
    /// The hub.
    pub hub: Uri,
    /// The way there.
    pub proxy: Option<Proxy>,
    /// UID of kube-system.
    pub cluster_uid: Uid,
    /// Where it is kept.
    pub store: IdentityStore,
    /// What is in use.
    pub current: watch::Sender<Identity>,
}

impl Renewal {
    /// Renews for ever.
    pub async fn run(self) {
        loop {
            let identity = self.current.borrow().clone();
            let validity = match identity.validity() {
                Ok(validity) => validity,
                // Whoever uses it says so, and only a person helps.
                Err(error) => return tracing::error!("the certificate is not renewed: {error}"),
            };
            wait_until(due(validity, &self.seed(&identity))).await;
            self.renew(&identity, validity).await;
            sleep(LEAST).await;
        }
    }

    /// Tries until it is there.
    async fn renew(&self, identity: &Identity, validity: Validity) {
        let mut failures = 0_u32;
        loop {
            match self.try_renew(identity).await {
                Ok(next) => {
                    tracing::info!(cluster = next.cluster, "the certificate is renewed");
                    self.current.send_replace(next);
                    return;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let wait = RETRY.after(failures);
                    tracing::warn!(expires = %validity.to, wait_s = wait.as_secs(), "the certificate is not renewed yet: {error}");
                    sleep(wait).await;
                }
            }
        }
    }

    async fn try_renew(&self, identity: &Identity) -> Result<Identity, Error> {
        let csr_pem = self.store.next_request(&identity.cluster).await?;
        let channel = tls::identified(&self.hub, self.proxy.as_ref(), identity).await?;
        let request = RenewRequest {
            csr_pem,
            kube_system_uid: self.cluster_uid.0.clone(),
            agent_version: VERSION.to_owned(),
        };
        let answer = LinkClient::new(channel)
            .renew(request)
            .await
            .map_err(|status| Error::Hub(status.message().to_owned()))?;
        Ok(self
            .store
            .renewed(&answer.into_inner().certificate_pem)
            .await?)
    }

    /// The same over restarts, and another in each cluster.
    fn seed(&self, identity: &Identity) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.cluster_uid.0.as_bytes());
        hasher.update(identity.certificate.as_bytes());
        hasher.finalize().into()
    }
}

/// When a certificate is to be renewed: at two thirds of its life, and a part more that the seed gives.
#[must_use]
pub fn due(validity: Validity, seed: &[u8; 32]) -> Timestamp {
    let life = validity
        .to
        .duration_since(validity.from)
        .max(SignedDuration::ZERO);
    let (part, whole) = DUE_AFTER;
    // A number from 0 to 255 out of the seed is fine enough: a day of jitter falls into steps of minutes.
    let spread = life / JITTER_PART / 256 * i32::from(seed.first().copied().unwrap_or(0));
    let after = life / whole * part + spread;
    validity.from.checked_add(after).unwrap_or(validity.to)
}

async fn wait_until(moment: Timestamp) {
    loop {
        let left = moment.duration_since(Timestamp::now());
        let Ok(left) = Duration::try_from(left) else {
            return;
        };
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn due_at_two_thirds_and_never_beyond_three_quarters() {
        let validity = Validity {
            from: at(1_000_000),
            to: at(1_360_000),
        };
        assert_eq!(due(validity, &[0; 32]), at(1_240_000));
        let last = due(validity, &[255; 32]);
        assert!(last > at(1_269_000) && last < at(1_270_000), "{last}");
        let over = Validity {
            from: at(10),
            to: at(5),
        };
        assert_eq!(due(over, &[9; 32]), at(10), "no life, no jitter");
    }

    #[tokio::test]
    async fn what_is_overdue_is_not_waited_for() {
        let now = std::time::Instant::now();
        wait_until(at(0)).await;
        assert!(now.elapsed() < LEAST);
    }
}
