//! What must hold after every event, from what really happened. In: the whole, before and after. Out: the first thing that
//! is wrong. It knows the truth of every cluster and every commit, and uses none of the engines' rules; their own audits run
//! on every plan beside it.

mod committed;
mod end;

use std::collections::{BTreeMap, BTreeSet};

use agent_api::names::ANNOTATION_DIGEST;
use agent_api::{Fence, OutcomeResult, ReplicaSet};
use hub_engine::release::Direction;
use hub_engine::verb::Verb;
use hub_engine::{Action, ClusterName};

pub(crate) use end::view_differs;

use crate::event::Ms;
use crate::store::{LEASE_SECONDS, Store};
use crate::world::World;

/// A renewal is on its way no longer than this.
const RENEWAL_DELAY: Ms = 5_000;
/// An agent looks at its Rollout so soon after its start.
const FIRST_PASS: Ms = 100;

/// Incarnation and version, as both engines have them.
pub(crate) type At = (u64, u64);

pub(crate) fn at(fence: Fence) -> At {
    (fence.incarnation, fence.version)
}

/// What the hub has said of a cluster from one version of its set on.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    fence: At,
    /// The permit's own number: a recovered database says an older permit again.
    permit: At,
    /// The content that may start; none: nothing may.
    digest: Option<String>,
}

/// What really happened.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    timers: BTreeMap<usize, Ms>,
    words: BTreeMap<ClusterName, Vec<Word>>,
    /// Content whose pods run or ran, by agent.
    running: BTreeMap<usize, BTreeSet<String>>,
    /// Content that was served at some time, by agent.
    served: BTreeMap<usize, BTreeSet<String>>,
    /// The end of every permit, and when.
    outcomes: BTreeMap<(ClusterName, At), (OutcomeResult, Ms)>,
    /// Ends that a cluster told before it was put back from a copy.
    told: BTreeMap<(ClusterName, At), (OutcomeResult, Ms)>,
    fences: BTreeMap<usize, Fence>,
    /// Changes that are committed.
    changes: BTreeSet<(ClusterName, String)>,
    /// When a cluster's session last committed a heartbeat.
    renewed: BTreeMap<ClusterName, Ms>,
    /// When a permit was last stored in the cluster.
    granted: BTreeMap<usize, Ms>,
    /// When an agent was last started beside a wrong clock.
    restarted: BTreeMap<usize, Ms>,
    steps: BTreeMap<(usize, At), i64>,
    /// Releases that a person paused, or ended.
    paused: BTreeSet<u64>,
    aborted: BTreeSet<u64>,
    /// Clusters that were permitted to leave what they served, by release.
    touched: BTreeSet<(u64, ClusterName)>,
    /// Clusters whose Rollout was made again and has not been whole since.
    fresh: BTreeSet<usize>,
    /// Clusters that were put back from a copy and have not said so.
    returned: BTreeSet<ClusterName>,
    /// The database was put back from a copy, and no person has said since that it may go on.
    restored: bool,
}

impl Ghost {
    /// Whether a timer has to be set: an earlier one will do.
    pub(crate) fn timer(&mut self, agent: usize, now: Ms, due: Ms) -> bool {
        let known = self.timers.get(&agent).copied().unwrap_or(0);
        if known > now && known <= due {
            return false;
        }
        self.timers.insert(agent, due);
        true
    }

    /// G20: where a clock is wrong, a lease goes on for one length at most after a restart, from the first pass on.
    pub(crate) fn started(&mut self, agent: usize, skew: Ms, now: Ms) {
        self.timers.remove(&agent);
        if skew < 0 {
            self.restarted.insert(agent, now + FIRST_PASS);
        }
    }

    pub(crate) fn renewed(&mut self, cluster: &ClusterName, now: Ms) {
        self.renewed.insert(cluster.clone(), now);
    }

    pub(crate) fn granted_here(&mut self, agent: usize, now: Ms) {
        self.granted.insert(agent, now);
    }

    pub(crate) fn rollout_lost(&mut self, agent: usize) {
        self.running.remove(&agent);
        self.fresh.insert(agent);
    }

