//! What one agent is still to be told. In: messages of a session. Out: the stream that tonic writes. It must not grow: of
//! each kind only the newest waits, so that a slow reader costs a few messages and no more (S11).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use proto::v1::hub_message::Body;
use proto::v1::{DesiredSet, HubMessage, Refusal, Renewal, ReportAck, TraceContext, Welcome};
use tonic::Status;

use crate::wire;

/// The session's end: puts messages in.
#[derive(Debug)]
pub struct Outbox {
    slots: Arc<Mutex<Slots>>,
}

/// Tonic's end: takes them out, in the order of the fields of `Slots`.
#[derive(Debug)]
pub struct Outgoing {
    slots: Arc<Mutex<Slots>>,
}

#[derive(Debug, Default)]
struct Slots {
    welcome: Option<Welcome>,
    set: Option<DesiredSet>,
    report_ack: Option<ReportAck>,
    renewal: Option<Renewal>,
    refusal: Option<Refusal>,
    closed: bool,
    reader_gone: bool,
    waker: Option<Waker>,
}

/// Both ends of an empty outbox.
#[must_use]
pub fn outbox() -> (Outbox, Outgoing) {
    let slots = Arc::new(Mutex::new(Slots::default()));
    (
        Outbox {
            slots: Arc::clone(&slots),
        },
        Outgoing { slots },
    )
}

/// Every change of the slots is one assignment, so a thread that died inside has left them whole.
fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// The first message.
    pub fn welcome(&self, welcome: Welcome) {
        self.put(|slots| slots.welcome = Some(welcome));
    }

    /// Whether the last set has been taken: only then may another be put, since a delta builds on it.
    #[must_use]
    pub fn takes_set(&self) -> bool {
        lock(&self.slots).set.is_none()
    }

    /// The next set.
    pub fn set(&self, set: DesiredSet) {
        self.put(|slots| slots.set = Some(set));
    }

    /// The newest acknowledgement stands for all before it.
    pub fn report_ack(&self, ack: ReportAck) {
        self.put(|slots| slots.report_ack = Some(ack));
    }

    /// The newest renewal stands for all before it.
    pub fn renewal(&self, renewal: Renewal) {
        self.put(|slots| slots.renewal = Some(renewal));
    }

    /// Takes back what must not be said any more once the database is away or the session is not current.
    pub fn retract_renewal(&self) {
        lock(&self.slots).renewal = None;
    }

    /// The last message; nothing of what waits is sent before it.
    pub fn refuse(&self, refusal: Refusal) {
        self.put(|slots| {
            *slots = Slots {
                refusal: Some(refusal),
                waker: slots.waker.take(),
                ..Slots::default()
            };
            slots.closed = true;
        });
    }

    /// Whether the other side has gone.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        lock(&self.slots).reader_gone
    }

    fn put(&self, change: impl FnOnce(&mut Slots)) {
        let waker = {
            let mut slots = lock(&self.slots);
            change(&mut slots);
            slots.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.put(|slots| slots.closed = true);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        lock(&self.slots).reader_gone = true;
    }
}

impl Stream for Outgoing {
    type Item = Result<HubMessage, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut slots = lock(&self.slots);
        if let Some((body, trace)) = slots.take() {
            return Poll::Ready(Some(Ok(HubMessage {
                trace,
                body: Some(body),
            })));
        }
        if slots.closed {
            return Poll::Ready(None);
        }
        slots.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Slots {
    fn take(&mut self) -> Option<(Body, Option<TraceContext>)> {
        if let Some(welcome) = self.welcome.take() {
            return Some((Body::Welcome(welcome), None));
        }
        if let Some(set) = self.set.take() {
            let trace = wire::set::trace(&set);
            return Some((Body::Set(set), trace));
        }
        if let Some(ack) = self.report_ack.take() {
            return Some((Body::ReportAck(ack), None));
        }
        if let Some(renewal) = self.renewal.take() {
            return Some((Body::Renewal(renewal), None));
        }
        self.refusal
            .take()
            .map(|refusal| (Body::Refusal(refusal), None))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    async fn kinds(outgoing: &mut Outgoing, count: usize) -> Vec<Body> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(outgoing.next().await.unwrap().unwrap().body.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn of_each_kind_only_the_newest_waits() {
        let (outbox, mut outgoing) = outbox();
        for sequence in 1..=1_000 {
            outbox.report_ack(ReportAck {
                session: 1,
                sequence,
            });
            outbox.renewal(Renewal::default());
        }
        outbox.set(DesiredSet::default());
        outbox.welcome(Welcome {
            session: 1,
            ..Welcome::default()
        });
        assert!(!outbox.takes_set());
        let all = kinds(&mut outgoing, 4).await;
        assert!(matches!(all[0], Body::Welcome(_)));
        assert!(matches!(all[1], Body::Set(_)));
        assert!(matches!(
            all[2],
            Body::ReportAck(ReportAck {
                sequence: 1_000,
                ..
            })
        ));
        assert!(matches!(all[3], Body::Renewal(_)));
        assert!(outbox.takes_set());
    }

    #[tokio::test]
    async fn a_refusal_is_the_only_and_last_message() {
        let (outbox, mut outgoing) = outbox();
        outbox.renewal(Renewal::default());
        outbox.refuse(Refusal {
            code: 1,
            message: "m".into(),
        });
        assert!(matches!(kinds(&mut outgoing, 1).await[0], Body::Refusal(_)));
        assert!(outgoing.next().await.is_none());
    }

    #[tokio::test]
    async fn each_side_sees_the_other_go() {
        let (outbox, outgoing) = outbox();
        assert!(!outbox.abandoned());
        drop(outgoing);
        assert!(outbox.abandoned());
        let (outbox, mut outgoing) = super::outbox();
        let waiting = tokio::spawn(async move { outgoing.next().await.is_none() });
        drop(outbox);
        assert!(waiting.await.unwrap());
    }
}
