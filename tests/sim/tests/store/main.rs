//! The model of the store and the real one on a real PostgreSQL: the same random acts of agents, hubs and people to both,
//! and after each the same view of every FleetRollout (a state-machine test). Of three FleetRollouts two name Rollouts of their
//! own, of which the second comes after the first, and one names the first one's Rollout in a cluster that joined after both were
//! applied. In: seeds. Out: nothing differs but numbers of rows and times. It must not compare what the database alone decides:
//! when something happened.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod agents;
mod hubs;
mod people;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use hub::wire::set;
use hub_engine::name::{Digest, RolloutName};
use hub_engine::observed::{Cluster, Rollout};
use hub_engine::release::Content;
use hub_engine::{ClusterName, Fence, FleetRolloutName, reconcile};
use hub_store::certificate::{Certificate, CertificateIssuer};
use hub_store::desired::{DesiredSet, Governance};
use hub_store::embedded::Embedded;
use hub_store::join::{Join, NewToken};
use hub_store::older::Committed;
use hub_store::{Epoch, PermitSigner, Store as Real, UnsignedPermit};
use tests_golden::hub_random::Random;
use tests_sim::event::{Draft, Ms};
use tests_sim::keys::Keys;
use tests_sim::store::{self, Row, Store as Model};
use tests_sim::world::stamp;

use view::{difference, timeless, timeless_text};

/// Acts in one run; each kind comes many times.
const ACTS: usize = 260;
/// The act by which nothing is decided any more, or is again.
const RECOVER: usize = 17;
const CLUSTERS: [&str; 3] = ["c0", "c1", "c2"];
/// It joins after every document was applied.
const LATE: &str = "c2";
const TTL: Duration = Duration::from_secs(3_600);
/// Hubs, by the numbers that the model knows them by.
const HUBS: [&str; 2] = ["hub", "other"];
/// By FleetRollout: its name, and which Rollout it names.
const FLEETS: [(&str, usize); 3] = [("checkout", 0), ("search", 1), ("shadow", 0)];
const ROLLOUTS: [&str; 2] = ["checkout", "search"];
const DOCUMENTS: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchExpressions: [{key: tier, operator: Exists}]}
  waves:
  - {name: canary, clusters: {matchLabels: {ring: c0}}}
  - {name: rest, maxConcurrent: 100%, approval: {before: {required: 1, groups: [sre]}}}
  onFailure: {action: Rollback}
---
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: search}
spec:
  rollout: {namespace: shop, name: search}
  after: [checkout]
  enforcement: Enforce
  clusters: {matchExpressions: [{key: ring, operator: In, values: [c1, c2]}]}
  waves:
  - {name: all, maxConcurrent: 1}
  onFailure: {action: Halt}
---
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: shadow}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  clusters: {matchLabels: {ring: c2}}
  waves:
  - {name: all}
";
/// Each comes in every seed.
const KINDS: [&str; 17] = [
    "hello",
    "ack",
    "beat",
    "close",
    "report",
    "again",
    "made",
    "stop",
    "word",
    "governance",
    "decide",
    "older",
    "regressed",
    "approve",
    "takeover",
    "lost",
    "recover",
];

struct Issuer;

impl CertificateIssuer for Issuer {
    fn issue(&self, cluster: &ClusterName) -> Result<Certificate, String> {
        Ok(Certificate {
            fingerprint: format!("of {cluster}"),
            pem: String::new(),
            expires: jiff::Timestamp::MAX,
        })
    }
}

struct Signer;

impl PermitSigner for Signer {
    fn lease_seconds(&self) -> u32 {
        store::LEASE_SECONDS
    }
    fn sign(&self, _: &UnsignedPermit) -> String {
        String::new()
    }
}

fn rollout(part: usize) -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: ROLLOUTS[part].into(),
    }
}

fn name(fleet: usize) -> FleetRolloutName {
    FLEETS[fleet].0.into()
}

fn content(version: usize, generation: i64) -> Content {
    Content {
        digest: Digest(format!("v1:{version}")),
        delivery: "steps".into(),
        revision: Some(format!("r{version}").into()),
        images: vec![format!("shop:{version}")],
        generation,
    }
}

/// An agent as both stores hear it.
struct Agent {
    session: u64,
    sequence: u64,
    fence: Fence,
    /// By Rollout.
    states: [Rollout; 2],
    /// By its session's knowledge.
    committed: Committed,
}

struct Both {
    random: Random,
    real: Real,
    /// Which hub decides, and in which epoch.
    holder: usize,
    epoch: Epoch,
    model: Model,
    keys: Keys,
    agents: BTreeMap<&'static str, Agent>,
    version: usize,
    /// Rollouts that were made again.
    made: usize,
    seen: BTreeMap<&'static str, usize>,
}