    /// The cluster has forgotten what happened since.
    pub(crate) fn cluster_put_back(
        &mut self,
        agent: usize,
        name: &ClusterName,
        at: Ms,
        runs: BTreeSet<String>,
    ) {
        self.fences.remove(&agent);
        self.returned.insert(name.clone());
        // What its API server has goes on.
        self.running.insert(agent, runs);
        self.fresh.insert(agent);
        self.steps.retain(|(one, _), _| *one != agent);
        let all = std::mem::take(&mut self.outcomes);
        for (key, (result, when)) in all {
            let map = if key.0 == *name && when >= at {
                &mut self.told
            } else {
                &mut self.outcomes
            };
            map.insert(key, (result, when));
        }
    }

    fn said_to(&mut self, name: &ClusterName) -> &mut Vec<Word> {
        self.words.entry(name.clone()).or_default()
    }

    /// What persons said since is lost, and so is what was permitted: the numbers of releases are given again.
    pub(crate) fn put_back(
        &mut self,
        store: &Store,
        agents: &[crate::agent::Agent],
        hubs: &[crate::hub::Hub],
    ) {
        self.restored = true;
        // What was lost before it was sent to any agent was never said: its number is given again.
        for own in agents {
            let sessions = hubs.iter().flat_map(|hub| hub.sessions.values());
            let sent = sessions.filter(|session| session.cluster == own.name);
            let sent = sent.filter_map(|session| session.sent).max();
            let sent = sent.map(|fence| (fence.incarnation, fence.version));
            let stored = own.member.as_ref().map(|member| at(member.fence));
            let desired = store.tables.cluster(&own.name).map(|row| row.desired);
            let known = desired.map(|fence| (fence.incarnation, fence.version));
            let words = self.said_to(&own.name);
            let most = known.max(stored).max(sent);
            words.retain(|word| Some(word.fence) <= most);
        }
        self.paused.clear();
        self.aborted.clear();
        self.touched.clear();
        for fact in &store.history {
            self.said_in_history(&fact.action);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are no word of a person and no permit"
    )]
    pub(crate) fn said_in_history(&mut self, action: &Action) {
        match action {
            Action::Obey { release, verb, .. } => self.obeyed(*release, verb),
            Action::GrantPermit {
                release,
                cluster,
                direction: Direction::Forward,
                ..
            } => {
                self.touched.insert((*release, cluster.clone()));
            }
            _ => {}
        }
    }

    /// S19: in the order in which the database has them.
    pub(crate) fn obeyed(&mut self, release: u64, verb: &Verb) {
        match verb {
            Verb::Pause => {
                self.paused.insert(release);
            }
            Verb::Resume => {
                self.paused.remove(&release);
            }
            Verb::Abort { .. } | Verb::Rollback => {
                self.aborted.insert(release);
                self.paused.remove(&release);
            }
            Verb::Start { .. }
            | Verb::Retry { .. }
            | Verb::SkipTarget { .. }
            | Verb::SkipWave { .. }
            | Verb::Promote { .. }
            | Verb::Expedite
            | Verb::Ungovern { .. }
            | Verb::Govern { .. } => {}
        }
    }
}

/// The digest that a ReplicaSet carries.
fn carried(set: &ReplicaSet) -> Option<String> {
    set.metadata
        .annotations
        .as_ref()?
        .get(ANNOTATION_DIGEST)
        .cloned()
}

/// Content that has pods, or is to have some.
pub(crate) fn runs(own: &crate::agent::Agent) -> BTreeSet<String> {
    let sets = own.cluster.observed.replica_sets.iter();
    let wanted = sets.filter(|set| set.desired() > 0);
    wanted.filter_map(carried).collect()
}

/// Whether the hub has said that a first deploy of this content needs nobody's word.
fn free(own: &crate::agent::Agent, digest: &str) -> bool {
    let Some(gate) = own.gate() else { return false };
    let rest = &gate.spec.rest;
    let listed = rest.get(agent::wire::PASSED).and_then(|all| all.as_array());
    let passed = listed.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(digest)));
    passed || rest.get(agent::wire::FIRST_DEPLOY_FREE) == Some(&true.into())
}

/// The member record does not know what the Rollout's name served.
fn unmarked(own: &crate::agent::Agent) -> bool {
    let key = own.key().to_string();
    let member = own.member.as_ref();
    member.is_none_or(|member| !member.served.contains_key(&key))
}

