//! The hub under simulated agents, over real gRPC and mTLS on loopback. In: how many, and how long a target takes. Out: what
//! ten thousand connected agents cost, how soon a decision is at its agent, how fast all are back after the hub was killed;
//! and releases through waves beside their ideal. Times are the agents': it believes nothing that the hub says of itself.

pub mod agent;
pub mod identity;
pub mod ledger;
pub mod manifest;
pub mod report;
pub mod rollout;
pub mod script;
pub mod world;

use std::time::{Duration, Instant};

use serde::Serialize;
use tests_fleet::{Result, RunDir, eventually};

use agent::Takes;
use ledger::Ranks;
use manifest::{Shape, ideal};
use world::{Cost, World};

/// Everybody has joined and is connected within this, or the hub does not get there at all.
const JOIN_LIMIT: Duration = Duration::from_secs(1800);
/// All agents are back within this after the hub was killed.
const RESYNC_LIMIT: Duration = Duration::from_secs(300);
/// A release is through within its ideal and this.
const RELEASE_LIMIT: Duration = Duration::from_secs(600);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Story {
    /// Agents that are connected at once.
    pub agents: usize,
    /// How long a target takes.
    pub takes: Duration,
    /// How long heartbeats are looked at.
    pub idle: Duration,
    /// Clusters and releases of the many releases at once; every release has a hundred clusters.
    pub clusters: usize,
    /// See there.
    pub releases: usize,
}

/// Many agents on one hub.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// How many.
    pub agents: usize,
    /// Seconds until all had joined and held their set.
    pub joined: f64,
    /// Of the hub while nothing but heartbeats came.
    pub idle: Cost,
    /// Of the hub during a release over all of them.
    pub release: Cost,
    /// From an outcome until the permit that it made possible was at its agent.
    pub decisions: Ranks,
    /// From the kill of the hub until an agent had its whole set from the next one.
    pub resync: Ranks,
}

/// Releases through waves.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Staged {
    /// How many at once.
    pub releases: usize,
    /// Clusters there are.
    pub clusters: usize,
    /// What each would take if deciding and telling took no time, seconds.
    pub ideal: f64,
    /// What they took beyond that, seconds.
    pub over: Ranks,
    /// Of the hub meanwhile.
    pub cost: Cost,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Many agents.
    pub connected: Connected,
    /// One release, then many at once.
    pub staged: Vec<Staged>,
}

/// Puts hubs through all of it, one after another.
pub async fn tell(run: &RunDir, story: &Story, say: impl Fn(&str)) -> Result<Outcome> {
    let mut staged = Vec::new();
    for (clusters, releases) in [(manifest::GROUP, 1), (story.clusters, story.releases)] {
        say(&format!("{releases} releases over {clusters} clusters"));
        let measured = many(run, clusters, releases, story.takes).await?;
        say(&report::staged_line(&measured));
        staged.push(measured);
    }
    say(&format!("{} agents join", story.agents));
    let connected = connected(run, story, &say).await?;
    Ok(Outcome { connected, staged })
}

/// Releases of a hundred clusters each, all at once.
async fn many(run: &RunDir, clusters: usize, releases: usize, takes: Duration) -> Result<Staged> {
    let mut world = World::up(
        run,
        Shape::groups(clusters, releases),
        Takes::Exactly(takes),
    )
    .await?;
    world.gather(JOIN_LIMIT).await?;
    world.apply().await?;
    let mark = world.begin()?;
    world.want(2);
    world
        .outcomes(releases * manifest::GROUP, RELEASE_LIMIT)
        .await?;
    let cost = world.end(mark)?;
    let ideal = ideal(takes);
    let over = world.ledger.releases().into_iter().map(|took| took - ideal);
    let measured = Staged {
        releases,
        clusters,
        ideal,
        over: Ranks::of(over.collect()),
        cost,
    };
    world.down().await?;
    Ok(measured)
}

async fn connected(run: &RunDir, story: &Story, say: &impl Fn(&str)) -> Result<Connected> {
    let begin = Instant::now();
    let mut world = World::up(run, Shape::whole(story.agents), Takes::About(story.takes)).await?;
    world.gather(JOIN_LIMIT).await?;
    let joined = begin.elapsed().as_secs_f64();
    say(&format!("all are there after {joined:.0} s"));
    world.apply().await?;
    world.governed(JOIN_LIMIT).await?;
    let mark = world.begin()?;
    let quiet = Instant::now();
    eventually(
        "heartbeats were looked at",
        story.idle.saturating_mul(2),
        async || {
            (quiet.elapsed() >= story.idle)
                .then_some(())
                .ok_or_else(|| "still looking".to_owned())
        },
    )
    .await?;
    let idle = world.end(mark)?;
    say(&format!(
        "idle: {:.2} cores, {:.0} MiB",
        idle.cores(),
        idle.peak
    ));
    let mark = world.begin()?;
    world.want(2);
    world
        .outcomes(story.agents, RELEASE_LIMIT.saturating_mul(4))
        .await?;
    let release = world.end(mark)?;
    let decisions = world.ledger.decisions();
    say(&format!(
        "a release over all: decisions p99 {:.2} s",
        decisions.p99
    ));
    let resync = world.killed(RESYNC_LIMIT).await?;
    world.down().await?;
    Ok(Connected {
        agents: story.agents,
        joined,
        idle,
        release,
        decisions,
        resync,
    })
}
