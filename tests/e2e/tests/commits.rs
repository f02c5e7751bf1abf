//! The hub killed at every COMMIT of a release, before PostgreSQL hears of it and after its reply. In: three members that
//! serve at once what they are permitted, an approval, a proxy before PostgreSQL. Out: whether every release completes,
//! wave after wave, and every member received exactly one permit for it.

use std::process::Command;
use std::time::Duration;

use futures::future::join_all;
use proto::v1::fleet_client::FleetClient;
use proto::v1::{ApproveRequest, ListHistoryRequest, ListReleasesRequest, Release};
use serde_json::json;
use tests_e2e::door::Config;
use tests_e2e::ledger::NAMESPACE;
use tests_e2e::member::{Member, order};
use tests_e2e::shop::NAME;
use tests_e2e::turns::Turns;
use tests_fleet::postgres::Postgres;
use tests_fleet::proxy::postgres::PostgresProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};
use tests_fleet::{Error, Hub, HubOptions, Result, RunDir, eventually};
use tonic::Code;
use tonic::transport::Channel;

/// The first is a wave of its own; the others follow an approval.
const MEMBERS: [&str; 3] = ["first", "east", "west"];
/// Hubs that are killed side by side, each at a part of the COMMITs: most of a release is waiting.
const WORLDS: usize = 3;
/// A release of less would not show much.
const COMMITS_MIN: u64 = 8;
/// For one release with a kill in it.
const RELEASE: Duration = Duration::from_secs(150);
/// For one question to a hub that may be dead.
const ANSWER: Duration = Duration::from_secs(3);

fn intent() -> String {
    json!({
        "apiVersion": "fleet.groundswell.dev/v1alpha1",
        "kind": "FleetRollout",
        "metadata": {"name": NAME},
        "spec": {
            "rollout": {"namespace": NAMESPACE, "name": NAME},
            "enforcement": "Enforce",
            "waves": [
                {"name": "first", "clusters": {"matchLabels": {"name": "first"}}},
                {"name": "rest", "approval": {"before": {"required": 1, "groups": ["groundswell-admins"]}}},
            ],
        },
    })
    .to_string()
}

// Taken down from the first field to the last: who asks before who answers.
struct World {
    members: Vec<Member>,
    fleet: FleetClient<Channel>,
    hub: Hub,
    proxy: PostgresProxy,
    postgres: Postgres,
    run: RunDir,
    version: u64,
}

impl World {
    async fn up() -> Result<Self> {
        tests_fleet::init();
        let run = RunDir::temporary("commits")?;
        let postgres = Postgres::start(&run).await?;
        let proxy = PostgresProxy::start(postgres.address()).await?;
        let options = HubOptions {
            environment: Vec::new(),
            database: Postgres::url_at(proxy.address()),
            lease_seconds: 10,
            more: Vec::new(),
        };
        let hub = Hub::start(&run, &options).await?;
        let config = Config::read(&hub.data().join("admin.yaml"))?;
        let mut world = Self {
            members: Vec::new(),
            fleet: FleetClient::new(config.channel()?),
            hub,
            proxy,
            postgres,
            run,
            version: 0,
        };
        let admin = world.hub.admin()?;
        let path = world.run.join("document.yaml");
        std::fs::write(&path, intent()).map_err(Error::io("write", &path))?;
        admin
            .run(&["apply", "-f", &path.display().to_string()])
            .await?;
        let order = order();
        for cluster in MEMBERS {
            let label = format!("name={cluster}");
            let token = admin
                .run(&["cluster", "token", cluster, "--label", &label])
                .await?;
            let member =
                Member::join(&world.hub.url(), &config.ca, token.trim(), cluster, &order).await?;
            world.members.push(member);
        }
        Ok(world)
    }

