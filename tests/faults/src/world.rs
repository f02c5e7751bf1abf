//! A whole fleet with proxies between everybody. In: how many hubs and clusters, one FleetRollout. Out: running hubs as
//! processes, agents as tasks, and what their database says. It ends only what it has started.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hub_engine::release::{Release, ReleasePhase};
use hub_engine::{FleetRolloutName, ReleaseId};
use hub_store::Store;
use hub_store::history::Filter;
use hub_store::release::ReleaseRow;
use proto::v1::change_member_request::Change;
use proto::v1::fleet_client::FleetClient;
use proto::v1::{ApplyRequest, ApplyResponse, ChangeMemberRequest};
use tests_bench::fleet::identity::Admin;
use tests_bench::fleet::rollout::NAMESPACE;
use tests_fleet::pooler::{Mode, Pooler};
use tests_fleet::proxy::link::LinkProxy;
use tests_fleet::proxy::postgres::PostgresProxy;
use tests_fleet::{Error, Hub, HubOptions, Result, RunDir, eventually};
use tonic::transport::Channel;

use crate::agents::{Crowd, Entry, Player, ROLLOUT};
use crate::database::Database;

/// The FleetRollout of every test.
pub const NAME: &str = "app";
/// For anything that a fleet of this size does when nothing is in its way, on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

static MARKS: AtomicU32 = AtomicU32::new(0);

/// What a test begins from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Of the folder with its logs.
    pub test: &'static str,
    /// Hub processes.
    pub hubs: usize,
    /// Clusters of each wave.
    pub waves: Vec<usize>,
    /// Of the wave with that number: further fields, as YAML in braces would hold them.
    pub wave_fields: Vec<&'static str>,
    /// Further lines of the spec.
    pub spec: &'static str,
    /// How long a version takes in a cluster.
    pub takes: Duration,
    /// Of permits.
    pub lease_seconds: u32,
    /// A PostgreSQL that the test may stop.
    pub own_server: bool,
    /// Of the hubs.
    pub environment: Vec<(String, String)>,
    /// A pooler before the database.
    pub pooler: Option<Mode>,
}

impl Setting {
    /// One hub, a wave of one cluster and a wave of two.
    pub fn of(test: &'static str) -> Self {
        Self {
            test,
            hubs: 1,
            waves: vec![1, 2],
            wave_fields: Vec::new(),
            spec: "",
            takes: Duration::from_millis(200),
            lease_seconds: 10,
            own_server: false,
            environment: Vec::new(),
            pooler: None,
        }
    }

    /// The document.
    pub fn document(&self) -> String {
        let mut text = format!(
            "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {NAME}}}\nspec:\n  \
             rollout: {{namespace: {NAMESPACE}, name: {ROLLOUT}}}\n  enforcement: Enforce\n  \
             clusters: {{matchLabels: {{tier: prod}}}}\n{}  waves:\n",
            self.spec
        );
        for wave in 0..self.waves.len() {
            let more = self.wave_fields.get(wave).copied().unwrap_or_default();
            text += &format!(
                "  - {{name: wave-{wave}, clusters: {{matchLabels: {{wave: \"{wave}\"}}}}, maxConcurrent: 100%{more}}}\n"
            );
        }
        text
    }
}

/// One hub process, and what is between it and the database.
#[derive(Debug)]
pub struct Station {
    /// The process.
    pub hub: Hub,
    /// Counts and cuts its COMMITs.
    pub commits: PostgresProxy,
    /// The network below that.
    pub link: LinkProxy,
    logs: RunDir,
}

impl Station {
    /// Its program starts again.
    pub async fn again(&mut self) -> Result<()> {
        self.hub.again(&self.logs).await
    }

    /// The name by which it holds the lease.
    pub fn name(&self) -> String {
        let path = self.hub.data().join("hub.name");
        let name = std::fs::read_to_string(path).unwrap_or_default();
        name.trim().to_owned()
    }
}

/// Everything that runs. It ends from the first field to the last.
#[derive(Debug)]
pub struct World {
    /// Clusters, wave after wave.
    pub agents: Vec<Player>,
    crowd: Option<Crowd>,
    /// Hub processes.
    pub hubs: Vec<Station>,
    /// Between them and their database, if there is one.
    pooler: Option<Pooler>,
    /// Their database.
    pub database: Database,
    /// The same, asked directly.
    pub store: Store,
    /// Who may do everything, at the first hub.
    pub admin: Admin,
    /// What it began from.
    pub setting: Setting,
    run: RunDir,
}

impl World {
    /// Hubs run, clusters have joined and are governed; every cluster serves version 1.
    pub async fn up(setting: Setting) -> Result<Self> {
        let mut world = Self::hubs_only(setting).await?;
        world.members().await?;
        Ok(world)
    }

