//! What really happened, as the checks remember it. In: what was written, by whom, and what was lost. Out: nothing that is not
//! true. It must not ask the programs.

use std::collections::{BTreeMap, BTreeSet};

use agent_api::digest::content_digest;
use agent_api::pod_hash::pod_hash;
use agent_api::{CanaryStep, Fence, OutcomeResult, PodTemplate};
use hub_engine::release::Direction;
use hub_engine::verb::Verb;
use hub_engine::{Action, ClusterName, RolloutName};

use super::content::Revision;
use super::delivery::Delivered;
use super::effects::Walked;
use super::git::{Opened, Written};
use super::glass::Broken;
use super::held::made;
use super::lease::in_effect;
use super::member::Issued;
use super::onward::Onward;
use super::opening::Change;
use super::pause::Paused;
use super::people::{Agreed, People};
use super::skew::Unread;
use super::view::{Heard, heard};
use super::{At, at, in_flight, runs};
use crate::agent::Agent;
use crate::event::{Ms, Place};
use crate::store::Store;

/// An agent looks at its Rollouts so soon after its start.
const FIRST_PASS: Ms = 100;

/// Which Rollout, in which cluster.
type Of = (ClusterName, usize);
/// Of which Rollout, in which cluster, under which fence.
type Permit = (ClusterName, usize, At);
/// Of which FleetRollout, by its number.
pub(super) type Number = (usize, u64);
/// A wave of a FleetRollout's release.
type WaveOf = (usize, u64, u32);

/// What the hub has said of a Rollout in a cluster from one version of its set on.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) fence: At,
    /// The permit's own number: a recovered database says an older permit again.
    pub(super) permit: At,
    pub(super) said: Said,
}

/// What may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing.
    Held,
    /// This content.
    Permitted(String),
    /// Whatever Git says: it is governed no more.
    LetGo,
}

impl Said {
    pub(super) fn allows(&self, content: &str) -> bool {
        match self {
            Self::Held => false,
            Self::Permitted(digest) => digest == content,
            Self::LetGo => true,
        }
    }
}

/// What a template has.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// Of its pods.
    pub(super) hash: String,
    pub(super) images: Vec<String>,
}

