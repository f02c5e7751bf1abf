//! A made-up fleet. In: pods that start and end, what the API server would have said. Out: the files that the witnesses of a
//! real run write, in their form. Times are milliseconds from an arbitrary beginning.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use tests_demo::evidence::{Approval, Leader, Notes, Push, place};
use tests_demo::scenario::{CLUSTERS, LOAD_RATE, NAMESPACE, Version};

/// From start to readiness.
const STARTING: i64 = 400;

/// Milliseconds from the beginning.
pub type Moment = i64;

/// One pod.
pub struct Pod {
    pub name: String,
    pub version: Version,
    pub started: Moment,
    pub ended: Option<Moment>,
}

impl Pod {
    fn ready_at(&self, time: Moment) -> bool {
        self.started + STARTING <= time && self.ended.is_none_or(|ended| time < ended - 50)
    }
}

/// One cluster.
#[derive(Default)]
pub struct Cluster {
    pub pods: Vec<Pod>,
    pub sightings: Vec<(Moment, Value)>,
    pub answers: Vec<(Moment, Value)>,
    pub hidden_from_journal: Vec<String>,
}

/// Everything.
#[derive(Default)]
pub struct World {
    clusters: BTreeMap<String, Cluster>,
    pushes: Vec<(Version, Moment)>,
    approvals: Vec<(Version, Moment)>,
    pub load_from: Moment,
    pub frozen: Moment,
    pub thawed: Moment,
    pub killed: Moment,
    pub leaders: Vec<(&'static str, u64, Moment)>,
    pub ended: Moment,
    pub history: Vec<Value>,
}

fn stamp(time: Moment) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + time).expect("a time")
}

impl World {
    pub fn cluster(&mut self, name: &str) -> &mut Cluster {
        self.clusters.entry(name.into()).or_default()
    }

    pub fn push(&mut self, version: Version, time: Moment) {
        self.pushes.push((version, time));
        for cluster in CLUSTERS {
            self.rollout_seen(cluster, time + 300, version);
        }
    }

    pub fn pushed(&self, version: Version) -> Moment {
        let (_, time) = self
            .pushes
            .iter()
            .find(|(known, _)| *known == version)
            .expect("pushed");
        *time
    }

    pub fn approve(&mut self, version: Version, time: Moment) {
        self.approvals.push((version, time));
    }

    pub fn notes_ended(&self) -> Moment {
        self.ended
    }

    /// A pod's life; gives its place among the cluster's pods.
    pub fn pod(
        &mut self,
        cluster: &str,
        version: Version,
        started: Moment,
        ended: Option<Moment>,
    ) -> usize {
        let pods = &mut self.cluster(cluster).pods;
        let name = format!("checkout-{version}-{}", pods.len());
        pods.push(Pod {
            name,
            version,
            started,
            ended,
        });
        pods.len() - 1
    }

    pub fn rollout_seen(&mut self, cluster: &str, time: Moment, version: Version) {
        let sighting = json!({ "kind": "Rollout", "name": "checkout", "uid": "rollout", "images": [format!("demo:{version}")] });
        self.cluster(cluster).sightings.push((time, sighting));
    }

    pub fn set_wanted(&mut self, cluster: &str, time: Moment, version: Version, replicas: usize) {
        let sighting = json!({
            "kind": "ReplicaSet", "name": format!("checkout-{version}"), "uid": format!("set-{version}"),
            "specReplicas": replicas, "images": [format!("demo:{version}")],
        });
        self.cluster(cluster).sightings.push((time, sighting));
    }

    pub fn permitted(&mut self, version: Version, cluster: &str, direction: &str) {
        let release = format!("checkout#{}", version.number() - 1);
        self.history.push(json!({
            "kind": "PermitGranted", "release": release, "cluster": cluster, "message": format!("{cluster} {direction}"),
        }));
    }

