//! Whether this process may write: for as long as it has renewed its Lease in time.
//!
//! In: renewals, the monotonic clock. Out: yes or no, asked before every write. A process that its machine has stopped goes on
//! where it was, in the midst of a pass, before anything tells it that another one leads by now. It must not ask the API
//! server: whoever leads next waits for longer than this.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lead of this process.
#[derive(Debug, Clone, Default)]
pub struct Lead(Option<Arc<Held>>);

#[derive(Debug)]
struct Held {
    /// None: it does not lead yet.
    renewed: Mutex<Option<Instant>>,
    within: Duration,
}

/// Nothing is written any more.
#[derive(Debug, thiserror::Error)]
#[error("another agent may lead by now: the Lease was not renewed in time")]
pub struct Lost;

impl Lead {
    /// One that lasts for so long after each renewal; the default one, without an election, lasts for ever.
    #[must_use]
    pub fn within(within: Duration) -> Self {
        let renewed = Mutex::default();
        Self(Some(Arc::new(Held { renewed, within })))
    }

    /// The Lease was renewed; the request was sent then.
    pub fn renewed(&self, at: Instant) {
        if let Some(held) = &self.0 {
            let mut renewed = held.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            *renewed = Some(at);
        }
    }

    /// Whether it lasts.
    ///
    /// # Errors
    /// It does not: nothing may be written.
    pub fn holds(&self, now: Instant) -> Result<(), Lost> {
        let Some(held) = &self.0 else { return Ok(()) };
        let renewed = *held.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |at: Instant| now.saturating_duration_since(at) < held.within;
        if renewed.is_some_and(lasts) {
            Ok(())
        } else {
            Err(Lost)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_lasts_from_renewal_to_renewal_and_no_longer() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let lead = Lead::within(Duration::from_secs(10));
        let writer = lead.clone();
        assert!(writer.holds(at(0)).is_err(), "it does not lead yet");
        lead.renewed(at(0));
        assert!(writer.holds(at(9)).is_ok());
        assert!(writer.holds(at(10)).is_err());
        lead.renewed(at(10));
        assert!(writer.holds(at(19)).is_ok());
        assert!(Lead::default().holds(at(1_000)).is_ok(), "no election");
    }
}
