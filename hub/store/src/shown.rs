//! What a person was shown of a wave before they agreed. In: that, and the release as it stands. Out: a sentence where an
//! approval would cover something else by now. It must not store.

use std::collections::BTreeSet;

use hub_engine::release::{Release, Shown, Stage, Wave};

/// A sentence names so many images; `release show` names all.
const NAMED: usize = 5;

/// Why a person cannot agree to what they were shown; none: it is what the approval would cover.
///
/// A client from before `Shown` printed the images that opened the release, and that a wave starts: where that is all there is
/// to agree to, its word counts.
pub(crate) fn stale(release: &Release, wave: &Wave, shown: Option<&Shown>) -> Option<String> {
    let now = release.shown(wave);
    let (id, name) = (&release.id, &wave.name);
    let look = format!("look again with `groundswell release show {id}`");
    let Some(shown) = shown else {
        let seen = unseen(&now.images, &release.images).is_empty() && now.stage == Stage::Before;
        return (!seen).then(|| {
            format!(
                "this client does not say what it showed of wave {name} of {id}; approve with a groundswell as new as the hub"
            )
        });
    };
    if shown.stage != now.stage {
        return Some(format!(
            "wave {name} of {id} is {} by now: an approval would say that it {}, and what was shown is that it {}; {look}",
            wave.phase.as_str(),
            verb(now.stage),
            verb(shown.stage)
        ));
    }
    if shown.revision != now.revision {
        let named = |revision: &Option<_>| match revision {
            Some(hub_engine::name::Revision(text)) => text.clone(),
            None => "unknown".to_owned(),
        };
        return Some(format!(
            "the revision of {id} is {}, and what was shown is {}; {look}",
            named(&now.revision),
            named(&shown.revision)
        ));
    }
    let unseen = unseen(&now.images, &shown.images);
    let more = unseen.len().saturating_sub(NAMED);
    let names: Vec<&str> = unseen.into_iter().take(NAMED).collect();
    let names = names.join(", ");
    let names = match more {
        0 => names,
        more => format!("{names} and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!("wave {name} of {id} would also bring {names}, which was not shown; {look}")
    })
}

/// What an approval of this stage says of its wave.
pub(crate) fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::Before => "starts",
        Stage::After => "passes",
    }
}

fn unseen<'a>(images: &'a [String], seen: &[String]) -> Vec<&'a str> {
    let seen: BTreeSet<&String> = seen.iter().collect();
    let unseen = images.iter().filter(|image| !seen.contains(image));
    unseen.map(String::as_str).collect()
}
