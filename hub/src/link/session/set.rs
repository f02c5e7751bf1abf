//! Sets on one agent's stream. In: which set is committed, what the agent holds. Out: whole sets, and what changed since. It
//! must not send the first one before the whole fleet has had its say.

use hub_engine::Fence;
use hub_store::{STREAM_MAX, within};

use super::Session;
use crate::wire;

impl Session {
    /// Whether there is something that the agent was not sent, and it can take it.
    fn lacks(&mut self) -> bool {
        let newest = *self.fences.borrow_and_update();
        self.outbox.takes_set() && self.sent.is_none_or(|sent| sent < newest)
    }

    /// Sends what the agent has not been sent: whole at first, then what changed since.
    pub(super) async fn send_set(&mut self) {
        if self.lacks() {
            Box::pin(self.send()).await;
        }
    }

    async fn send(&mut self) {
        if !self.first_word_is_there().await {
            return;
        }
        let read = self.link.store.desired_since(&self.cluster, self.sent);
        match within(STREAM_MAX, read).await {
            Ok(set) => {
                // An older copy of the database: the next word ends the session.
                if self.sent == Some(set.fence) || set.fence < self.committed.sent {
                    return;
                }
                self.sent = Some(set.fence);
                self.committed.sent = set.fence;
                tracing::debug!(cluster = %self.cluster, fence = %set.fence, full = set.base.is_none(), "sending a set");
                self.highest = self.highest.max(set.fence);
                let mut message = wire::set::since(&set);
                if let Some(fence) = &message.fence {
                    let authority = &self.link.certifier.authority;
                    message.fence_signature = authority.sign_fence(&self.uid, fence);
                }
                self.outbox.set(message);
            }
            Err(error) => {
                tracing::debug!(cluster = %self.cluster, %error, "cannot read the set; trying again")
            }
        }
    }
    /// An agent that has never held a set takes what its first one does not name for free (gate.md G8): it gets none before
    /// every FleetRollout that selects its cluster has been decided for it. The next tick, or that decision, asks again.
    async fn first_word_is_there(&self) -> bool {
        if self.sent.is_some() || self.committed.stored != Fence::default() {
            return true;
        }
        match within(STREAM_MAX, self.link.store.first_word(&self.cluster)).await {
            Ok(lacking) => {
                if let Some(name) = lacking.first() {
                    tracing::debug!(cluster = %self.cluster, "the first set waits for {name} to be decided");
                }
                lacking.is_empty()
            }
            Err(error) => {
                tracing::debug!(cluster = %self.cluster, %error, "cannot see who has a say in it; trying again");
                false
            }
        }
    }
}
