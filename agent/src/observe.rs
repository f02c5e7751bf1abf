//! Observe: everything that the engine is told about one Rollout.
//!
//! In: the caches, the fleet's side, the time. Out: `Observed`. It must not write, with the one exception that the
//! drop-in contract demands: a ReplicaSet created as a rehearsal, to learn how the API server fills in defaults.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_api::digest::content_digest;
use agent_api::names::gate_name;
use agent_api::{
    AnalysisRun, ContentDigest, Direction, FleetMember, Gate, ObjectMeta, Pod, PodTemplate,
    ReplicaSet, Rollout, Service, StatusTime, Uid, Workload,
};
use agent_engine::analysis::conditions;
use agent_engine::canary::experiment::stable_wanted;
use agent_engine::clock::{of_gate, of_rollout};
use agent_engine::gate::glass;
use agent_engine::{
    GateObserved, GateRecord, Governance, Kept, Observed, Settings, StoredDigests, Templates,
    effective, pods, services,
};
use agent_providers::condition;
use kube::Client;
use kube::api::ListParams;

use crate::break_glass;
use crate::cache::Caches;
use crate::claims::Claims;
use crate::config;
use crate::first_deploy;
use crate::fleet::{Fleet, Kinds};
use crate::fleet_member::{self, UnreadMembers};
use crate::key::ObjectKey;
use crate::lease_clock::Moment;
use crate::moments::SharedMoments;
use crate::permit;
use crate::pod_list;
use crate::refusals::Refusals;
use crate::rehearsal::Rehearsal;
use crate::spent::Spent;
use crate::status_times::StatusTimes;
use crate::store::Found;
use crate::stored::{StoredForms, carried};
use crate::whole;
use crate::wire::{STOPPED, UNGOVERN};
use crate::workloads::Workloads;

