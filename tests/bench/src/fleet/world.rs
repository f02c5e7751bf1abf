//! One hub with its simulated agents. In: who is in what. Out: a running hub, tasks that play the agents, and what the hub
//! costs as the kernel counts it. It ends only what it has started.

use std::time::{Duration, Instant};

use proto::v1::{ApplyRequest, ListClustersRequest};
use serde::Serialize;
use tests_fleet::{Error, Hub, HubOptions, Result, RunDir, eventually};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::agent::{Agent, Takes};
use super::identity::Admin;
use super::ledger::{Ledger, Ranks};
use super::manifest::Shape;
use crate::usage::{self, MIB};

/// A document of this size is one request: the hub takes 4 MiB.
const FILE: &str = "bench.yaml";

/// A hub and its agents.
#[derive(Debug)]
pub struct World {
    run: RunDir,
    hub: Hub,
    admin: Admin,
    shape: Shape,
    takes: Takes,
    /// Times.
    pub ledger: Ledger,
    wanted: watch::Sender<u64>,
    agents: JoinSet<Agent>,
}

/// What the hub and its database have cost in some time.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Seconds.
    pub wall: f64,
    /// CPU seconds of the hub.
    pub cpu: f64,
    /// CPU seconds of its database.
    pub database_cpu: f64,
    /// Most memory of the hub, MiB, resident.
    pub peak: f64,
}

impl Cost {
    /// Cores that the hub kept busy.
    pub fn cores(&self) -> f64 {
        self.cpu / self.wall
    }
}

/// The beginning of some time.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: Instant,
    cpu: Duration,
    database: Duration,
}

impl World {
    /// Starts a hub; nobody has joined.
    pub async fn up(run: &RunDir, shape: Shape, takes: Takes) -> Result<Self> {
        let logs = RunDir::named(&run.join(&format!("{}-agents", shape.clusters.len())))?;
        let hub = Hub::start(&logs, &HubOptions::default()).await?;
        let admin = Admin::read(&hub.data().join("admin.yaml"))?;
        Ok(Self {
            run: logs,
            hub,
            admin,
            shape,
            takes,
            ledger: Ledger::default(),
            wanted: watch::channel(1).0,
            agents: JoinSet::new(),
        })
    }

    /// Everybody joins and connects.
    pub async fn gather(&mut self, limit: Duration) -> Result<()> {
        let members = self.admin.join(self.shape.clusters.clone()).await?;
        let all = members.len();
        let rollouts = self.shape.rollouts.iter();
        for (index, (member, rollouts)) in members.into_iter().zip(rollouts).enumerate() {
            // Not 0, from which xorshift never gets away.
            let seed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let agent = Agent::new(member, rollouts, self.takes, self.ledger.clone(), seed);
            self.agents.spawn(agent.run(self.wanted.subscribe()));
        }
        self.synced(all, limit).await
    }

    async fn synced(&mut self, all: usize, limit: Duration) -> Result<()> {
        let ledger = self.ledger.clone();
        eventually("every agent holds its set", limit, async || {
            match ledger.synced_count() {
                count if count >= all => Ok(()),
                count => Err(format!("{count} of {all} do")),
            }
        })
        .await?;
        self.hub.process().must_run()
    }

    /// Stores the FleetRollouts.
    pub async fn apply(&self) -> Result<()> {
        let request = ApplyRequest {
            file_name: FILE.to_owned(),
            document: self.shape.documents.clone(),
            dry_run: false,
        };
        let applied = self.admin.client().await?.apply(request).await;
        let applied = applied.map_err(|status| Error::Check(format!("apply: {status}")))?;
        match applied.into_inner().problems.first() {
            Some(problem) => Err(Error::Check(format!(
                "{}: {}",
                problem.path, problem.message
            ))),
            None => Ok(()),
        }
    }

    /// Waits until every cluster holds what the hub wants it to hold, and that is something.
    pub async fn governed(&self, limit: Duration) -> Result<()> {
        let mut client = self.admin.client().await?;
        eventually("every cluster is governed", limit, async || {
            let listed = client.list_clusters(ListClustersRequest {}).await;
            let clusters = listed
                .map_err(|status| status.to_string())?
                .into_inner()
                .clusters;
            let version = |fence: Option<&proto::v1::Fence>| fence.map_or(0, |fence| fence.version);
            let behind = clusters
                .iter()
                .filter(|one| {
                    let desired = version(one.desired.as_ref());
                    desired == 0 || version(one.stored.as_ref()) != desired
                })
                .count();
            if behind == 0 {
                Ok(())
            } else {
                Err(format!("{behind} are not"))
            }
        })
        .await
    }

    /// Git wants another version everywhere.
    pub fn want(&self, version: u64) {
        self.wanted.send_replace(version);
    }

    /// Waits until so many outcomes are committed.
    pub async fn outcomes(&mut self, all: usize, limit: Duration) -> Result<()> {
        let ledger = self.ledger.clone();
        eventually("every target is through", limit, async || {
            match ledger.outcomes() {
                count if count >= all => Ok(()),
                count => Err(format!(
                    "{count} of {all} are; permits, sessions, broken: {:?}",
                    ledger.counts()
                )),
            }
        })
        .await?;
        self.hub.process().must_run()
    }

    /// Kills the hub, starts it again, and waits for everybody.
    pub async fn killed(&mut self, limit: Duration) -> Result<Ranks> {
        self.hub.process().kill().await?;
        self.ledger.mark();
        let begin = Instant::now();
        self.hub.again(&self.run).await?;
        self.synced(self.shape.clusters.len(), limit).await?;
        Ok(self.ledger.sync_times(begin))
    }

    /// The process that the embedded database is.
    fn database(&self) -> Option<u32> {
        let file = self.hub.data().join("postgres/data/postmaster.pid");
        std::fs::read_to_string(file)
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()
    }

    fn database_cpu(&self) -> Result<Duration> {
        self.database()
            .map_or(Ok(Duration::ZERO), usage::cpu_of_children)
    }

    /// Costs count from now on.
    pub fn begin(&mut self) -> Result<Mark> {
        let group = self.hub.process().pid();
        usage::reset_peak(group)?;
        Ok(Mark {
            at: Instant::now(),
            cpu: usage::cpu(group)?,
            database: self.database_cpu()?,
        })
    }

    /// What it has cost since.
    pub fn end(&mut self, mark: Mark) -> Result<Cost> {
        let group = self.hub.process().pid();
        Ok(Cost {
            wall: mark.at.elapsed().as_secs_f64(),
            cpu: usage::cpu(group)?.saturating_sub(mark.cpu).as_secs_f64(),
            database_cpu: self
                .database_cpu()?
                .saturating_sub(mark.database)
                .as_secs_f64(),
            peak: usage::peak_rss(group)? as f64 / MIB,
        })
    }

    /// Ends the agents, then the hub.
    pub async fn down(mut self) -> Result<()> {
        self.agents.shutdown().await;
        self.hub.process().stop().await.map(drop)
    }
}
