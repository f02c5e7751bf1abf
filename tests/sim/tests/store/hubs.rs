//! Who decides, and whether anything may be decided, in both stores: leases that run out, hubs that go on in an epoch that is over,
//! databases that have lost something, a person's word that they may go on. In: chance. Out: the same answers and the same rows of
//! both. It must not know what a plan is.

use std::time::Duration;

use hub_engine::ClusterName;
use hub_store::heard::Acknowledged;
use jiff::Timestamp;
use tests_sim::event::Ms;
use tests_sim::store;
use tests_sim::world::millis;

use super::{Both, CLUSTERS, FLEETS, HUBS, Signer, TTL, name};

/// The second of a moment is the nearest one.
const HALF_A_SECOND: Ms = 500;
/// In the model: longer than a test.
const LEASE: Ms = 3_600_000;

impl Both {
    /// A hub takes the epoch: another one once the lease has run out, or the same after it died. Whoever had it goes on and is
    /// refused.
    pub(super) async fn takes_over(&mut self) -> String {
        let (before, other) = (self.holder, 1 - self.holder);
        let (old, fleet) = (self.epoch, self.random.below(FLEETS.len()));
        let draft = self.draft(fleet).await;
        assert_eq!(self.takes(other).await, None, "the lease goes on");
        let next = if self.random.percent(70) {
            other
        } else {
            before
        };
        if next == other {
            let real = self.real.lease_renew(HUBS[before], old, Duration::ZERO);
            assert!(real.await.unwrap());
            let now = self.now().await;
            let epoch = self.model.epoch;
            assert!(self.model.lease_renew(before, epoch, now, -1).unwrap());
        }
        let taken = self.takes(next).await;
        assert_eq!(taken, Some(old.0 + 1));
        self.holder = next;
        // What the one before has decided, and what it would decide now.
        let real = self.real.decide(old, &name(fleet), &Signer).await;
        assert!(matches!(real, Err(hub_store::Error::Fenced { .. })), "S5");
        let model = self.model.commit(&draft, &self.keys, true);
        assert_eq!(model, Err(store::Error::Fenced));
        let real = self.real.lease_renew(HUBS[before], old, TTL).await.unwrap();
        let now = self.now().await;
        let model = self.model.lease_renew(before, old.0, now, LEASE).unwrap();
        assert_eq!((real, model), (false, false));
        format!("takeover by {} from {}", HUBS[next], HUBS[before])
    }

    /// The epoch, if both stores give it.
    async fn takes(&mut self, hub: usize) -> Option<i64> {
        let real = self.real.epoch_take(HUBS[hub], TTL).await.unwrap();
        let now = self.now().await;
        let model = self.model.epoch_take(hub, now, LEASE).unwrap();
        assert_eq!(real.map(|epoch| epoch.0), model);
        self.epoch = real.unwrap_or(self.epoch);
        model
    }

    /// Something shows that the database has lost something, or a person says that it may go on: also where nothing is lost.
    pub(super) async fn loses_or_recovers(&mut self, name: &'static str) -> String {
        let current = self.is_current(name);
        if self.model.recovery.held || !current || self.random.percent(30) {
            return self.recovers().await;
        }
        match self.random.below(3) {
            0 => self.ahead(name).await,
            way => self.lost(name, way == 1).await,
        }
        format!("lost by the word of {name}")
    }

    /// An agent has stored more than there is.
    async fn ahead(&mut self, name: &'static str) {
        let mut fence = self.model.desired_fence(&name.into()).unwrap();
        fence.version += 1;
        let agent = self.agents.get_mut(name).unwrap();
        agent.fence = fence;
        let (session, committed) = (agent.session, agent.committed);
        let said = Acknowledged {
            cluster: name.into(),
            session,
            committed,
            fence,
            set_hash: String::new(),
            problems: Vec::new(),
        };
        let real = self.real.sessions_acknowledged(&[said]).await.unwrap()[0];
        let (now, said) = (self.now().await, (session, &committed));
        let model = self.model.session_ack(&name.into(), said, fence, now);
        assert_eq!(real.current().unwrap(), model.unwrap());
        let why = self.real.held().await.unwrap();
        assert!(
            why.is_some_and(|why| why.starts_with(&format!("{name} holds "))),
            "L5"
        );
        assert!(self.model.recovery.held);
    }

    /// A person says that the database may go on; refused where nothing is lost. Every session is over with it.
    pub(super) async fn recovers(&mut self) -> String {
        let before = self.now().await;
        let sign = |_: &str| String::new();
        let real = self.real.recover(&"eve".into(), "a copy", &sign).await;
        // Also where too few clusters have been heard.
        if !self.model.waits(before) {
            assert!(
                matches!(real, Err(hub_store::Error::Refused { .. })),
                "{real:?}"
            );
            return "nothing to recover".to_owned();
        }
        let incarnation = real.unwrap();
        // In its second, where it is one; and no later than it was, for numbers of sessions go on from there.
        let whole = Timestamp::from_second(i64::try_from(incarnation).unwrap());
        let at = (millis(whole.unwrap()) - HALF_A_SECOND).max(before);
        let at = if at > self.now().await { before } else { at };
        assert_eq!(self.model.recover(at), incarnation);
        assert!(incarnation >= store::second(before));
        for name in CLUSTERS {
            self.over(name).await;
            if self.random.percent(70) {
                self.says_hello(name).await;
            }
        }
        format!("recover into {incarnation}")
    }

    /// Whatever is said in a session of before the recovery is not taken.
    async fn over(&mut self, name: &'static str) {
        let session = self.agents[name].session;
        assert!(!self.is_current(name));
        let committed = self.agents[name].committed;
        self.seen_by(name, committed).await;
        assert!(!self.real.session_seen(&name.into(), session).await.unwrap());
    }

    fn is_current(&self, name: &'static str) -> bool {
        let row = &self.model.rows[&ClusterName::from(name)];
        row.session == self.agents[name].session
    }

    /// Until its session is the current one.
    pub(super) async fn says_hello(&mut self, name: &'static str) {
        loop {
            self.hello(name).await;
            if self.is_current(name) {
                return;
            }
        }
    }
}