impl Both {
    async fn new(seed: u64, real: Real) -> Self {
        let epoch = real.epoch_take(HUBS[0], TTL).await.unwrap().unwrap();
        let mut agents = BTreeMap::new();
        for name in CLUSTERS {
            let fence = Fence {
                incarnation: 1,
                version: 0,
            };
            agents.insert(
                name,
                Agent {
                    session: 0,
                    sequence: 0,
                    fence,
                    states: ROLLOUTS.map(first_state),
                    committed: Committed::default(),
                },
            );
        }
        for name in CLUSTERS.iter().filter(|name| **name != LATE) {
            join(&real, name).await;
        }
        let file = hub_engine::parse_file(DOCUMENTS).unwrap();
        real.fleet_rollout_apply(&file, &"ann".into(), false)
            .await
            .unwrap();
        join(&real, LATE).await;
        let mut fleets = Vec::new();
        for fleet in 0..FLEETS.len() {
            fleets.push(real.observe(&name(fleet)).await.unwrap().unwrap());
        }
        let row = |cluster: &Cluster| Row {
            uid: format!("uid-{}", cluster.name),
            desired: cluster.desired,
            // No stream's: a cluster that joins begins above every session of whoever had its name.
            session: 1,
            ..Row::default()
        };
        let rows = fleets[0].clusters.iter();
        let rows = rows.map(|cluster| (cluster.name.clone(), row(cluster)));
        let rows = rows.collect();
        let mut model = Model::new(fleets, rows);
        assert!(model.epoch_take(0, 1, Ms::MAX / 4).unwrap().is_some());
        Self {
            random: Random::new(seed),
            real,
            holder: 0,
            epoch,
            model,
            keys: Keys::new(),
            agents,
            version: 0,
            made: 0,
            seen: BTreeMap::new(),
        }
    }

    /// The database's time, as the model counts it.
    async fn now(&self) -> Ms {
        let now = self.real.now().await.unwrap();
        let since = stamp(0).duration_until(now).as_millis();
        Ms::try_from(since).unwrap()
    }

    async fn act(&mut self) -> String {
        let name = self.random.pick(&CLUSTERS);
        // While nothing is decided not much happens.
        let soon = self.model.recovery.held && self.random.percent(25);
        let kind = if soon { RECOVER } else { self.random.below(19) };
        let told = match kind {
            0 => self.hello(name).await,
            1 => self.ack(name).await,
            2 => self.beat(name).await,
            3 => self.close(name).await,
            4 => self.change(name).await,
            5 => self.again(name).await,
            6 => self.stop().await,
            7 => self.word().await,
            8 => self.work(name).await,
            14 | 15 => self.approve().await,
            16 => self.takes_over().await,
            18 => self.made_again(name).await,
            RECOVER => self.loses_or_recovers(name).await,
            9 if self.random.percent(50) => self.governance(name).await,
            _ => self.decide().await,
        };
        let kind = told.split(' ').next().unwrap_or_default();
        if let Some(known) = KINDS.into_iter().find(|one| *one == kind) {
            *self.seen.entry(known).or_default() += 1;
        }
        told
    }

    /// A decision that is not committed yet.
    async fn draft(&self, fleet: usize) -> Draft {
        let observed = self.model.observe(fleet, self.now().await).unwrap();
        let plan = reconcile(&observed);
        Draft {
            fleet,
            epoch: self.model.epoch,
            snapshot: self.model.commits[fleet],
            observed,
            plan,
        }
    }

    /// The same plan is decided on the same view, and committed to both.
    async fn decide(&mut self) -> String {
        let fleet = self.random.below(FLEETS.len());
        let draft = self.draft(fleet).await;
        let words = draft.plan.actions.iter();
        let words = words.map(|one| timeless_text(&one.action.to_string()));
        let words: Vec<String> = words.collect();
        let decided = self.real.decide(self.epoch, &name(fleet), &Signer).await;
        if let Err(hub_store::Error::Held { .. }) = &decided {
            assert_eq!(
                self.model.commit(&draft, &self.keys, true),
                Err(store::Error::Held)
            );
            return "decide later".to_owned();
        }
        let real = decided.unwrap().unwrap().plan.actions;
        let real = real
            .iter()
            .map(|one| timeless_text(&one.action.to_string()));
        assert_eq!(real.collect::<Vec<_>>(), words);
        self.model.commit(&draft, &self.keys, true).unwrap();
        format!("decide {fleet} {words:?}")
    }

