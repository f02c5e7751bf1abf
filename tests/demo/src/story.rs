//! The story, part by part. In: a fleet. Out: pushes, an approval, labels, a kill, each noted with its time before it is done. It
//! waits for what a person would see, in `groundswell release show` and in the clusters; whether it came out right is
//! judged afterwards, by others.

use std::time::Duration;

use jiff::Timestamp;
use tests_demo::evidence::{Approval, Push};
use tests_demo::manifests;
use tests_demo::scenario::{
    APPROVED, CLUSTERS, FREEZE, FROZEN, FROZEN_FOR, NAME, VERSIONS, Version,
};
use tests_fleet::{Error, Result, RunDir, eventually};

use crate::fleet::Fleet;
use crate::progress::Progress;
use crate::releases::Release;

/// For an apply, a report, a first pod: seconds on an idle machine.
const SOON: Duration = Duration::from_secs(45);
/// For a release through all three clusters: about a minute.
const RELEASE: Duration = Duration::from_secs(100);
/// So long people are left with what a part leaves behind, before the next push.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What happens in the middle of the second wave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    /// A cluster of the third wave gets a label that freezes it.
    Relabelled,
    /// The hub that decides dies.
    Takeover,
}

/// Tells it.
pub async fn tell(fleet: &mut Fleet, run: &RunDir, progress: &Progress) -> Result<()> {
    let [v1, v2, v3, v4, v5] = VERSIONS;
    let mut teller = Teller {
        fleet,
        run,
        progress,
    };
    teller.first(v1).await?;
    teller.plan().await?;
    teller.travels(v2, Between::Relabelled).await?;
    teller.caught(v3).await?;
    teller.taken_back(v4).await?;
    teller.travels(v5, Between::Takeover).await?;
    teller.aftermath().await?;
    teller
        .fleet
        .note(|notes| notes.ended = Some(Timestamp::now()))
}

struct Teller<'a> {
    fleet: &'a mut Fleet,
    run: &'a RunDir,
    progress: &'a Progress,
}

