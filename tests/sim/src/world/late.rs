//! Permits that come late (S12): hubs keep sets back, windows close soon after what is permitted in them, and clocks of clusters
//! are behind from the beginning. In: the chance of the moment. Out: sets that are sent when the start-by of what they bring has
//! passed. It must not keep back anything else than sets: what a hub says of its time and of leases goes on.

use tests_golden::hub_random::Random;

use super::World;
use super::begin::Config;
use crate::event::Ms;

/// In so many of a hundred lives.
const LIVES: usize = 12;
/// So many of a hundred sets that bring a permit are kept back, for so many milliseconds: the shortest while is over before the
/// window closes that the permit was given in, the longest before a hub takes back what nobody has begun.
const KEPT_BACK: usize = 45;
const KEPT_BACK_FOR: (Ms, Ms) = (4_000, 60_000);
/// How a cluster's clock is set when such a life begins.
const CLOCKS: [Ms; 4] = [0, -120_000, -3_600_000, -3_600_000];

/// Whether permits come late in this life.
pub(super) fn come_late(config: Config) -> bool {
    config.faults && Random::new(config.seed).aside(101).percent(LIVES)
}

impl World {
    pub(super) fn clocks_are_behind(&mut self) {
        let mut aside = self.random.aside(103);
        for own in self.agents.iter_mut().filter(|_| self.late) {
            own.skew = aside.pick(&CLOCKS);
        }
    }

    /// Whether a session waits with the next set: as where its hub, or the database, is slow. Drawn aside, so that every other
    /// life stays what it was.
    pub(super) fn is_kept_back(&mut self, hub: usize, connection: u64) -> bool {
        let mut aside = self.random.aside(107);
        let Some(session) = self.hubs[hub].sessions.get_mut(&connection) else {
            return false;
        };
        let row = self.store.rows.get(&session.cluster);
        let permits = row.into_iter().flat_map(|row| row.gates.values());
        let mut permits = permits.filter_map(|entry| entry.permit.as_ref());
        let brings = permits.any(|one| Some(one.permit.fence) > session.sent);
        if !self.late || !self.chaos || session.sent.is_none() || !brings {
            session.back_until = None;
            return false;
        }
        if session.back_until.is_none() {
            let (least, most) = KEPT_BACK_FOR;
            let span = usize::try_from(most - least).unwrap_or(0);
            let after = least + Ms::try_from(aside.below(span)).unwrap_or(0);
            let back = aside.percent(KEPT_BACK);
            session.back_until = Some(self.now + if back { after } else { 0 });
            if back {
                let (name, until) = (session.cluster.clone(), self.now + after);
                self.meets("SetLate");
                self.tell(format!(
                    "hub {hub} keeps the next set of {name} back until {until}"
                ));
            }
        }
        let session = self.hubs[hub].sessions.get_mut(&connection);
        session.is_some_and(|own| {
            let waits = own.back_until.is_some_and(|until| self.now < until);
            own.back_until = own.back_until.filter(|_| waits);
            waits
        })
    }
}
