//! The newest word on each Rollout of which something is said. In: what is known of it, and what one transaction brings, word
//! by word. Out: one statement for all that is another than before, and of which Rollouts it is. It must not lose an outcome:
//! one that was stored stays until another takes its place, or its cluster comes back with less than it had; nor take that of a former
//! Rollout for one of its name that was made again.

use std::collections::{BTreeMap, BTreeSet};

use hub_engine::observed::{Outcome, Rollout};
use hub_engine::{ClusterName, RolloutName};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::Result;
use crate::history::{self, Fact};
use crate::report::ROLLOUTS_MAX;
use crate::row::{ROWS_MAX, row};

pub(crate) const KNOWN: &str = "select r.cluster, r.namespace, r.rollout, r.state from rollouts r \
     join unnest($1::text[], $2::text[], $3::text[]) as asked (cluster, namespace, rollout) \
     using (cluster, namespace, rollout)";
pub(crate) const KNOWN_OF: &str =
    "select cluster, namespace, rollout, state from rollouts where cluster = any($1)";
/// Rows in one order by all transactions. The outcome is kept here, too: an older hub beside this one writes the same rows.
pub(crate) const UPSERT: &str = "insert into rollouts (cluster, namespace, rollout, session, sequence, state) \
     select c.cluster, c.namespace, c.rollout, c.session, c.sequence, c.state \
     from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::jsonb[]) \
     as c (cluster, namespace, rollout, session, sequence, state) \
     order by 1, 2, 3 on conflict (cluster, namespace, rollout) do update \
     set state = jsonb_set(excluded.state, '{outcome}', \
     coalesce(nullif(excluded.state->'outcome', 'null'), rollouts.state->'outcome', 'null')), \
     session = excluded.session, sequence = excluded.sequence \
     where (rollouts.session, rollouts.sequence) <= (excluded.session, excluded.sequence)";
pub(crate) const GOVERNED: &str = "select g.cluster, g.namespace, g.rollout from gates g \
     join unnest($1::text[], $2::text[], $3::text[]) as asked (cluster, namespace, rollout) \
     using (cluster, namespace, rollout)";

pub(crate) const COUNTED: &str =
    "select cluster, count(*) as count from rollouts where cluster = any($1) group by cluster";
/// What a cluster had reached that came back out of a backup counts again by its agent's word alone (gate.md L4).
pub(crate) const FORGET_OUTCOMES: &str = "update rollouts set state = jsonb_set(state, '{outcome}', 'null') \
     where cluster = $1 and state->>'outcome' is not null";
/// What is not there any more and is nobody's to decide on.
pub(crate) const FORGET: &str = "delete from rollouts r where r.cluster = any($1) and r.state->>'removed' = 'true' \
     and not exists (select from gates g where (g.cluster, g.namespace, g.rollout) = (r.cluster, r.namespace, r.rollout))";

row! {
    /// How many Rollouts of a cluster are known.
    CountedRow { cluster: String, count: Option<i64> }
}
row! {
    /// What is known of a Rollout in one cluster.
    KnownRow { cluster: String, namespace: String, rollout: String, state: Json<Rollout> }
}
row! {
    /// A Rollout in one cluster.
    PlaceRow { cluster: String, namespace: String, rollout: String }
}

/// Which Rollout, in which cluster.
pub(crate) type Place = (ClusterName, RolloutName);

/// Of which report a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) session: i64,
    pub(crate) sequence: i64,
}

#[derive(Debug)]
struct Word {
    before: Option<Rollout>,
    now: Rollout,
    said: Said,
}

/// What is known, and what becomes of it.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    known: BTreeMap<Place, Rollout>,
    words: BTreeMap<Place, Word>,
    edited: Vec<(Place, Fact)>,
}

/// Places as the columns of a statement.
struct Columns<'a> {
    clusters: Vec<&'a str>,
    namespaces: Vec<&'a str>,
    names: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(places: impl Iterator<Item = &'a Place>) -> Self {
        let mut all = Self {
            clusters: Vec::new(),
            namespaces: Vec::new(),
            names: Vec::new(),
        };
        for (cluster, rollout) in places {
            all.clusters.push(cluster.as_str());
            all.namespaces.push(&rollout.namespace);
            all.names.push(&rollout.name);
        }
        all
    }
}

fn place(cluster: String, namespace: String, name: String) -> Place {
    (cluster.into(), RolloutName { namespace, name })
}