/// What really happened.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    timers: BTreeMap<Place, Ms>,
    pub(super) words: BTreeMap<Of, Vec<Word>>,
    /// Content whose pods run or ran.
    pub(super) running: BTreeMap<Place, BTreeSet<String>>,
    /// Content that was served at some time.
    pub(super) served: BTreeMap<Place, BTreeSet<String>>,
    /// The end of every permit, and when.
    pub(super) outcomes: BTreeMap<Permit, (OutcomeResult, Ms)>,
    /// Ends that a cluster told before it was put back from a copy.
    pub(super) told: BTreeMap<Permit, (OutcomeResult, Ms)>,
    /// When a Rollout was made again, another of the same name.
    pub(crate) made: BTreeMap<Place, Ms>,
    pub(super) fences: BTreeMap<usize, Fence>,
    /// Changes that are committed.
    pub(super) changes: BTreeSet<(ClusterName, usize, String)>,
    /// When a cluster's session last committed a heartbeat.
    pub(super) renewed: BTreeMap<ClusterName, Ms>,
    /// When a permit was last stored in the cluster.
    pub(super) granted: BTreeMap<Place, Ms>,
    /// When a person stopped or aborted something that has not reached every cluster yet.
    pub(super) alarm: Option<Ms>,
    /// When a decision last raised the number of a cluster's set.
    pub(super) raised: BTreeMap<ClusterName, Ms>,
    /// When an agent was last started beside a wrong clock.
    pub(super) restarted: BTreeMap<usize, Ms>,
    pub(super) steps: BTreeMap<(Place, At), i64>,
    /// Until when each permit may take effect.
    pub(super) start_bys: BTreeMap<Permit, Ms>,
    /// Pauses of canaries that are under way.
    pub(super) pauses: BTreeMap<Place, Paused>,
    /// How far each permit goes that does not go all the way.
    pub(super) bounds: BTreeMap<Permit, i64>,
    /// The same of those that have taken effect, where there are steps.
    pub(super) bound: BTreeMap<(Place, At), i64>,
    /// What took effect last, whatever let it.
    pub(super) effects: BTreeMap<Place, String>,
    /// By the numbers of words: which FleetRollout each was said to.
    asked: BTreeMap<u64, usize>,
    /// Which FleetRollout governs a Rollout in a cluster.
    owners: BTreeMap<Of, usize>,
    /// Releases that a person paused, or ended.
    pub(super) paused: BTreeSet<Number>,
    pub(super) aborted: BTreeSet<Number>,
    /// Clusters that were permitted to leave what they served, by release.
    pub(super) touched: BTreeSet<(Number, ClusterName)>,
    /// What a Rollout was on its way to when nobody governed it, until it goes to something else or is aborted.
    pub(super) in_flight: BTreeMap<Place, String>,
    /// What is on its way, and by whose word.
    pub(super) onward: BTreeMap<Place, Onward>,
    /// What each content is, by its digest.
    pub(super) contents: BTreeMap<String, Content>,
    /// What a cluster's Rollout said of the revision of each content.
    pub(super) revisions: BTreeSet<Revision>,
    /// What was written into Rollouts, and for what releases were opened.
    pub(super) written: BTreeSet<Written>,
    pub(super) opened: BTreeSet<Opened>,
    /// The newest session of each identity.
    pub(super) sessions: BTreeMap<ClusterName, u64>,
    /// Runs, since when they go on, and whether anything good was said of them.
    pub(super) runs: BTreeMap<(Place, String), (Ms, bool)>,
    /// Contents, by hash, of which a run was not good.
    pub(super) doubted: BTreeSet<(Place, String)>,
    /// Steps by the digest that they are delivered under, and by which each permit is being carried out.
    pub(super) strategies: BTreeMap<String, Vec<CanaryStep>>,
    pub(super) delivered: BTreeMap<Place, Delivered>,
    /// Words to do without the fleet's.
    pub(super) glass: BTreeMap<Place, Vec<Broken>>,
    /// Rollouts whose record was lost at some time.
    pub(super) gates_gone: BTreeSet<Place>,
    /// Those that a hub has been told of: which content, who and why.
    pub(super) glass_told: BTreeSet<(ClusterName, (String, String, String))>,
    /// Contents of which somebody in the cluster has said something, and that somebody started again.
    pub(super) said_here: BTreeMap<Place, BTreeSet<String>>,
    /// By hash, those of them whose pauses end when somebody says so.
    pub(super) spoken: BTreeSet<(Place, String)>,
    pub(super) retried: BTreeMap<Place, BTreeSet<String>>,
    /// Which step each canary has come to.
    pub(super) walked: BTreeMap<Place, Walked>,
    /// Contents that have a ReplicaSet, with or without pods.
    pub(super) sets: BTreeMap<Place, BTreeSet<String>>,
    /// Contents that a cluster's Rollout was given at some time.
    pub(super) had: BTreeMap<Place, BTreeSet<String>>,
    /// Who said yes to a wave of a FleetRollout's release, and to which images.
    pub(super) approvals: BTreeMap<WaveOf, Vec<Agreed>>,
    /// What persons said of releases, and in which order these came.
    pub(super) people: People,
    /// Changes that agents have told of in their sessions and that nothing was decided about yet.
    pub(super) seen_change: BTreeSet<Change>,
    /// When something that a cluster's agent said was last committed.
    pub(super) last_word: BTreeMap<ClusterName, Ms>,
    /// How the FleetRollout that nobody simulates stands, and since when.
    pub(crate) payments: Option<(hub_engine::release::ReleasePhase, Ms)>,
    /// FleetRollouts whose newest release has not passed, and since when.
    pub(crate) behind: BTreeMap<usize, Ms>,
    /// When an agent last heard that the lease of its permit begins, or goes on.
    pub(super) lengthened: BTreeMap<Place, Ms>,
    /// When an agent was last started, or its clock last set: its leases may have ended then.
    pub(super) unsettled: BTreeMap<usize, Ms>,
    /// Agents whose clock was set back: what they had written down for later comes later.
    pub(super) set_back: BTreeSet<usize>,
    /// Rollouts that were made again and have not been whole since.
    pub(super) fresh: BTreeSet<Place>,
    /// The same, and Rollouts of clusters that were put back: only a member record that says so knows what was served.
    pub(super) forgot: BTreeSet<Place>,
    /// Clusters that were put back from a copy and have not said so.
    pub(super) returned: BTreeSet<ClusterName>,
    /// The database was put back from a copy, and no person has said since that it may go on.
    pub(super) restored: bool,
    /// And once more before any person had: with the second time goes what was heard of the first.
    pub(super) restored_again: bool,
    /// When that was.
    pub(super) put_back: Ms,
    /// And an agent has shown a hub that it has more.
    pub(super) known_lost: bool,
    /// The newest set of each cluster that was ever sent, whoever lost it.
    sent: BTreeMap<ClusterName, At>,
    /// What was said last of each Rollout in each cluster.
    pub(super) heard: BTreeMap<(ClusterName, RolloutName), Heard>,
    /// Entries of sets in words of a later version.
    pub(super) unread: Unread,
    /// By connection: since when a set waits to be sent.
    pub(super) waits: BTreeMap<u64, Ms>,
    /// What came of each token.
    pub(super) issued: BTreeMap<u64, Issued>,
    /// Since when an agent could renew its certificate.
    pub(super) renewable: BTreeMap<usize, Ms>,
    /// When certificates were looked at last.
    pub(super) looked: Ms,
    /// Since when a hub could lead.
    pub(super) able: BTreeMap<usize, Ms>,
    /// When one did last.
    pub(super) led: Ms,
    /// The highest incarnation that a recovery has given.
    pub(super) incarnation: u64,
}

