//! Sessions and reports, as `hub_store` keeps them. In: what agents say. Out: the session's number, how far reports are
//! stored. It must not commit for a session that is over (gate.md L3), nor into a copy that is older than the session.

use hub_engine::observed::{Change, Rollout};
use hub_engine::release::Content;
use hub_engine::{ClusterName, Fence, RolloutName};
use hub_store::older::Committed;
use hub_store::report::{Body, Report};

use super::{Error, Latest, Row, Store};
use crate::event::Ms;
use crate::planted::Planted;
use crate::world::stamp;

/// How Hello ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// The session's number, what should be held, whether it came back with less than it had.
    Session(u64, Fence, bool),
    /// Another cluster has this certificate.
    Duplicate,
}

/// In which session something is said, and what that has seen committed.
pub type Said<'a> = (u64, &'a Committed);

impl Store {
    /// Opens a session and stores what the agent brought.
    ///
    /// # Errors
    /// `Away`.
    pub fn session_open(
        &mut self,
        cluster: &ClusterName,
        uid: &str,
        fence: Fence,
        brought: Vec<(RolloutName, Rollout)>,
        handed: Option<(usize, String)>,
        now: Ms,
    ) -> Result<Opened, Error> {
        self.answers()?;
        let compared = !self.bugs.has(Planted::EndUnmissed);
        let by_name = self.bugs.has(Planted::FormerEndAsked);
        let desired = self.desired_fence(cluster)?;
        let Some(row) = self.rows.get_mut(cluster) else {
            return Ok(Opened::Duplicate);
        };
        if row.uid != uid {
            self.refuse("Hello", cluster.as_str(), now);
            return Ok(Opened::Duplicate);
        }
        let regressed = fence < row.stored || compared && unsaid(row, &brought, by_name);
        row.session = numbered(row.session, now);
        row.open = true;
        row.last_seen = Some(now);
        row.heard = Some(now);
        row.stored = fence;
        row.regressed = regressed && fence < desired;
        row.restored = if regressed { Some(now) } else { row.restored };
        row.reported = 0;
        let key = (row.session, 0);
        for (rollout, known) in &mut row.rollouts {
            if let Some(state) = known.state.as_mut().filter(|_| regressed) {
                state.outcome = None;
            }
            let named = brought.iter().any(|(name, _)| name == rollout);
            if !named && known.key.0 < row.session {
                known.key = key;
                if let Some(state) = &mut known.state {
                    state.removed = true;
                }
            }
        }
        for (rollout, state) in brought {
            upsert(row.rollouts.entry(rollout).or_default(), key, state);
        }
        let gates = &row.gates;
        row.rollouts.retain(|rollout, known| {
            let removed = known.state.as_ref().is_some_and(|state| state.removed);
            !removed || gates.contains_key(rollout)
        });
        let session = row.session;
        self.compare(fence, desired, handed);
        Ok(Opened::Session(session, desired, regressed))
    }

    /// As `older`: a session that has seen more than there is goes on no longer, and a set that was sent and is not there
    /// means that nothing is decided.
    fn current(
        &mut self,
        cluster: &ClusterName,
        (session, committed): Said<'_>,
        checked: bool,
    ) -> Result<Option<&mut Row>, Error> {
        let desired = self.desired_fence(cluster)?;
        let Some(row) = self.rows.get_mut(cluster) else {
            return Ok(None);
        };
        if !checked {
            return Ok(Some(row));
        }
        // What an older session was sent is in the Hello of the newer one.
        self.recovery.held |= session >= row.session && committed.sent > desired;
        if row.session != session {
            return Ok(None);
        }
        let whole = row.reported >= committed.reported
            && row.stored >= committed.stored
            && desired >= committed.sent;
        Ok(whole.then_some(row))
    }

    /// The agent was heard. False: the session is over, or has seen more than there is.
    ///
    /// # Errors
    /// `Away`.
    pub fn session_seen(
        &mut self,
        cluster: &ClusterName,
        said: Said<'_>,
        now: Ms,
    ) -> Result<bool, Error> {
        let Some(row) = self.current(cluster, said, true)? else {
            return Ok(false);
        };
        row.open = true;
        row.last_seen = Some(now);
        row.heard = Some(now);
        Ok(true)
    }

    /// The stream ended.
    ///
    /// # Errors
    /// `Away`.
    pub fn session_close(&mut self, cluster: &ClusterName, session: u64) -> Result<(), Error> {
        let said = (session, &Committed::default());
        if let Some(row) = self.current(cluster, said, true)? {
            row.open = false;
        }
        Ok(())
    }

    /// The agent stored a set. False: likewise.
    ///
    /// # Errors
    /// `Away`.
    pub fn session_ack(
        &mut self,
        cluster: &ClusterName,
        said: Said<'_>,
        fence: Fence,
        now: Ms,
    ) -> Result<bool, Error> {
        let desired = self.desired_fence(cluster)?;
        let Some(row) = self.current(cluster, said, true)? else {
            return Ok(false);
        };
        row.open = true;
        row.last_seen = Some(now);
        row.stored = fence;
        row.regressed &= fence < desired;
        row.heard = Some(now);
        self.compare(fence, desired, None);
        Ok(true)
    }

