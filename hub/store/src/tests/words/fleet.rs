//! Two clusters under one FleetRollout, whose agents do as they are permitted, at once.

use std::collections::BTreeMap;
use std::time::Duration;

use hub_engine::name::{Digest, Person, RolloutName};
use hub_engine::observed::{Outcome, OutcomeResult, Rollout};
use hub_engine::release::{Content, ReleasePhase};
use hub_engine::verb::Verb;
use hub_engine::{ClusterName, FleetRolloutName, ReleaseId};

use super::super::fixture;
use crate::certificate::{Certificate, CertificateIssuer};
use crate::desired::Governance;
use crate::join::{Join, NewToken};
use crate::report::{Body, Report};
use crate::request::{NewRequest, Requested};
use crate::session::{Hello, Opened};
use crate::tests::fixture::Signer;
use crate::tests::recovery::hello;
use crate::{Epoch, Error, Store};

/// Longer than any test here.
pub const TTL: Duration = Duration::from_secs(600);
/// Rounds after which a decision has nothing more to do.
const ROUNDS: usize = 16;

/// `APPROVAL` stands where the first wave's is, if it has one.
const DOCUMENT: &str = "
apiVersion: fleet.groundswell.dev/v1alpha1
kind: FleetRollout
metadata: {name: checkout}
spec:
  rollout: {namespace: shop, name: checkout}
  enforcement: Enforce
  waves:
  - {name: canary, clusters: {matchLabels: {ring: eu}}, APPROVAL}
  - {name: rest}
  onFailure: {action: Rollback, steps: Skip}
";
const APPROVAL: &str = "approval: {before: {required: 1, groups: [sre]}}";

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

pub struct Member {
    pub name: ClusterName,
    pub session: u64,
    pub sequence: u64,
    pub state: Rollout,
}

pub struct Fleet {
    pub store: Store,
    pub epoch: Epoch,
    pub members: Vec<Member>,
}

fn rollout() -> RolloutName {
    RolloutName {
        namespace: "shop".into(),
        name: "checkout".into(),
    }
}

pub fn name() -> FleetRolloutName {
    "checkout".into()
}

pub fn id(number: u64) -> ReleaseId {
    ReleaseId {
        fleet_rollout: name(),
        number,
    }
}

fn content(version: &str, generation: i64) -> Content {
    Content {
        digest: Digest(format!("v1:{version}")),
        delivery: "steps".into(),
        revision: Some(format!("r-{version}").into()),
        images: vec![format!("shop:{version}")],
        generation,
    }
}

async fn member(store: &Store, name: &str) -> Member {
    let token = NewToken {
        id: name.to_owned(),
        secret_hash: "hash".into(),
        cluster: name.into(),
        labels: BTreeMap::from([("ring".to_owned(), name.to_owned())]),
        valid_seconds: 60,
        person: "ann".into(),
    };
    store.token_create(&token).await.unwrap();
    let join = Join {
        token_id: name.into(),
        secret_hash: "hash".into(),
        cluster: name.into(),
        kube_system_uid: format!("uid-{name}"),
        csr_hash: "csr".into(),
        agent_version: "1".into(),
    };
    store.join(&join, &Issuer).await.unwrap();
    let mut state: Rollout = serde_json::from_str("{\"uid\":\"u\"}").unwrap();
    let first = content("a", 1);
    state.served = Some(first.digest.clone());
    state.kept = vec![first.digest.clone()];
    state.healthy = vec![first.digest.clone()];
    state.spec = Some(first);
    let mut member = Member {
        name: name.into(),
        session: 0,
        sequence: 0,
        state,
    };
    member.comes(store, 0).await;
    member
}

impl Member {
    /// Says Hello with everything that it has, at this version.
    pub async fn comes(&mut self, store: &Store, version: u64) {
        let hello = Hello {
            kube_system_uid: format!("uid-{}", self.name),
            rollouts: vec![(rollout(), self.state.clone())],
            fingerprint: format!("of {}", self.name),
            ..hello(self.name.as_str(), (1, version), None)
        };
        let opened = store.session_open(&hello).await.unwrap();
        let Opened::Session(begun) = opened else {
            panic!("no session: {opened:?}");
        };
        (self.session, self.sequence) = (begun.session, 0);
    }

    /// Has stored its set.
    pub async fn acknowledges(&self, store: &Store) {
        let fence = store.desired_set(&self.name).await.unwrap().fence;
        let stored = store.session_ack(&self.name, self.session, fence, "", &[]);
        assert!(stored.await.unwrap());
    }

    pub async fn report(&mut self, store: &Store, body: Body) {
        self.sequence += 1;
        let report = Report {
            sequence: self.sequence,
            at: jiff::Timestamp::default(),
            traceparent: String::new(),
            rollout: rollout(),
            body,
        };
        store
            .report_store(&self.name, self.session, &[report])
            .await
            .unwrap();
    }