impl Ghost {
    /// Whether a timer has to be set: an earlier one will do.
    pub(crate) fn timer(&mut self, place: Place, now: Ms, due: Ms) -> bool {
        let known = self.timers.get(&place).copied().unwrap_or(0);
        if known > now && known <= due {
            return false;
        }
        self.timers.insert(place, due);
        true
    }

    /// G20: where a clock is wrong, a lease whose end nobody was there to notice goes on for one length at most after a restart,
    /// from the first pass on.
    pub(crate) fn started(&mut self, agent: usize, skew: Ms, noticed: bool, now: Ms) {
        self.timers.retain(|place, _| place.agent != agent);
        if skew < 0 && !noticed {
            self.restarted.insert(agent, now + FIRST_PASS);
        }
    }

    pub(crate) fn sent(&mut self, cluster: &ClusterName, fence: hub_engine::Fence) {
        let fence = (fence.incarnation, fence.version);
        let newest = self.sent.entry(cluster.clone()).or_default();
        *newest = fence.max(*newest);
    }

    pub(crate) fn alarmed(&mut self, now: Ms) {
        self.alarm = Some(now);
    }

    /// A person has said something to a FleetRollout.
    pub(crate) fn asked(&mut self, fleet: usize, id: u64) {
        self.asked.insert(id, fleet);
    }

    /// To whom a word was said.
    pub(super) fn asked_of(&self, id: u64) -> Option<usize> {
        self.asked.get(&id).copied()
    }

    /// G12: who governs a Rollout in a cluster, and who did until now.
    pub(super) fn governs(&mut self, of: Of, fleet: usize) -> Option<usize> {
        self.owners.insert(of, fleet)
    }

    pub(super) fn governor(&self, of: &Of) -> Option<usize> {
        self.owners.get(of).copied()
    }

    pub(super) fn governs_no_more(&mut self, of: &Of) {
        self.owners.remove(of);
    }

    /// A person said yes to a wave.
    pub(crate) fn approved(&mut self, wave: WaveOf, agreed: Agreed) {
        self.approvals.entry(wave).or_default().push(agreed);
    }

    /// A Rollout was given this content.
    pub(super) fn given(&mut self, place: Place, template: &PodTemplate) {
        let digest = content_digest(template).to_string();
        self.had.entry(place).or_default().insert(digest.clone());
        let hash = pod_hash(template, None).to_string();
        let images = template.images();
        self.contents.insert(digest, Content { hash, images });
    }

    /// Whether the analyses of a Rollout find this content bad.
    pub(super) fn is_bad(
        &self,
        place: Place,
        digest: &str,
        bad: &BTreeSet<(usize, String)>,
    ) -> bool {
        let content = self.contents.get(digest);
        content.is_some_and(|content| bad.contains(&(place.part, content.hash.clone())))
    }

    /// An agent was started, or its clock was set.
    pub(crate) fn set_back(&mut self, agent: usize) {
        self.set_back.insert(agent);
    }

    pub(crate) fn unsettled(&mut self, agent: usize, now: Ms) {
        self.unsettled.insert(agent, now);
    }

    pub(crate) fn lengthened(&mut self, place: Place, now: Ms) {
        self.lengthened.insert(place, now);
    }

    pub(crate) fn renewed(&mut self, cluster: &ClusterName, now: Ms) {
        self.renewed.insert(cluster.clone(), now);
    }

    pub(crate) fn granted_here(&mut self, place: Place, now: Ms) {
        self.granted.insert(place, now);
    }

