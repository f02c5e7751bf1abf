//! Becoming a member of the fleet, and staying one, as `agent/src/join` and `renewal` do (gate.md L6). In: an agent that has no
//! certificate, or one that ends. Out: the next one, asked for again with the same request where the answer was lost. When it is
//! time is `renewal::due`'s to say. A certificate's life is as long as a few releases here, and clocks that are set do not count.

use agent::identity::Validity;
use agent::renewal::due;
use tests_golden::hub_random::Random;

use super::{World, millis, stamp};
use crate::event::{Event, Ms};
use crate::planted::Planted;
use crate::store::{Certificate, Join};

/// The life of a certificate, and at most so much of it is over when a life begins.
const LIFE: Ms = 600_000;
const OLD: usize = 440_000;
/// In so many of a hundred lives agents begin with a token.
const TOKENS: usize = 30;
/// So many of a hundred answers are lost, and so many of a hundred tokens are tried by somebody else, too.
const LOST: usize = 25;
const STOLEN: usize = 30;
/// Between tries.
const RETRY: Ms = 3_000;

/// What an agent keeps in its Secret.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Identity {
    pub(crate) certificate: Option<Certificate>,
    /// By which it joins.
    token: Option<u64>,
    /// The request that it has made and not had an answer to.
    csr: Option<u64>,
}

/// By agent; and what was ever made.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    pub(crate) own: Vec<Identity>,
    made: u64,
}

impl World {
    /// Whoever joined before the life begins has a certificate of some age.
    pub(super) fn identities(&mut self) {
        let mut aside = Random::new(self.config.seed).aside(173);
        let tokens = self.config.faults && aside.percent(TOKENS);
        for _ in 0..self.agents.len() {
            let age = Ms::try_from(aside.below(OLD)).unwrap_or(0);
            let certificate = self.certificate(-age);
            let identity = Identity {
                certificate: (!tokens).then_some(certificate),
                ..Identity::default()
            };
            self.identities.own.push(identity);
        }
    }

    fn certificate(&mut self, from: Ms) -> Certificate {
        let to = from + LIFE;
        Certificate {
            serial: self.next_number(),
            from,
            to,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.identities.made += 1;
        self.identities.made
    }

    /// Whether an agent may say who it is; else it sees to it that it can.
    pub(super) fn is_member(&mut self, agent: usize) -> bool {
        let certificate = self.identities.own[agent].certificate;
        let good = |one: &Certificate| self.now < one.to;
        if certificate.as_ref().is_some_and(good) {
            return true;
        }
        self.asks_to_join(agent);
        false
    }

    fn reaches_a_hub(&self, agent: usize) -> bool {
        let mut hubs = self.hubs.iter();
        let up = hubs.any(|hub| hub.alive && hub.frozen_until <= self.now);
        up && self.store.up && self.agents[agent].alone_until <= self.now
    }

    fn asks_to_join(&mut self, agent: usize) {
        let (now, name) = (self.now, self.agents[agent].name.clone());
        if !self.reaches_a_hub(agent) {
            return;
        }
        let Identity { token, csr, .. } = self.identities.own[agent];
        let Some(token) = token else {
            let token = self.next_number();
            if self.store.token(token, &name, now).is_ok() {
                self.identities.own[agent].token = Some(token);
            }
            return;
        };
        let csr = csr.unwrap_or_else(|| self.next_number());
        self.identities.own[agent].csr = Some(csr);
        let mut aside = self.random.aside(179);
        let issued = self.joins_by(agent, token, csr);
        let lost = self.chaos && aside.percent(LOST);
        if lost && issued.is_some() {
            self.meets("JoinAnswerLost");
            self.tell(format!("{name} has joined, and does not hear it"));
        } else if let Some(certificate) = issued {
            self.tell(format!("{name} has joined"));
            self.meets("JoinedByToken");
            self.is_issued_to(agent, certificate);
        } else {
            // A person makes another token.
            self.identities.own[agent].token = None;
        }
        if self.chaos && aside.percent(STOLEN) {
            self.meets("TokenTriedByAnother");
            let other = self.next_number();
            self.joins_by(agent, token, other);
        }
    }

    fn joins_by(&mut self, agent: usize, token: u64, csr: u64) -> Option<Certificate> {
        let (now, made) = (self.now, self.certificate(self.now));
        let own = &self.agents[agent];
        let (cluster, uid) = (own.name.clone(), own.uid.clone());
        let join = Join {
            token,
            cluster: &cluster,
            uid: &uid,
            csr,
            made,
        };
        let rows = self.rows();
        let issued = self.store.join_by(join, now).ok()?;
        match issued {
            Some(certificate) => self.token_is_spent(token, csr, certificate, rows),
            None => self.refusal_of("Join", cluster.as_str()),
        }
        issued
    }

    fn is_issued_to(&mut self, agent: usize, certificate: Certificate) {
        self.identities.own[agent] = Identity {
            certificate: Some(certificate),
            ..Identity::default()
        };
        self.renews_later(agent);
    }

    /// As `Renewal::run`.
    pub(super) fn renews_later(&mut self, agent: usize) {
        let Some(certificate) = self.identities.own[agent].certificate else {
            return;
        };
        let validity = Validity {
            from: stamp(certificate.from),
            to: stamp(certificate.to),
        };
        let seed = [u8::try_from(certificate.serial * 37 % 256).unwrap_or(0); 32];
        let late = self.bugs.has(Planted::RenewedLate);
        let due = if late {
            certificate.to - LIFE / 10
        } else {
            millis(due(validity, &seed))
        };
        let life = self.agents[agent].life;
        self.put((due - self.now).max(1_000), Event::Renew { agent, life });
    }

    pub(super) fn renew_certificate(&mut self, agent: usize, life: u64) {
        let own = &self.agents[agent];
        if own.life != life || own.process.is_none() {
            return;
        }
        let good = |one: &Certificate| self.now < one.to;
        let certificate = self.identities.own[agent].certificate;
        if !certificate.as_ref().is_some_and(good) {
            return;
        }
        let (name, uid) = (own.name.clone(), own.uid.clone());
        let made = self.certificate(self.now);
        let answer = if self.reaches_a_hub(agent) {
            self.store.renew(&name, &uid, made, self.now).ok().flatten()
        } else {
            None
        };
        let lost = self.chaos && self.random.aside(181).percent(LOST);
        match answer.filter(|_| !lost) {
            Some(certificate) => {
                self.tell(format!("{name} has its next certificate"));
                self.meets("CertificateRenewed");
                self.is_issued_to(agent, certificate);
            }
            None => self.put(RETRY, Event::Renew { agent, life }),
        }
    }

    /// Who can renew its certificate, and since when without a gap: for the checks.
    pub(crate) fn able_to_renew(&self, agent: usize) -> Option<Certificate> {
        let runs = self.agents[agent].process.is_some();
        let able = runs && self.reaches_a_hub(agent);
        self.identities.own[agent].certificate.filter(|_| able)
    }
}
