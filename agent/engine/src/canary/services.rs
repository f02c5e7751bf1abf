//! Which version the canary's and the stable Service select.
//!
//! In: the numbers, what the Services select now. Out: switches, in the order in which traffic may follow. It must not move
//! shares of traffic.

use agent_api::PodHash;

use crate::pass::Pass;
use crate::reason::Reason;
use crate::services::{find, manager, selects};
use crate::sets::SetView;

impl Pass<'_> {
    /// Lets both Services select what they shall, as far as there are pods.
    pub fn settle_services(&mut self) {
        let Some(canary) = self.strategy.canary() else {
            return;
        };
        let stable = self.stable_view().cloned().filter(|_| !self.initial());
        let kept = self
            .routed()
            .and_then(|routed| self.keeps_stable_side(routed));
        if let (Some(name), Some(stable), None) = (&canary.stable_service, &stable, &kept) {
            self.aim(name, stable);
        }
        let Some(name) = &canary.canary_service else {
            return;
        };
        let back = self.aborted() && !self.initial();
        // Requests follow the Service: it stays with the version that they go to until the router sends none.
        if self.routed().is_some()
            && self
                .carrier()
                .is_some_and(|(hash, _)| hash != self.new.hash || back)
        {
            return;
        }
        match stable.filter(|_| back) {
            // The stable version has the requests already: no pods are waited for.
            Some(stable) => self.switch_service(name, &stable.hash.clone()),
            None => self.aim(name, &self.new.clone()),
        }
    }

    /// Switches a Service to a version: the first time it needs all its pods, later one.
    fn aim(&mut self, name: &str, set: &SetView) {
        let Some(service) = find(self.observed, name) else {
            return;
        };
        let ours = manager(&service.metadata) == Some(self.name());
        let there: Option<PodHash> = selects(service);
        if there.as_ref() == Some(&set.hash) && ours {
            return;
        }
        let is_made = self.creating.is_some() && set.hash == self.new.hash;
        let available = if is_made { 0 } else { set.available };
        let wanted = if ours { 1 } else { set.desired.max(1) };
        if available < wanted {
            self.reasons.push(Reason::ServiceWaits {
                service: name.to_owned(),
                name: set.name.clone(),
                available,
                wanted,
            });
            return;
        }
        self.switch_service(name, &set.hash.clone());
    }
}
