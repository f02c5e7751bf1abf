//! What the engine is told about one Rollout.
//! In: filled by the shell from caches and reads; a fixture fills it in tests. Out: borrowed by everything else here.
//! It must not hold handles: every field is plain data, `now` included.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::analysis::AnalysisTemplateSpec;
use agent_api::{
    AnalysisRun, ContentDigest, DeliveryDigest, Experiment, FirstContact, Gate, LabelSelector,
    Outcome, PauseCondition, Pod, PodTemplate, ReplicaSet, Rollout, Service, StatusTime, Uid,
    Weights, Workload,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::analysis::conditions::BadConditions;
use crate::claims::Taken;
use crate::clock::ClockSet;

/// Everything one decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The time of the decision.
    pub now: Timestamp,
    /// How far the wall clock was set since the times of `clock::of_rollout` were stored.
    pub clock_set: ClockSet,
    /// The Rollout as stored, with its status.
    pub rollout: Rollout,
    /// The ReplicaSets that it owns, and those that nobody owns and its selector matches; see `claims`.
    pub replica_sets: Vec<ReplicaSet>,
    /// The AnalysisRuns that it owns.
    pub analysis_runs: Vec<AnalysisRun>,
    /// The Experiments that it owns.
    pub experiments: Vec<Experiment>,
    /// The template of the stable version as a spec could have it; read only when `canary::experiment::stable_wanted` says so.
    pub stable_template: Option<PodTemplate>,
    /// Names that objects of others were found under not long ago.
    pub taken: Vec<Taken>,
    /// The analysis templates that its steps name, nested ones too; one that is missing is absent.
    pub templates: Templates,
    /// Those of `analysis::conditions::of_rollout` that cannot be used.
    pub bad_conditions: BadConditions,
    /// The Services that its strategy or kept content names, and those that it manages; one that is missing is absent.
    pub services: Vec<Service>,
    /// What the routers of the strategy show; absent where no router is built for it.
    pub traffic: Option<TrafficObserved>,
    /// The Rollout's template after the API server's defaulting; given only when a ReplicaSet without our digest
    /// annotation has to be compared with it.
    pub defaulted: Option<PodTemplate>,
    /// The pods by the Rollout's selector, as the API server has them now; listed only when `pods::needed` says so.
    pub pods: Option<Vec<Pod>>,
    /// Evictions that the API server refused not long ago.
    pub refused: Vec<Refusal>,
    /// The ReplicaSet that the API server refused to make not long ago.
    pub refused_set: Option<RefusedSet>,
    /// ReplicaSets whose owner the API server refused to change not long ago.
    pub refused_claims: Vec<RefusedClaim>,
    /// The workload that the Rollout names; `None` when it names none, and when there is none of that name.
    pub workload: Option<Workload>,
    /// Of ReplicaSets with a digest annotation, by name: digests that a spec copied from its stored template would have.
    /// Given only when none carries the spec's own digest.
    pub stored: StoredDigests,
    /// When this agent wrote the status last; `None` when it has not since it started.
    pub status_written: Option<Timestamp>,
    /// More Rollouts wait to be looked at than can be at a time.
    pub busy: bool,
    /// The fleet's side.
    pub gate: GateObserved,
    /// What the agent was told at its start.
    pub settings: Settings,
}

/// An eviction that was refused, by a PodDisruptionBudget as a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The pod.
    pub pod: String,
    /// Which one of that name.
    pub uid: Uid,
    /// The API server's words; they name the budget.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

impl Refusal {
    /// When it is worth trying again.
    pub fn until(&self) -> Timestamp {
        let until = self.at.checked_add(crate::pass::restart::REFUSED_AGAIN);
        until.unwrap_or(Timestamp::MAX)
    }
}

/// A ReplicaSet that the API server refused to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSet {
    /// Its content; another one is not refused by this.
    pub digest: ContentDigest,
    /// The API server's words.
    pub message: String,
    /// They name a field of the object: the spec is wrong. A quota or a policy may change its mind.
    pub invalid: bool,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// A ReplicaSet whose owner the API server refused to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedClaim {
    /// Its name.
    pub name: String,
    /// Which one of that name.
    pub uid: Uid,
    /// The API server's words.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

impl RefusedClaim {
    /// When it is worth trying again.
    pub fn until(&self) -> Timestamp {
        tried_again(self.at, self.times)
    }
}

