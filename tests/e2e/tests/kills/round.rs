//! What is done in a round, and how its end is known. In: a stage at rest. Out: a changed Rollout; whether it shows the end.

use serde_json::{Value, json};
use tests_e2e::deed;
use tests_e2e::object::{Kind, number, text};
use tests_e2e::quiet::quiet;
use tests_e2e::shop::{NAME, SOON};
use tests_fleet::{Result, eventually};

use super::{How, PREVIEW, REPLICAS, STILL, Stage};

/// A canary of less would not show much.
pub(super) const WRITES_MIN: u64 = 8;
/// Nor would anything else.
const OTHER_WRITES_MIN: u64 = 3;
/// What an autoscaler wants in between.
const MORE_REPLICAS: u64 = 4;

/// What is done once a round, and must come out the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// The next version.
    Version,
    /// A restart of all pods.
    Restart,
    /// An autoscaler wants more pods; they go again before the next round.
    Scale,
    /// The next version waits for a person, who aborts it.
    Abort,
    /// Back to the revision before.
    Undo,
}

impl Deed {
    pub(super) fn writes_min(self) -> u64 {
        match self {
            Deed::Version => WRITES_MIN,
            Deed::Restart | Deed::Scale | Deed::Abort | Deed::Undo => OTHER_WRITES_MIN,
        }
    }

    /// Old ReplicaSets that are kept. What was aborted earlier is neither old nor new in the end of a round.
    fn kept(self) -> u32 {
        match self {
            Deed::Abort => 0,
            Deed::Version | Deed::Restart | Deed::Scale | Deed::Undo => 1,
        }
    }
}

impl Stage {
    /// The next version: the same program with another environment.
    pub(super) async fn deploy(&mut self) -> Result<()> {
        self.round += 1;
        let half = json!({"setWeight": 50});
        let steps = match self.deed {
            Deed::Abort => json!([half, {"pause": {}}]),
            // Runs of earlier lives of a version would stay beside the new one's.
            Deed::Undo => json!([half, {"pause": {"duration": "1s"}}]),
            Deed::Version | Deed::Restart | Deed::Scale => json!([
                half, {"pause": {"duration": "1s"}},
                {"analysis": {"templates": [{"templateName": "instant"}]}},
            ]),
        };
        let mut manifest = self.lane.shop.manifest("v1", &steps);
        if let How::BlueGreen = self.how {
            let analysis = json!({"templates": [{"templateName": "instant"}]});
            manifest["spec"]["strategy"] = json!({"blueGreen": {
                "activeService": NAME, "previewService": PREVIEW, "previewReplicaCount": 1,
                "prePromotionAnalysis": analysis, "postPromotionAnalysis": analysis,
                "autoPromotionSeconds": 1, "scaleDownDelaySeconds": 1,
            }});
        }
        manifest["spec"]["replicas"] = json!(REPLICAS);
        manifest["spec"]["revisionHistoryLimit"] = json!(self.deed.kept());
        let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
        container["env"] = json!([{"name": "ROUND", "value": self.round.to_string()}]);
        // Ready as soon as it runs.
        container
            .as_object_mut()
            .map(|fields| fields.remove("readinessProbe"));
        self.lane.shop.apply(&manifest).await
    }

    /// Brings about what the round begins from; its writes are not counted.
    pub(super) async fn prepare(&mut self) -> Result<()> {
        match self.deed {
            Deed::Abort => {
                self.deploy().await?;
                self.lane.shop.paused_at(1).await?;
                let trigger = self.lane.proxy.trigger();
                quiet("nothing more is written", STILL, SOON, || trigger.count()).await?;
            }
            // The second version; later there are two.
            Deed::Undo => {
                if self.revision_before().await?.is_none() {
                    self.deploy().await?;
                    self.settled().await?;
                }
            }
            Deed::Version | Deed::Restart | Deed::Scale => {}
        }
        Ok(())
    }

