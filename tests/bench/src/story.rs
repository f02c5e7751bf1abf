//! What every controller is put through. In: its command line, how many Rollouts. Out: the phases, measured: all created
//! at once, all updated at once through two weights with a pause after each, then left alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde_json::Value;
use tests_fleet::{Error, Process, Result, RunDir};

use crate::bed::{Bed, Rights};
use crate::command::command;
use crate::follow::{Follower, kind};
use crate::manifest::{self, NAMESPACE};
use crate::meter::{Meter, Phase, Time};

/// Requests of ours at a time: enough to be faster than any controller.
const AT_A_TIME: usize = 16;
/// A phase takes minutes at most; a controller that does not come to an end is not worth more.
const PHASE_LIMIT: Duration = Duration::from_secs(900);

/// Who is measured, and how.
#[derive(Debug, Clone)]
pub struct Story {
    /// Its name in tables and files.
    pub name: String,
    /// Its command line.
    pub command: String,
    /// What it may do.
    pub rights: Rights,
    /// Rollouts.
    pub count: usize,
    /// After each weight.
    pub pause: Duration,
    /// How long it is left alone.
    pub idle: Duration,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its command line.
    pub command: String,
    /// Rollouts.
    pub count: usize,
    /// The phases, in order.
    pub phases: Vec<Phase>,
}

impl Run {
    /// A phase by its name.
    pub fn phase(&self, name: &str) -> Result<&Phase> {
        let found = self.phases.iter().find(|phase| phase.name == name);
        found.ok_or_else(|| Error::Check(format!("{} has no phase {name}", self.name)))
    }
}

/// Puts a controller through it on a bed of its own.
pub async fn tell(run: &RunDir, story: &Story, say: impl Fn(&str)) -> Result<Run> {
    say(&format!("{}: bringing a cluster up", story.name));
    let mut bed = Bed::up(run, story.rights).await?;
    tell_on(run, &mut bed, story, say).await
}

/// Puts a controller through it.
pub async fn tell_on(
    run: &RunDir,
    bed: &mut Bed,
    story: &Story,
    say: impl Fn(&str),
) -> Result<Run> {
    let command = command(&story.command, &bed.kubeconfig())?;
    let mut controller = Process::spawn(run, &story.name, command)?;
    let meter = Meter::new(bed, &controller)?;
    let client = bed.cluster().client().await?;
    let mut teller = Teller {
        api: Api::namespaced_with(client.clone(), NAMESPACE, &kind()),
        follower: Follower::start(client),
        meter,
        story,
    };
    let mut phases = Vec::new();
    for name in ["create", "update", "idle"] {
        let phase = match name {
            "create" => teller.create().await,
            "update" => teller.update().await,
            _ => teller.idle().await,
        };
        // A program that has ended explains a phase that did not.
        controller.must_run()?;
        bed.must_run()?;
        let phase = phase?;
        say(&format!(
            "{}: {name} {:.1} s, {:.2} CPU s, {:.0} MiB, {} writes",
            story.name, phase.wall, phase.cpu, phase.peak_rss, phase.requests.writes
        ));
        phases.push(phase);
    }
    controller.stop().await?;
    Ok(Run {
        name: story.name.clone(),
        command: story.command.clone(),
        count: story.count,
        phases,
    })
}

struct Teller<'a> {
    api: Api<DynamicObject>,
    follower: Follower,
    meter: Meter,
    story: &'a Story,
}

impl Teller<'_> {
    async fn create(&mut self) -> Result<Phase> {
        let mark = self.meter.begin().await?;
        let begin = Instant::now();
        let asked = self
            .each(async |number| {
                let object = manifest::rollout(number, "v1", self.story.pause);
                self.create_one(object).await
            })
            .await?;
        self.come_to_rest("create", 1, mark, begin, asked).await
    }

    async fn update(&mut self) -> Result<Phase> {
        let mark = self.meter.begin().await?;
        let begin = Instant::now();
        let asked = self
            .each(async |number| {
                let patch = Patch::Merge(manifest::update(number, "v2"));
                let name = manifest::name(number);
                let parameters = PatchParams::default();
                let patched = self.api.patch(&name, &parameters, &patch).await;
                patched
                    .map(drop)
                    .map_err(Error::kube(format!("update {name}")))
            })
            .await?;
        self.come_to_rest("update", 2, mark, begin, asked).await
    }

    async fn idle(&mut self) -> Result<Phase> {
        let mark = self.meter.begin().await?;
        let begin = Instant::now();
        let mut end = tokio::time::interval_at((begin + self.story.idle).into(), PHASE_LIMIT);
        end.tick().await;
        let time = Time {
            wall: begin.elapsed(),
            median: Duration::ZERO,
        };
        self.meter.end("idle", mark, time, Vec::new()).await
    }

    async fn create_one(&self, object: Value) -> Result<()> {
        let object: DynamicObject =
            serde_json::from_value(object).map_err(Error::parse("a Rollout of the benchmark"))?;
        let created = self.api.create(&PostParams::default(), &object).await;
        created.map(drop).map_err(Error::kube("create a Rollout"))
    }

    /// Asks for something of every Rollout; gives when each was asked, by name.
    async fn each(
        &self,
        ask: impl AsyncFn(usize) -> Result<()>,
    ) -> Result<HashMap<String, Instant>> {
        let ask = &ask;
        let asked = stream::iter(0..self.story.count).map(|number| async move {
            let at = Instant::now();
            ask(number).await?;
            Ok::<_, Error>((manifest::name(number), at))
        });
        asked.buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn come_to_rest(
        &mut self,
        name: &'static str,
        generation: i64,
        mark: crate::meter::Mark,
        begin: Instant,
        asked: HashMap<String, Instant>,
    ) -> Result<Phase> {
        let rest = self
            .follower
            .rest(self.story.count, generation, PHASE_LIMIT)
            .await;
        self.follower.must_run()?;
        let rest = rest?;
        let last = rest.values().max().copied().unwrap_or(begin);
        let mut took: Vec<Duration> = rest
            .iter()
            .filter_map(|(name, at)| Some(at.saturating_duration_since(*asked.get(name)?)))
            .collect();
        took.sort_unstable();
        let time = Time {
            wall: last.saturating_duration_since(begin),
            median: took.get(took.len() / 2).copied().unwrap_or_default(),
        };
        let requests = self.meter.quiet().await?;
        self.meter.end(name, mark, time, requests).await
    }
}