/// After the first refusal of a ReplicaSet; doubled with each further one. A webhook that is restarted is back in seconds.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// Never longer: a person who has raised a quota looks on.
const AGAIN_AT_MOST: SignedDuration = SignedDuration::from_secs(30);
/// More doublings change nothing.
const DOUBLINGS: u32 = 5;

impl RefusedSet {
    /// When it is worth trying again.
    pub fn until(&self) -> Timestamp {
        tried_again(self.at, self.times)
    }
}

fn tried_again(at: Timestamp, times: u32) -> Timestamp {
    let doublings = times.saturating_sub(1).min(DOUBLINGS);
    let wait = AGAIN.saturating_mul(1_i32 << doublings);
    let until = at.checked_add(wait.min(AGAIN_AT_MOST));
    until.unwrap_or(Timestamp::MAX)
}

/// What holds for all Rollouts of this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// What autoscalers are shown.
    pub hpa_counting: HpaCounting,
}

/// Which pods an autoscaler is shown; see `pass::autoscale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HpaCounting {
    /// Those that make its arithmetic right.
    #[default]
    Traffic,
    /// All pods of a canary, as Argo Rollouts counts.
    ArgoRollouts,
}

/// What the routers show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrafficObserved {
    /// The split, with the versions behind it (from the routers, or from what their Services select), and whether it is
    /// confirmed; absent while nothing was asked for.
    pub weights: Option<Weights>,
    /// Names of the managed routes that are there.
    pub routes: BTreeSet<String>,
    /// Why the routers cannot be asked: an object is missing, or is not as it has to be.
    pub error: Option<String>,
}

impl Observed {
    /// A Rollout of which nothing else is known: no other objects, no fleet.
    pub fn alone(rollout: Rollout, now: Timestamp) -> Self {
        Self {
            now,
            clock_set: ClockSet::default(),
            rollout,
            replica_sets: Vec::new(),
            analysis_runs: Vec::new(),
            experiments: Vec::new(),
            stable_template: None,
            taken: Vec::new(),
            templates: Templates::new(),
            bad_conditions: BadConditions::new(),
            services: Vec::new(),
            traffic: None,
            defaulted: None,
            pods: None,
            refused: Vec::new(),
            refused_set: None,
            refused_claims: Vec::new(),
            workload: None,
            stored: StoredDigests::new(),
            status_written: None,
            busy: false,
            gate: GateObserved::stand_alone(),
            settings: Settings::default(),
        }
    }

    /// When the pause that runs began, by the clock as it is set now: a clock that was set neither shortens nor lengthens it.
    pub fn begun(&self, pause: &PauseCondition) -> StatusTime {
        self.clock_set.shifted(pause.start_time)
    }

    /// The pods that Git wants: of the workload that is named, or of the Rollout itself. What comes from a workload is
    /// only ever looked up here, so that nothing can write it back into the Rollout.
    pub fn template(&self) -> Option<&PodTemplate> {
        match &self.rollout.spec.workload_ref {
            Some(_) => self.workload.as_ref().map(|workload| &workload.template),
            None => self.rollout.spec.template.as_ref(),
        }
    }

    /// Which pods are the Rollout's; inherited from the workload when it is not written.
    pub fn selector(&self) -> &LabelSelector {
        let written = &self.rollout.spec.selector;
        let inherited = self
            .workload
            .as_ref()
            .and_then(|workload| workload.selector.as_ref());
        inherited.filter(|_| written.is_empty()).unwrap_or(written)
    }
}

/// Digests of stored templates, by ReplicaSet.
pub type StoredDigests = BTreeMap<String, Vec<ContentDigest>>;

/// Analysis templates by name.
pub type Templates = BTreeMap<TemplateKey, AnalysisTemplateSpec>;

/// Which template is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TemplateKey {
    /// Its name.
    pub name: String,
    /// Whether it is a ClusterAnalysisTemplate.
    pub cluster_scope: bool,
}

