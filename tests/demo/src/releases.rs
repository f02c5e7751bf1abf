//! What `groundswell` says of releases. In: its JSON. Out: the few fields that the story waits for, and one line of them. The
//! story waits for what a person would wait for; it is judged by the witnesses.

use serde::Deserialize;
use tests_fleet::{Cli, Error, Result};

/// A release, as `groundswell release show -o json` prints it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// checkout#2.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// Of Git; empty: unknown.
    pub revision: String,
    /// Of its content.
    pub images: Vec<String>,
    /// Progressing, Succeeded, …
    pub phase: String,
    /// How it ended.
    pub verdict: String,
    /// In order.
    pub waves: Vec<Wave>,
}

/// One of its waves.
#[derive(Debug, Clone, Deserialize)]
pub struct Wave {
    /// Its name.
    pub name: String,
    /// Running, Baking, …
    pub phase: String,
    /// Its clusters.
    pub targets: Vec<Target>,
}

/// One cluster of a wave.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// Its name.
    pub cluster: String,
    /// Held, Progressing, …
    pub state: String,
    /// Of the canary's steps.
    pub step: u32,
    /// All of them.
    pub steps: u32,
}

/// Phases after which a release does nothing more.
const ENDED: [&str; 6] = [
    "Halted",
    "Succeeded",
    "Failed",
    "RolledBack",
    "RolledBackPartially",
    "Superseded",
];

impl Release {
    /// The newest release with this revision or this image.
    pub async fn find(cli: &Cli, revision: &str, image: &str) -> Result<Self> {
        let listed = cli.json(&["get", "releases"]).await?;
        let releases: Vec<Self> =
            serde_json::from_value(listed).map_err(Error::parse("the list of releases"))?;
        releases
            .into_iter()
            .filter(|release| {
                release.revision == revision || release.images.iter().any(|known| known == image)
            })
            .max_by_key(|release| release.number)
            .ok_or_else(|| Error::Check(format!("no release of {image} ({revision}) yet")))
    }

    /// One release.
    pub async fn show(cli: &Cli, name: &str) -> Result<Self> {
        let shown = cli.json(&["release", "show", name]).await?;
        serde_json::from_value(shown).map_err(Error::parse(format!("release {name}")))
    }

    /// It does nothing more.
    pub fn ended(&self) -> bool {
        ENDED.contains(&self.phase.as_str())
    }

    /// Whether a wave waits for a person.
    pub fn waits_for_approval(&self, wave: &str) -> bool {
        self.waves
            .iter()
            .any(|known| known.name == wave && known.phase == "WaitingForApproval")
    }

    /// Whether a wave has passed.
    pub fn has_passed(&self, wave: &str) -> bool {
        let mut waves = self.waves.iter();
        waves.any(|known| known.name == wave && known.phase == "Passed")
    }

    /// `checkout#2 Progressing · staging Succeeded · prod-eu Progressing 3/5 · prod-us Held`
    pub fn line(&self) -> String {
        let mut words = vec![format!("{} {}", self.name, self.phase)];
        for wave in &self.waves {
            for target in &wave.targets {
                let mut word = format!("{} {}", target.cluster, target.state);
                if target.state == "Progressing" && target.steps > 0 {
                    word += &format!(" {}/{}", target.step, target.steps);
                }
                if matches!(wave.phase.as_str(), "Baking" | "WaitingForApproval") {
                    word += &format!(" ({})", wave.phase);
                }
                words.push(word);
            }
        }
        words.join(" · ")
    }
}
