//! Where a canary stands, as far as another controller that takes it over must leave it alone. In: an application. Out: its
//! pods' lives, its ReplicaSets, its step, to be compared before and after.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests_fleet::records::{self, Happening, JournalLine};
use tests_fleet::{Cluster, Result, eventually};

use crate::object::{Kind, number, text};
use crate::shop::{NAME, SOON, Shop};

/// What the agent writes on a ReplicaSet that it has taken over.
const MARK: &str = "/metadata/annotations/fleet.groundswell.dev~1digest";

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What the kubelet did with each pod.
    pub pods: Vec<(String, String)>,
    /// UID and size of every ReplicaSet.
    pub sets: BTreeMap<String, (String, i64)>,
    /// Of the Rollout.
    pub step: i64,
    /// The hash of the list of steps.
    pub steps: String,
    /// Of the Rollout.
    pub phase: String,
    /// The ReplicaSets of the new and of the stable version.
    pub hashes: [String; 2],
}

impl Standing {
    /// As it is once no pod is on its way out.
    pub async fn of(cluster: &Cluster, shop: &Shop) -> Result<Self> {
        eventually("what goes is gone", SOON, async || {
            let pods = shop.all(Kind::Pod).await;
            let pods = pods.map_err(|error| error.to_string())?;
            let going = |pod: &&Value| pod.pointer("/metadata/deletionTimestamp").is_some();
            match pods.iter().find(going) {
                None => Ok(()),
                Some(pod) => Err(text(pod, "/metadata/name").to_owned()),
            }
        })
        .await?;
        let rollout = shop.rollout().await?;
        let sets = shop.all(Kind::ReplicaSet).await?;
        let set = |set: &Value| {
            let uid = text(set, "/metadata/uid").to_owned();
            let name = text(set, "/metadata/name").to_owned();
            (name, (uid, number(set, "/spec/replicas")))
        };
        let pods = journal(cluster, shop)?.into_iter();
        Ok(Self {
            pods: pods
                .map(|line| (line.uid, format!("{:?}", line.event)))
                .collect(),
            sets: sets.iter().map(set).collect(),
            step: number(&rollout, "/status/currentStepIndex"),
            steps: text(&rollout, "/status/currentStepHash").to_owned(),
            phase: text(&rollout, "/status/phase").to_owned(),
            hashes: ["/status/currentPodHash", "/status/stableRS"]
                .map(|field| text(&rollout, field).to_owned()),
        })
    }
}

/// The pods of an application that ever ran.
pub fn started(cluster: &Cluster, shop: &Shop) -> Result<BTreeSet<String>> {
    let lines = journal(cluster, shop)?.into_iter();
    let started = lines.filter(|line| line.event == Happening::Started);
    Ok(started.map(|line| line.uid).collect())
}

fn journal(cluster: &Cluster, shop: &Shop) -> Result<Vec<JournalLine>> {
    let mut lines: Vec<JournalLine> = records::read(&cluster.journal())?;
    lines.retain(|line| line.namespace == shop.namespace());
    Ok(lines)
}

/// Waits until a ReplicaSet bears the agent's mark.
pub async fn taken_over(shop: &Shop, hash: &str) -> Result<()> {
    eventually("the canary is taken over", SOON, async || {
        let set = shop
            .named(Kind::ReplicaSet, &format!("{NAME}-{hash}"))
            .await;
        let set = set.map_err(|error| error.to_string())?;
        let digest = text(&set, MARK);
        (!digest.is_empty()).then_some(()).ok_or("not yet".into())
    })
    .await
}

/// An error if the agent has had its hands on a ReplicaSet.
pub async fn untouched(shop: &Shop) -> Result<()> {
    let sets = shop.all(Kind::ReplicaSet).await?;
    let marked = sets.iter().find(|set| set.pointer(MARK).is_some());
    marked.map_or(Ok(()), |set| {
        Err(tests_fleet::Error::Check(set["metadata"].to_string()))
    })
}