/// What the shell knows of the fleet, for this Rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct GateObserved {
    /// Who has a say.
    pub governance: Governance,
    /// The FleetRollout that governs it, by the stored selectors.
    pub governed_by: Option<String>,
    /// The Gate record.
    pub record: GateRecord,
    /// Why the permit in the record is not trusted (signature, cluster, Rollout); `None` when it was verified.
    pub distrust: Option<String>,
    /// The hub.
    pub hub: HubContact,
    /// The hub's time; none: it has said none.
    pub hub_time: Option<HubTime>,
    /// The lease runs, by the monotonic clock (after a restart: by the recorded deadline).
    pub lease_live: bool,
    /// Where the lease ends by the wall clock: one length after the grant or the last renewal that was received, after a
    /// restart no later than recorded. Absent: it does not run.
    pub lease_until: Option<Timestamp>,
    /// The last outcome of a permit for this very Rollout that the member record remembers: it outlives the Gate.
    pub spent: Option<Outcome>,
    /// What was last served under this name, as the member record remembers: it outlives the Gate and the Rollout (G10).
    pub served_before: Option<ContentDigest>,
    /// Whether the hub was ever heard, or there is none.
    pub first_contact_done: bool,
    /// What to do before it was heard.
    pub first_contact: FirstContact,
    /// The hub said that the FleetRollout has no release yet: a first deploy is free.
    pub first_deploy_free: bool,
    /// Digests whose release has passed, as the hub said: a first deploy of one is free.
    pub passed: BTreeSet<ContentDigest>,
    /// A person stopped the fleet: what is shown (G30).
    pub stopped: Option<String>,
    /// Kept content.
    pub kept: BTreeMap<ContentDigest, Kept>,
    /// ConfigMaps and Secrets that kept content names and that are gone.
    pub missing_config: BTreeMap<ContentDigest, Vec<String>>,
    /// The policy that lets only those with the right break the glass is in force (G16); asked only where somebody did.
    pub break_glass_admitted: bool,
}

impl GateObserved {
    /// The gate of an agent without a fleet.
    pub fn stand_alone() -> Self {
        Self {
            governance: Governance::StandAlone,
            governed_by: None,
            record: GateRecord::Missing,
            distrust: None,
            hub: HubContact::Never,
            hub_time: None,
            lease_live: false,
            lease_until: None,
            spent: None,
            served_before: None,
            first_contact_done: true,
            first_contact: FirstContact::Hold,
            first_deploy_free: false,
            passed: BTreeSet::new(),
            stopped: None,
            kept: BTreeMap::new(),
            missing_config: BTreeMap::new(),
            break_glass_admitted: false,
        }
    }

    /// The record, if it could be read.
    pub fn gate(&self) -> Option<&Gate> {
        match &self.record {
            GateRecord::Present(gate) => Some(gate),
            GateRecord::Missing | GateRecord::Undecodable(_) => None,
        }
    }
}

/// Who has a say over this Rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Governance {
    /// The API server says that our kinds are not there, and there is no hub (G7).
    StandAlone,
    /// Our kinds are there (or a hub is set); no stored selector names this Rollout.
    Free,
    /// A stored selector names this Rollout.
    Governed,
    /// The API server did not answer definitely (G7).
    Unknown,
}

/// The Gate of this Rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum GateRecord {
    /// Not there.
    Missing,
    /// There, and not understood: why.
    Undecodable(String),
    /// Read.
    Present(Box<Gate>),
}

/// Contact with the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubContact {
    /// The stream is up.
    Connected,
    /// It went down.
    Lost {
        /// When.
        since: Timestamp,
    },
    /// There was none since this agent started.
    Never,
}

/// The hub's time, which is its database's, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubTime {
    /// It is not earlier there.
    pub now: Timestamp,
    /// How far this cluster's clock is ahead of it, about: whole seconds, which change only when the clock was set.
    pub ahead: SignedDuration,
}

/// Content that can be served without the spec naming it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The template as written.
    pub template: PodTemplate,
    /// The strategy of the moment it was kept.
    pub strategy: Value,
    /// The analysis templates of that moment.
    pub templates: Templates,
    /// The digest of both.
    pub delivery: DeliveryDigest,
}

impl TemplateKey {
    /// The template that a reference names.
    pub fn of(reference: &agent_api::analysis::TemplateRef) -> Self {
        Self {
            name: reference.template_name.clone(),
            cluster_scope: reference.cluster_scope.unwrap_or(false),
        }
    }
}

impl TemplateKey {
    /// The template that an analysis of an Experiment names.
    pub fn of_experiment(analysis: &agent_api::ExperimentAnalysis) -> Self {
        Self {
            name: analysis.template_name.clone(),
            cluster_scope: analysis.cluster_scope.unwrap_or(false),
        }
    }
}

impl std::fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scope = if self.cluster_scope {
            "ClusterAnalysisTemplate"
        } else {
            "AnalysisTemplate"
        };
        write!(f, "{scope}/{}", self.name)
    }
}
