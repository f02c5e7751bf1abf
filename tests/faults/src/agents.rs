//! Simulated agents of a test. In: a hub's administrator and its addresses. Out: members of the fleet, each behind a link of
//! its own that can break, each with a script. They keep what a cluster keeps over a restart of its agent.

use std::collections::BTreeMap;
use std::time::Duration;

use tests_bench::fleet::agent::{Agent, Takes};
use tests_bench::fleet::identity::{Admin, Joining, Member};
use tests_bench::fleet::ledger::Ledger;
use tests_bench::fleet::script::{Script, Seen};
use tests_fleet::proxy::link::LinkProxy;
use tests_fleet::{Result, eventually};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The Rollout that every cluster has.
pub const ROLLOUT: &str = "app";
/// Agents come back fast, or tests wait.
const RECONNECT_MOST: Duration = Duration::from_millis(500);
/// Of a cluster that takes another's place.
const REJOINED_SEED: u64 = 4_711;
/// A crowd comes back as the agent's own program does.
const CROWD_RECONNECT_MOST: Duration = Duration::from_secs(10);
/// For a crowd, on a busy machine.
const JOINED: Duration = Duration::from_secs(120);

/// One cluster with its agent.
#[derive(Debug)]
pub struct Player {
    /// Its name.
    pub cluster: String,
    /// Between its agent and the hubs.
    pub link: LinkProxy,
    /// What the test says to it, and what happened.
    pub script: Script,
    version: u64,
    playing: Option<(watch::Sender<u64>, JoinHandle<Agent>)>,
}

/// How a cluster comes into the fleet.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who lets it in.
    pub admin: &'a Admin,
    /// host:port of every hub.
    pub hubs: &'a [String],
    /// How long a version takes there.
    pub takes: Duration,
}

impl Player {
    /// A cluster with these labels joins and its agent connects.
    pub async fn join(
        entry: &Entry<'_>,
        cluster: &str,
        labels: BTreeMap<String, String>,
        seed: u64,
    ) -> Result<Self> {
        let link = LinkProxy::before(entry.hubs).await?;
        let admin = entry.admin.at(format!("https://{}", link.address()));
        let joining = Joining {
            cluster: cluster.to_owned(),
            labels,
        };
        let member = admin.join(vec![joining]).await?.remove(0);
        let script = Script::default();
        let agent = agent(entry, member, seed);
        let mut player = Self {
            cluster: cluster.to_owned(),
            link,
            script: script.clone(),
            version: 1,
            playing: None,
        };
        player.start(agent.scripted(script, RECONNECT_MOST));
        Ok(player)
    }

    /// Another cluster joins under the name of this one, which is gone, and its agent connects: another kube-system namespace,
    /// another certificate, nothing of what the former had.
    pub async fn rejoin(
        &mut self,
        entry: &Entry<'_>,
        labels: BTreeMap<String, String>,
        uid: &str,
    ) -> Result<()> {
        let admin = entry.admin.at(format!("https://{}", self.link.address()));
        let joining = Joining {
            cluster: self.cluster.clone(),
            labels,
        };
        let member = admin.join_as(joining, uid).await?;
        self.script = Script::default();
        let agent = agent(entry, member, REJOINED_SEED);
        self.start(agent.scripted(self.script.clone(), RECONNECT_MOST));
        Ok(())
    }

    /// Git wants another version here.
    pub fn want(&mut self, version: u64) {
        self.version = version;
        if let Some((wanted, _)) = &self.playing {
            wanted.send_replace(version);
        }
    }

    /// Starts the agent.
    pub fn start(&mut self, agent: Agent) {
        let (wanted, mut seen) = watch::channel(self.version);
        // Whatever changed while it was down is news to it.
        seen.mark_changed();
        self.playing = Some((wanted, tokio::spawn(agent.run(seen))));
    }

    /// Ends the agent; the cluster stays as it is. None: it was ended before.
    pub async fn stop(&mut self) -> Option<Agent> {
        let (wanted, task) = self.playing.take()?;
        drop(wanted);
        Some(task.await.expect("the agent's task"))
    }

    /// Sessions so far.
    pub fn sessions(&self) -> usize {
        self.script.count(|seen| matches!(seen, Seen::Session(_)))
    }

    /// Permits that it has taken up so far.
    pub fn permits(&self) -> usize {
        self.script.count(|seen| matches!(seen, Seen::Permit(_)))
    }

    /// Renewals of its leases so far.
    pub fn renewals(&self) -> usize {
        self.script.count(|seen| matches!(seen, Seen::Renewed))
    }

    /// Its agent's program ends and starts again.
    pub async fn restart(&mut self) {
        let agent = self.stop().await.expect("it runs");
        self.start(agent.restarted());
    }
}

fn agent(entry: &Entry<'_>, member: Member, seed: u64) -> Agent {
    Agent::new(
        member,
        &[ROLLOUT.to_owned()],
        Takes::Exactly(entry.takes),
        Ledger::default(),
        // Not 0, from which the agents' random numbers never get away.
        seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    )
}

impl Drop for Player {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.playing {
            task.abort();
        }
    }
}

/// Many clusters that only have to be there.
#[derive(Debug)]
pub struct Crowd {
    scripts: Vec<Script>,
    agents: JoinSet<Agent>,
    // They run as long as it is there.
    _wanted: watch::Sender<u64>,
    _link: LinkProxy,
}

impl Crowd {
    /// So many join and connect.
    pub async fn join(admin: &Admin, hubs: &[String], clusters: usize) -> Result<Self> {
        let link = LinkProxy::before(hubs).await?;
        let admin = admin.at(format!("https://{}", link.address()));
        let joining = |index: usize| Joining {
            cluster: format!("crowd-{index}"),
            labels: BTreeMap::new(),
        };
        let members = admin.join((0..clusters).map(joining).collect()).await?;
        let wanted = watch::Sender::new(1);
        let (mut scripts, mut agents) = (Vec::new(), JoinSet::new());
        for (seed, member) in (1_u64..).zip(members) {
            let script = Script::default();
            let (takes, ledger) = (Takes::Exactly(Duration::ZERO), Ledger::default());
            let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let agent = Agent::new(member, &[], takes, ledger, seed);
            let agent = agent.scripted(script.clone(), CROWD_RECONNECT_MOST);
            agents.spawn(agent.run(wanted.subscribe()));
            scripts.push(script);
        }
        let crowd = Self {
            scripts,
            agents,
            _wanted: wanted,
            _link: link,
        };
        eventually("all of them are connected", JOINED, async || {
            match crowd.sessions().iter().filter(|count| **count == 0).count() {
                0 => Ok(()),
                count => Err(format!("{count} are not")),
            }
        })
        .await?;
        Ok(crowd)
    }

    /// Of each.
    pub fn sessions(&self) -> Vec<usize> {
        let is = |seen: &Seen| matches!(seen, Seen::Session(_));
        let sessions = self.scripts.iter().map(|script| script.count(is));
        sessions.collect()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.agents.len()
    }
}