    /// Whatever its newest permit names is served.
    pub async fn work(&mut self, store: &Store) {
        let set = store.desired_set(&self.name).await.unwrap();
        let Some(Governance::Governed {
            permit: Some(signed),
            ..
        }) = set.entries.into_iter().next().map(|entry| entry.governance)
        else {
            return;
        };
        let permit = signed.permit;
        if self.state.outcome.as_ref().map(|outcome| outcome.fence) == Some(permit.fence) {
            return;
        }
        let sound = self.state.kept.contains(&permit.digest);
        if sound {
            self.state.served = Some(permit.digest.clone());
            self.state.healthy.push(permit.digest.clone());
            let spec = self.state.spec.as_ref().map(|spec| spec.digest.clone());
            self.state.held = spec.filter(|spec| *spec != permit.digest);
        }
        self.state.outcome = Some(Outcome {
            fence: permit.fence,
            release: permit.release.to_string(),
            digest: permit.digest,
            result: if sound {
                OutcomeResult::Served
            } else {
                OutcomeResult::NoRollbackTarget
            },
            message: String::new(),
            generation: 1,
        });
        let state = self.state.clone();
        self.report(store, Body::State(state)).await;
    }
}

impl Fleet {
    /// In two waves, the first one with or without an approval.
    pub async fn new(approval: bool) -> Self {
        let first = if approval {
            format!(", {APPROVAL}")
        } else {
            String::new()
        };
        Self::of(&DOCUMENT.replace(", APPROVAL", &first)).await
    }

    /// In two waves, and the second one is approved.
    pub async fn approved_at_last() -> Self {
        let text = DOCUMENT.replace(", APPROVAL", "");
        Self::of(&text.replace("{name: rest}", &format!("{{name: rest, {APPROVAL}}}"))).await
    }

    /// What is taken back goes by the canary's steps.
    pub async fn backwards() -> Self {
        let text = DOCUMENT.replace(", APPROVAL", "");
        Self::of(&text.replace("steps: Skip", "steps: Backwards")).await
    }

    /// The first wave bakes for longer than any test.
    pub async fn baking() -> Self {
        Self::of(&DOCUMENT.replace("APPROVAL", "bake: 1h")).await
    }

    async fn of(text: &str) -> Self {
        let store = fixture::store().await;
        let epoch = store.epoch_take("first", TTL).await.unwrap().unwrap();
        let documents = hub_engine::parse_file(text).unwrap();
        let mut members = Vec::new();
        for name in ["eu", "us"] {
            members.push(member(&store, name).await);
        }
        let ann = Person("ann".into());
        store
            .fleet_rollout_apply(&documents, &ann, false)
            .await
            .unwrap();
        let fleet = Self {
            store,
            epoch,
            members,
        };
        fleet.decide().await;
        fleet
    }

    pub async fn decide(&self) {
        decide(&self.store, self.epoch).await;
    }

    /// New content in every cluster, held.
    pub async fn push(&mut self, version: &str, generation: i64) {
        self.pushed(version, generation).await;
        self.decide().await;
    }

    /// The same, and nothing is decided yet.
    pub async fn pushed(&mut self, version: &str, generation: i64) {
        for member in &mut self.members {
            let now = content(version, generation);
            let was = member.state.spec.clone();
            member.state.held = Some(now.digest.clone());
            member.state.kept.push(now.digest.clone());
            member.state.spec = Some(now.clone());
            let state = member.state.clone();
            member.report(&self.store, Body::State(state)).await;
            member.report(&self.store, Body::Changed { was, now }).await;
        }
    }

    /// Agents and the hub go on until nothing moves.
    pub async fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.decide().await;
            for member in &mut self.members {
                member.work(&self.store).await;
            }
        }
    }

    pub async fn say(&self, verb: Verb, release: u64, key: &str) -> Requested {
        let id = self.store.request_add(&word(verb, release, key)).await;
        let id = id.unwrap();
        self.decide().await;
        self.store.request_get(id).await.unwrap()
    }

    pub async fn phase(&self, number: u64) -> ReleasePhase {
        let row = self.store.release_get(&id(number)).await.unwrap();
        row.release.phase
    }

    /// Kinds and sentences of a release's history.
    pub async fn told(&self, number: u64) -> Vec<(String, String)> {
        let rows = self
            .store
            .history_list(&id(number).to_string(), 0, 1_000)
            .await
            .unwrap();
        rows.into_iter()
            .map(|row| (row.kind, row.message))
            .collect()
    }
}

pub async fn decide(store: &Store, epoch: Epoch) {
    for _ in 0..ROUNDS {
        match store.decide(epoch, &name(), &Signer).await {
            Ok(Some(decided)) if decided.plan.actions.is_empty() => return,
            // Busy: another transaction was in the way each time; the loop of the hub comes again, too.
            Ok(Some(_)) | Err(Error::Busy { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub fn word(verb: Verb, release: u64, key: &str) -> NewRequest {
    NewRequest {
        fleet_rollout: name(),
        release: Some(release),
        verb,
        person: "ann".into(),
        reason: "the graphs look wrong".to_owned(),
        key: key.to_owned(),
    }
}

pub fn refused(answer: &Requested, says: &str) {
    let Requested::Refused(why) = answer else {
        panic!("{answer:?}");
    };
    assert!(why.contains(says), "{why}");
}