/// Why a Rollout cannot be observed now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The defaults of its template are not known.
    #[error(transparent)]
    Rehearsal(#[from] crate::rehearsal::Error),
    /// The workload that it names is not known.
    #[error(transparent)]
    Workload(#[from] crate::workloads::Error),
    /// Whose an object is is not known.
    #[error(transparent)]
    Claims(#[from] crate::claims::Error),
    /// A ConfigMap or Secret could not be asked for.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// Pods could not be listed.
    #[error("cannot list the pods of Rollout {rollout}: {source}")]
    Pods {
        /// Whose.
        rollout: ObjectKey,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Whether a break-glass was admitted is not known.
    #[error(transparent)]
    BreakGlass(#[from] crate::break_glass::Error),
    /// How the API server stored a template is not known.
    #[error(transparent)]
    Stored(#[from] crate::stored::Error),
}

/// Pods in one answer of the API server; more come page by page.
const PODS_A_PAGE: u32 = 500;

/// The means of observing.
pub struct Observer {
    /// What the watches show.
    pub caches: Arc<Caches>,
    /// The fleet's side.
    pub fleet: Arc<Fleet>,
    /// The agent's own namespace.
    pub namespace: String,
    /// For reads that no cache has.
    pub client: Client,
    /// The workloads that Rollouts name.
    pub workloads: Arc<Workloads>,
    /// Templates as the API server would store them.
    pub rehearsal: Rehearsal,
    /// What was refused.
    pub refusals: Arc<Refusals>,
    /// When statuses were written.
    pub status_times: Arc<StatusTimes>,
    /// Stored times while the clock is set.
    pub moments: SharedMoments,
    /// What could be a Rollout's, and names that others have.
    pub claims: Arc<Claims>,
    /// What ended permits left behind.
    pub spent: Arc<Spent>,
    /// Member records that cannot be read.
    pub unread: UnreadMembers,
    /// What holds for all Rollouts.
    pub settings: Settings,
    /// Templates as it has stored them.
    pub stored: StoredForms,
}

impl Observer {
    /// Everything about one Rollout, at one moment.
    pub async fn observe(
        &self,
        rollout: &Rollout,
        at: Moment,
        busy: bool,
    ) -> Result<Observed, Error> {
        let key = ObjectKey::of(&rollout.metadata);
        let uid = Uid(rollout.metadata.uid.clone().unwrap_or_default());
        let replica_sets = self.replica_sets(&uid);
        let times = of_rollout(rollout.status.as_ref(), &replica_sets).chain(self.lease_over(&key));
        let mut observed = Observed {
            now: at.now,
            clock_set: self.moments.look(&key, times, at),
            rollout: rollout.clone(),
            defaulted: None,
            pods: None,
            refused: self.refusals.of(&uid, at.now),
            status_written: self.status_times.of(&key),
            busy,
            refused_set: self.refusals.set_of(&uid, at.now),
            refused_claims: self.refusals.claims_of(&uid, at.now),
            settings: self.settings,
            stored: StoredDigests::new(),
            replica_sets,
            taken: Vec::new(),
            analysis_runs: self.runs(&uid),
            experiments: decoded(self.caches.experiments.indexed(uid.as_str())),
            stable_template: None,
            templates: self.templates(rollout),
            bad_conditions: BTreeMap::new(),
            workload: self.workload(rollout, &key).await?,
            services: Vec::new(),
            // No router is built: a Rollout that names one is InvalidSpec.
            traffic: None,
            gate: GateObserved::stand_alone(),
        };
        observed.bad_conditions = condition::refused(conditions::of_rollout(&observed));
        let orphans = self.claims.orphans(&self.caches, &observed, &key).await?;
        observed.replica_sets.extend(orphans);
        observed.taken = self.claims.taken(&observed, &key).await?;
        observed.pods = self.pods(&observed, &key).await?;
        observed.stored = self.stored.of(&observed).await?;
        if let Some(set) = stable_wanted(&observed) {
            observed.stable_template = self.stored.template(&key.namespace, &set).await?;
        }
        observed.gate = self.gate(&observed, &key, &uid, at).await?;
        observed.services = self.services(rollout, &key, &observed.gate);
        observed.defaulted = self.defaulted(&observed, &uid).await?;
        Ok(observed)
    }

    async fn workload(
        &self,
        rollout: &Rollout,
        key: &ObjectKey,
    ) -> Result<Option<Workload>, Error> {
        let Some(reference) = &rollout.spec.workload_ref else {
            self.workloads.forget(key);
            return Ok(None);
        };
        let found = self.workloads.named(key, reference).await?;
        Ok(found.map(|workload| (*workload).clone()))
    }

    /// The Services that the spec or kept content names, and those that this Rollout manages.
    fn services(&self, rollout: &Rollout, key: &ObjectKey, gate: &GateObserved) -> Vec<Service> {
        let named = services::all_names(&rollout.spec.strategy, gate);
        let named = named.into_iter().filter_map(|name| {
            let key = ObjectKey::new(key.namespace.clone(), name);
            self.caches.services.get(&key)
        });
        let managed = self.caches.services.indexed(&key.to_string());
        let all: BTreeMap<ObjectKey, Found<Service>> = named
            .chain(managed)
            .map(|found| (ObjectKey::of(found.metadata()), found))
            .collect();
        decoded(all.into_values())
    }

    fn replica_sets(&self, uid: &Uid) -> Vec<ReplicaSet> {
        decoded(self.caches.replica_sets.indexed(uid.as_str()))
    }

    /// The pods as they are at this moment, when the engine needs them, from the API server itself: what was evicted just
    /// now is in none of our caches. Of metadata alone, unless a restart has to know which are ready.
    async fn pods(&self, observed: &Observed, key: &ObjectKey) -> Result<Option<Vec<Pod>>, Error> {
        // An empty selector is that of a workload that is gone, and would name every pod there is.
        let unknown = observed.selector().is_empty();
        if unknown || !pods::needed(&observed.rollout, &observed.replica_sets, observed.now) {
            return Ok(None);
        }
        let selector = observed.selector().to_query();
        let parameters = ListParams::default().labels(&selector).limit(PODS_A_PAGE);
        let restarts = pods::restart_due(&observed.rollout, observed.now).is_some();
        let found = if restarts {
            pod_list::with_readiness(&self.client, &key.namespace, parameters).await
        } else {
            pod_list::of_metadata(&self.client, &key.namespace, parameters).await
        };
        let found = found.map_err(|source| Error::Pods {
            rollout: key.clone(),
            source: Box::new(source),
        });
        found.map(Some)
    }

    fn runs(&self, uid: &Uid) -> Vec<AnalysisRun> {
        decoded(self.caches.runs.indexed(uid.as_str()))
    }

    /// The template with the server's defaults, if there is a ReplicaSet that only so can be compared with it.
    async fn defaulted(
        &self,
        observed: &Observed,
        uid: &Uid,
    ) -> Result<Option<PodTemplate>, Error> {
        let Some(written) = to_compare(observed) else {
            return Ok(None);
        };
        Ok(self.rehearsal.defaulted(observed, uid, &written).await?)
    }

    /// The templates that the spec names, nested ones too; kept strategies bring their own.
    fn templates(&self, rollout: &Rollout) -> Templates {
        let namespace = rollout.metadata.namespace.as_deref().unwrap_or_default();
        let wanted = effective::template_keys(&rollout.spec.strategy);
        self.caches.named_templates(namespace, wanted)
    }

    async fn gate(
        &self,
        observed: &Observed,
        key: &ObjectKey,
        uid: &Uid,
        at: Moment,
    ) -> Result<GateObserved, Error> {
        let kinds = self.fleet.kinds();
        match (kinds, self.fleet.has_hub) {
            (Kinds::Absent, false) => return Ok(GateObserved::stand_alone()),
            (Kinds::Absent, true) | (Kinds::Unknown, _) => {
                return Ok(GateObserved {
                    governance: Governance::Unknown,
                    ..GateObserved::stand_alone()
                });
            }
            (Kinds::Present, _) => {}
        }
        let member = self.member();
        let status = member.as_ref().and_then(|member| member.status.as_ref());
        let selector = status.and_then(|status| {
            status
                .governed
                .iter()
                .find(|one| one.namespace == key.namespace && one.name == key.name)
        });
        let record = self.record(key, status.map(|status| status.fence));
        let gate = if let GateRecord::Present(gate) = &record {
            Some(gate.as_ref())
        } else {
            None
        };
        let free = first_deploy::free(gate, status.map(|status| status.fence));
        let kept = self.kept(key);
        let spec = effective::spec_digest(observed);
        let unread = self.unread.no_other(&self.caches, &self.namespace);
        let governance = governance(selector.is_some(), gate, &spec, unread);
        if governance == Governance::Free {
            self.spent.let_go(key);
        }
        let lease_until =
            gate.and_then(|gate| self.fleet.leases(|leases| leases.of_gate(key, gate, at)));
        Ok(GateObserved {
            governance,
            governed_by: selector.map(|selector| selector.fleet_rollout.to_string()),
            distrust: gate.and_then(|gate| self.distrust(gate, uid)),
            hub: self.fleet.contact(at),
            hub_time: self.fleet.hub_clock(|clock| clock.time(at.mono)),
            lease_live: lease_until.is_some(),
            lease_until,
            spent: self.spent.last(status, uid),
            served_before: self.spent.last_served(status, key),
            first_contact_done: !self.fleet.has_hub
                || status.is_some_and(|status| status.first_contact_done),
            first_contact: self.fleet.first_contact,
            first_deploy_free: free.all,
            passed: free.passed,
            stopped: gate
                .and_then(|gate| gate.spec.rest.get(STOPPED))
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned),
            missing_config: self.missing_config(gate, key, &kept).await?,
            break_glass_admitted: self.break_glass_admitted(observed, gate).await?,
            kept,
            record,
        })
    }

    /// The FleetMember of this cluster that counts.
    #[must_use]
    pub fn member(&self) -> Option<FleetMember> {
        fleet_member::counting(&self.caches, &self.fleet)
    }

    /// The Gate record. What lets something start is not there yet where its set is not stored whole.
    fn record(&self, key: &ObjectKey, stored: Option<agent_api::Fence>) -> GateRecord {
        let Some(found) = self.stored_gate(key) else {
            return GateRecord::Missing;
        };
        match &found.object {
            Err(unread) => GateRecord::Undecodable(unread.why.clone()),
            Ok(gate) => {
                let mut gate = gate.clone();
                whole::counting(&mut gate, stored);
                GateRecord::Present(Box::new(gate))
            }
        }
    }

    /// When the end of the lease was recorded.
    fn lease_over(&self, key: &ObjectKey) -> Option<StatusTime> {
        of_gate(self.stored_gate(key)?.object.as_ref().ok())
    }

    fn stored_gate(&self, key: &ObjectKey) -> Option<Found<Gate>> {
        let name = gate_name(&key.namespace, &key.name);
        self.caches
            .gates
            .get(&ObjectKey::new(self.namespace.clone(), name))
    }

    fn distrust(&self, gate: &Gate, uid: &Uid) -> Option<String> {
        let permit = gate.spec.permit.as_ref()?;
        let key = self.fleet.permit_key();
        permit::verify(permit, key.as_ref(), &self.fleet.cluster_uid, uid)
            .err()
            .map(|error| error.to_string())
    }

    /// Of two deliveries of one content, which a pass that was cut off may have left, the newer one counts.
    fn kept(&self, key: &ObjectKey) -> BTreeMap<ContentDigest, Kept> {
        let mut revisions = self.caches.revisions.indexed(&key.to_string());
        revisions.sort_by_key(|found| {
            let metadata = found.metadata();
            let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, metadata.name.clone())
        });
        let read = revisions
            .iter()
            .filter(|found| found.metadata().deletion_timestamp.is_none());
        read.filter_map(|found| found.object.as_ref().ok())
            .map(crate::revision::Revision::kept)
            .collect()
    }

    /// What content named by a rollback needs and what is gone (G23). Asked for only when it matters.
    async fn missing_config(
        &self,
        gate: Option<&Gate>,
        key: &ObjectKey,
        kept: &BTreeMap<ContentDigest, Kept>,
    ) -> Result<BTreeMap<ContentDigest, Vec<String>>, Error> {
        let permit = gate.and_then(|gate| gate.spec.permit.as_ref());
        let Some(permit) = permit.filter(|permit| permit.direction == Direction::Rollback) else {
            return Ok(BTreeMap::new());
        };
        let outcome = gate
            .and_then(|gate| gate.status.as_ref())
            .and_then(|status| status.outcome.as_ref());
        let Some(content) = kept
            .get(&permit.digest)
            .filter(|_| outcome.is_none_or(|one| one.fence != permit.fence))
        else {
            return Ok(BTreeMap::new());
        };
        let names = content.template.config_names();
        let missing = config::missing(&self.client, &key.namespace, names).await?;
        Ok(BTreeMap::from([(permit.digest.clone(), missing)]))
    }
}

impl Observer {
    /// Asked only for a word that is not recorded yet (G16).
    async fn break_glass_admitted(
        &self,
        observed: &Observed,
        gate: Option<&Gate>,
    ) -> Result<bool, Error> {
        let record = gate.and_then(|gate| gate.status.as_ref());
        let annotations = observed.rollout.metadata.annotations.as_ref();
        if !glass::is_fresh(annotations, record) {
            return Ok(false);
        }
        Ok(break_glass::standing(&self.client).await? == break_glass::Standing::Admitted)
    }
}

/// Whether the fleet has a say. The member record names what it governs, and a Gate counts without it: a record that was deleted
/// or cannot be read frees nothing (G5, G7, G9).
#[must_use]
pub fn governance(
    named: bool,
    gate: Option<&Gate>,
    spec: &ContentDigest,
    unread_member: bool,
) -> Governance {
    let by_gate = gate.is_some_and(|gate| gate.spec.governed || still_holds(gate, spec));
    if named || by_gate {
        Governance::Governed
    } else if unread_member && gate.is_none() {
        Governance::Unknown
    } else {
        Governance::Free
    }
}

/// After `Ungovern: KeepServing` what was held stays held until Git says something else.
fn still_holds(gate: &Gate, spec: &ContentDigest) -> bool {
    let keeps = !gate.spec.governed
        && gate.spec.rest.get(UNGOVERN).and_then(|mode| mode.as_str()) == Some("KeepServing");
    let held = gate
        .status
        .as_ref()
        .and_then(|status| status.held.as_ref())
        .map(|held| &held.digest);
    keeps && held == Some(spec)
}

/// The spec's digest, if some ReplicaSet can be compared with it only once its defaults are known: none is marked as
/// holding the spec, or has stored it like that.
fn to_compare(observed: &Observed) -> Option<ContentDigest> {
    let template = observed.template()?;
    let carried: Vec<Option<&str>> = observed.replica_sets.iter().map(carried).collect();
    if observed.stored.is_empty() && carried.iter().all(Option::is_some) {
        return None;
    }
    let written = content_digest(template);
    let stored = observed
        .stored
        .values()
        .flatten()
        .map(ContentDigest::as_str);
    let mut known = stored.chain(carried.into_iter().flatten());
    let is_known = known.any(|digest| digest == written.as_str());
    (!is_known).then_some(written)
}

/// The objects that could be decoded.
pub(crate) fn decoded<K>(found: impl IntoIterator<Item = Found<K>>) -> Vec<K> {
    found
        .into_iter()
        .filter_map(|found| found.object.ok())
        .collect()
}

/// The UID in metadata.
#[must_use]
pub fn uid_of(metadata: &ObjectMeta) -> Uid {
    Uid(metadata.uid.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
