//! Control planes for tests. In: names. Out: running clusters with the folder of their logs. Never more of them at a time
//! than this machine takes, whatever order the tests are run in.

use std::path::Path;

use tests_fleet::{
    Agent, AgentAccess, AgentOptions, Cluster, Error, Prometheus, Result, RunDir, Sandbox, programs,
};
use tokio::sync::{Mutex, OnceCell, Semaphore, SemaphorePermit};

use crate::shop::Shop;

/// One takes 0.7 GB and, while it starts, a core.
const AT_A_TIME: usize = 4;

static PLANES: Semaphore = Semaphore::const_new(AT_A_TIME);
static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// Leave to run some control planes.
pub type Leave = SemaphorePermit<'static>;

/// Waits until there may be so many more.
pub async fn leave(count: u32) -> Result<Leave> {
    let permit = PLANES.acquire_many(count).await;
    permit.map_err(Error::parse("leave for control planes"))
}

/// Clusters for one test alone. They are taken down from the first field to the last.
#[derive(Debug)]
pub struct Bed {
    /// The clusters.
    pub sandbox: Sandbox,
    /// Their logs.
    pub run: RunDir,
    _leave: Leave,
}

impl Bed {
    /// Starts clusters of these names.
    pub async fn up(test: &str, names: &[&str]) -> Result<Self> {
        tests_fleet::init();
        let leave = leave(u32::try_from(names.len()).unwrap_or(u32::MAX)).await?;
        let run = RunDir::temporary(test)?;
        let sandbox = Sandbox::up(&run, names).await?;
        Ok(Self {
            sandbox,
            run,
            _leave: leave,
        })
    }

    /// The first cluster.
    pub fn first(&self) -> Result<&Cluster> {
        let first = self.sandbox.clusters().first();
        first.ok_or_else(|| Error::Check("a bed without clusters".into()))
    }
}

/// One cluster with one agent and no hub, for every test that needs no more; each has a namespace of its own. Its control
/// plane has none of our own kinds, as in a cluster that only came for a single-cluster controller.
#[derive(Debug)]
pub struct Shared {
    agent: Mutex<Agent>,
    /// It scrapes the pods of this cluster.
    pub prometheus: Prometheus,
    /// For further agents, each with an instance id.
    pub access: AgentAccess,
    bed: Bed,
}

impl Shared {
    /// Starts it with the first test that asks; it ends with this process.
    pub async fn get() -> Result<&'static Self> {
        SHARED.get_or_try_init(Self::start).await
    }

    async fn start() -> Result<Self> {
        tests_fleet::init();
        let leave = leave(1).await?;
        let run = process_folder("shared")?;
        let sandbox = Sandbox::up(&run, &["shared"]).await?;
        let bed = Bed {
            sandbox,
            run,
            _leave: leave,
        };
        let prometheus = Prometheus::start(&bed.run, bed.sandbox.clusters()).await?;
        let access = AgentAccess::install(&bed.run, bed.first()?).await?;
        crate::deed::remove_our_kinds(bed.first()?).await?;
        let options = AgentOptions {
            prometheus: Some(prometheus.url()),
            ..AgentOptions::default()
        };
        let agent = Mutex::new(Agent::start(&bed.run, &access, &options)?);
        Ok(Self {
            agent,
            prometheus,
            access,
            bed,
        })
    }

    /// With an application in a namespace of its own.
    pub async fn with(namespace: &str) -> Result<(&'static Self, Shop)> {
        let shared = Self::get().await?;
        let shop = Shop::open(shared.cluster()?, namespace).await?;
        Ok((shared, shop))
    }

    /// The cluster.
    pub fn cluster(&self) -> Result<&Cluster> {
        self.bed.first()
    }

    /// Where logs of a test may go.
    pub fn run(&self) -> &RunDir {
        &self.bed.run
    }

    /// An error if the agent has ended, ever lacked a right or made a plan that its audit refuses.
    pub async fn check(&self) -> Result<()> {
        let mut agent = self.agent.lock().await;
        agent.process().must_run()?;
        agent.assert_no_fault()
    }
}

/// A folder that is named by this process, because nothing is dropped at its end. What ended ones left is removed.
fn process_folder(name: &str) -> Result<RunDir> {
    let all = programs::target().join("e2e");
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        let lives = Path::new("/proc").join(entry.file_name()).exists();
        if !lives {
            // Somebody else may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    RunDir::named(&all.join(std::process::id().to_string()).join(name))
}
