//! A cluster that a test moves by hand, message by message. In: a simulated agent that has ended. Out: the same cluster, which
//! says only what it is told to. It must not answer by itself before it rests.

use std::time::Duration;

use proto::v1::agent_message::Body as Say;
use proto::v1::gate_entry::Governance;
use proto::v1::hub_message::Body as Told;
use proto::v1::report::Body;
use proto::v1::{Ack, DesiredSet, Fence, Heartbeat, Hello, Permit, ack};
use tests_bench::fleet::agent::Agent;
use tests_bench::fleet::identity::Member;
use tests_bench::fleet::rollout::Rollout;
use tests_fleet::{Error, Result};
use tokio::task::JoinHandle;

use crate::agents::ROLLOUT;
use crate::peer::{End, Peer};

/// At rest it is heard as often as the shortest lease needs.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A cluster with an open stream.
#[derive(Debug)]
pub struct Puppet {
    /// Its identity.
    pub member: Member,
    /// What is in the cluster.
    pub rollout: Rollout,
    /// What it has stored.
    pub fence: Option<Fence>,
    /// The stream.
    pub peer: Peer,
    /// Of the stream.
    pub session: u64,
    sent: u64,
}

impl Puppet {
    /// Says Hello for a cluster whose agent has ended.
    pub async fn of(agent: &Agent) -> Result<Self> {
        let rollout = agent.rollout(ROLLOUT).cloned();
        let rollout = rollout.ok_or_else(|| Error::Check("no Rollout".to_owned()))?;
        Self::open(agent.member().clone(), rollout, agent.fence()).await
    }

    /// Says Hello.
    pub async fn open(member: Member, rollout: Rollout, fence: Option<Fence>) -> Result<Self> {
        let mut peer = Peer::open(&member, hello(&member, &rollout, fence)).await?;
        let welcome = peer.welcome().await;
        let welcome = welcome.map_err(|end| Error::Check(format!("no Welcome: {end:?}")))?;
        Ok(Self {
            member,
            rollout,
            fence,
            peer,
            session: welcome.session,
            sent: 0,
        })
    }

    /// Reports these once, under new numbers; gives the last one.
    pub async fn report(&mut self, bodies: &[Body]) -> Result<u64> {
        let first = self.sent + 1;
        let numbered = (first..).zip(bodies.iter().cloned()).collect();
        self.sent += bodies.len() as u64;
        self.peer.report(self.session, numbered).await?;
        Ok(self.sent)
    }

    /// Reports these again under the numbers of the last time.
    pub async fn repeat(&mut self, bodies: &[Body]) -> Result<()> {
        let first = self.sent + 1 - bodies.len() as u64;
        let numbered = (first..).zip(bodies.iter().cloned()).collect();
        self.peer.report(self.session, numbered).await
    }

    /// Says that a set is stored.
    pub async fn acknowledge(&mut self, set: &DesiredSet) -> Result<()> {
        self.fence = set.fence;
        let stored = Ack {
            fence: set.fence,
            set_hash: set.set_hash.clone(),
            problems: Vec::new(),
            result: ack::Result::Stored.into(),
        };
        self.peer.say(Say::Ack(stored)).await
    }

    /// The next set; it is not acknowledged.
    pub async fn set(&mut self) -> std::result::Result<DesiredSet, End> {
        loop {
            if let Told::Set(set) = self.peer.next().await? {
                return Ok(set);
            }
        }
    }

    /// Stores sets until one brings a permit that it can take up, and takes it up; what it then has to report is given too.
    pub async fn permitted(&mut self) -> Result<(Permit, Vec<Body>)> {
        loop {
            let set = self.set().await;
            let set = set.map_err(|end| Error::Check(format!("no set: {end:?}")))?;
            self.acknowledge(&set).await?;
            for permit in permits(&set) {
                let bodies = self.rollout.permit(&permit);
                if !bodies.is_empty() {
                    return Ok((permit, bodies));
                }
            }
        }
    }

    /// From now on it stores every set and is heard, and says nothing else, until the task ends.
    pub fn rest(self) -> JoinHandle<End> {
        tokio::spawn(async move {
            let mut puppet = self;
            let mut beat = tokio::time::interval(HEARTBEAT);
            loop {
                tokio::select! {
                    told = puppet.peer.next() => match told {
                        Ok(Told::Set(set)) => {
                            if puppet.acknowledge(&set).await.is_err() {
                                return End::Broken("the stream is over".to_owned());
                            }
                        }
                        Ok(_) => {}
                        Err(end) => return end,
                    },
                    _ = beat.tick() => {
                        if puppet.beat().await.is_err() {
                            return End::Broken("the stream is over".to_owned());
                        }
                    }
                }
            }
        })
    }

    /// Is heard.
    pub async fn beat(&self) -> Result<()> {
        self.peer.say(Say::Heartbeat(Heartbeat::default())).await
    }
}

/// What an agent says first.
pub fn hello(member: &Member, rollout: &Rollout, fence: Option<Fence>) -> Hello {
    Hello {
        kube_system_uid: member.uid.clone(),
        agent_version: "puppet".to_owned(),
        fence,
        // Whatever it holds, it is sent the whole set.
        set_hash: String::new(),
        rollouts: vec![rollout.state()],
        audit_head: String::new(),
        digest_forms: vec!["v1".to_owned()],
        fence_signature: String::new(),
    }
}

/// The permits in a set.
pub fn permits(set: &DesiredSet) -> Vec<Permit> {
    let entries = set.entries.iter();
    let permits = entries.filter_map(|entry| match &entry.governance {
        Some(Governance::Governed(governed)) => governed.permit.clone(),
        Some(Governance::Ungovern(_)) | None => None,
    });
    permits.collect()
}
