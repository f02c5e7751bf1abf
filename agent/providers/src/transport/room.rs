//! Room for the answers that are being read.
//!
//! In: how long an answer has become. Out: room for it, or that there is none. It must not make a small answer wait: what
//! nearly every answer needs is always there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every answer has without asking: a number, or some series of them, with their labels. As many answers as are read
/// at a time, 4,096, hold 32 MiB of it.
pub(super) const FREE: usize = 8 << 10;
/// What all answers together may hold beyond that. With values, connections and everything else the agent is to stay
/// below 300 MiB, whatever servers send.
pub(super) const ROOM: usize = 32 << 20;
/// How long an answer waits for room. Not longer, because those that wait hold some of it themselves.
const WAIT: Duration = Duration::from_secs(5);

/// There was no room in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// The room; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Room {
    bytes: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(ROOM)),
        }
    }
}

impl Room {
    /// Room for a new answer, which has no byte yet.
    pub fn answer(&self, limit: Duration) -> Held {
        Held {
            bytes: Arc::clone(&self.bytes),
            permit: None,
            // So that the sentence is of the room and not of a server that did answer.
            wait: WAIT.min(limit / 2),
        }
    }

    /// What is held beyond what is free.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        ROOM - self.bytes.available_permits()
    }
}

/// What one answer holds; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    wait: Duration,
}

impl Held {
    /// Waits until the answer may be of so many bytes.
    pub async fn grow_to(&mut self, size: usize) -> Result<(), Full> {
        let held = self
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = size.saturating_sub(FREE).saturating_sub(held);
        let more = u32::try_from(more).map_err(|_| Full)?;
        if more == 0 {
            return Ok(());
        }
        let permit = Arc::clone(&self.bytes).acquire_many_owned(more);
        let permit = tokio::time::timeout(self.wait, permit).await;
        let permit = permit.map_err(|_| Full)?.map_err(|_| Full)?;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_is_given_back_and_never_more_than_there_is() {
        let room = Room::default();
        let limit = Duration::from_millis(20);
        let mut large = Vec::new();
        for _ in 0..32 {
            let mut answer = room.answer(limit);
            answer.grow_to(FREE + (1 << 19)).await.unwrap();
            answer.grow_to(FREE + (1 << 20)).await.unwrap();
            large.push(answer);
        }
        assert_eq!(room.held(), ROOM);
        let mut small = room.answer(limit);
        small.grow_to(FREE).await.unwrap();
        assert_eq!(small.grow_to(FREE + 1).await, Err(Full));
        large.pop();
        small.grow_to(FREE + 1).await.unwrap();
        assert_eq!(room.held(), 31 * (1 << 20) + 1);
        drop((large, small));
        assert_eq!(room.held(), 0);
    }
}