/// A cluster that was put back to before it was governed: nobody there can know.
fn ungoverned(own: &crate::agent::Agent) -> bool {
    let member = own.member.as_ref();
    member.is_none_or(|member| member.governed.is_empty())
}

impl World {
    /// After every event: what is cheap enough to be looked at always.
    pub(crate) fn check(&mut self) {
        for agent in 0..self.agents.len() {
            let own = &self.agents[agent];
            let fence = own.member.as_ref().map(|member| member.fence);
            let known = self.ghost.fences.get(&agent).copied();
            if let (Some(fence), Some(known)) = (fence, known)
                && fence < known
            {
                let message = format!("{} stored {fence} after {known}", own.name);
                return self.fail("S3", message);
            }
            if let Some(fence) = fence {
                self.ghost.fences.insert(agent, fence);
            }
        }
    }

    /// An agent has written something.
    pub(crate) fn passed(&mut self, agent: usize) {
        self.starts(agent);
        self.outcome(agent);
        self.raises(agent);
        self.capacity(agent);
    }

    /// S2, S3, G14, G17: what starts has been allowed by a committed word whose fence is stored here.
    fn starts(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let wanted = runs(own);
        let running = self.ghost.running.insert(agent, wanted.clone());
        let served = self.ghost.served.get(&agent);
        let nothing_served = served.is_none_or(BTreeSet::is_empty);
        let stored = own.member.as_ref().map(|member| member.fence);
        let words = self.ghost.words.get(&own.name);
        let word = words.and_then(|words| {
            let known = |word: &&Word| stored.is_some_and(|fence| word.fence <= at(fence));
            let newest = words.iter().filter(known).map(|word| word.fence).max()?;
            // After a restore a number may have been given twice: what was said under it first counts, too.
            Some(words.iter().filter(move |word| word.fence == newest))
        });
        let mut wrong = None;
        for digest in wanted {
            let goes_on = running.as_ref().is_some_and(|all| all.contains(&digest));
            let was_served = served.is_some_and(|all| all.contains(&digest));
            // G10: a Rollout that was made again, where the cluster was put back to before it knew of the old one.
            let fresh = self.ghost.fresh.contains(&agent);
            let forgotten = fresh && unmarked(own);
            // G8, G10: a first deploy is free only where the hub has said so.
            let first = (nothing_served || forgotten) && free(own, &digest);
            if goes_on || was_served || first || fresh && ungoverned(own) {
                continue;
            }
            let allowed = word
                .clone()
                .and_then(|mut words| words.find(|word| word.digest.as_ref() == Some(&digest)));
            let spent = allowed.and_then(|word| {
                let key = (own.name.clone(), word.permit);
                self.ghost.outcomes.get(&key)
            });
            let what = match (allowed, spent) {
                (Some(_), None | Some((OutcomeResult::Served, _))) => continue,
                (Some(_), Some((result, _))) => format!("its permit has ended {result:?}"),
                (None, _) => {
                    let last: Vec<&Word> = word.clone().into_iter().flatten().collect();
                    format!("the last word stored here is {last:?}")
                }
            };
            wrong = Some(format!("{} starts {digest}: {what}", own.name));
        }
        if let Some(wrong) = wrong {
            self.fail("S3", wrong);
        }
    }

    /// S4, G18: a permit ends once, and Served is the truth.
    fn outcome(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let Some(status) = own.gate().and_then(|gate| gate.status.clone()) else {
            return;
        };
        let replicas = own.cluster.observed.rollout.spec.replicas();
        let sets = &own.cluster.observed.replica_sets;
        let available = |digest: &str| -> i32 {
            sets.iter()
                .filter(|set| carried(set).as_deref() == Some(digest))
                .map(ReplicaSet::available)
                .sum()
        };
        let name = own.name.clone();
        if let Some(served) = &status.served {
            let all = self.ghost.served.entry(agent).or_default();
            if all.insert(served.digest.to_string()) && available(served.digest.as_str()) < replicas
            {
                let message = format!("{name} says that it serves {}", served.digest);
                return self.fail("G18", message);
            }
        }
        let Some(outcome) = status.outcome else {
            return;
        };
        let key = (name.clone(), at(outcome.fence));
        match self.ghost.outcomes.get(&key) {
            Some((result, _)) if *result != outcome.result => {
                let message = format!(
                    "the permit {} in {name} ended {result:?} and then {:?}",
                    outcome.fence, outcome.result
                );
                self.fail("S4", message);
            }
            Some(_) => {}
            None => {
                let there = available(outcome.digest.as_str());
                if outcome.result == OutcomeResult::Served && there < replicas {
                    let message = format!("{name}: Served with {there} of {replicas}");
                    return self.fail("G18", message);
                }
                self.ghost.outcomes.insert(key, (outcome.result, self.now));
                self.ended(agent);
            }
        }
    }

