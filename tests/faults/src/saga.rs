//! A release as a saga over the real engine, the real store and a real PostgreSQL, without programs: one effect after
//! another, each of which can be repeated, refused or left without a reply. In: clusters, versions. Out: what it came to,
//! whatever was repeated and whoever went on. It must not decide.

use std::time::Duration;

use hub_engine::release::Release;
use hub_engine::{ClusterName, FleetRolloutName, ReleaseId};
use hub_store::report::Stored;
use hub_store::request::NewRequest;
use hub_store::session::{Hello, Opened};
use hub_store::{Epoch, Error, PermitSigner, Store, UnsignedPermit};
use proto::v1::Report;
use proto::v1::report::Body;
use tests_bench::fleet::rollout::{NAMESPACE, Rollout};
use tests_fleet::proxy::postgres::PostgresProxy;
use tests_fleet::proxy::trigger::{KillPoint, Moment};

use crate::agents::ROLLOUT;
use crate::database::Database;
use crate::puppet::permits;
use crate::world::NAME;

/// More turns than any story here takes.
const TURNS: usize = 100;
/// Of the deciding hub; the next one has its name and need not wait for its end.
const LEASE: Duration = Duration::from_secs(60);

struct Signer;

impl PermitSigner for Signer {
    fn lease_seconds(&self) -> u32 {
        60
    }
    fn sign(&self, _: &UnsignedPermit) -> String {
        "signature".to_owned()
    }
}

/// One cluster, moved by hand.
struct Member {
    name: ClusterName,
    rollout: Rollout,
    fence: hub_engine::Fence,
    session: u64,
    sequence: u64,
    unsent: Vec<Body>,
    bad: bool,
}

/// Clusters and the hub that decides now.
pub struct Saga {
    database: Database,
    proxy: PostgresProxy,
    store: Store,
    epoch: Epoch,
    members: Vec<Member>,
    /// Every effect happens twice.
    pub twice: bool,
    version: u64,
}

/// What a story came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Phases and states.
    pub outline: Vec<String>,
    /// Whether each cluster serves the version that the story brought.
    pub serves: Vec<bool>,
}