    /// Stores a batch. None: likewise.
    ///
    /// # Errors
    /// `Away`.
    pub fn report_store(
        &mut self,
        cluster: &ClusterName,
        said: Said<'_>,
        reports: &[Report],
        now: Ms,
        checked: bool,
    ) -> Result<Option<u64>, Error> {
        let mut changes = Vec::new();
        let older = self.bugs.has(Planted::OlderReportStored);
        let Some(row) = self.current(cluster, said, checked)? else {
            return Ok(None);
        };
        let mut highest = row.reported;
        for report in reports {
            if report.sequence <= highest && !older {
                continue;
            }
            highest = report.sequence.max(highest);
            let key = (said.0, report.sequence);
            let known = row.rollouts.entry(report.rollout.clone()).or_default();
            if older {
                known.key = (0, 0);
            }
            match &report.body {
                Body::State(state) => upsert(known, key, state.clone()),
                Body::Changed { was, now } => {
                    changes.push((report.rollout.clone(), was.clone(), now.clone()));
                }
                Body::Effect { effect, .. } => {
                    amend(known, key, |state| state.effect = Some(effect.clone()));
                }
                Body::Outcome { uid, outcome } => amend(known, key, |state| {
                    let own = state.outcome.is_some() && !state.outcome_of_former;
                    let former = !uid.is_empty() && !state.uid.is_empty() && *uid != state.uid;
                    if !former || !own {
                        state.outcome = Some(outcome.clone());
                        state.outcome_of_former = former;
                    }
                }),
                Body::Removed => amend(known, key, |state| state.removed = true),
                // Facts of the history alone.
                Body::Verb { .. } | Body::BrokenGlass(_) => {}
            }
        }
        row.reported = highest;
        row.open = true;
        row.last_seen = Some(now);
        row.heard = Some(now);
        for (rollout, was, now) in changes {
            self.changed(cluster, &rollout, was, now);
        }
        Ok(Some(highest))
    }

    /// A change waits for the decision of every FleetRollout over its Rollout.
    pub(crate) fn changed(
        &mut self,
        cluster: &ClusterName,
        rollout: &RolloutName,
        was: Option<Content>,
        now: Content,
    ) {
        if let Some(row) = self.rows.get_mut(cluster) {
            let told = (was.clone(), now.clone());
            let newest = row.told.insert(rollout.clone(), told);
            if newest.is_some_and(|newest| is_the_same(&newest, was.as_ref(), &now)) {
                return;
            }
        }
        self.serial += 1;
        let change = Change {
            id: self.serial,
            cluster: cluster.clone(),
            was,
            now,
        };
        for fleet in self.over(rollout) {
            self.fleets[fleet].changes.push(change.clone());
        }
    }
}

/// The newest change is told once more by an agent that does not know that it was heard.
fn is_the_same(newest: &(Option<Content>, Content), was: Option<&Content>, now: &Content) -> bool {
    let key = |one: &Content| (one.digest.clone(), one.generation, one.revision.clone());
    was.is_some() && newest.0.as_ref() == was && key(&newest.1) == key(now)
}

/// The next session's number: the moment in which it opens, so that no copy of the database gives one again.
pub(super) fn numbered(session: u64, now: Ms) -> u64 {
    let moment = stamp(now).as_millisecond().unsigned_abs();
    moment.max(session + 1)
}

/// An end of a permit was told, and the Rollout that it was of comes without it.
fn unsaid(row: &Row, brought: &[(RolloutName, Rollout)], by_name: bool) -> bool {
    let ended = |state: &Rollout| {
        let own = state.outcome.as_ref();
        let own = own.filter(|_| by_name || !state.outcome_of_former);
        own.map(|outcome| outcome.fence)
    };
    brought.iter().any(|(rollout, now)| {
        let known = row.state(rollout);
        known.is_some_and(|known| known.uid == now.uid && ended(known) > ended(now))
    })
}

/// An outcome stays until another replaces it, and whose it is with it.
fn upsert(latest: &mut Latest, key: (u64, u64), mut state: Rollout) {
    if latest.state.is_some() && latest.key > key {
        return;
    }
    if let Some(known) = latest.state.take() {
        let other = known.uid != state.uid;
        let former = known.outcome_of_former;
        state.outcome_of_former |= match (&known.outcome, &state.outcome) {
            (Some(known), Some(now)) => other || former && known.fence == now.fence,
            (Some(_), None) => other || former,
            (None, Some(_)) => other,
            (None, None) => false,
        };
        state.outcome = state.outcome.or(known.outcome);
    }
    latest.key = key;
    latest.state = Some(state);
}

fn amend(latest: &mut Latest, key: (u64, u64), change: impl FnOnce(&mut Rollout)) {
    if let Some(mut state) = latest.state.clone() {
        change(&mut state);
        upsert(latest, key, state);
    }
}
