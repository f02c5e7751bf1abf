//! What the story is about. In: nothing. Out: the clusters, the versions, the steps, and how each version must end in each
//! cluster. The story acts it out; the verification holds the witnesses against it.

use std::fmt;
use std::time::Duration;

/// The service's namespace.
pub const NAMESPACE: &str = "shop";
/// The service, the Rollout and the FleetRollout.
pub const NAME: &str = "checkout";
/// The clusters, in the order of the waves: one cluster a wave.
pub const CLUSTERS: [&str; 3] = ["staging", "prod-eu", "prod-us"];
/// The wave that a person must approve.
pub const APPROVED: &str = "prod-eu";
/// The cluster in which version 4 is bad.
pub const BAD_IN: &str = "prod-eu";
/// The cluster that is relabelled in the middle of version 2.
pub const FROZEN: &str = "prod-us";
/// The label that it gets; a FleetWindow holds the clusters that have it.
pub const FREEZE: &str = "season=sale";
/// Its turn has come, and so much longer it is left frozen: without the freeze it would have started.
pub const FROZEN_FOR: Duration = Duration::from_secs(2);
/// Five, so that 20 % and 60 % are whole pods.
pub const REPLICAS: usize = 5;
/// Requests a second to each cluster's gateway.
pub const LOAD_RATE: u32 = 50;

/// Pods of the new version at the first step, 20 %.
pub const FIRST_PODS: usize = 1;
/// Pods of the new version at the second step, 60 %.
pub const SECOND_PODS: usize = 3;
/// How long the first step is held before the analysis. Prometheus takes up new targets every five seconds and asks each
/// within another; a measurement without data is an error, and the next one comes ten seconds later.
pub const FIRST_PAUSE: Duration = Duration::from_secs(8);
/// How long the second step is held.
pub const SECOND_PAUSE: Duration = Duration::from_secs(3);
/// Measurements of the analysis.
pub const MEASUREMENTS: u32 = 3;
/// Between two of them.
pub const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How long a wave is watched after it has succeeded.
pub const BAKE: Duration = Duration::from_secs(3);
/// Kubernetes keeps whole seconds: the start of a pause may be kept up to this much too early.
pub const WHOLE_SECOND: Duration = Duration::from_secs(1);

/// One version of the service, v1 to v5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u8);

/// Every version, in the order of the story.
pub const VERSIONS: [Version; 5] = [Version(1), Version(2), Version(3), Version(4), Version(5)];

/// How a version ends in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All pods, until the next one comes.
    Serves,
    /// Seen by the analysis at the first step; the cluster is back on what it served.
    Caught,
    /// It had all pods and was taken back by the fleet.
    TakenBack,
    /// No pod of it was ever started.
    NeverStarts,
}

impl Version {
    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The version of an image like `demo:v3`.
    pub fn of_image(image: &str) -> Option<Self> {
        let tag = image.rsplit_once(':')?.1;
        VERSIONS
            .into_iter()
            .find(|version| version.to_string() == tag)
    }

    /// The version that was pushed after it.
    pub fn next(self) -> Option<Self> {
        VERSIONS.into_iter().find(|version| version.0 == self.0 + 1)
    }

    /// The share of requests that it fails in a cluster.
    pub fn error_rate(self, cluster: &str) -> &'static str {
        match (self.0, cluster) {
            (3, _) => "0.2",
            (4, BAD_IN) => "0.3",
            _ => "0",
        }
    }

    /// How it must end in a cluster.
    pub fn ending(self, cluster: &str) -> Ending {
        match (self.0, cluster) {
            (3, "staging") | (4, BAD_IN) => Ending::Caught,
            (3, _) | (4, "prod-us") => Ending::NeverStarts,
            (4, _) => Ending::TakenBack,
            _ => Ending::Serves,
        }
    }

    /// What serves in every cluster when its part of the story is over.
    pub fn leaves_serving(self) -> Self {
        match self.0 {
            3 | 4 => Version(2),
            own => Version(own),
        }
    }

    /// What a stranger reads above its part.
    pub fn told(self) -> &'static str {
        match self.0 {
            1 => "v1 everywhere",
            2 => {
                "v2 is good: staging, then prod-eu after an approval, then prod-us, which meanwhile got a label that freezes it"
            }
            3 => "v3 fails a fifth of its requests: caught in staging, never started elsewhere",
            4 => "v4 is bad in prod-eu alone: staging had finished it and is taken back",
            _ => {
                "v5 is good; the hub that decides is killed in the middle of the second wave, and the other one takes over"
            }
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "v{}", self.0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Ending::Serves => "serves",
            Ending::Caught => "caught at the first step",
            Ending::TakenBack => "taken back by the fleet",
            Ending::NeverStarts => "never started",
        })
    }
}