    /// The release of a version, if the hub answers and there is one.
    async fn release(&mut self, version: u64) -> std::result::Result<Release, String> {
        let request = ListReleasesRequest {
            fleet_rollout: NAME.into(),
        };
        let answer = tokio::time::timeout(ANSWER, self.fleet.list_releases(request)).await;
        let answer = answer
            .map_err(|_| String::from("no answer"))?
            .map_err(|status| status.to_string())?;
        let revision = format!("r{version}");
        let of = |release: &Release| release.revision == revision;
        let mut found: Vec<Release> = answer
            .into_inner()
            .releases
            .into_iter()
            .filter(of)
            .collect();
        match (found.pop(), found.len()) {
            (Some(release), 0) => Ok(release),
            (None, _) => Err(format!("no release of {revision}")),
            (Some(_), more) => panic!("{} releases of {revision}", more + 1),
        }
    }

    /// Looks after a release as people do: starts the hub when it is dead, approves when it asks.
    async fn tend(&mut self, version: u64) -> std::result::Result<Release, String> {
        if self.hub.process().ended().is_some() {
            self.revive().await.map_err(|error| error.to_string())?;
        }
        let release = self.release(version).await?;
        let asks = |wave: &&proto::v1::Wave| wave.phase == "WaitingForApproval";
        if let Some(wave) = release.waves.iter().find(asks) {
            let request = ApproveRequest {
                release: release.name.clone(),
                wave: "rest".into(),
                plan_digest: release.plan_digest.clone(),
                comment: "looks good".into(),
                shown: Some(release.shown(wave)),
            };
            // Its answer may be lost with the hub; the next look tells.
            let _ = tokio::time::timeout(ANSWER, self.fleet.approve(request)).await;
        }
        if release.phase == "Succeeded" {
            Ok(release)
        } else {
            Err(format!("{release:?}"))
        }
    }

