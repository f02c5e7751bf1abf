//! The story, part by part. In: a fleet. Out: pushes, an approval, a kill, each noted with its time before it is done. It
//! waits for what a person would see, in `groundswell release show` and in the clusters; whether it came out right is
//! judged afterwards, by others.

use std::time::Duration;

use jiff::Timestamp;
use tests_demo::evidence::{Approval, Push};
use tests_demo::manifests;
use tests_demo::scenario::{APPROVED, CLUSTERS, SECOND_PODS, VERSIONS, Version};
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

/// Tells it.
pub async fn tell(fleet: &mut Fleet, run: &RunDir, progress: &Progress) -> Result<()> {
    let [v1, v2, v3, v4, v5] = VERSIONS;
    let mut teller = Teller {
        fleet,
        run,
        progress,
    };
    teller.first(v1).await?;
    teller.travels(v2, false).await?;
    teller.caught(v3).await?;
    teller.taken_back(v4).await?;
    teller.travels(v5, true).await?;
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
    async fn travels(&mut self, version: Version, hub_dies: bool) -> Result<()> {
        let revision = self.push(version).await?;
        let name = self.opened(version, &revision).await?;
        self.approved(version, &name).await?;
        if hub_dies {
            self.hub_dies(version).await?;
        }
        let release = self.followed(&name, "ends", Release::ended).await?;
        self.ended_as(&release, &["Succeeded"]).await?;
        self.everywhere(version).await?;
        self.aftermath().await
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

    /// SIGKILL while the second wave is at its first step, and a new hub when the cluster has gone on without it.
    async fn hub_dies(&mut self, version: Version) -> Result<()> {
        self.pods(version, 1).await?;
        let killed = Timestamp::now();
        self.fleet.hub.process().kill().await?;
        self.fleet.note(|notes| notes.hub_killed = Some(killed))?;
        self.progress.say(&format!(
            "the hub is killed (SIGKILL) while {APPROVED} is at its first step"
        ));
        self.pods(version, SECOND_PODS).await?;
        self.progress.say(&format!(
            "{APPROVED} has gone on to {SECOND_PODS} pods without a hub, as its permit allows"
        ));
        self.fleet.hub.again(self.run).await?;
        self.fleet
            .note(|notes| notes.hub_back = Some(Timestamp::now()))?;
        self.progress.say("the hub is back");
        Ok(())
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
        let until = Timestamp::now() + AFTERMATH;
        eventually("a moment passes", SOON, async || {
            if Timestamp::now() >= until {
                Ok(())
            } else {
                Err(String::from("not yet"))
            }
        })
        .await
    }
}