impl Latest {
    /// What is known of these; the sessions of their clusters are locked.
    pub(crate) async fn of(tx: &mut PgConnection, places: &BTreeSet<Place>) -> Result<Self> {
        if places.is_empty() {
            return Ok(Self::default());
        }
        let columns = Columns::of(places.iter());
        let rows: Vec<KnownRow> = sqlx::query_as(KNOWN)
            .bind(columns.clusters)
            .bind(columns.namespaces)
            .bind(columns.names)
            .fetch_all(tx)
            .await?;
        Ok(Self::from_rows(rows))
    }

    /// Everything that is known in these clusters, whose sessions are locked.
    pub(crate) async fn of_clusters(tx: &mut PgConnection, clusters: &[&str]) -> Result<Self> {
        let rows: Vec<KnownRow> = sqlx::query_as(KNOWN_OF)
            .bind(clusters)
            .fetch_all(tx)
            .await?;
        Ok(Self::from_rows(rows))
    }

    fn from_rows(rows: Vec<KnownRow>) -> Self {
        let known = |row: KnownRow| (place(row.cluster, row.namespace, row.rollout), row.state.0);
        Self {
            known: rows.into_iter().map(known).collect(),
            ..Self::default()
        }
    }

    /// Everything that is known of a cluster, by name.
    pub(crate) fn names(&self, cluster: &ClusterName) -> BTreeSet<RolloutName> {
        self.known_of(cluster).cloned().collect()
    }

    fn known_of<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = &'a RolloutName> {
        let first = RolloutName {
            namespace: String::new(),
            name: String::new(),
        };
        let places = self.known.range((cluster.clone(), first)..);
        let own = places.take_while(move |((of, _), _)| of == cluster);
        own.map(|((_, name), _)| name)
    }

    /// A Rollout whose end of a permit was told, and whose agent says everything and not that: its cluster was put back to
    /// before it. One that was made again is another.
    pub(crate) fn unsaid<'a>(
        &self,
        cluster: &ClusterName,
        brought: &'a [(RolloutName, Rollout)],
    ) -> Option<&'a RolloutName> {
        let ended = |state: &Rollout| {
            let own = state.outcome.as_ref().filter(|_| !state.outcome_of_former);
            own.map(|outcome| outcome.fence)
        };
        let mut all = brought.iter();
        let lacking = all.find(|(name, now)| {
            let known = self.known.get(&(cluster.clone(), name.clone()));
            known.is_some_and(|known| known.uid == now.uid && ended(known) > ended(now))
        });
        lacking.map(|(name, _)| name)
    }

    /// What `forget_outcomes` does to the rows.
    pub(crate) fn without_outcomes(mut self) -> Self {
        for state in self.known.values_mut() {
            state.outcome = None;
        }
        self
    }

    fn now(&self, place: &Place) -> Option<&Rollout> {
        let word = self.words.get(place).map(|word| &word.now);
        word.or_else(|| self.known.get(place))
    }

    /// A whole state.
    pub(crate) fn say(&mut self, place: &Place, said: Said, state: &Rollout) {
        let mut state = state.clone();
        if let Some(before) = self.now(place) {
            keep_outcome(before, &mut state);
            if let Some(fact) = edited(place, before, &state) {
                self.edited.push((place.clone(), fact));
            }
        }
        match self.words.get_mut(place) {
            Some(word) => (word.now, word.said) = (state, said),
            None => {
                let word = Word {
                    before: self.known.get(place).cloned(),
                    now: state,
                    said,
                };
                self.words.insert(place.clone(), word);
            }
        }
    }

    /// A part of what is known; without anything known there is nothing to change.
    pub(crate) fn amend(&mut self, place: &Place, said: Said, change: impl FnOnce(&mut Rollout)) {
        let Some(mut state) = self.now(place).cloned() else {
            return;
        };
        change(&mut state);
        self.say(place, said, &state);
    }

    /// What is known of a cluster and was not named is not there any more.
    pub(crate) fn remove_others(&mut self, cluster: &ClusterName, said: Said) {
        let all = self.known_of(cluster);
        let all = all.map(|name| (cluster.clone(), name.clone()));
        let others: Vec<Place> = all
            .filter(|place| !self.words.contains_key(place))
            .collect();
        for place in others {
            self.amend(&place, said, |state| state.removed = true);
        }
    }

    /// Whose strategies were edited, each time: a row of the history, where the Rollout is governed.
    pub(crate) fn edited(&self) -> impl Iterator<Item = &ClusterName> {
        self.edited.iter().map(|((cluster, _), _)| cluster)
    }

    /// Writes whatever is another than before; answers of which Rollouts something is.
    pub(crate) async fn write(self, tx: &mut PgConnection) -> Result<BTreeSet<RolloutName>> {
        let another = |(_, word): &(&Place, &Word)| word.before.as_ref() != Some(&word.now);
        let all: Vec<_> = self.words.iter().filter(another).collect();
        let (known, mut new): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, word)| word.before.is_some());
        put(tx, &known).await?;
        with_room(tx, &mut new).await?;
        put(tx, &new).await?;
        let news = known.iter().chain(&new);
        let news = news.map(|((_, name), _)| name.clone()).collect();
        tell_edited(tx, self.edited).await?;
        Ok(news)
    }
}