impl Teller<'_> {
    /// (1) A first deploy waits for nobody.
    async fn first(&mut self, version: Version) -> Result<()> {
        self.push(version).await?;
        self.everywhere(version).await?;
        self.fleet.load(self.run)?;
        let rate = tests_demo::scenario::LOAD_RATE;
        self.progress.say(&format!(
            "{version} serves everywhere; {rate} requests a second to each cluster from now on"
        ));
        self.aftermath().await
    }

    /// (2), (5) A good version goes all the way.
    async fn travels(&mut self, version: Version, between: Between) -> Result<()> {
        let revision = self.push(version).await?;
        let name = self.opened(version, &revision).await?;
        self.approved(version, &name).await?;
        self.pods(version, 1).await?;
        match between {
            Between::Relabelled => self.frozen(&name).await?,
            Between::Takeover => self.hub_dies().await?,
        }
        let release = self.followed(&name, "ends", Release::ended).await?;
        self.ended_as(&release, &["Succeeded"]).await?;
        self.everywhere(version).await?;
        self.aftermath().await
    }

    /// What a release would do, before there is one.
    async fn plan(&mut self) -> Result<()> {
        self.progress
            .say("what a release would do now, by `groundswell plan`:");
        self.progress
            .page(&self.fleet.admin.run(&["plan", NAME]).await?);
        Ok(())
    }

    /// (3) A bad version does not get past the first step of the first cluster.
    async fn caught(&mut self, version: Version) -> Result<()> {
        let revision = self.push(version).await?;
        let name = self.opened(version, &revision).await?;
        let release = self.followed(&name, "ends", Release::ended).await?;
        self.ended_as(&release, &["Failed", "RolledBack"]).await?;
        self.everywhere(version.leaves_serving()).await?;
        self.aftermath().await
    }

    /// (4) A version that is bad in the second cluster is taken back from the first.
    async fn taken_back(&mut self, version: Version) -> Result<()> {
        let revision = self.push(version).await?;
        let name = self.opened(version, &revision).await?;
        self.approved(version, &name).await?;
        let release = self.followed(&name, "ends", Release::ended).await?;
        self.ended_as(&release, &["RolledBack"]).await?;
        self.everywhere(version.leaves_serving()).await?;
        self.aftermath().await
    }

    /// A commit with the manifests of all clusters, and the applier that puts them there.
    async fn push(&mut self, version: Version) -> Result<String> {
        self.progress.part(version);
        let time = Timestamp::now();
        let revision = self
            .fleet
            .repo
            .push(&manifests::push(version), &version.to_string())?;
        let push = Push {
            version: version.number(),
            time,
            revision: revision.clone(),
        };
        self.fleet.note(|notes| notes.pushes.push(push))?;
        for cluster in CLUSTERS {
            self.fleet.applier.applied(&revision, cluster, SOON).await?;
        }
        let short = revision.get(..8).unwrap_or_default();
        self.progress.say(&format!(
            "pushed {version} as {short}; it is applied to all three clusters at once"
        ));
        Ok(revision)
    }

    async fn everywhere(&mut self, version: Version) -> Result<()> {
        for cluster in CLUSTERS {
            self.fleet.serves(cluster, version, SOON).await?;
        }
        Ok(())
    }

    /// The release that the push has opened.
    async fn opened(&mut self, version: Version, revision: &str) -> Result<String> {
        let image = format!("demo:{version}");
        let what = format!("a release of {version} opens");
        let release = eventually(&what, SOON, async || {
            Release::find(&self.fleet.admin, revision, &image)
                .await
                .map_err(|error| error.to_string())
        });
        Ok(release.await?.name)
    }

    /// Shows every change of a release until it is as wanted.
    async fn followed(
        &mut self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Release) -> bool,
    ) -> Result<Release> {
        let mut shown = String::new();
        eventually(&format!("{name} {what}"), RELEASE, async || {
            let release = Release::show(&self.fleet.admin, name)
                .await
                .map_err(|error| error.to_string())?;
            let line = release.line();
            if line != shown {
                self.progress.say(&line);
                shown.clone_from(&line);
            }
            if wanted(&release) {
                Ok(release)
            } else {
                Err(line)
            }
        })
        .await
    }

    /// Waits until the second wave asks for a person, and says yes as one.
    async fn approved(&mut self, version: Version, name: &str) -> Result<()> {
        let asks = |release: &Release| release.ended() || release.waits_for_approval(APPROVED);
        let release = self.followed(name, "asks for approval", asks).await?;
        if !release.waits_for_approval(APPROVED) {
            return Err(Error::Check(format!(
                "{} ended before anybody approved it: {}",
                release.line(),
                release.verdict
            )));
        }
        self.progress
            .page(&self.fleet.admin.run(&["release", "show", name]).await?);
        let approval = Approval {
            version: version.number(),
            time: Timestamp::now(),
        };
        self.fleet.note(|notes| notes.approvals.push(approval))?;
        let arguments = [
            "approve",
            name,
            "--wave",
            APPROVED,
            "--comment",
            "staging looks good",
            "--yes",
        ];
        self.fleet.sre.run(&arguments).await?;
        self.progress
            .say(&format!("sam of group sre approves {APPROVED}"));
        Ok(())
    }

    /// A cluster of the third wave gets a label in the middle of the release, keeps its place in it, and waits out the freeze
    /// that clusters with this label have.
    async fn frozen(&mut self, name: &str) -> Result<()> {
        let reason = "the sale begins early";
        let now = Timestamp::now();
        self.relabelled(FREEZE, reason).await?;
        self.fleet.note(|notes| notes.frozen = Some(now))?;
        self.progress.say(&format!(
            "{FROZEN} is relabelled {FREEZE}: it keeps its place in the plan, and a FleetWindow freezes such clusters"
        ));
        self.plan().await?;
        let turn = |release: &Release| release.ended() || release.has_passed(APPROVED);
        self.followed(name, "has passed the second wave", turn)
            .await?;
        let until = Timestamp::now() + FROZEN_FOR;
        self.passes(until).await?;
        self.progress
            .page(&self.fleet.admin.run(&["release", "show", name]).await?);
        let (key, _) = FREEZE.split_once('=').unwrap_or((FREEZE, ""));
        let now = Timestamp::now();
        self.fleet.note(|notes| notes.thawed = Some(now))?;
        self.relabelled(&format!("{key}-"), "the sale is over")
            .await?;
        self.progress
            .say(&format!("{FROZEN} loses the label, and has its turn"));
        Ok(())
    }

    async fn relabelled(&self, change: &str, reason: &str) -> Result<()> {
        let arguments = ["cluster", "relabel", FROZEN, change, "--reason", reason];
        self.fleet.admin.run(&arguments).await.map(|_| ())
    }

    /// SIGKILL to the hub that decides while the second wave is at its first step. It stays dead; the other one takes over.
    async fn hub_dies(&mut self) -> Result<()> {
        let leader = self.fleet.hubs.leader().await?;
        let killed = Timestamp::now();
        self.fleet.hubs.kill(&leader).await?;
        self.fleet.note(|notes| {
            notes.hub_killed = Some(killed);
            notes.leaders.push(leader.clone());
        })?;
        self.progress.say(&format!(
            "{} decides (epoch {}) and is killed (SIGKILL) while {APPROVED} is at its first step",
            leader.name, leader.epoch
        ));
        let next = eventually("another hub decides", SOON, async || {
            let next = self.fleet.hubs.leader().await;
            let next = next.map_err(|error| error.to_string())?;
            match next.epoch > leader.epoch {
                true => Ok(next),
                false => Err(format!("{} has the lease", next.name)),
            }
        })
        .await?;
        self.progress.say(&format!(
            "{} decides now (epoch {}); {APPROVED} has gone on meanwhile",
            next.name, next.epoch
        ));
        self.fleet.note(|notes| notes.leaders.push(next))
    }

    async fn pods(&mut self, version: Version, count: usize) -> Result<()> {
        let what = format!("{count} pods of {version} serve in {APPROVED}");
        eventually(&what, SOON, async || {
            let lives = self
                .fleet
                .lives(APPROVED)
                .map_err(|error| error.to_string())?;
            let now = Timestamp::now();
            let ready = lives
                .iter()
                .filter(|life| life.version == version && life.ready_at(now))
                .count();
            if ready >= count {
                Ok(())
            } else {
                Err(format!("{ready} do"))
            }
        })
        .await
    }

    /// Shows the page that a person would look at now; an error if it is not the expected end.
    async fn ended_as(&mut self, release: &Release, phases: &[&str]) -> Result<()> {
        self.progress.page(
            &self
                .fleet
                .admin
                .run(&["release", "show", &release.name])
                .await?,
        );
        if phases.contains(&release.phase.as_str()) {
            return Ok(());
        }
        Err(Error::Check(format!(
            "{} ended as {}: {}",
            release.name, release.phase, release.verdict
        )))
    }

    /// A moment of load on what is there now.
    async fn aftermath(&mut self) -> Result<()> {
        self.passes(Timestamp::now() + AFTERMATH).await
    }

    async fn passes(&mut self, moment: Timestamp) -> Result<()> {
        eventually("a moment passes", SOON, async || {
            if Timestamp::now() >= moment {
                Ok(())
            } else {
                Err(String::from("not yet"))
            }
        })
        .await
    }
}
