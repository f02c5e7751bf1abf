//! What happens from outside: Git, its applier, people, kubelets, the answers of analyses. In: chance. Out: changed clusters
//! and tables. It must not know of permits.

use tests_golden::agent_fixture::hash;

use super::World;
use crate::event::Event;

impl World {
    /// Git gets a new version, or an old one again.
    pub(super) fn push(&mut self) {
        if self.now + 30_000 > self.config.chaos {
            return;
        }
        let next = self.some(20_000, 90_000);
        self.put(next, Event::Push);
        self.versions += 1;
        let revision = format!("r{}", self.versions);
        let again = self.random.percent(15);
        let number = if again {
            1 + self
                .random
                .below(usize::try_from(self.versions).unwrap_or(1))
        } else {
            usize::try_from(self.versions).unwrap_or(1)
        };
        let version = format!("v{number}");
        if !again && self.random.percent(30) {
            self.bad.insert(hash(&version).to_string());
        }
        let bad = self.bad.contains(hash(&version).as_str());
        self.tell(format!("Git has {version} ({revision}), bad {bad}"));
        self.git = (version.clone(), revision.clone());
        for agent in 0..self.agents.len() {
            let most = if self.chaos { 8_000 } else { 500 };
            let after = self.some(100, most);
            let (version, revision) = (version.clone(), revision.clone());
            let event = Event::Applied {
                agent,
                version,
                revision,
            };
            self.put(after, event);
        }
    }

    pub(super) fn applied(&mut self, agent: usize, version: &str, revision: &str) {
        // The applier brings the newest only.
        let newest = self.git == (version.to_owned(), revision.to_owned());
        if !newest || self.agents[agent].gone {
            return;
        }
        self.agents[agent].applied(version, revision);
        let name = self.agents[agent].name.clone();
        self.tell(format!("{name} has {version} ({revision}) from Git"));
        self.changed(agent);
    }

    pub(super) fn person(&mut self) {
        let most = if self.chaos { 25_000 } else { 10_000 };
        let next = self.some(3_000, most);
        self.put(next, Event::Person);
        if !self.store.up {
            return;
        }
        let person = self.random.pick(&["ada", "bob"]);
        let group = if self.chaos {
            self.random.pick(&["sre", "sre", "dev"])
        } else {
            "sre"
        };
        if self.store.approve(person, group, self.now) {
            self.tell(format!("{person} of {group} approves"));
            self.hint();
        }
        self.recovers();
        if self.chaos {
            self.says();
        } else {
            self.lets_go();
        }
    }

    /// The ReplicaSet controller and the kubelets: pods come one after the other.
    pub(super) fn kubelet(&mut self, agent: usize) {
        let cluster = &mut self.agents[agent].cluster;
        cluster.observed.now = super::stamp(self.now);
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
            let name = self.agents[agent].name.clone();
            self.tell(format!("pods in {name}: {}", sets.join(", ")));
            self.changed(agent);
        }
        if short {
            let next = self.some(300, 2_000);
            self.put(next, Event::Kubelet(agent));
        }
    }

    /// The measurements' verdict: bad versions fail.
    pub(super) fn runs_end(&mut self, agent: usize) {
        let left = self.agents[agent].slow_until - self.now;
        if left > 0 {
            return self.put(left, Event::RunsEnd(agent));
        }
        let bad = &self.bad;
        let ended = self.agents[agent].runs_end(|hash| bad.contains(hash));
        if !ended.is_empty() {
            let name = self.agents[agent].name.clone();
            self.tell(format!("runs in {name}: {}", ended.join(", ")));
            self.changed(agent);
        }
    }
}