    /// Asks every gateway, from the time that the load is on until the end.
    pub fn ask(&mut self) {
        let every = 1000 / i64::from(LOAD_RATE);
        let (from, to) = (self.load_from, self.ended);
        for (name, cluster) in &mut self.clusters {
            let mut turn = 0;
            let mut carried: BTreeMap<String, f64> = BTreeMap::new();
            for time in (from..to).step_by(usize::try_from(every).expect("positive")) {
                let ready: Vec<&Pod> = cluster
                    .pods
                    .iter()
                    .filter(|pod| pod.ready_at(time))
                    .collect();
                turn += 1;
                let pod = ready[turn % ready.len()];
                let rate: f64 = pod.version.error_rate(name).parse().expect("a number");
                let carried = carried.entry(pod.name.clone()).or_default();
                *carried += rate;
                let failed = *carried >= 1.0;
                *carried -= f64::from(u8::from(failed));
                let status = if failed { 500 } else { 200 };
                let answer = json!({ "status": status, "version": pod.version.to_string(), "pod": pod.name, "ms": 1.5 });
                cluster.answers.push((time, answer));
            }
        }
    }

    /// Writes what the witnesses would have.
    pub fn write(&self, run: &Path) {
        for (name, cluster) in &self.clusters {
            lines(&place::journal(run, name), name, cluster.journal());
            lines(&place::answers(run, name), name, cluster.answers.clone());
            lines(&place::sightings(run, name), name, cluster.seen());
        }
        let notes = Notes {
            pushes: self
                .pushes
                .iter()
                .map(|(version, time)| push(*version, *time))
                .collect(),
            approvals: self
                .approvals
                .iter()
                .map(|(version, time)| approval(*version, *time))
                .collect(),
            load_from: Some(stamp(self.load_from)),
            hub_killed: Some(stamp(self.killed)),
            leaders: self.leaders.iter().map(leader).collect(),
            frozen: Some(stamp(self.frozen)),
            thawed: Some(stamp(self.thawed)),
            ended: Some(stamp(self.ended)),
            told: true,
        };
        let text = serde_json::to_string(&notes).expect("JSON");
        std::fs::write(place::notes(run), text).expect("written");
        std::fs::write(
            place::history(run),
            Value::from(self.history.clone()).to_string(),
        )
        .expect("written");
    }
}

impl Cluster {
    fn journal(&self) -> Vec<(Moment, Value)> {
        let seen = self
            .pods
            .iter()
            .filter(|pod| !self.hidden_from_journal.contains(&pod.name));
        seen.flat_map(|pod| {
            let line = |time: Moment, event: &str| {
                (
                    time,
                    json!({ "event": event, "image": format!("demo:{}", pod.version) }),
                )
            };
            let begin = [
                line(pod.started, "started"),
                line(pod.started + STARTING, "ready"),
            ];
            let end = pod
                .ended
                .map(|ended| [line(ended - 50, "unready"), line(ended, "stopped")]);
            let lines = begin.into_iter().chain(end.into_iter().flatten());
            lines.map(|(time, mut line)| {
                line["pod"] = json!(pod.name);
                line["uid"] = json!(format!("uid-{}", pod.name));
                (time, line)
            })
        })
        .collect()
    }

    fn seen(&self) -> Vec<(Moment, Value)> {
        let pods = self.pods.iter().map(|pod| {
            let sighting = json!({
                "kind": "Pod", "name": pod.name, "uid": format!("uid-{}", pod.name),
                "phase": "Running", "images": [format!("demo:{}", pod.version)],
            });
            (pod.started + 100, sighting)
        });
        pods.chain(self.sightings.iter().cloned()).collect()
    }
}

fn push(version: Version, time: Moment) -> Push {
    Push {
        version: version.number(),
        time: stamp(time),
        revision: format!("revision-{version}"),
    }
}

fn leader((name, epoch, time): &(&str, u64, Moment)) -> Leader {
    Leader {
        name: (*name).to_owned(),
        epoch: *epoch,
        time: stamp(*time),
    }
}

fn approval(version: Version, time: Moment) -> Approval {
    Approval {
        version: version.number(),
        time: stamp(time),
    }
}

fn lines(path: &Path, cluster: &str, mut lines: Vec<(Moment, Value)>) {
    lines.sort_by_key(|(time, _)| *time);
    let text: String = lines
        .into_iter()
        .map(|(time, mut line)| {
            line["time"] = json!(stamp(time).to_string());
            line["cluster"] = json!(cluster);
            line["namespace"] = json!(NAMESPACE);
            if line.get("event").is_none() {
                line["event"] = json!("MODIFIED");
            }
            format!("{line}\n")
        })
        .collect();
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, text).expect("written");
}
