//! Heartbeats on one agent's stream. In: that the agent is there, and by which clock. Out: its leases renewed, and the database's time. It must not
//! renew anything that the database has not committed, nor tell a time of its own: hub and database may differ (F53).

use hub_store::heard::{Clock, Seen};
use jiff::Timestamp;
use proto::v1::{Heartbeat, Renewal};

use super::Session;
use crate::link::hello::{End, superseded};
use crate::wire;

impl Session {
    /// A heartbeat is a commit of this session: whoever can write it may renew leases.
    pub(super) async fn heartbeat(&mut self, beat: Heartbeat) -> Result<(), End> {
        let word = Seen {
            cluster: self.cluster.clone(),
            session: self.number,
            committed: self.committed,
            clock: Clock {
                at: time(beat.at),
                hub_at: time(beat.hub_at),
            },
        };
        match self.link.gather.seen(word).await {
            Ok(Some(at)) => {
                // An agent that holds more than this database knows: it was restored, and nothing is renewed (L5).
                let ahead = self.sent.is_none_or(|sent| self.committed.stored > sent);
                if !self.regressed && !ahead {
                    self.outbox.renewal(Renewal {
                        fence: Some(wire::wire_fence(self.committed.stored)),
                        at: Some(proto::time::to_wire(at)),
                    });
                }
                Ok(())
            }
            Ok(None) => Err(superseded()),
            Err(error) => {
                self.away(&error, "no lease is renewed");
                Ok(())
            }
        }
    }
}

/// One that there is no such time of says nothing.
fn time(wire: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    wire.as_ref().and_then(proto::time::from_wire)
}
