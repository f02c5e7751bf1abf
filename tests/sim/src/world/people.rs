//! What happens from outside: Git, its applier, people, kubelets, the answers of analyses. In: chance. Out: changed clusters
//! and tables. It must not know of permits.

use hub_engine::release::WavePhase;
use tests_golden::agent_fixture::hash;

use super::World;
use super::begin::OVERLAYS;
use crate::check::Agreed;
use crate::event::{Event, Ms, Place};
use crate::planted::Planted;
use crate::store::By;

/// So many of a hundred approvals are eve's, whose words open releases.
const AUTHOR: usize = 10;

/// So many of a hundred versions come without their revision, where any do.
const WITHOUT_REVISION: usize = 40;

/// What an overlay makes of a version is there within this.
const BUILT_WITHIN: usize = 25_000;

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
        let untold = self.untold && self.random.aside(229).percent(WITHOUT_REVISION);
        let revision = if untold {
            self.meets("RevisionUntold");
            String::new()
        } else {
            format!("r{newest}")
        };
        let again = self.random.percent(15);
        let number = if again {
            1 + self.random.below(usize::try_from(newest).unwrap_or(1))
        } else {
            usize::try_from(newest).unwrap_or(1)
        };
        let left = self.leaves_it(part);
        let again = again || left.is_some();
        let version = left.unwrap_or_else(|| format!("v{number}"));
        let contents = OVERLAYS.map(|overlay| hash(&format!("{version}{overlay}")).to_string());
        let mut contents = contents.into_iter().map(|content| (part, content));
        if !again && self.random.percent(30) {
            self.bad.extend(contents.clone());
        }
        let bad = contents.any(|content| self.bad.contains(&content));
        let of = &self.rollouts[part].name;
        self.tell(format!("Git has {of} {version} ({revision}), bad {bad}"));
        self.steps_change(part);
        self.brought(part, version, revision);
    }

    /// A person mends what FleetRollouts wait for: Git gets another version, a good one.
    pub(super) fn mended(&mut self, part: usize) {
        self.versions[part] += 1;
        let newest = self.versions[part];
        let of = &self.rollouts[part].name;
        self.tell(format!(
            "Git has {of} v{newest} (r{newest}) so that others go on"
        ));
        self.brought(part, format!("v{newest}"), format!("r{newest}"));
    }

    fn brought(&mut self, part: usize, version: String, revision: String) {
        let before = std::mem::replace(&mut self.git[part], (version.clone(), revision.clone()));
        for agent in 0..self.agents.len() {
            let most = if self.chaos { 8_000 } else { 500 };
            // What an overlay makes of it is built later, so that persons may have said yes to the others' by then.
            let later = if self.overlays[agent].is_empty() {
                0
            } else {
                self.random.aside(47).below(BUILT_WITHIN)
            };
            let after = self.some(100, most) + Ms::try_from(later).unwrap_or(0);
            let (version, revision) = (version.clone(), revision.clone());
            let event = Event::Applied {
                place: Place { agent, part },
                version,
                revision,
            };
            self.put(after, event);
            self.git_comes_again(Place { agent, part }, &before);
        }
    }

    pub(super) fn applied(&mut self, place: Place, version: &str, revision: &str) {
        // The applier brings the newest only.
        let newest = self.git[place.part] == (version.to_owned(), revision.to_owned());
        if !newest || self.part(place).gone {
            return;
        }
        let own = self.version_in(place.agent, version);
        self.steps_brought(place);
        self.part_mut(place).applied(&own, revision);
        self.has(place);
        let name = self.name_of(place);
        self.tell(format!("{name} has {own} ({revision}) from Git"));
        self.changed(place);
    }

    /// What a cluster's overlay makes of a version.
    pub(crate) fn version_in(&self, agent: usize, version: &str) -> String {
        format!("{version}{}", self.overlays[agent])
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
        self.measured_once_more();
        if self.chaos {
            self.says();
            self.says_in_a_cluster();
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
        let now_stage = now.stage;
        // Now and then they answer what they looked at some time ago; an old client does not say what it was.
        let place = (fleet, number, asked);
        let before = self.looked.replace((place, now.clone()));
        let before = before.filter(|(other, _)| *other == place);
        // The planted bug: whatever they saw, they are taken for having seen all.
        let all = self.bugs.has(Planted::ImagesUnseen).then(|| now.clone());
        let shown = match aside.below(8) {
            0 => None,
            1 | 2 => before.map(|(_, shown)| shown).or(Some(now)),
            _ => Some(now),
        };
        let images = shown
            .as_ref()
            .map_or(&release.images, |shown| &shown.images);
        let images = images.clone();
        let shown = all.or(shown);
        let by = By { shown, ..by };
        let stage = by.shown.as_ref().map_or(now_stage, |shown| shown.stage);
        let agreed = Agreed {
            person: by.person.to_owned(),
            images,
            stage,
            at: self.now,
        };
        let person = by.person;
        let rows = self.rows();
        let given = self.store.approvals(fleet, number);
        let taken = self.store.approve(fleet, number, Some(asked), by);
        if !taken {
            self.refusal_of("Approve", person);
        }
        // Whoever has said it already has not said it anew.
        if self.store.approvals(fleet, number) > given {
            self.row_of("WaveApproved", person, rows);
            self.ghost.approved(place, agreed);
        }
        taken
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
        if self.measures.really {
            return self.measure(place);
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
