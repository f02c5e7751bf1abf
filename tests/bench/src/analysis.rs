//! Many AnalysisRuns on one agent. In: how many, their interval, for how long. Out: how late measurements are, seen from
//! the server that they ask, and what the agent and the API server cost meanwhile: first alone, then beside runs whose
//! servers hang or drip. It believes nothing that the agent says of itself.

pub mod lateness;
pub mod manifest;
pub mod report;
pub mod server;

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use serde::Serialize;
use serde_json::Value;
use tests_fleet::{Error, Process, Result, RunDir, eventually};

use crate::bed::{Bed, Rights};
use crate::command::command;
use crate::manifest::NAMESPACE;
use crate::meter::{Meter, Phase, Time};
use lateness::{Book, Lateness};
use manifest::Sort;
use server::Servers;

/// Creations at a time: enough for the API server to be what they wait for.
const AT_A_TIME: usize = 32;
/// Everything created is measured within this, or the agent does not get there at all.
const WARM_UP_LIMIT: Duration = Duration::from_secs(1200);
/// Measurements of every metric before anything is counted: the first has no due time, the second may still be late from
/// the creation of the rest.
const WARM: u32 = 3;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Story {
    /// The agent's command line.
    pub command: String,
    /// Runs whose server answers.
    pub runs: usize,
    /// Runs whose server never answers, and as many whose server drips.
    pub stuck: usize,
    /// Time between two measurements of a metric.
    pub interval: Duration,
    /// How long each scenario is looked at.
    pub window: Duration,
}

/// One scenario.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// What it cost.
    pub phase: Phase,
    /// How late the runs with a good server were measured.
    pub lateness: Lateness,
    /// Requests that hang or drip at the end.
    pub stuck: usize,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Runs whose server answers.
    pub runs: usize,
    /// Seconds from the first creation until everything was warm.
    pub warm_up: f64,
    /// Without and with stuck runs.
    pub scenarios: Vec<Scenario>,
}

/// The kind that is driven.
pub fn kind() -> ApiResource {
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "AnalysisRun");
    ApiResource::from_gvk(&kind)
}

/// Brings a cluster up and puts the agent through it.
pub async fn tell(run: &RunDir, story: &Story, say: impl Fn(&str)) -> Result<Outcome> {
    say("bringing a cluster up");
    let mut bed = Bed::up(run, Rights::Shipped).await?;
    let command = command(&story.command, &bed.kubeconfig())?;
    let mut agent = Process::spawn(run, "agent", command)?;
    let book = Book::new(story.runs, story.interval);
    let client = bed.cluster().client().await?;
    let teller = Teller {
        api: Api::namespaced_with(client, NAMESPACE, &kind()),
        servers: Servers::start(book.clone()).await?,
        book,
        story,
    };
    let mut meter = Meter::new(&bed, &agent)?;
    let begin = Instant::now();
    let warmed = teller.warm_up().await;
    agent.must_run()?;
    bed.must_run()?;
    warmed?;
    let warm_up = begin.elapsed().as_secs_f64();
    say(&format!(
        "{} runs are there and warm after {warm_up:.0} s",
        story.runs
    ));
    let mut scenarios = Vec::new();
    for name in ["alone", "beside stuck"] {
        if name == "beside stuck" {
            teller.get_stuck().await?;
        }
        let scenario = teller.look(name, &mut meter).await;
        agent.must_run()?;
        bed.must_run()?;
        let scenario = scenario?;
        say(&report::line(&scenario));
        scenarios.push(scenario);
    }
    agent.stop().await?;
    Ok(Outcome {
        runs: story.runs,
        warm_up,
        scenarios,
    })
}

/// Creates runs, waits and looks.
pub struct Teller<'a> {
    /// Where runs are created.
    pub api: Api<DynamicObject>,
    /// What they ask.
    pub servers: Servers,
    /// What was asked when.
    pub book: Book,
    /// The story.
    pub story: &'a Story,
}

impl Teller<'_> {
    /// Creates the good runs and waits until every metric was measured a few times.
    pub async fn warm_up(&self) -> Result<()> {
        self.create(Sort::Good, self.story.runs).await?;
        let what = "every metric was measured a few times";
        eventually(what, WARM_UP_LIMIT, async || {
            match self.book.colder_than(WARM) {
                0 => Ok(()),
                cold => Err(format!("{cold} metrics were not")),
            }
        })
        .await
    }

    /// Creates the runs that get stuck and waits until some of each sort are; how many at a time is the agent's choice.
    pub async fn get_stuck(&self) -> Result<()> {
        for sort in [Sort::Silent, Sort::Dripping] {
            self.create(sort, self.story.stuck).await?;
        }
        if self.story.stuck == 0 {
            return Ok(());
        }
        let what = "requests hang and others drip";
        eventually(what, WARM_UP_LIMIT, async || {
            let (silent, dripping) = self.servers.stuck();
            if silent == 0 || dripping == 0 {
                return Err(format!("{silent} hang, {dripping} drip"));
            }
            Ok(())
        })
        .await
    }

    async fn look(&self, name: &'static str, meter: &mut Meter) -> Result<Scenario> {
        let mark = meter.begin().await?;
        self.book.open();
        let begin = Instant::now();
        let (window, limit) = (self.story.window, self.story.window.saturating_mul(2));
        eventually("the window is over", limit, async || {
            let passed = begin.elapsed();
            let over = passed >= window;
            over.then_some(())
                .ok_or(format!("{} s passed", passed.as_secs()))
        })
        .await?;
        let lateness = self.book.close();
        let (silent, dripping) = self.servers.stuck();
        let time = Time {
            wall: begin.elapsed(),
            median: Duration::ZERO,
        };
        let phase = meter.end(name, mark, time, Vec::new()).await?;
        Ok(Scenario {
            phase,
            lateness,
            stuck: silent.saturating_add(dripping),
        })
    }

    async fn create(&self, sort: Sort, count: usize) -> Result<()> {
        let address = self.servers.address(sort);
        stream::iter(0..count)
            .map(|number| {
                let object = manifest::run(sort, number, &address, self.story.interval);
                self.create_one(object)
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }

    async fn create_one(&self, object: Value) -> Result<()> {
        let object: DynamicObject =
            serde_json::from_value(object).map_err(Error::parse("a run of the benchmark"))?;
        let created = self.api.create(&PostParams::default(), &object).await;
        created
            .map(drop)
            .map_err(Error::kube("create an AnalysisRun"))
    }
}
