//! What the witnesses of a run have seen. In: the run's folder. Out: for each cluster the lives of its pods, the answers
//! that people got, what the API server said; and the notes of the story: what was pushed, approved, killed, when. Nothing
//! here is what a program of ours said of itself, but for the hub's history, which only `nothing twice` looks at.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tests_fleet::records::{self, Answer, Happening, JournalLine, Sighting};
use tests_fleet::{Error, Result};

use crate::scenario::{CLUSTERS, NAMESPACE, VERSIONS, Version};

/// The story's own notes, written as it goes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// What was pushed, in order.
    pub pushes: Vec<Push>,
    /// When somebody said yes, by version.
    pub approvals: Vec<Approval>,
    /// When the load on the gateways was on.
    pub load_from: Option<Timestamp>,
    /// Just before a cluster got the label that freezes it.
    pub frozen: Option<Timestamp>,
    /// Just before it lost that label.
    pub thawed: Option<Timestamp>,
    /// SIGKILL to the hub that decided; it is not started again.
    pub hub_killed: Option<Timestamp>,
    /// Who decided before that, and then who after it.
    #[serde(default)]
    pub leaders: Vec<Leader>,
    /// The end of the evidence that counts.
    pub ended: Option<Timestamp>,
    /// The story was told to that end, and did not break off there.
    #[serde(default)]
    pub told: bool,
}

/// One push.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Push {
    /// v1 … v5, by number.
    pub version: u8,
    /// Just before it.
    pub time: Timestamp,
    /// Git's.
    pub revision: String,
}

/// One approval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Approval {
    /// Of this version.
    pub version: u8,
    /// Just before it.
    pub time: Timestamp,
}

/// The hub that decides, by the word of the database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leader {
    /// Under which it holds the lease.
    pub name: String,
    /// Raised by every takeover.
    pub epoch: u64,
    /// When the database was asked.
    pub time: Timestamp,
}

/// One row of the hub's history, as far as it is looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct HistoryRow {
    /// What happened.
    pub kind: String,
    /// checkout#2.
    #[serde(default)]
    pub release: String,
    /// Where; empty: nowhere in particular.
    #[serde(default)]
    pub cluster: String,
    /// The sentence; for a permit, which digest.
    #[serde(default)]
    pub message: String,
}

/// The life of one container of a pod, by the kubelet's journal.
#[derive(Debug, Clone)]
pub struct Life {
    /// The pod's.
    pub uid: String,
    /// The pod's.
    pub pod: String,
    /// Of its image.
    pub version: Version,
    /// Its process was started.
    pub started: Timestamp,
    /// From, until (if it has ended): while it could be asked.
    pub ready: Vec<(Timestamp, Option<Timestamp>)>,
    /// Its process ended, by itself or not.
    pub ended: Option<Timestamp>,
}

impl Life {
    /// Its process ran then.
    pub fn ran_at(&self, time: Timestamp) -> bool {
        self.started <= time && self.ended.is_none_or(|ended| time < ended)
    }

    /// It could be asked then.
    pub fn ready_at(&self, time: Timestamp) -> bool {
        self.ready
            .iter()
            .any(|(from, until)| *from <= time && until.is_none_or(|until| time < until))
    }
}

/// What was seen of one cluster.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its name.
    pub cluster: String,
    /// Of its pods, in the order of their starts.
    pub lives: Vec<Life>,
    /// In the order of the requests.
    pub answers: Vec<Answer>,
    /// In the order of time.
    pub sightings: Vec<Sighting>,
}

impl Seen {
    /// Pods of a version whose process ran then.
    pub fn running(&self, version: Version, time: Timestamp) -> usize {
        self.of(version).filter(|life| life.ran_at(time)).count()
    }

    /// Pods of a version that could be asked then.
    pub fn ready(&self, version: Version, time: Timestamp) -> usize {
        self.of(version).filter(|life| life.ready_at(time)).count()
    }

    /// The pods of a version.
    pub fn of(&self, version: Version) -> impl Iterator<Item = &Life> {
        self.lives
            .iter()
            .filter(move |life| life.version == version)
    }

    /// When the first pod of a version was started.
    pub fn first_start(&self, version: Version) -> Option<Timestamp> {
        self.of(version).map(|life| life.started).min()
    }

    /// The first moment at which so many pods of a version could be asked.
    pub fn first_with_ready(&self, version: Version, count: usize) -> Option<Timestamp> {
        let mut moments: Vec<Timestamp> = self
            .of(version)
            .flat_map(|life| &life.ready)
            .map(|(from, _)| *from)
            .collect();
        moments.sort();
        moments
            .into_iter()
            .find(|moment| self.ready(version, *moment) >= count)
    }

    /// The first moment at which so many pods of a version ran.
    pub fn first_with_running(&self, version: Version, count: usize) -> Option<Timestamp> {
        let moments = self.of(version).map(|life| life.started);
        moments
            .filter(|moment| self.running(version, *moment) >= count)
            .min()
    }

    /// The answers that a version gave.
    pub fn answers_of(&self, version: Version) -> impl Iterator<Item = &Answer> {
        let name = version.to_string();
        self.answers
            .iter()
            .filter(move |answer| answer.version == name)
    }
}