impl Saga {
    /// Two clusters, one a wave; nothing is released.
    pub async fn begin() -> Self {
        let database = Database::shared().await.expect("a database");
        let proxy = PostgresProxy::start(database.address()).await;
        let proxy = proxy.expect("a proxy");
        let store = Store::connect(&database.url_at(proxy.address())).expect("a URL");
        store.migrate().await.expect("a schema");
        let names = ["one", "two"];
        for (wave, name) in names.iter().enumerate() {
            let labels = format!(r#"{{"tier": "prod", "wave": "{wave}"}}"#);
            let statements = [
                format!(
                    "insert into clusters (name, labels, kube_system_uid, joined_at) values ('{name}', '{labels}', 'uid-{name}', now())"
                ),
                format!("insert into cluster_sets (cluster, incarnation) values ('{name}', 1)"),
                format!("insert into cluster_sessions (cluster) values ('{name}')"),
            ];
            let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
            database.psql(&statements).await.expect("a cluster");
        }
        let document = format!(
            "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {{name: {NAME}}}\nspec:\n  \
             rollout: {{namespace: {NAMESPACE}, name: {ROLLOUT}}}\n  enforcement: Enforce\n  \
             onFailure: {{action: Rollback, scope: Touched}}\n  waves:\n  \
             - {{name: first, clusters: {{matchLabels: {{wave: \"0\"}}}}}}\n  - {{name: rest}}\n"
        );
        let file = hub_engine::parse_file(&document).expect("a document");
        let applied = store.fleet_rollout_apply(&file, &"ann".into(), false).await;
        applied.expect("applied");
        Self::with(database, proxy, store, &names, 1).await
    }

    /// The clusters of a database that another hub has left, which want this version; its schema is brought to this one.
    pub async fn adopt(database: Database, names: &[&str], version: u64) -> Self {
        let proxy = PostgresProxy::start(database.address()).await;
        let proxy = proxy.expect("a proxy");
        let store = Store::connect(&database.url_at(proxy.address())).expect("a URL");
        store.migrate().await.expect("a schema");
        Self::with(database, proxy, store, names, version).await
    }

    async fn with(
        database: Database,
        proxy: PostgresProxy,
        store: Store,
        names: &[&str],
        version: u64,
    ) -> Self {
        let member = |name: &&str| {
            let mut rollout = Rollout::new(ROLLOUT, name);
            let unsent = rollout.want(version);
            Member {
                name: ClusterName((*name).to_owned()),
                rollout,
                fence: hub_engine::Fence::default(),
                session: 0,
                sequence: 0,
                unsent,
                bad: false,
            }
        };
        let members = names.iter().map(member).collect();
        let mut saga = Self {
            database,
            proxy,
            store,
            epoch: Epoch(0),
            members,
            twice: false,
            version,
        };
        saga.next_hub().await;
        saga
    }

    /// The hub before is gone with what it had in its hands: another one takes over, and every agent comes to it.
    pub async fn next_hub(&mut self) {
        self.proxy.trigger().release();
        let url = self.database.url_at(self.proxy.address());
        self.store = Store::connect(&url).expect("a URL");
        let epoch = self.store.epoch_take("saga", LEASE).await;
        self.epoch = epoch.expect("the database").expect("its own lease");
        for index in 0..self.members.len() {
            self.hello(index).await;
        }
    }

    async fn hello(&mut self, index: usize) {
        let member = &mut self.members[index];
        let state = hub::wire::report::rollout_state(member.rollout.state()).expect("a state");
        let hello = Hello {
            cluster: member.name.clone(),
            kube_system_uid: format!("uid-{}", member.name),
            agent_version: "saga".to_owned(),
            fence: member.fence,
            proven: true,
            set_hash: String::new(),
            rollouts: vec![state],
            fingerprint: String::new(),
            audit_head: String::new(),
            handed: None,
            hub: "saga".to_owned(),
        };
        let opened = self.store.session_open(&hello).await;
        let opened = opened.expect("the database");
        let Opened::Session(begun) = opened else {
            panic!("{opened:?}");
        };
        member.session = begun.session;
        member.sequence = 0;
    }

    /// Git wants the next version; where `bad` says so it comes to nothing.
    pub fn want(&mut self, bad: Option<usize>) {
        self.version += 1;
        for (index, member) in self.members.iter_mut().enumerate() {
            member.bad = bad == Some(index);
            let said = member.rollout.want(self.version);
            member.unsent.extend(said);
        }
    }

    /// The number of the release that the newest version is in.
    pub fn number(&self) -> u64 {
        self.version - 1
    }

    /// A person's word about it, twice under two keys, as two people would say it.
    pub async fn undo_twice(&mut self) {
        self.fails_at(None);
        for key in ["first", "second"] {
            let request = NewRequest {
                fleet_rollout: FleetRolloutName::from(NAME),
                release: Some(self.number()),
                verb: hub_engine::verb::Verb::Rollback,
                person: "ann".into(),
                reason: "no".to_owned(),
                key: format!("{key}-{}", self.version),
            };
            self.store.request_add(&request).await.expect("said");
        }
    }

    /// How many COMMITs there were since `fails_at`.
    pub fn commits(&self) -> u64 {
        self.proxy.trigger().count()
    }

    /// From now on this COMMIT fails, or its reply is lost; `None` only counts.
    pub fn fails_at(&self, point: Option<(u64, Moment)>) {
        let point = point.map(|(number, moment)| KillPoint {
            number,
            moment,
            pid: 0,
        });
        self.proxy.trigger().arm(point);
    }

    /// One effect after another until there is none; how often another hub had to go on.
    pub async fn rest(&mut self) -> usize {
        let mut hubs = 0;
        for _ in 0..TURNS {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => return hubs,
                Err(Error::Unavailable { .. }) => {
                    hubs += 1;
                    self.next_hub().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("it does not come to rest: {:?}", self.release().await);
    }

    /// So many effects, or until one fails: the hub is gone then.
    pub async fn until_it_fails(&mut self) -> bool {
        for _ in 0..TURNS {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(Error::Unavailable { .. }) => return true,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("it does not come to rest");
    }

    async fn turn(&mut self) -> Result<bool, Error> {
        let name = FleetRolloutName::from(NAME);
        let mut moved = false;
        for _ in 0..1 + usize::from(self.twice) {
            let decided = self.store.decide(self.epoch, &name, &Signer).await?;
            moved |= decided.is_some_and(|decided| !decided.plan.actions.is_empty());
        }
        for index in 0..self.members.len() {
            moved |= self.cluster(index).await?;
        }
        Ok(moved)
    }

    async fn cluster(&mut self, index: usize) -> Result<bool, Error> {
        let twice = self.twice;
        let member = &mut self.members[index];
        let set = self.store.desired_set(&member.name).await?;
        let news = set.fence > member.fence;
        let wire = hub::wire::set::desired(&set, None);
        for _ in 0..1 + usize::from(twice) {
            for permit in permits(&wire) {
                member.unsent.extend(member.rollout.permit(&permit));
            }
        }
        if news {
            for _ in 0..1 + usize::from(twice) {
                let (name, session) = (&member.name, member.session);
                let acked = self
                    .store
                    .session_ack(name, session, set.fence, &wire.set_hash, &[]);
                assert!(acked.await?, "its session is current");
            }
            member.fence = set.fence;
        }
        if member.unsent.is_empty() {
            let ended = match member.bad && member.rollout.moving_to() == Some(self.version) {
                true => member.rollout.fail(),
                false => member.rollout.serve(),
            };
            member.unsent.extend(ended);
        }
        let moved = news || !member.unsent.is_empty();
        self.send(index).await?;
        Ok(moved)
    }

    /// What was not acknowledged is said; twice: under the same numbers, and then under new ones.
    async fn send(&mut self, index: usize) -> Result<(), Error> {
        let member = &mut self.members[index];
        if member.unsent.is_empty() {
            return Ok(());
        }
        let first = member.sequence + 1;
        let deliveries = if self.twice {
            vec![0, 0, member.unsent.len() as u64]
        } else {
            vec![0]
        };
        for offset in deliveries {
            let numbered = (first + offset..).zip(&member.unsent);
            let reports = numbered.filter_map(|(sequence, body)| {
                let report = Report {
                    sequence,
                    body: Some(body.clone()),
                    ..Report::default()
                };
                hub::wire::report::report(report).expect("a report")
            });
            let reports: Vec<_> = reports.collect();
            let stored = self
                .store
                .report_store(&member.name, member.session, &reports)
                .await?;
            match stored {
                Stored::UpTo(highest) => member.sequence = highest,
                Stored::SessionOver => panic!("its session is current"),
                Stored::Locked => return Err(hub_store::heard::locked()),
            }
        }
        member.unsent.clear();
        Ok(())
    }

    /// The newest release, asked around the fault.
    pub async fn release(&self) -> Option<Release> {
        let direct = Store::connect(&self.database.url_at(self.database.address()));
        let id = ReleaseId {
            fleet_rollout: FleetRolloutName::from(NAME),
            number: self.number(),
        };
        let row = direct.expect("a URL").release_get(&id).await.ok()?;
        Some(row.release)
    }

    /// What it came to.
    pub async fn end(&self) -> End {
        let release = self.release().await.expect("a release");
        let waves = release.waves.iter().map(|wave| wave.phase.as_str());
        let targets = release.targets.iter().map(|target| target.state.as_str());
        let all = [release.phase.as_str()]
            .into_iter()
            .chain(waves)
            .chain(targets);
        End {
            outline: all.map(str::to_owned).collect(),
            serves: self
                .members
                .iter()
                .map(|member| member.rollout.served() == self.version)
                .collect(),
        }
    }

    /// The store, for the history checker.
    pub fn store(&self) -> &Store {
        &self.store
    }
}
