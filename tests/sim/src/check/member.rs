//! Certificates (gate.md L6, faults.md L8). In: what was issued for which token, what agents have. Out: the first token that was
//! spent twice, the first certificate that comes to its end while a hub is there. It must not ask when one is due.

use super::Ghost;
use crate::event::Ms;
use crate::store::Certificate;
use crate::world::World;

/// An answer that was lost is given again for so long.
const AGAIN_WITHIN: Ms = 600_000;
/// Everybody is looked at so often while a hub runs.
const LOOKED_WITHIN: Ms = 2_500;
/// Whoever can has renewed when a fifth of the life is left, if it could since a quarter was.
const LEFT: (Ms, Ms) = (1, 5);
const ABLE: (Ms, Ms) = (1, 4);

/// What came of a token: with which request, when, and what.
pub(super) type Issued = (u64, Ms, Certificate);

impl Ghost {
    /// A database was put back: it does not know what was spent since.
    pub(super) fn tokens_forgotten(&mut self) {
        self.issued.clear();
    }
}

impl World {
    /// L6: a token gives one certificate, and that one again to whoever did not hear of it: to nobody else, and not for long.
    pub(crate) fn token_is_spent(
        &mut self,
        token: u64,
        csr: u64,
        certificate: Certificate,
        rows: usize,
    ) {
        let now = self.now;
        let known = *self
            .ghost
            .issued
            .entry(token)
            .or_insert((csr, now, certificate));
        let (first, at, before) = known;
        if first != csr || before != certificate || now > at + AGAIN_WITHIN {
            let message = format!("token {token} is spent by request {csr}, and was by {first}");
            return self.fail("link L6", message);
        }
        let told = self.store.chain.rows().get(rows..).unwrap_or_default();
        let joined = told.iter().any(|row| row.kind == "ClusterJoined");
        if at == now && self.rows() > rows && !joined {
            self.fail("S22", format!("token {token} is spent without a row"));
        }
    }

    /// L8: whoever reaches a hub has renewed its certificate while there is a fifth of its life left.
    pub(crate) fn certificates_last(&mut self) {
        let now = self.now;
        let gap = now - std::mem::replace(&mut self.ghost.looked, now) > LOOKED_WITHIN;
        let mut ends = None;
        for agent in 0..self.agents.len() {
            let able = self.able_to_renew(agent);
            let Some(Certificate { from, to, .. }) = able.filter(|_| !gap) else {
                self.ghost.renewable.remove(&agent);
                continue;
            };
            let since = *self.ghost.renewable.entry(agent).or_insert(now);
            let left = |(part, of): (Ms, Ms)| to - (to - from) * part / of;
            if since <= left(ABLE) && now > left(LEFT) {
                ends = Some(agent);
            }
        }
        if let Some(agent) = ends {
            let name = &self.agents[agent].name;
            let message = format!("{name} has less than a fifth of its certificate's life left");
            self.fail("L8", message);
        }
    }
}