/// Everything that was seen.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The story's notes.
    pub notes: Notes,
    /// By cluster, in the order of the waves.
    pub clusters: Vec<Seen>,
    /// What the hub has written down.
    pub history: Vec<HistoryRow>,
}

/// Where things are in a run's folder.
pub mod place {
    use std::path::{Path, PathBuf};

    /// The story's notes.
    pub fn notes(run: &Path) -> PathBuf {
        run.join("story.json")
    }

    /// The hub's history, as `groundswell history -o json` printed it.
    pub fn history(run: &Path) -> PathBuf {
        run.join("history.json")
    }

    /// The kubelet's journal of a cluster.
    pub fn journal(run: &Path, cluster: &str) -> PathBuf {
        run.join("sandbox").join(cluster).join("journal.ndjson")
    }

    /// The answers that the load generator got from a cluster.
    pub fn answers(run: &Path, cluster: &str) -> PathBuf {
        run.join("load").join(format!("{cluster}.ndjson"))
    }

    /// What was seen of a cluster's API.
    pub fn sightings(run: &Path, cluster: &str) -> PathBuf {
        run.join("witness").join(format!("{cluster}.ndjson"))
    }
}

impl Evidence {
    /// Reads a run's folder. A source that is missing is an error: silence is no evidence.
    pub fn read(run: &Path) -> Result<Self> {
        let notes: Notes = json(&place::notes(run))?;
        // What happens to a fleet that is left up is no part of the story.
        let end = notes.ended.unwrap_or(Timestamp::MAX);
        let clusters: Result<Vec<Seen>> = CLUSTERS
            .iter()
            .map(|cluster| seen(run, cluster, end))
            .collect();
        Ok(Self {
            notes,
            clusters: clusters?,
            history: json(&place::history(run))?,
        })
    }

    /// One cluster.
    pub fn cluster(&self, name: &str) -> Option<&Seen> {
        self.clusters.iter().find(|seen| seen.cluster == name)
    }

    /// From the push of a version until the next one's, or until the end.
    pub fn part(&self, version: Version) -> Option<(Timestamp, Timestamp)> {
        let pushed = |version: Version| {
            let push = self
                .notes
                .pushes
                .iter()
                .find(|push| push.version == version.number());
            push.map(|push| push.time)
        };
        // A story that broke off ends in the part of the last push.
        let until = version.next().and_then(pushed).or(self.notes.ended);
        Some((pushed(version)?, until?))
    }
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    serde_json::from_str(&text).map_err(Error::parse(path.display().to_string()))
}

fn seen(run: &Path, cluster: &str, end: Timestamp) -> Result<Seen> {
    let mut answers: Vec<Answer> = records::read(&place::answers(run, cluster))?;
    answers.retain(|answer| answer.time <= end);
    answers.sort_by_key(Answer::asked);
    let mut sightings: Vec<Sighting> = records::read(&place::sightings(run, cluster))?;
    sightings.retain(|sighting| sighting.namespace == NAMESPACE && sighting.time <= end);
    let mut journal: Vec<JournalLine> = records::read(&place::journal(run, cluster))?;
    journal.retain(|line| line.time <= end);
    Ok(Seen {
        cluster: cluster.to_owned(),
        lives: lives(&journal)?,
        answers,
        sightings,
    })
}

/// The lives that a journal tells of.
pub fn lives(journal: &[JournalLine]) -> Result<Vec<Life>> {
    let mut open: BTreeMap<&str, Life> = BTreeMap::new();
    let mut lives = Vec::new();
    for line in journal.iter().filter(|line| line.namespace == NAMESPACE) {
        let version = Version::of_image(&line.image);
        match (line.event, version, open.get_mut(line.uid.as_str())) {
            (Happening::PullFailed, _, _) | (_, None, _) => {
                let known: Vec<String> = VERSIONS.iter().map(ToString::to_string).collect();
                return Err(Error::Check(format!(
                    "the journal tells of image {} in pod {}, which is none of {}",
                    line.image,
                    line.pod,
                    known.join(", ")
                )));
            }
            (Happening::Started, Some(version), _) => {
                let life = Life {
                    uid: line.uid.clone(),
                    pod: line.pod.clone(),
                    version,
                    started: line.time,
                    ready: Vec::new(),
                    ended: None,
                };
                lives.extend(open.insert(&line.uid, life));
            }
            (Happening::Ready, _, Some(life)) => life.ready.push((line.time, None)),
            (Happening::Unready, _, Some(life)) => close(life, line.time),
            (Happening::Exited | Happening::Stopped, _, Some(life)) => {
                close(life, line.time);
                life.ended = life.ended.or(Some(line.time));
            }
            // The end of a container that had never been started.
            (_, _, None) => {}
        }
    }
    lives.extend(open.into_values());
    lives.sort_by_key(|life| life.started);
    Ok(lives)
}

fn close(life: &mut Life, time: Timestamp) {
    if let Some((_, until @ None)) = life.ready.last_mut() {
        *until = Some(time);
    }
}