    /// Begins a round.
    pub(super) async fn begin(&mut self) -> Result<()> {
        match self.deed {
            Deed::Version => self.deploy().await,
            Deed::Restart => {
                // A pod's age is in whole seconds: one that was made in this one is not older.
                let before = self.newest_second();
                let now = eventually("the next second", SOON, async || {
                    let now = jiff::Timestamp::now();
                    let later = Some(now.as_second()) > before;
                    later.then_some(now).ok_or_else(|| now.to_string())
                });
                self.lane.shop.patch(&deed::restart(now.await?)).await
            }
            Deed::Abort => self.lane.shop.verb(&deed::abort()).await,
            Deed::Undo => {
                let revision = self.revision_before().await?;
                self.lane.shop.undo_to(&revision.unwrap_or_default()).await
            }
            Deed::Scale => {
                let more = json!({"spec": {"replicas": MORE_REPLICAS}});
                self.lane.shop.patch(&more).await
            }
        }
    }

    /// The second in which the last pod was started.
    fn newest_second(&self) -> Option<i64> {
        let lines = self.journal().ok()?;
        lines.iter().map(|line| line.time.as_second()).max()
    }

    /// The revision of the version that is not served; its round is the present one from now on.
    async fn revision_before(&mut self) -> Result<Option<String>> {
        let rollout = self.lane.shop.rollout().await?;
        let stable = text(&rollout, "/status/stableRS");
        let sets = self.lane.shop.all(Kind::ReplicaSet).await?;
        let other = sets
            .iter()
            .find(|set| text(set, "/metadata/labels/rollouts-pod-template-hash") != stable);
        let Some(other) = other else {
            return Ok(None);
        };
        let round = text(other, "/spec/template/spec/containers/0/env/0/value");
        self.round = round.parse().unwrap_or_default();
        let revision = "/metadata/annotations/rollout.argoproj.io~1revision";
        Ok(Some(text(other, revision).to_owned()))
    }

    /// Waits until every ReplicaSet has the pods that it should have, and none of its pods is still ending: on a busy machine
    /// its controller and the kubelet come long after the agent's last write.
    pub(super) async fn sets_rest(&self) -> Result<()> {
        eventually("every ReplicaSet rests", SOON, async || {
            let sets = self.lane.shop.all(Kind::ReplicaSet).await;
            let sets = sets.map_err(|error| error.to_string())?;
            let busy = sets.iter().find(|set| {
                number(set, "/status/observedGeneration") < number(set, "/metadata/generation")
                    || number(set, "/status/replicas") != number(set, "/spec/replicas")
                    || number(set, "/status/terminatingReplicas") > 0
            });
            match busy {
                Some(set) => Err(format!("{} {}", text(set, "/metadata/name"), set["status"])),
                None => Ok(()),
            }
        })
        .await
    }

    /// Whether the Rollout, as it is, shows the end of the round.
    pub(super) fn is_done(&self, rollout: &Value) -> bool {
        let round = self.round.to_string();
        let written = text(rollout, "/spec/template/spec/containers/0/env/0/value") == round;
        if self.deed == Deed::Abort && self.round > 1 {
            let count = |field| number(rollout, field);
            let replicas = count("/spec/replicas");
            let whole = ["/status/replicas", "/status/availableReplicas"];
            return written
                && text(rollout, "/status/phase") == "Degraded"
                && count("/status/updatedReplicas") == 0
                && whole.into_iter().all(|field| count(field) == replicas);
        }
        let served = written
            && text(rollout, "/status/phase") == "Healthy"
            && text(rollout, "/status/stableRS") == text(rollout, "/status/currentPodHash");
        let restarted = text(rollout, "/status/restartedAt") == text(rollout, "/spec/restartAt");
        // Both: the pods of the version before are counted until the ReplicaSet controller has had its turn.
        let scaled = ["/status/availableReplicas", "/status/replicas"]
            .into_iter()
            .all(|field| number(rollout, field) == number(rollout, "/spec/replicas"));
        served && restarted && scaled
    }

    /// What the next round begins from.
    pub(super) async fn reset(&mut self) -> Result<()> {
        match self.deed {
            Deed::Scale => {
                let fewer = json!({"spec": {"replicas": REPLICAS}});
                self.lane.shop.patch(&fewer).await?;
            }
            // Forward again, so that every round goes back.
            Deed::Undo => self.begin().await?,
            Deed::Version | Deed::Restart | Deed::Abort => return Ok(()),
        }
        self.settled().await.map(drop)
    }
}
