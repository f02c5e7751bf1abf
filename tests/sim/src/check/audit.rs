//! What the history has of all that was done (S2, S22). In: commits, what persons and clusters tried, the rows afterwards. Out: the
//! first deed without its row, the first row that does not fit, the first table that the rows do not give. It must not ask who
//! wrote the rows: the hub's own verifier and its own replay read them.

use hub_engine::chain::{Anchor, Row, Verifier};
use hub_engine::observed::Observed;
use hub_engine::release::Release;
use hub_engine::replay::replay;

use crate::event::Draft;
use crate::world::World;

impl World {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.store.chain.rows().len()
    }

    /// Whether the releases stand otherwise by now than a decision has seen. What persons say in between counts in the next one.
    pub(crate) fn is_older(&self, draft: &Draft) -> bool {
        let Ok(now) = self.store.observe(draft.fleet, self.now) else {
            return false;
        };
        let decided = |all: &[Release]| {
            let all = all.iter().cloned();
            let all = all.map(|one| Release {
                approvals: Vec::new(),
                ..one
            });
            all.collect::<Vec<_>>()
        };
        let seen = &draft.observed;
        decided(&now.releases) != decided(&seen.releases) || now.stopped != seen.stopped
    }

    /// S8: what is committed was decided on what the tables have.
    pub(crate) fn newest_is_decided_on(&mut self, draft: &Draft, older: bool) {
        if older && !draft.plan.actions.is_empty() {
            let fleet = self.fleet_name(draft.fleet);
            self.fail("S8", format!("{fleet} is decided on older tables"));
        }
    }

    /// S22: a commit has left one row for each of its actions, and each says what it was decided on.
    pub(super) fn rows_of(&mut self, draft: &Draft, before: usize) {
        let rows = self.store.chain.rows().get(before..).unwrap_or_default();
        let mut rows = rows.iter();
        let missing = draft.plan.actions.iter().find_map(|decision| {
            let row = rows.next();
            let told = row.is_some_and(|row| row.kind == decision.action.kind());
            let seen = row.is_some_and(|row| row.evidence.is_object());
            let message = match (told, seen) {
                (false, _) => "no row of its own",
                (true, false) => "no evidence",
                (true, true) => return None,
            };
            Some(format!("{message}: {}", decision.action))
        });
        if let Some(message) = missing {
            self.fail("S22", message);
        }
    }

    /// S22: what a person or a cluster did has left a row that says who.
    pub(crate) fn row_of(&mut self, kind: &str, who: &str, before: usize) {
        let rows = self.store.chain.rows().get(before..).unwrap_or_default();
        let told = |row: &Row| row.kind == kind && row.actor == who;
        if !rows.iter().any(|row| told(row)) {
            self.fail("S22", format!("{kind} by {who} has no row"));
        }
    }

    /// S22: what was refused a moment ago is recorded.
    pub(crate) fn refusal_of(&mut self, kind: &str, who: &str) {
        let newest = self.store.chain.refused.last();
        let told =
            newest.is_some_and(|one| one.kind == kind && one.who == who && one.at == self.now);
        if !told {
            self.fail(
                "S22",
                format!("{kind} of {who} was refused, and no row says so"),
            );
        }
    }

    /// S22: every row fits into its chain, and every row that an agent was handed is among them. At the end, and whenever a
    /// database is about to be lost.
    pub(crate) fn chains_hold(&mut self, anchored: bool) {
        let agents = self.agents.iter().filter(|_| anchored);
        let anchors = agents.filter_map(|own| {
            let (sequence, hash) = own.handed(&own.uid)?;
            Some(Anchor {
                cluster: own.name.to_string(),
                sequence: u64::try_from(sequence).ok()?,
                hash,
            })
        });
        let anchors = anchors.filter(|anchor| anchor.sequence > 0);
        let mut verifier = Verifier::new(anchors.collect());
        let chain = &self.store.chain;
        let mut rows = chain.rows().iter();
        let verified = rows.try_for_each(|row| verifier.row(row));
        let verified = verified.and_then(|()| verifier.end(&chain.heads()));
        if let Err(broken) = verified {
            self.fail("S22", broken.to_string());
        }
    }

    /// S2: the history alone gives the tables.
    pub(crate) fn rows_give_the_tables(&mut self) {
        for (fleet, tables) in self.store.fleets.iter().enumerate() {
            let replayed = match replay(self.store.chain.steps(fleet)) {
                Ok(Some(replayed)) => replayed,
                Ok(None) => return self.fail("S2", "a FleetRollout without a row".to_owned()),
                Err(error) => return self.fail("S2", error.to_string()),
            };
            if let Some(what) = differ(tables, &replayed) {
                let message = format!("{} of {what}", self.fleet_name(fleet));
                return self.fail("S2", message);
            }
        }
    }
}

/// The first thing that the rows do not give.
fn differ(tables: &Observed, replayed: &Observed) -> Option<String> {
    let wrong = |what: &str| Some(format!("{what} is not what the rows give"));
    if tables.fleet_rollout != replayed.fleet_rollout {
        return wrong("the document");
    }
    if tables.past != replayed.past {
        return wrong("the past");
    }
    if tables.barred != replayed.barred {
        return wrong("what is barred");
    }
    if tables.passed != replayed.passed {
        return wrong("what has passed");
    }
    let governed = tables.clusters.iter().filter(|own| own.gate.is_some());
    for own in governed {
        let other = replayed.cluster(&own.name);
        if other.is_none_or(|other| other.gate != own.gate) {
            return wrong(&format!("the gate of {}", own.name));
        }
    }
    let mut releases = tables.releases.iter();
    let other = releases.find(|own| replayed.release(own.id.number) != Some(*own));
    other.and_then(|own| wrong(&format!("release {}", own.id)))
}