    /// Starts the hub again. The lease of the dead one is ended first, which stands for the seconds until it would have.
    async fn revive(&mut self) -> Result<()> {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", &self.postgres.url(), "-c"]);
        psql.arg("update hub_lease set expires_at = now() - interval '1 second'");
        let output = psql
            .output()
            .map_err(Error::io("run", std::path::Path::new("psql")))?;
        if !output.status.success() {
            return Err(Error::Check(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        self.proxy.trigger().release();
        self.hub.again(&self.run).await
    }

    /// One release of the next version; gives the COMMITs that it took and whether the hub was killed.
    async fn travel(&mut self, kill: Option<(u64, Moment)>) -> Result<(u64, bool)> {
        self.version += 1;
        let version = self.version;
        let pid = self.hub.process().pid();
        self.proxy
            .trigger()
            .arm(kill.map(|(number, moment)| KillPoint {
                number,
                moment,
                pid,
            }));
        for member in &self.members {
            member.apply(version);
        }
        let what = format!("the release of version {version} succeeds");
        let release = eventually(&what, RELEASE, async || self.tend(version).await).await?;
        let count = self.proxy.trigger().count();
        // A release of fewer COMMITs than the chosen one is over, and nobody dies after it.
        self.proxy.trigger().release();
        let struck = self.hub.process().pid() != pid || self.hub.process().ended().is_some();
        if self.hub.process().ended().is_some() {
            self.revive().await?;
        }
        self.once(&release, version)?;
        Ok((count, struck))
    }

    /// An error unless every member received exactly one permit for a release, the first wave's first.
    fn once(&self, release: &Release, version: u64) -> Result<()> {
        let mut orders = Vec::new();
        for (cluster, member) in MEMBERS.iter().zip(&self.members) {
            let permits: Vec<_> = member
                .received()
                .into_iter()
                .filter(|permit| permit.release == release.name)
                .collect();
            let [permit] = &permits[..] else {
                return Err(Error::Check(format!(
                    "{cluster} received for {}: {permits:?}",
                    release.name
                )));
            };
            if permit.digest != format!("v1:{version}") {
                return Err(Error::Check(format!("{cluster} was permitted {permit:?}")));
            }
            if !member.violations().is_empty() {
                return Err(Error::Check(member.violations().join("\n")));
            }
            orders.push(permit.order);
        }
        if orders.iter().min() != orders.first() {
            return Err(Error::Check(format!(
                "{}: the second wave came first: {orders:?}",
                release.name
            )));
        }
        Ok(())
    }

    async fn granted(&mut self) -> usize {
        let (mut granted, mut after) = (0, 0);
        loop {
            let request = ListHistoryRequest {
                release: String::new(),
                after,
                limit: 500,
                ..ListHistoryRequest::default()
            };
            let rows = self
                .fleet
                .list_history(request)
                .await
                .expect("history")
                .into_inner()
                .rows;
            let Some(last) = rows.last() else {
                return granted;
            };
            after = last.sequence;
            granted += rows
                .iter()
                .filter(|row| row.kind == "PermitGranted")
                .count();
        }
    }
}

#[tokio::test]
async fn a_release_completes_wherever_the_hub_is_killed_and_nothing_happens_twice() {
    let worlds = (0..WORLDS).map(async |_| {
        let mut world = World::up().await.expect("a hub with members");
        world.travel(None).await.expect("a first release");
        let (count, _) = world.travel(None).await.expect("the fault-free release");
        (world, count)
    });
    let (mut worlds, counts): (Vec<_>, Vec<_>) = join_all(worlds).await.into_iter().unzip();
    let count = counts.into_iter().max().unwrap_or_default();
    println!("a fault-free release takes N = {count} COMMITs");
    assert!(count >= COMMITS_MIN, "only {count} COMMITs");
    let sides = [Moment::BeforeForward, Moment::AfterReply];
    let kills = Turns::of((1..=count).flat_map(|number| sides.map(|side| (number, side))));
    let struck = worlds.iter_mut().map(async |world| {
        let mut struck = 0;
        while let Some((number, moment)) = kills.next() {
            let travelled = world.travel(Some((number, moment))).await;
            let (_, died) = travelled
                .unwrap_or_else(|error| panic!("killed at COMMIT {number}, {moment:?}: {error}"));
            struck += u64::from(died);
        }
        struck
    });
    let struck: u64 = join_all(struck).await.into_iter().sum();
    println!("the hubs were killed {struck} times");
    assert!(struck >= 2 * COMMITS_MIN, "killed only {struck} times");
    for world in &mut worlds {
        let version = world.version;
        // One that died with the last COMMIT of its last release is started once more.
        eventually("the hub answers", RELEASE, async || {
            world.tend(version).await
        })
        .await
        .expect("an answer");
        let permits = usize::try_from(version).expect("few") * MEMBERS.len();
        assert_eq!(world.granted().await, permits, "permits in the history");
        let received = world.members.iter().map(|member| member.received().len());
        let received: usize = received.sum();
        assert_eq!(received, permits, "permits as they were received");
    }
}

#[tokio::test]
async fn a_release_goes_on_by_itself_when_postgres_comes_back() {
    let mut world = World::up().await.expect("a hub with members");
    world.travel(None).await.expect("a first release");
    world.version += 1;
    let version = world.version;
    let pid = world.hub.process().pid();
    for member in &world.members {
        member.apply(version);
    }
    let digest = format!("v1:{version}");
    eventually("the first wave is under way", RELEASE, async || {
        let received = world.members[0].received();
        let is = received.iter().any(|permit| permit.digest == digest);
        is.then_some(()).ok_or(format!("{received:?}"))
    })
    .await
    .expect("under way");
    world.postgres.stop().await.expect("stopped");
    eventually("the hub says that it is away", RELEASE, async || {
        let request = ListReleasesRequest {
            fleet_rollout: NAME.into(),
        };
        match tokio::time::timeout(ANSWER, world.fleet.list_releases(request)).await {
            Ok(Err(status)) if status.code() == Code::Unavailable => Ok(()),
            Ok(answer) => Err(format!("{answer:?}")),
            Err(_) => Err(String::from("no answer")),
        }
    })
    .await
    .expect("said so");
    world.postgres.again(&world.run).await.expect("back");
    let release = eventually("the release succeeds", RELEASE, async || {
        world.tend(version).await
    })
    .await
    .expect("through");
    world
        .once(&release, version)
        .expect("one permit for each member");
    assert_eq!(world.hub.process().pid(), pid);
    world.hub.process().must_run().expect("the same hub");
}