    /// S7, S12, G20, G21: no step is begun after the lease, but where the FleetRollout says so.
    fn raises(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let Some(gate) = own.gate() else { return };
        let status = gate.status.as_ref();
        let Some(effective) = status.and_then(|status| status.effective.as_ref()) else {
            return;
        };
        let fence = at(effective.fence);
        let step = agent_engine::gate::record::recorded_step(effective).map_or(0, i64::from);
        let known = self.ghost.steps.insert((agent, fence), step);
        let permit = gate.spec.permit.as_ref();
        let forward = permit.is_some_and(|permit| {
            permit.fence == effective.fence && permit.direction == agent_api::Direction::Forward
        });
        let raised = known.is_some_and(|known| step > known);
        if !raised || !forward {
            return;
        }
        // A first deploy has no steps: it is begun whole.
        let digest = effective.digest.to_string();
        let served = self.ghost.served.get(&agent);
        let first = served.is_some_and(|all| all.len() == 1 && all.contains(&digest));
        if gate.spec.rest.contains_key(agent::wire::STOPPED) && !first {
            let message = format!("{} begins step {step} of what is stopped", own.name);
            return self.fail("G30", message);
        }
        let finish = gate.spec.policy.on_hub_loss.action == agent_api::HubLossAction::Finish;
        let connected = own
            .process
            .as_ref()
            .is_some_and(|process| process.contact == agent_engine::HubContact::Connected);
        let renewed = self.ghost.renewed.get(&own.name).copied().unwrap_or(0) + RENEWAL_DELAY;
        let granted = self.ghost.granted.get(&agent).copied().unwrap_or(0);
        let restarted = self.ghost.restarted.get(&agent).copied().unwrap_or(0);
        let ends = renewed.max(granted).max(restarted) + Ms::from(LEASE_SECONDS) * 1_000;
        if self.now > ends && (connected || !finish) {
            let late = self.now - ends;
            let message = format!("{} begins step {step} {late} ms after its lease", own.name);
            self.fail("S7", message);
        }
    }

    /// S13: what serves keeps its pods.
    fn capacity(&mut self, agent: usize) {
        let own = &self.agents[agent];
        if self.ghost.served.get(&agent).is_none_or(BTreeSet::is_empty) {
            return;
        }
        let replicas = own.cluster.observed.rollout.spec.replicas();
        let sets = &own.cluster.observed.replica_sets;
        let wanted: i32 = sets.iter().map(ReplicaSet::desired).sum();
        if wanted >= replicas {
            self.ghost.fresh.remove(&agent);
        } else if !self.ghost.fresh.contains(&agent) {
            let message = format!("{} wants {wanted} pods of {replicas}", own.name);
            self.fail("S13", message);
        }
    }

    /// An agent has taken, or refused, a set.
    pub(crate) fn stored(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let (Some(member), Some(row)) = (&own.member, self.store.tables.cluster(&own.name)) else {
            return;
        };
        let desired = (row.desired.incarnation, row.desired.version);
        if !self.ghost.restored && at(member.fence) > desired {
            let message = format!("{} holds {} of {desired:?}", own.name, member.fence);
            self.fail("S2", message);
        }
    }

    /// An agent has noted that the hub has a change (L3: acknowledged only when committed).
    pub(crate) fn noted(&mut self, agent: usize) {
        let own = &self.agents[agent];
        let Some((digest, generation)) = own.told() else {
            return;
        };
        let key = (own.name.clone(), digest);
        if !self.ghost.changes.contains(&key) {
            let message = format!("{key:?} at {generation} was never committed");
            self.fail("L3", message);
        }
    }
}