    /// Every cluster of the setting joins and is governed.
    pub async fn members(&mut self) -> Result<()> {
        for wave in 0..self.setting.waves.len() {
            for _ in 0..self.setting.waves[wave] {
                self.cluster(wave).await?;
            }
        }
        let document = self.setting.document();
        self.apply(&document).await?;
        self.governed().await
    }

    /// Only the hubs.
    pub async fn hubs_only(setting: Setting) -> Result<Self> {
        let run = RunDir::temporary(setting.test)?;
        let database = if setting.own_server {
            Database::own(&run).await?
        } else {
            Database::shared().await?
        };
        Self::hubs_on(setting, run, database).await
    }

    /// Only the hubs, on a database that the test has made.
    pub async fn hubs_on(setting: Setting, run: RunDir, database: Database) -> Result<Self> {
        tests_fleet::init();
        let pooler = match setting.pooler {
            Some(mode) => Some(Pooler::start(&run, database.address(), mode).await?),
            None => None,
        };
        let connect = |error| Error::Check(format!("the test's own store: {error}"));
        let store = Store::connect(&database.url_at(database.address())).map_err(connect)?;
        let mut hubs: Vec<Station> = Vec::new();
        for index in 0..setting.hubs {
            let station = station(
                &run,
                &setting,
                &database,
                pooler.as_ref(),
                hubs.first(),
                index,
            )
            .await?;
            hubs.push(station);
        }
        let admin = Admin::read(&hubs[0].hub.data().join("admin.yaml"))?;
        Ok(Self {
            agents: Vec::new(),
            crowd: None,
            hubs,
            pooler,
            database,
            store,
            admin,
            setting,
            run,
        })
    }

    /// Whether a pooler is between the hubs and their database.
    pub fn pooled(&self) -> bool {
        self.pooler.is_some()
    }

    /// The folder with the logs.
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    fn addresses(&self) -> Vec<String> {
        let hubs = self.hubs.iter();
        hubs.map(|station| station.hub.address().to_owned())
            .collect()
    }

    /// One more cluster of this wave.
    pub async fn cluster(&mut self, wave: usize) -> Result<()> {
        let hubs = self.addresses();
        let entry = Entry {
            admin: &self.admin,
            hubs: &hubs,
            takes: self.setting.takes,
        };
        let number = self.agents.len();
        let cluster = format!("cluster-{number}");
        let player = Player::join(&entry, &cluster, labels(wave), number as u64).await?;
        self.agents.push(player);
        Ok(())
    }

    /// A person says that another cluster has the name of this one from now on, and that one joins. Its agent was ended before.
    pub async fn replace(&mut self, number: usize, wave: usize, uid: &str) -> Result<()> {
        let request = ChangeMemberRequest {
            cluster: self.agents[number].cluster.clone(),
            reason: "it was made again".to_owned(),
            change: Some(Change::RebindUid(uid.to_owned())),
        };
        let changed = self.person(0).await?.change_member(request).await;
        changed.map_err(|status| Error::Check(format!("rebind: {status}")))?;
        let hubs = self.addresses();
        let entry = Entry {
            admin: &self.admin,
            hubs: &hubs,
            takes: self.setting.takes,
        };
        let player = &mut self.agents[number];
        player.rejoin(&entry, labels(wave), uid).await
    }

    /// So many further clusters join, in no wave, all behind one link.
    pub async fn crowd(&mut self, clusters: usize) -> Result<()> {
        let hubs = self.addresses();
        self.crowd = Some(Crowd::join(&self.admin, &hubs, clusters).await?);
        Ok(())
    }

    /// Sessions of each of them so far.
    pub fn crowd_sessions(&self) -> Vec<usize> {
        self.crowd.as_ref().map(Crowd::sessions).unwrap_or_default()
    }

    /// A person at one of the hubs.
    pub async fn person(&self, hub: usize) -> Result<FleetClient<Channel>> {
        self.admin.at(self.hubs[hub].hub.url()).client().await
    }

    /// Stores a document, by the first hub that answers.
    pub async fn apply(&self, document: &str) -> Result<ApplyResponse> {
        let request = ApplyRequest {
            file_name: "faults.yaml".to_owned(),
            document: document.to_owned(),
            dry_run: false,
        };
        let applied = self.person(0).await?.apply(request).await;
        let applied = applied.map_err(|status| Error::Check(format!("apply: {status}")))?;
        let applied = applied.into_inner();
        match applied.problems.first() {
            Some(problem) => Err(Error::Check(format!(
                "{}: {}",
                problem.path, problem.message
            ))),
            None => Ok(applied),
        }
    }

    /// Waits until every cluster holds what the hub wants it to hold, and that is something.
    pub async fn governed(&self) -> Result<()> {
        eventually("every cluster is governed", SOON, async || {
            let clusters = self.store.cluster_list().await;
            let clusters = clusters.map_err(|error| error.to_string())?;
            let behind = clusters
                .iter()
                .filter(|one| one.desired.version == 0 || one.stored != one.desired);
            match behind.count() {
                0 => Ok(()),
                count => Err(format!("{count} are not")),
            }
        })
        .await
    }

