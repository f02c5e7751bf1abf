//! Break-glass (G16): one content starts here without the fleet's word, because a person with the right to say so said so.
//!
//! In: the Rollout's annotations, the record, the facts, the decision without it. Out: what a word comes to, and the
//! decision with it. It must not let a word count twice, nor for other content, nor before its record is written.

use std::collections::BTreeMap;

use agent_api::names::{ANNOTATION_BREAK_GLASS, ANNOTATION_BREAK_GLASS_BY, BREAK_GLASS_POLICY};
use agent_api::{BreakGlassRecord, ContentDigest, Fence, GateStatus};

use super::decision::{Decision, Mode, PermitUse};
use super::facts::{Facts, Record};
use super::{held, run, waits_for};
use crate::planted::{Bug, Planted};
use crate::reason::short;

/// What is known of break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Glass {
    /// A word that is not recorded yet.
    pub word: Option<Word>,
    /// Why that word does not count.
    pub refused: Option<String>,
    /// The newest one that was recorded and not spent for nothing.
    pub broken: Option<Broken>,
}

/// A person's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// For this content alone.
    pub content: ContentDigest,
    /// Who, as the API server knew them.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A word that was acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// For this content.
    pub content: ContentDigest,
    /// Who.
    pub by: String,
    /// Permits up to this one do not take it back.
    pub over: Fence,
    /// It has ended: nothing of it starts or starts anew.
    pub ended: bool,
}

/// What becomes of a word in this pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GlassUse {
    /// There is none.
    #[default]
    Untouched,
    /// The held content starts.
    Breaks(Word),
    /// It was started so in an earlier pass, and goes on.
    GoesOn,
    /// Nothing held it: the word is spent.
    Spent(Word),
    /// The word does not count, and why.
    Refused(String),
}

impl GlassUse {
    /// For people.
    pub fn text(&self, glass: &Glass) -> Option<String> {
        match self {
            Self::Untouched => None,
            Self::Breaks(word) => Some(format!(
                "{} starts it without the fleet's word: {}",
                word.by, word.reason
            )),
            Self::GoesOn => {
                let broken = glass.broken.as_ref()?;
                Some(format!("{} started it without the fleet's word", broken.by))
            }
            Self::Spent(word) => Some(format!(
                "the word of {} is spent: nothing held this content",
                word.by
            )),
            Self::Refused(why) => Some(format!("does not count: {why}")),
        }
    }
}

/// The word in the annotations, if there is one; what is wrong with it otherwise.
///
/// # Errors
/// Why it is none.
pub fn word(annotations: Option<&BTreeMap<String, String>>) -> Result<Option<Word>, String> {
    let find = |name: &str| annotations.and_then(|all| all.get(name));
    let Some(text) = find(ANNOTATION_BREAK_GLASS) else {
        return Ok(None);
    };
    let by = find(ANNOTATION_BREAK_GLASS_BY).map_or("", |by| by.trim());
    let Some((digest, reason)) = text.trim().split_once(' ') else {
        return Err(format!(
            "{ANNOTATION_BREAK_GLASS} has to be `<digest> <reason>`"
        ));
    };
    if by.is_empty() {
        return Err(format!("{ANNOTATION_BREAK_GLASS_BY} does not say who"));
    }
    Ok(Some(Word {
        content: ContentDigest::from(digest),
        by: by.to_owned(),
        reason: reason.trim().to_owned(),
    }))
}

/// What is known. `admitted`: the policy that lets only those with the right write a word is in force.
pub(super) fn observe(
    annotations: Option<&BTreeMap<String, String>>,
    record: Option<&GateStatus>,
    admitted: bool,
    bug: Bug,
) -> Glass {
    let known = record.map_or(&[][..], |record| &record.break_glass);
    let broken = known
        .iter()
        .rev()
        .find(|one| one.ended != Some(agent_api::BreakGlassEnd::NotNeeded));
    let (word, wrong) = match word(annotations) {
        Ok(word) => (word, None),
        Err(why) => (None, Some(why)),
    };
    let twice = bug.is(Planted::GlassTwice);
    let fresh = word.filter(|word| twice || !known.iter().any(|one| same(one, word)));
    let refused = fresh.is_some() && !admitted;
    let no_policy = format!(
        "{BREAK_GLASS_POLICY}, which admits it from those with the right alone, is not in force here"
    );
    Glass {
        word: fresh,
        refused: wrong.or(refused.then_some(no_policy)),
        broken: broken.map(|one| Broken {
            content: one.digest.clone(),
            by: one.by.clone(),
            over: one.over,
            ended: one.ended.is_some(),
        }),
    }
}

/// There is a word that nobody has acted on.
#[must_use]
pub fn is_fresh(
    annotations: Option<&BTreeMap<String, String>>,
    record: Option<&GateStatus>,
) -> bool {
    let known = record.map_or(&[][..], |record| &record.break_glass);
    let word = word(annotations).ok().flatten();
    word.is_some_and(|word| !known.iter().any(|one| same(one, &word)))
}

/// The same word, written by the same person for the same reason, is one word however often it is written.
pub(crate) fn same(record: &BreakGlassRecord, word: &Word) -> bool {
    record.digest == word.content && record.by == word.by && record.reason == word.reason
}