    pub(crate) fn rollout_lost(&mut self, place: Place) {
        self.running.remove(&place);
        self.sets.remove(&place);
        self.walked.remove(&place);
        self.delivered.remove(&place);
        self.runs.retain(|(of, _), _| *of != place);
        self.opened.retain(|(_, (of, ..), _)| *of != place);
        self.onward.remove(&place);
        self.fresh.insert(place);
        self.forgot.insert(place);
    }

    /// The cluster has forgotten what happened since.
    pub(crate) fn cluster_put_back(&mut self, agent: usize, own: &Agent, when: Ms) {
        self.fences.remove(&agent);
        self.returned.insert(own.name.clone());
        for (part, own) in own.parts.iter().enumerate() {
            let place = Place { agent, part };
            // What its API server has goes on.
            self.running.insert(place, runs(own));
            self.sets.insert(place, made(own));
            self.walked.remove(&place);
            self.delivered.remove(&place);
            self.opened.retain(|(_, (of, ..), _)| *of != place);
            self.onward.remove(&place);
            self.fresh.insert(place);
            self.forgot.insert(place);
        }
        self.steps.retain(|(one, _), _| one.agent != agent);
        // What had taken effect in the copy goes on: it does not start again.
        for (part, own) in own.parts.iter().enumerate() {
            let place = Place { agent, part };
            let recorded = own.gate().and_then(in_effect);
            if let Some((fence, step)) = recorded {
                self.steps.insert((place, fence), step);
            }
            // So does what was on its way in a copy that has no record of it.
            if let Some(digest) = in_flight(own).filter(|_| recorded.is_none()) {
                let step = own.status().current_step_index.unwrap_or(0);
                self.steps.insert((place, (0, 0)), step.into());
                self.effects.insert(place, digest);
            }
        }
        let all = std::mem::take(&mut self.outcomes);
        for (key, (result, ended)) in all {
            let map = if key.0 == own.name && ended >= when {
                &mut self.told
            } else {
                &mut self.outcomes
            };
            map.insert(key, (result, ended));
        }
    }

    /// What persons said since is lost, and so is what was permitted: the numbers of releases are given again.
    pub(crate) fn put_back(&mut self, store: &Store, agents: &[Agent], rollouts: &[RolloutName]) {
        self.restored_again |= self.restored;
        self.restored = true;
        self.put_back = store.recovery.started;
        self.known_lost = false;
        self.heard = heard(store);
        self.tokens_forgotten();
        // What was lost before it was sent to any agent was never said: its number is given again.
        for own in agents {
            let sent = self.sent.get(&own.name).copied();
            let stored = own.member.as_ref().map(|member| at(member.fence));
            let desired = store.rows.get(&own.name).map(|row| row.desired);
            let known = desired.map(|fence| (fence.incarnation, fence.version));
            let most = known.max(stored).max(sent);
            let all = self.words.iter_mut();
            for (_, words) in all.filter(|((name, _), _)| *name == own.name) {
                words.retain(|word| Some(word.fence) <= most);
            }
        }
        self.owners.clear();
        for (name, row) in &store.rows {
            for (rollout, entry) in &row.gates {
                let tables = &store.fleets[entry.fleet];
                let gate = tables.cluster(name).and_then(|own| own.gate.as_ref());
                let part = rollouts.iter().position(|one| one == rollout);
                if let (Some(part), Some(None)) = (part, gate.map(|gate| gate.let_go)) {
                    self.owners.insert((name.clone(), part), entry.fleet);
                }
            }
        }
        self.opened.clear();
        self.paused.clear();
        self.aborted.clear();
        self.touched.clear();
        self.people = People::default();
        for (fleet, tables) in store.fleets.iter().enumerate() {
            for one in &tables.changes {
                self.changed(fleet, &one.cluster, &one.now);
            }
        }
        self.payments = None;
        for fact in &store.history {
            self.said_in_history(fact.fleet, &fact.action);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are no word of a person and no permit"
    )]
    pub(super) fn said_in_history(&mut self, fleet: usize, action: &Action) {
        self.people.said(fleet, action);
        match action {
            Action::Obey { release, verb, .. } => self.obeyed((fleet, *release), verb),
            Action::GrantPermit {
                release,
                cluster,
                direction: Direction::Forward,
                ..
            } => {
                self.touched.insert(((fleet, *release), cluster.clone()));
            }
            _ => {}
        }
    }

    /// S19: in the order in which the database has them.
    fn obeyed(&mut self, release: Number, verb: &Verb) {
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
