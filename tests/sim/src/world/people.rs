//! What happens from outside: Git, its applier, people, kubelets, the answers of analyses. In: chance. Out: changed clusters
//! and tables. It must not know of permits.

use hub_engine::release::WavePhase;
use tests_golden::agent_fixture::hash;

use super::World;
use crate::event::{Event, Place};
use crate::store::By;

/// So many of a hundred approvals are eve's, whose words open releases.
const AUTHOR: usize = 10;

/// So many of a hundred name a wave, whether it waits or not.
const EARLY: usize = 20;

impl World {
    /// Git gets a new version of a Rollout, or an old one again.
    pub(super) fn push(&mut self, part: usize) {
        if self.now + 30_000 > self.config.chaos {
            return;
        }
        let next = self.some(20_000, 90_000);
        self.put(next, Event::Push(part));
        self.versions[part] += 1;
        let newest = self.versions[part];
        let revision = format!("r{newest}");
        let again = self.random.percent(15);
        let number = if again {
            1 + self.random.below(usize::try_from(newest).unwrap_or(1))
        } else {
            usize::try_from(newest).unwrap_or(1)
        };
        let version = format!("v{number}");
        let content = (part, hash(&version).to_string());
        if !again && self.random.percent(30) {
            self.bad.insert(content.clone());
        }
        let bad = self.bad.contains(&content);
        let of = &self.rollouts[part].name;
        self.tell(format!("Git has {of} {version} ({revision}), bad {bad}"));
        self.git[part] = (version.clone(), revision.clone());
        for agent in 0..self.agents.len() {
            let most = if self.chaos { 8_000 } else { 500 };
            let after = self.some(100, most);
            let (version, revision) = (version.clone(), revision.clone());
            let event = Event::Applied {
                place: Place { agent, part },
                version,
                revision,
            };
            self.put(after, event);
        }
    }

    pub(super) fn applied(&mut self, place: Place, version: &str, revision: &str) {
        // The applier brings the newest only.
        let newest = self.git[place.part] == (version.to_owned(), revision.to_owned());
        if !newest || self.part(place).gone {
            return;
        }
        self.part_mut(place).applied(version, revision);
        let name = self.name_of(place);
        self.tell(format!("{name} has {version} ({revision}) from Git"));
        self.changed(place);
    }

    pub(super) fn person(&mut self) {
        let most = if self.chaos { 25_000 } else { 10_000 };
        let next = self.some(3_000, most);
        self.put(next, Event::Person);
        if !self.store.up {
            return;
        }
        // Drawn aside: whoever asked for the release says yes to it now and then.
        let author = self.random.aside(29).percent(AUTHOR);
        let person = self.random.pick(&["ada", "bob"]);
        let person = if author { "eve" } else { person };
        let group = if self.chaos {
            self.random.pick(&["sre", "sre", "dev"])
        } else {
            "sre"
        };
        let fleet = self.one_of(self.store.fleets.len());
        let by = By {
            person,
            group,
            at: self.now,
            shown: None,
        };
        // In the end nobody says yes over and over, where it expires, to what is stopped for good.
        let stopped = !self.chaos && self.kept_stopped == Some(fleet);
        if !stopped && self.approves(fleet, by) {
            let of = self.fleet_name(fleet);
            self.tell(format!("{person} of {group} approves {of}"));
            self.hint();
        }
        self.recovers();
        if self.chaos {
            self.says();
        } else {
            self.lets_go();
        }
    }

    /// The wave that waits; now and then another one, before anybody asks or while it bakes.
    fn approves(&mut self, fleet: usize, by: By<'_>) -> bool {
        let mut releases = self.store.fleets[fleet].releases.iter();
        let Some(release) = releases.find(|one| !one.phase.ended()) else {
            return false;
        };
        let (number, waves) = (release.id.number, release.waves.len());
        let mut aside = self.random.aside(31);
        let early = self.chaos && aside.percent(EARLY);
        let wave = early.then(|| 1 + u32::try_from(aside.below(waves)).unwrap_or(0));
        let phases = [WavePhase::WaitingForApproval, WavePhase::WaitingToPass];
        let meant = release.waves.iter().find(|one| match wave {
            Some(wave) => one.number == wave,
            None => phases.contains(&one.phase),
        });
        let Some(meant) = meant else {
            return false;
        };
        let (asked, now) = (meant.number, release.shown(meant));
        // Now and then they answer what they looked at some time ago; an old client does not say what it was.
        let place = (fleet, number, asked);
        let before = self.looked.replace((place, now.clone()));
        let before = before.filter(|(other, _)| *other == place);
        let shown = match aside.below(8) {
            0 => None,
            1 | 2 => before.map(|(_, shown)| shown).or(Some(now)),
            _ => Some(now),
        };
        let by = By { shown, ..by };
        self.store.approve(fleet, number, Some(asked), by)
    }

    /// The ReplicaSet controller and the kubelets: pods come one after the other.
    pub(super) fn kubelet(&mut self, place: Place) {
        let now = super::stamp(self.now);
        let cluster = &mut self.part_mut(place).cluster;
        cluster.observed.now = now;
        let before = cluster.observed.replica_sets.clone();
        cluster.tick(0, 1);
        let after = &cluster.observed.replica_sets;
        let short = after.iter().any(|set| set.available() < set.desired());
        if before != *after {
            let sets: Vec<String> = after
                .iter()
                .map(|set| {
                    let name = set.metadata.name.clone().unwrap_or_default();
                    format!("{name} {}/{}", set.available(), set.desired())
                })
                .collect();
            let name = self.name_of(place);
            self.tell(format!("pods in {name}: {}", sets.join(", ")));
            self.changed(place);
        }
        if short {
            let next = self.some(300, 2_000);
            self.put(next, Event::Kubelet(place));
        }
    }

    /// The measurements' verdict: bad versions fail.
    pub(super) fn runs_end(&mut self, place: Place) {
        let Place { agent, part } = place;
        let left = self.agents[agent].slow_until - self.now;
        if left > 0 {
            return self.put(left, Event::RunsEnd(place));
        }
        let bad = &self.bad;
        let own = &mut self.agents[agent].parts[part];
        let ended = own.runs_end(|hash| bad.contains(&(part, hash.to_owned())));
        if !ended.is_empty() {
            let name = self.name_of(place);
            self.tell(format!("runs in {name}: {}", ended.join(", ")));
            self.changed(place);
        }
    }
}