/// The decision, with what a person's word adds to it.
pub(super) fn lift(facts: &Facts, decision: Decision, bug: Bug) -> Decision {
    // What cannot be recorded cannot count once.
    if facts.record != Record::Present {
        return decision;
    }
    let any = bug.is(Planted::GlassForAny);
    let word = facts.glass.word.as_ref();
    let word = word.filter(|word| any || word.content == facts.spec);
    if let Some(why) = facts.glass.refused.clone() {
        let said = held_here(facts, &decision) && (word.is_some() || facts.glass.word.is_none());
        let refused = said.then_some(GlassUse::Refused(why));
        let lifted = go_on(facts, decision);
        return Decision {
            glass: refused.unwrap_or(lifted.glass.clone()),
            ..lifted
        };
    }
    let Some(word) = word else {
        return go_on(facts, decision);
    };
    // An outcome that follows from the facts is recorded first, or it would be lost.
    if decision.outcome.is_some() {
        return go_on(facts, decision);
    }
    if !held_here(facts, &decision) {
        return spend(facts, go_on(facts, decision));
    }
    let flight = facts.in_flight.as_ref();
    let flight = flight.filter(|flight| flight.digest == facts.spec);
    let aborted = flight.is_some_and(|flight| flight.aborted);
    Decision {
        may_start: flight.is_none() || aborted,
        restart: aborted,
        glass: GlassUse::Breaks(word.clone()),
        ..unbound(facts, &facts.spec, decision)
    }
}

/// A word for content that nothing holds is spent: it must not lie in wait for the day on which something does.
pub(super) fn spend(facts: &Facts, decision: Decision) -> Decision {
    let word = facts.glass.word.clone();
    match word.filter(|word| word.content == facts.spec && facts.glass.refused.is_none()) {
        Some(word) => Decision {
            glass: GlassUse::Spent(word),
            ..decision
        },
        None => decision,
    }
}

/// Git's content does not start, or does not go on.
fn held_here(facts: &Facts, decision: &Decision) -> bool {
    let flight = facts.in_flight.as_ref();
    let stands = flight.filter(|flight| flight.digest == facts.spec);
    let stuck = |aborted: bool| {
        !decision.may_raise || decision.abort_in_flight.is_some() || aborted && !decision.restart
    };
    decision.held.as_ref() == Some(&facts.spec)
        || stands.is_some_and(|flight| stuck(flight.aborted))
}

/// What was started by a word goes on, through ends of leases, stops and permits taken back.
fn go_on(facts: &Facts, decision: Decision) -> Decision {
    let Some(broken) = counts(facts) else {
        return decision;
    };
    let flight = facts.in_flight.as_ref();
    let flight = flight.filter(|flight| flight.digest == broken.content);
    // A pass was cut off between the record and the ReplicaSet.
    let begins = flight.is_none() && facts.spec == broken.content;
    let served = facts.served.as_ref() == Some(&broken.content);
    let aborted = flight.is_some_and(|flight| flight.aborted);
    if served || aborted || !(begins || flight.is_some()) {
        return decision;
    }
    Decision {
        may_start: begins,
        glass: GlassUse::GoesOn,
        ..unbound(facts, &broken.content, decision)
    }
}

/// The word that was acted on, while no newer permit and no end of it is known.
pub(super) fn counts(facts: &Facts) -> Option<&Broken> {
    let broken = facts.glass.broken.as_ref().filter(|broken| !broken.ended)?;
    (!overtaken(facts, broken)).then_some(broken)
}

/// The hub has spoken since.
pub(super) fn overtaken(facts: &Facts, broken: &Broken) -> bool {
    let permit = facts.permit.as_ref();
    permit.is_some_and(|permit| permit.distrust.is_none() && permit.fence > broken.over)
}

/// The content runs, and nothing of the fleet's bounds it.
fn unbound(facts: &Facts, content: &ContentDigest, decision: Decision) -> Decision {
    let runs = run(facts, content);
    let held = held(facts, &runs);
    let permit = facts.permit.as_ref();
    // A permit for the very content is carried out by it, and its outcome counts.
    let carried = decision.permit == PermitUse::Used
        && permit.is_some_and(|permit| permit.content == *content)
        && matches!(decision.mode, Mode::Forward { .. });
    let (mode, permit) = match (carried, &decision.permit, &held) {
        (true, ..) => (decision.mode.clone(), PermitUse::Used),
        (false, PermitUse::Used, held) => {
            let why = format!("a person broke the glass for content {}", short(content));
            (waits(held.is_some()), PermitUse::Ignored(why))
        }
        (false, used, held) => (waits(held.is_some()), used.clone()),
    };
    Decision {
        content: runs,
        may_raise: true,
        max_step: None,
        message: held.as_ref().map(|_| waits_for(facts)),
        held,
        mode,
        permit,
        abort_in_flight: None,
        restart: false,
        adopt: false,
        refuse_verb: None,
        ..decision
    }
}

fn waits(held: bool) -> Mode {
    if held { Mode::Held } else { Mode::Open }
}
