//! Membership of the model fleet: clusters that join, leave, are relabelled, bound anew, restored or let go, at any moment. In: a
//! fleet. Out: what the hub would see of it, and the truth about what is left of each cluster. It must not know a policy.

use std::sync::Arc;

use hub_engine::ClusterName;
use hub_engine::member::{Departure, Gone, LetGo};
use hub_engine::observed::Cluster;
use hub_engine::verb::{By, Verb};

use crate::hub_fleet::{Fleet, cluster, rollout};

/// More clusters than this make a story slow and not richer.
const CLUSTERS_MAX: usize = 7;

impl Fleet {
    /// A cluster's clock is set, as its heartbeats say; nobody sets it right in time.
    pub(crate) fn set_clock(&mut self, name: &ClusterName) -> String {
        let ahead = self.random.pick(&[0, -90, 3_600, 40_000]);
        let clusters = self.observed.clusters.iter_mut();
        for cluster in clusters.filter(|cluster| &cluster.name == name) {
            Arc::make_mut(cluster).clock_ahead = ahead;
        }
        format!("the clock of {name} is {ahead} s ahead")
    }

    /// Something becomes of a cluster.
    pub(crate) fn membership(&mut self) -> String {
        let name = self.any_cluster();
        // Whatever comes is later than what was reached before.
        self.move_time(1);
        match self.random.below(12) {
            0..=1 => self.join(),
            2 => self.leave(&name),
            3 => self.come_back(&name),
            4 => self.relabel(&name),
            5..=6 => self.replace(&name),
            7..=8 => self.restore(&name),
            9 => self.break_gate(&name),
            10 => self.ungovern(&name),
            _ => self.govern(&name),
        }
    }

    fn join(&mut self) -> String {
        let index = self.observed.clusters.len();
        if index >= CLUSTERS_MAX {
            return "nobody joins".to_owned();
        }
        let (waves, now) = (
            self.observed.fleet_rollout.waves.len() + 1,
            self.observed.now,
        );
        let new = cluster(&mut self.random, index, waves, now);
        let empty = self.random.percent(50);
        let told = format!("{} joins", new.name);
        // It comes with what Git says now, wherever that can be seen.
        let like = self.real.values().next().and_then(|real| real.spec.clone());
        let mut real = rollout(&new.name, empty);
        if let Some(spec) = like.filter(|spec| spec.digest.as_str() != "v1") {
            real.kept.push(spec.digest.clone());
            real.kept_deliveries
                .insert(spec.digest.clone(), spec.delivery.clone());
            real.held = Some(spec.digest.clone());
            real.spec = Some(spec);
        }
        self.real.insert(new.name.clone(), real);
        self.observed.clusters.push(Arc::new(new));
        told
    }

    fn own(&mut self, name: &ClusterName) -> Option<&mut Cluster> {
        let mut all = self.observed.clusters.iter_mut().map(Arc::make_mut);
        all.find(|cluster| &cluster.name == name)
    }

    fn leave(&mut self, name: &ClusterName) -> String {
        let by = By {
            person: "eve".into(),
            reason: "sold".to_owned(),
            at: self.observed.now,
        };
        if let Some(own) = self.own(name) {
            own.gone = Some(Gone {
                how: Departure::Left,
                by,
            });
            (own.selected, own.connected) = (false, false);
        }
        format!("{name} leaves the fleet")
    }

    fn come_back(&mut self, name: &ClusterName) -> String {
        let own = self.own(name);
        let left = own.filter(|own| {
            own.gone
                .as_ref()
                .is_some_and(|gone| gone.how == Departure::Left)
        });
        if let Some(own) = left {
            own.gone = None;
            (own.selected, own.connected) = (true, true);
        }
        format!("{name} joins again, if it had left")
    }

    fn relabel(&mut self, name: &ClusterName) -> String {
        if let Some(own) = self.own(name).filter(|own| own.gone.is_none()) {
            own.selected = !own.selected;
        }
        format!("{name} is relabelled")
    }

    /// What its agent said is no proof any more.
    fn forget(&mut self, name: &ClusterName) {
        let lost: Vec<_> = self
            .served
            .iter()
            .filter(|(own, _)| own == name)
            .cloned()
            .collect();
        for proof in lost {
            self.served.remove(&proof);
            self.former.insert(proof);
        }
    }

    fn replace(&mut self, name: &ClusterName) -> String {
        let now = self.observed.now;
        let empty = self.random.percent(50);
        self.forget(name);
        let spec = self.real.get(name).and_then(|real| real.spec.clone());
        let mut real = rollout(name, empty);
        "another".clone_into(&mut real.uid);
        if let Some(spec) = spec.filter(|spec| spec.digest.as_str() != "v1") {
            real.kept.push(spec.digest.clone());
            real.kept_deliveries
                .insert(spec.digest.clone(), spec.delivery.clone());
            real.held = Some(spec.digest.clone());
            real.spec = Some(spec);
        }
        self.real.insert(name.clone(), real);
        if let Some(own) = self.own(name) {
            own.replaced = Some(now);
            own.rollout = None;
            own.regressed = false;
        }
        format!("{name} is another cluster now")
    }

    fn restore(&mut self, name: &ClusterName) -> String {
        let now = self.observed.now;
        self.forget(name);
        let long_ago = self.random.percent(50);
        if let Some(real) = self.real.get_mut(name) {
            (real.outcome, real.effect, real.permit_fence) = (None, None, None);
            if let (true, Some(first)) = (long_ago, real.healthy.first().cloned()) {
                real.served = Some(first);
                let spec = real.spec.as_ref().map(|spec| spec.digest.clone());
                real.held = spec.filter(|spec| Some(spec) != real.served.as_ref());
            }
        }
        if let Some(own) = self.own(name) {
            own.restored = Some(now);
            own.regressed = own.connected;
        }
        format!("{name} comes out of a backup")
    }

    /// It stays so, also in the calm.
    fn break_gate(&mut self, name: &ClusterName) -> String {
        if let Some(real) = self.real.get_mut(name) {
            real.undecodable_gate = true;
        }
        format!("the Gate in {name} is broken")
    }

    pub(crate) fn ungovern(&mut self, name: &ClusterName) -> String {
        let cluster = self.random.percent(80).then(|| name.clone());
        let mode = self.random.pick(&[LetGo::KeepServing, LetGo::ReleaseHeld]);
        self.request(Verb::Ungovern { cluster, mode }, None);
        format!("eve lets {name} go")
    }

    pub(crate) fn govern(&mut self, name: &ClusterName) -> String {
        let cluster = self.random.percent(50).then(|| name.clone());
        self.request(Verb::Govern { cluster }, None);
        format!("eve takes {name} in again")
    }
}
