//! The judgement of a run. In: evidence. Out: everything that is wrong with it, in sentences. Each check stands for one
//! promise of the story; none of them asks a program of ours.

mod complete;
mod endings;
mod frozen;
mod order;
mod shares;
mod takeover;
mod twice;

use std::path::Path;

use tests_fleet::Result;

use crate::evidence::Evidence;
use crate::summary::Summary;

/// A check looks at everything and says what is wrong.
type Check = fn(&Evidence) -> Vec<String>;

/// In the order in which a reader wants to hear of it: without whole evidence the rest means little.
const CHECKS: [(&str, Check); 8] = [
    ("the evidence is whole", complete::check),
    ("every version ends as it must", endings::check),
    (
        "Git still says v4 where the fleet took it back",
        endings::spec_stays,
    ),
    ("waves in order, after bake and approval", order::check),
    ("a relabelled cluster waits out its freeze", frozen::check),
    ("another hub takes over in mid-wave", takeover::check),
    ("never more than the step allows", shares::check),
    ("nothing happens twice", twice::check),
];

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// The checks that were made, each with whether it held.
    pub checks: Vec<(String, bool)>,
    /// Everything wrong, with the check's name before it.
    pub wrong: Vec<String>,
}

/// Judges evidence.
pub fn judge(evidence: &Evidence) -> Judgement {
    let mut judgement = Judgement::default();
    for (name, check) in CHECKS {
        let wrong = check(evidence);
        judgement.checks.push((name.to_owned(), wrong.is_empty()));
        judgement
            .wrong
            .extend(wrong.into_iter().map(|what| format!("{name}: {what}")));
    }
    judgement
}

/// Reads a run's folder, judges it and counts.
pub fn run(folder: &Path) -> Result<(Judgement, Summary)> {
    let evidence = Evidence::read(folder)?;
    let judgement = judge(&evidence);
    let summary = Summary::of(&evidence, &judgement);
    Ok((judgement, summary))
}