/// Whose it is: a Gate's record, which is by name, tells a former Rollout's once more, or for the first time where its agent or
/// this database did not have that before. A Rollout's own permit is for its UID, so that is known before such a permit ends.
fn keep_outcome(before: &Rollout, state: &mut Rollout) {
    let fence = |one: &Rollout| one.outcome.as_ref().map(|outcome| outcome.fence);
    if state.outcome.is_none() {
        state.outcome.clone_from(&before.outcome);
    }
    let same = state.outcome.is_some() && fence(state) == fence(before);
    let other = before.uid != state.uid || same && before.outcome_of_former;
    state.outcome_of_former = state.outcome.is_some() && (state.outcome_of_former || other);
}

/// A permit of the object with this UID ended; empty: it is not said whose. What was told late of a former Rollout is never taken
/// for an end of the one that was made again, and never takes the place of one.
pub(crate) fn ended(state: &mut Rollout, uid: &str, outcome: &Outcome) {
    let of_former = !uid.is_empty() && !state.uid.is_empty() && uid != state.uid;
    let has_own = state.outcome.is_some() && !state.outcome_of_former;
    if !(of_former && has_own) {
        state.outcome_of_former = of_former;
        state.outcome = Some(outcome.clone());
    }
}

/// Of clusters whose sessions are locked: nobody else writes their rows.
async fn put(tx: &mut PgConnection, all: &[(&Place, &Word)]) -> Result<()> {
    for some in all.chunks(ROWS_MAX) {
        let columns = Columns::of(some.iter().map(|(place, _)| *place));
        let said = |part: fn(&Said) -> i64| -> Vec<i64> {
            some.iter().map(|(_, word)| part(&word.said)).collect()
        };
        let states: Vec<_> = some.iter().map(|(_, word)| Json(&word.now)).collect();
        sqlx::query(UPSERT)
            .bind(columns.clusters)
            .bind(columns.namespaces)
            .bind(columns.names)
            .bind(said(|said| said.session))
            .bind(said(|said| said.sequence))
            .bind(states)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Of a cluster whose session is locked, before what it brings is weighed.
pub(crate) async fn forget_outcomes(tx: &mut PgConnection, cluster: &ClusterName) -> Result<()> {
    let asked = sqlx::query(FORGET_OUTCOMES).bind(cluster.as_str());
    asked.execute(tx).await?;
    Ok(())
}

/// Forgets what is not there any more, of clusters that said everything.
pub(crate) async fn forget(tx: &mut PgConnection, clusters: &[&str]) -> Result<()> {
    sqlx::query(FORGET).bind(clusters).execute(tx).await?;
    Ok(())
}

/// Passes over what is beyond the most that is kept of a cluster: whoever reads the table reads all of it.
async fn with_room(tx: &mut PgConnection, new: &mut Vec<(&Place, &Word)>) -> Result<()> {
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for ((cluster, _), _) in new.iter() {
        *wanted.entry(cluster.as_str()).or_default() += 1;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut room = room(tx, &wanted).await?;
    let full = |room: &BTreeMap<&str, usize>| -> Vec<&str> {
        let lacks = |(cluster, wants): &(&&str, &usize)| room.get(**cluster) < Some(*wants);
        wanted
            .iter()
            .filter(lacks)
            .map(|(cluster, _)| *cluster)
            .collect()
    };
    let without = full(&room);
    if without.is_empty() {
        return Ok(());
    }
    forget(tx, &without).await?;
    room = self::room(tx, &wanted).await?;
    for cluster in full(&room) {
        let next = "the others of this cluster are not seen by the hub";
        tracing::warn!(
            cluster,
            "more than {ROLLOUTS_MAX} Rollouts were reported; {next}"
        );
    }
    new.retain(|((cluster, _), _)| match room.get_mut(cluster.as_str()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        Some(_) | None => false,
    });
    Ok(())
}

async fn room<'a>(
    tx: &mut PgConnection,
    wanted: &BTreeMap<&'a str, usize>,
) -> Result<BTreeMap<&'a str, usize>> {
    let clusters: Vec<&str> = wanted.keys().copied().collect();
    let rows: Vec<CountedRow> = sqlx::query_as(COUNTED)
        .bind(&clusters)
        .fetch_all(tx)
        .await?;
    let count = |cluster: &str| {
        let row = rows.iter().find(|row| row.cluster == cluster);
        let count = row.and_then(|row| row.count).unwrap_or_default();
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    let room = |cluster: &'a str| (cluster, ROLLOUTS_MAX.saturating_sub(count(cluster)));
    Ok(wanted.keys().copied().map(room).collect())
}

/// A change of strategy alone opens no release, and is recorded (gate.md G2).
fn edited(place: &Place, before: &Rollout, now: &Rollout) -> Option<Fact> {
    let (was, is) = (before.spec.as_ref()?, now.spec.as_ref()?);
    if was.digest != is.digest || was.delivery == is.delivery {
        return None;
    }
    let (cluster, rollout) = place;
    let text = format!(
        "the steps or analysis templates of {rollout} in {cluster} were edited; its content is still {}",
        is.digest
    );
    Some(Fact {
        evidence: serde_json::json!({"was": was.delivery, "now": is.delivery, "digest": is.digest}),
        ..Fact::of_hub(
            Some(cluster),
            "StrategyEdited",
            &format!("agent:{cluster}"),
            text,
        )
    })
}

/// Of what is governed.
async fn tell_edited(tx: &mut PgConnection, edited: Vec<(Place, Fact)>) -> Result<()> {
    if edited.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(edited.iter().map(|(place, _)| place));
    let rows: Vec<PlaceRow> = sqlx::query_as(GOVERNED)
        .bind(columns.clusters)
        .bind(columns.namespaces)
        .bind(columns.names)
        .fetch_all(&mut *tx)
        .await?;
    let governed: BTreeSet<Place> = rows
        .into_iter()
        .map(|row| place(row.cluster, row.namespace, row.rollout))
        .collect();
    let facts = edited
        .into_iter()
        .filter(|(place, _)| governed.contains(place))
        .map(|(_, fact)| fact)
        .collect();
    history::add_all_now(tx, facts).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(uid: &str, ended: Option<u64>) -> Rollout {
        let outcome = ended.map(|version| {
            json!({"fence": {"incarnation": 1, "version": version}, "release": "checkout#1",
                   "digest": "v1:a", "result": "Served"})
        });
        serde_json::from_value(json!({"uid": uid, "outcome": outcome})).unwrap()
    }

    #[test]
    fn what_a_rollout_that_was_made_again_tells_first_is_the_former_ones() {
        for told in [None, Some(3), Some(4)] {
            let mut now = state("new", Some(4));
            keep_outcome(&state("old", told), &mut now);
            assert!(now.outcome_of_former, "after {told:?}");
            let mut again = state("new", Some(4));
            keep_outcome(&now, &mut again);
            assert!(again.outcome_of_former);
            let mut own = state("new", Some(5));
            keep_outcome(&now, &mut own);
            assert!(!own.outcome_of_former);
        }
    }

    #[test]
    fn an_end_that_is_told_after_its_rollout_was_made_again_is_the_former_ones() {
        let outcome = |version| state("", Some(version)).outcome;
        let end = |before: &Rollout, uid: &str, version| {
            let mut now = before.clone();
            ended(&mut now, uid, &outcome(version).unwrap());
            keep_outcome(before, &mut now);
            (now.outcome == outcome(version), now.outcome_of_former, now)
        };
        for told in [None, Some(3)] {
            let (stored, former, late) = end(&state("new", told), "old", 4);
            assert_eq!((stored, former), (told.is_none(), told.is_none()));
            let (stored, former, own) = end(&late, "new", 5);
            assert_eq!((stored, former), (true, false));
            assert_eq!(end(&own, "old", 6).2, own);
            // An agent that does not say whose it is.
            assert!(!end(&own, "", 6).1);
        }
    }
}