    /// Waits until the deciding hub has looked at everything once more and found nothing to do: it goes through the
    /// FleetRollouts by their names, and one that comes last and is new has been decided on.
    pub async fn looked(&self) -> Result<()> {
        let name = format!("last-{}", MARKS.fetch_add(1, Ordering::SeqCst));
        let document = format!(
            "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {name}}}\nspec:\n  \
             rollout: {{namespace: {NAMESPACE}, name: {name}}}\n  enforcement: Enforce\n  \
             clusters: {{matchLabels: {{tier: prod}}}}\n  waves: [{{name: all}}]\n"
        );
        self.apply(&document).await?;
        let filter = Filter {
            kind: "GateGoverned".to_owned(),
            ..Filter::default()
        };
        let stream = format!("fleetrollout/{name}");
        eventually("the hub has looked", SOON, async || {
            let rows = self.store.history_find(&filter, 0, 10_000).await;
            let rows = rows.map_err(|error| error.to_string())?;
            match rows.iter().any(|row| row.stream == stream) {
                true => Ok(()),
                false => Err(format!("{stream} was not decided")),
            }
        })
        .await
    }

    /// Git wants another version everywhere.
    pub fn want(&mut self, version: u64) {
        for agent in &mut self.agents {
            agent.want(version);
        }
    }

    /// A release as the database has it; none: there is none yet.
    pub async fn release(&self, number: u64) -> Option<Release> {
        let id = ReleaseId {
            fleet_rollout: FleetRolloutName::from(NAME),
            number,
        };
        let row: ReleaseRow = self.store.release_get(&id).await.ok()?;
        Some(row.release)
    }

    /// Waits until a release is as it should be.
    pub async fn until(
        &self,
        number: u64,
        what: &str,
        limit: Duration,
        is: impl Fn(&Release) -> bool,
    ) -> Result<Release> {
        eventually(
            &format!("{NAME}#{number} {what}"),
            limit,
            async || match self.release(number).await {
                Some(release) if is(&release) => Ok(release),
                Some(release) => Err(outline(&release).join(", ")),
                None => Err("there is none".to_owned()),
            },
        )
        .await
    }

    /// Waits for a release's end in this phase.
    pub async fn ends(&self, number: u64, phase: ReleasePhase) -> Result<Release> {
        let limit = SOON.saturating_mul(2);
        let what = format!("ends as {}", phase.as_str());
        let is = |release: &Release| release.phase == phase;
        self.until(number, &what, limit, is).await
    }

    /// The hub that holds the lease.
    pub async fn leader(&self) -> Result<usize> {
        let names: Vec<String> = self.hubs.iter().map(Station::name).collect();
        eventually("a hub decides", SOON, async || {
            let asked = "select holder from hub_lease where expires_at > now()";
            let holder = self.database.psql(&[asked]).await;
            let holder = holder.map_err(|error| error.to_string())?;
            let found = names.iter().position(|name| name == holder.trim());
            found.ok_or(holder)
        })
        .await
    }

    /// The epoch that is in force.
    pub async fn epoch(&self) -> Result<u64> {
        let epoch = self.database.psql(&["select epoch from hub_epoch"]).await?;
        epoch
            .trim()
            .parse()
            .map_err(|_| Error::Check(format!("an epoch of {epoch}")))
    }
}

/// What a release came to: whatever interrupted it, this is the same.
pub fn outline(release: &Release) -> Vec<String> {
    let waves = release
        .waves
        .iter()
        .map(|wave| format!("{} {}", wave.name, wave.phase.as_str()));
    let targets = release
        .targets
        .iter()
        .map(|target| format!("{} {}", target.cluster, target.state.as_str()));
    let phase = release.phase.as_str().to_owned();
    [phase].into_iter().chain(waves).chain(targets).collect()
}

fn labels(wave: usize) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("tier".to_owned(), "prod".to_owned()),
        ("wave".to_owned(), wave.to_string()),
    ])
}

async fn station(
    run: &RunDir,
    setting: &Setting,
    database: &Database,
    pooler: Option<&Pooler>,
    first: Option<&Station>,
    index: usize,
) -> Result<Station> {
    let logs = RunDir::named(&run.join(&format!("hub-{index}")))?;
    let address = pooler.map_or(database.address(), Pooler::address);
    let link = LinkProxy::start(address).await?;
    let commits = PostgresProxy::start(&link.address()).await?;
    let options = HubOptions {
        database: database.url_at(commits.address()),
        lease_seconds: setting.lease_seconds,
        environment: setting.environment.clone(),
        ..HubOptions::default()
    };
    let hub = match first {
        Some(first) => first.hub.beside(&logs, &options).await?,
        None => Hub::start(&logs, &options).await?,
    };
    Ok(Station {
        hub,
        commits,
        link,
        logs,
    })
}
