//! Tokens and certificates, as `hub_store::join` and `certificate` keep them (gate.md L6). In: what persons, agents and strangers
//! ask for. Out: a certificate, once a token. It must not know who has lost an answer.

use std::collections::BTreeMap;

use hub_engine::ClusterName;
use hub_store::join::{REISSUE_SECONDS, TOKEN_SECONDS_MAX};

use super::{Error, Store};
use crate::event::Ms;
use crate::planted::Planted;

/// A certificate that the hub's CA has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// No two have the same.
    pub serial: u64,
    /// Its life.
    pub from: Ms,
    /// Its end.
    pub to: Ms,
}

/// A token.
#[derive(Debug, Clone)]
struct Token {
    cluster: ClusterName,
    made: Ms,
    /// When, with which request, and what came of it.
    spent: Option<(Ms, u64, Certificate)>,
}

/// What the database has of them.
#[derive(Debug, Clone, Default)]
pub struct Members {
    tokens: BTreeMap<u64, Token>,
}

/// What Join says.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    /// The token's number.
    pub token: u64,
    /// The name that the agent was given.
    pub cluster: &'a ClusterName,
    /// UID of the kube-system namespace.
    pub uid: &'a str,
    /// The request's number.
    pub csr: u64,
    /// What is made for it.
    pub made: Certificate,
}

impl Store {
    /// A person makes a token for one cluster.
    ///
    /// # Errors
    /// `Away`.
    pub fn token(&mut self, token: u64, cluster: &ClusterName, now: Ms) -> Result<(), Error> {
        self.answers()?;
        let new = Token {
            cluster: cluster.clone(),
            made: now,
            spent: None,
        };
        self.members.tokens.insert(token, new);
        self.noted("TokenCreated", "eve", now);
        Ok(())
    }

    /// Spends a token and stores the certificate; none: it is refused, and that is recorded.
    ///
    /// # Errors
    /// `Away`.
    pub fn join_by(&mut self, join: Join<'_>, now: Ms) -> Result<Option<Certificate>, Error> {
        self.answers()?;
        let spent_unseen = self.bugs.has(Planted::TokenSpentTwice);
        let life = i64::from(TOKEN_SECONDS_MAX) * 1_000;
        let row = self.rows.get(join.cluster);
        let own = row.is_some_and(|row| row.uid == join.uid);
        let token = self.members.tokens.get_mut(&join.token);
        let token = token.filter(|token| token.cluster == *join.cluster);
        let issued = match token.map(|token| (token.spent, token)) {
            Some((Some((at, csr, certificate)), _)) if !spent_unseen => {
                let soon = now < at + i64::from(REISSUE_SECONDS) * 1_000;
                (soon && csr == join.csr).then_some(certificate)
            }
            Some((_, token)) if own && now < token.made + life => {
                token.spent = Some((now, join.csr, join.made));
                let actor = format!("agent:{}", join.cluster);
                self.noted("ClusterJoined", &actor, now);
                Some(join.made)
            }
            Some(_) | None => None,
        };
        if issued.is_none() {
            self.refuse("Join", join.cluster.as_str(), now);
        }
        Ok(issued)
    }

    /// A cluster's next certificate, by one that is still good.
    ///
    /// # Errors
    /// `Away`.
    pub fn renew(
        &mut self,
        cluster: &ClusterName,
        uid: &str,
        made: Certificate,
        now: Ms,
    ) -> Result<Option<Certificate>, Error> {
        self.answers()?;
        let row = self.rows.get(cluster);
        if row.is_none_or(|row| row.uid != uid) {
            self.refuse("Renew", cluster.as_str(), now);
            return Ok(None);
        }
        let actor = format!("agent:{cluster}");
        self.noted("CertificateRenewed", &actor, now);
        Ok(Some(made))
    }
}
