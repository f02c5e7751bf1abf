//! One phase, measured. In: a controller's process, its cluster. Out: CPU, memory and requests between two moments. What a
//! controller does late, after the last Rollout has come to rest, belongs to the phase: its end waits until it is quiet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tests_fleet::{Error, Process, Result, eventually};
use tokio::task::JoinHandle;

use crate::audit::{Log, Request};
use crate::bed::{Bed, USER};
use crate::etcd::{Etcd, Versions};
use crate::tally::Tally;
use crate::unchanged::{Unchanged, unchanged};
use crate::usage;

/// A controller that has written nothing for so long is done.
const QUIET: Duration = Duration::from_secs(2);
/// One that never stops writing is measured all the same.
const QUIET_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);

/// What a phase cost.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// create, update or idle.
    pub name: &'static str,
    /// Seconds until the last Rollout was at rest.
    pub wall: f64,
    /// Seconds that half of the Rollouts took, each from its own request.
    pub median: f64,
    /// CPU seconds of the controller.
    pub cpu: f64,
    /// CPU seconds of the API server.
    pub server_cpu: f64,
    /// The most memory it had: resident, in MiB.
    pub peak_rss: f64,
    /// The same with shared pages shared out, looked at twice a second.
    pub peak_pss: f64,
    /// Its requests.
    pub requests: Tally,
    /// Objects that were written in vain.
    pub unchanged: Vec<Unchanged>,
}

/// What measures.
#[derive(Debug)]
pub struct Meter {
    controller: u32,
    server: u32,
    log: Log,
    etcd: Etcd,
}

/// The beginning of a phase.
#[derive(Debug)]
pub struct Mark {
    controller: Duration,
    server: Duration,
    versions: Versions,
    memory: Memory,
}

impl Meter {
    /// For a controller's process on a cluster.
    pub fn new(bed: &Bed, controller: &Process) -> Result<Self> {
        let folder = bed.cluster().audit_log().display().to_string();
        Ok(Self {
            controller: controller.pid(),
            server: usage::group_of(&["kube-apiserver", &folder])?,
            log: Log::new(&bed.cluster().audit_log()),
            etcd: Etcd::new(&bed.cluster().etcd()?),
        })
    }

    /// A phase begins.
    pub async fn begin(&mut self) -> Result<Mark> {
        let versions = self.etcd.versions().await?;
        self.log.news()?;
        usage::reset_peak(self.controller)?;
        Ok(Mark {
            controller: usage::cpu(self.controller)?,
            server: usage::cpu(self.server)?,
            versions,
            memory: Memory::watch(self.controller),
        })
    }

    /// Waits until the controller is quiet; gives all requests of the phase.
    pub async fn quiet(&mut self) -> Result<Vec<Request>> {
        let mut requests = self.log.news()?;
        let mut since = Instant::now();
        let what = "the controller has nothing more to write";
        let found = eventually(what, QUIET_LIMIT, async || {
            let news = self.log.news().map_err(|error| error.to_string())?;
            if Tally::of(by_controller(&news)).writes > 0 {
                since = Instant::now();
            }
            requests.extend(news);
            if since.elapsed() < QUIET {
                return Err("it goes on writing".to_owned());
            }
            Ok(())
        })
        .await;
        match found {
            Ok(()) | Err(Error::Timeout { .. }) => Ok(requests),
            Err(error) => Err(error),
        }
    }

    /// The phase ends.
    pub async fn end(
        &mut self,
        name: &'static str,
        mark: Mark,
        time: Time,
        mut requests: Vec<Request>,
    ) -> Result<Phase> {
        requests.extend(self.log.news()?);
        let versions = self.etcd.versions().await?;
        let mib = |bytes: u64| bytes as f64 / usage::MIB;
        Ok(Phase {
            name,
            wall: time.wall.as_secs_f64(),
            median: time.median.as_secs_f64(),
            cpu: (usage::cpu(self.controller)?.saturating_sub(mark.controller)).as_secs_f64(),
            server_cpu: (usage::cpu(self.server)?.saturating_sub(mark.server)).as_secs_f64(),
            peak_rss: mib(usage::peak_rss(self.controller)?),
            peak_pss: mib(mark.memory.peak()),
            unchanged: unchanged(&mark.versions, &versions, &requests),
            requests: Tally::of(by_controller(&requests)),
        })
    }
}

/// How long a phase took.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// All of it.
    pub wall: Duration,
    /// Half of the Rollouts, each from its own request.
    pub median: Duration,
}

fn by_controller(requests: &[Request]) -> impl Iterator<Item = &Request> {
    requests.iter().filter(|request| request.user == USER)
}

/// Looks at the memory of a group until it is dropped.
#[derive(Debug)]
struct Memory {
    peak: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Memory {
    fn watch(group: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&peak);
        let task = tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK);
            loop {
                looks.tick().await;
                // A process that has ended is told of by whoever waits for it.
                if let Ok(now) = usage::pss(group) {
                    seen.fetch_max(now, Ordering::Relaxed);
                }
            }
        });
        Self { peak, task }
    }

    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.task.abort();
    }
}