    /// Everything that the engine sees of each FleetRollout, and what each cluster is sent.
    async fn compare(&self, acts: &[String]) {
        for fleet in 0..FLEETS.len() {
            let real = self.real.observe(&name(fleet)).await.unwrap().unwrap();
            let model = self.model.observe(fleet, self.now().await).unwrap();
            let (real, model) = (timeless(&real), timeless(&model));
            let differs = difference(&real, &model, name(fleet).to_string());
            assert!(differs.is_empty(), "{differs:#?} after {acts:#?}");
        }
        for cluster in CLUSTERS.map(ClusterName::from) {
            let lacking = self.real.first_word(&cluster).await.unwrap();
            let lacks = self.model.first_word(&cluster).unwrap();
            assert_eq!(lacking, lacks, "{acts:#?}");
            let real = self.real.desired_set(&cluster).await.unwrap();
            let model = self.model.desired_set(&cluster).unwrap();
            assert_eq!(real.fence, model.fence, "{acts:#?}");
            assert_eq!(entries(&real), entries(&model), "{acts:#?}");
            self.deltas(&cluster, &real, acts).await;
        }
    }

    /// What is read for an agent that was sent any set before is what changed of the whole one.
    async fn deltas(&self, cluster: &ClusterName, whole: &DesiredSet, acts: &[String]) {
        let newest = whole.fence;
        let before = newest.version.saturating_sub(3)..=newest.version;
        let before = before.map(|version| Fence { version, ..newest });
        let restored = Fence {
            incarnation: newest.incarnation.saturating_sub(1),
            ..newest
        };
        for sent in before.chain([restored]).map(Some).chain([None]) {
            let read = self.real.desired_since(cluster, sent).await.unwrap();
            let base = sent.filter(|sent| sent.incarnation == newest.incarnation && *sent < newest);
            assert_eq!(read.base, base, "{sent:?} {acts:#?}");
            let (read, wanted) = (set::since(&read), set::desired(whole, base));
            assert_eq!(read, wanted, "{sent:?} {acts:#?}");
        }
    }
}

/// Whose each is, since when, and whether it is governed; what it says beside that is in the view.
fn entries(set: &DesiredSet) -> Vec<(RolloutName, FleetRolloutName, u64, Option<bool>)> {
    let let_go = |governance: &Governance| match governance {
        Governance::Governed { .. } => None,
        Governance::Ungovern { release_held } => Some(*release_held),
    };
    let entries = set.entries.iter().map(|one| {
        let (rollout, fleet) = (one.rollout.clone(), one.fleet_rollout.clone());
        (rollout, fleet, one.version, let_go(&one.governance))
    });
    entries.collect()
}

fn first_state(name: &str) -> Rollout {
    let text = format!("{{\"uid\":\"u-{name}\"}}");
    let mut state: Rollout = serde_json::from_str(&text).unwrap();
    let first = content(0, 1);
    state.served = Some(first.digest.clone());
    state.kept = vec![first.digest.clone()];
    state.healthy = vec![first.digest.clone()];
    state.spec = Some(first);
    state
}

async fn join(real: &Real, name: &str) {
    let token = NewToken {
        id: name.to_owned(),
        secret_hash: "hash".into(),
        cluster: name.into(),
        labels: [("ring", name), ("tier", "prod")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        valid_seconds: 600,
        person: "ann".into(),
    };
    real.token_create(&token).await.unwrap();
    let join = Join {
        token_id: name.into(),
        secret_hash: "hash".into(),
        cluster: name.into(),
        kube_system_uid: format!("uid-{name}"),
        csr_hash: "csr".into(),
        agent_version: "1".into(),
    };
    real.join(&join, &Issuer).await.unwrap();
}

#[tokio::test]
async fn the_model_of_the_store_and_the_real_one_say_the_same() {
    let mut unsaid = 0;
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let server = Embedded::start_volatile(folder.path()).await.unwrap();
        let real = Real::connect(server.url()).unwrap();
        real.migrate().await.unwrap();
        let mut both = Both::new(seed, real).await;
        let mut acts = Vec::new();
        for name in CLUSTERS {
            acts.push(both.hello(name).await);
        }
        for _ in 0..ACTS {
            let told = both.act().await;
            acts.push(told);
            both.compare(&acts).await;
        }
        for kind in KINDS {
            assert!(
                both.seen.contains_key(kind),
                "no {kind} in seed {seed}: {acts:#?}"
            );
        }
        unsaid += both.seen.get("unsaid").copied().unwrap_or(0);
        both.recovers().await;
        both.says_hello(CLUSTERS[0]).await;
        both.lost(CLUSTERS[0], seed % 2 == 1).await;
        both.real.close().await;
        server.stop().await.unwrap();
    }
    assert!(unsaid > 0, "no agent comes without the end of a permit");
}
