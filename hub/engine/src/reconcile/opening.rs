//! Opening releases (gate.md G10, G17, G19, G24–G26). In: changes that connected agents saw, requests by persons. Out: new
//! releases, overtaken ones, and a recorded fate for everything that opens nothing. What an agent brought at connect is in
//! neither, so it cannot open one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::matching::{carries, past_carries, same_content, shown};
use super::planner::Planner;
use crate::action::{Action, ChangeFate};
use crate::document::Supersede;
use crate::name::{ClusterName, Digest};
use crate::observed::{Change, Observed, Request};
use crate::paper::plan;
use crate::release::{Cause, Content, Release, ReleasePhase};
use crate::verb::Verb;
use crate::waves::ReleasePlan;

/// After so many releases overtaken in a row the next one finishes (gate.md G26).
pub(crate) const OVERTAKEN_MAX: u32 = 2;

pub(super) fn changes(planner: &mut Planner) {
    for change in planner.state.changes.clone() {
        if is_foreign(&planner.state, &change) {
            continue;
        }
        let evidence = json!({"was": change.was, "now": change.now});
        match fate(&planner.state, &change) {
            Some(fate) => {
                let action = Action::SettleChange {
                    cluster: change.cluster.clone(),
                    change: change.id,
                    fate,
                };
                planner.act(action, evidence);
            }
            None => {
                let cause = Cause::Change {
                    cluster: change.cluster.clone(),
                    change: change.id,
                };
                open(planner, &change.now, cause, evidence);
            }
        }
    }
}

/// A cluster that is not known here belongs to another FleetRollout over the same Rollout, or to none yet.
pub(super) fn is_foreign(state: &Observed, change: &Change) -> bool {
    state.cluster(&change.cluster).is_none() || state.conflicts.contains_key(&change.cluster)
}

/// Why a change opens no release; none: it does.
pub(super) fn fate(state: &Observed, change: &Change) -> Option<ChangeFate> {
    let Some(cluster) = state
        .cluster(&change.cluster)
        .filter(|cluster| cluster.selected)
    else {
        return Some(ChangeFate::NotSelected);
    };
    let now = &change.now;
    if change
        .was
        .as_ref()
        .is_some_and(|was| now.generation <= was.generation)
    {
        return Some(ChangeFate::NotNewer);
    }
    let free = state.newest_number() == 0 || state.passed.contains(&now.digest);
    if change.was.is_none() && free {
        return Some(ChangeFate::FirstDeploy);
    }
    if let Some(release) = state.releases.iter().find(|release| joins(release, change)) {
        return Some(ChangeFate::Joined {
            release: release.id.number,
        });
    }
    let served = cluster
        .rollout
        .as_ref()
        .and_then(|rollout| rollout.served.as_ref());
    if served == Some(&now.digest) {
        return Some(ChangeFate::Withdrawn);
    }
    if let Some(release) = older(state, change) {
        return Some(ChangeFate::Older { release });
    }
    state
        .barred
        .get(&now.digest)
        .map(|release| ChangeFate::Barred {
            release: release.number,
        })
}

/// Whether the change brings an open release's content to a cluster that has none of it yet.
fn joins(release: &Release, change: &Change) -> bool {
    let bound = release
        .target(&change.cluster)
        .and_then(|target| target.content.as_ref());
    !release.phase.ended()
        && carries(release, &change.now)
        && bound.is_none_or(|content| content.digest == change.now.digest)
}

/// An ended release that the content belongs to, unless the cluster had a newer one's: then somebody went back on purpose.
fn older(state: &Observed, change: &Change) -> Option<u64> {
    let of = |content: &Content| {
        let numbers = state
            .past
            .iter()
            .filter(|past| past_carries(past, content))
            .map(|past| past.number);
        numbers.max()
    };
    let now = of(&change.now)?;
    let was = change.was.as_ref().and_then(of).unwrap_or(0);
    (was < now).then_some(now)
}

pub(super) fn requests(planner: &mut Planner) {
    for request in planner.state.requests.clone() {
        if super::ungovern::obey(planner, &request) {
            continue;
        }
        let Verb::Start { expedite } = request.verb else {
            super::verbs::obey(planner, &request);
            continue;
        };
        if expedite && planner.state.fleet_rollout.expedite.is_none() {
            let why =
                "its document has no spec.expedite, which says what may be shortened".to_owned();
            let request = request.id;
            planner.act(
                Action::RefuseRequest { request, why },
                json!({"expedite": true}),
            );
            continue;
        }
        let plan = plan(&planner.state);
        let Some((cluster, content)) = candidate(&planner.state, &plan) else {
            let why = "no cluster holds content that it does not serve already".to_owned();
            planner.act(
                Action::RefuseRequest {
                    request: request.id,
                    why,
                },
                json!({"clusters": planner.state.clusters.len()}),
            );
            continue;
        };
        let under_way = planner.state.active().filter(|release| {
            release.phase == ReleasePhase::Progressing && carries(release, &content)
        });
        if let Some(release) = under_way {
            let why = format!("release {} carries that content already", release.id);
            planner.act(
                Action::RefuseRequest {
                    request: request.id,
                    why,
                },
                json!({"content": content}),
            );
            continue;
        }
        lift_bars(planner, &request, &content);
        let cause = Cause::Person {
            person: request.person.clone(),
            reason: request.reason.clone(),
            request: request.id,
            expedite,
        };
        open(
            planner,
            &content,
            cause,
            json!({"cluster": cluster, "content": content}),
        );
    }
}

/// What a person's request is about: the held content of the first cluster, in the order of waves.
fn candidate(state: &Observed, plan: &ReleasePlan) -> Option<(ClusterName, Content)> {
    plan.waves
        .iter()
        .flat_map(|wave| &wave.clusters)
        .find_map(|name| {
            let rollout = state.cluster(name)?.rollout.as_ref()?;
            let spec = rollout.spec.as_ref()?;
            let held = rollout.held.as_ref() == Some(&spec.digest)
                && rollout.served.as_ref() != Some(&spec.digest);
            held.then(|| (name.clone(), spec.clone()))
        })
}

/// A person's start with a reason lifts the bar on what it starts (gate.md G17): the same content in every cluster that holds
/// it now, and nothing else that failed.
fn lift_bars(planner: &mut Planner, request: &Request, content: &Content) {
    let clusters = planner.state.clusters.iter();
    let held: Vec<Digest> = clusters
        .filter(|cluster| cluster.selected)
        .filter_map(|cluster| {
            let rollout = cluster.rollout.as_ref()?;
            let held = rollout.held.clone()?;
            let spec = rollout.spec.as_ref()?;
            (spec.digest == held && same_content(spec, content)).then_some(held)
        })
        .collect();
    let barred: BTreeMap<_, _> = planner
        .state
        .barred
        .iter()
        .filter(|(digest, _)| held.contains(digest))
        .map(|(a, b)| (a.clone(), b.clone()))
        .collect();
    for (digest, release) in barred {
        let evidence =
            json!({"person": request.person, "reason": request.reason, "failed_in": release});
        planner.act(
            Action::Unbar {
                request: request.id,
                digest,
            },
            evidence,
        );
    }
}

fn open(planner: &mut Planner, content: &Content, cause: Cause, evidence: Value) {
    let release = planner.state.newest_number() + 1;
    let plan = plan(&planner.state);
    let (phase, overtook) = make_room(planner, release);
    let mut images = content.images.clone();
    images.sort();
    images.dedup();
    let action = Action::OpenRelease {
        release,
        revision: content.revision.clone(),
        images,
        cause,
        plan,
        phase,
        overtook,
    };
    planner.act(action, evidence);
}

/// Ends what the new release overtakes, and says whether it progresses or waits.
fn make_room(planner: &mut Planner, number: u64) -> (ReleasePhase, u32) {
    let by = planner.state.id(number);
    if let Some(waiting) = planner.state.waiting().map(|release| release.id.number) {
        super::flight::end(
            planner,
            waiting,
            ReleasePhase::Superseded,
            format!("overtaken by {by} while it waited"),
            json!({"by": by}),
        );
    }
    let Some(active) = planner.state.active() else {
        return (ReleasePhase::Progressing, 0);
    };
    let may = active.phase == ReleasePhase::Progressing
        && active.overtook < OVERTAKEN_MAX
        && (!active.past_first_wave()
            || planner.state.fleet_rollout.supersede == Supersede::Replace);
    if !may {
        return (ReleasePhase::Waiting, 0);
    }
    let (old, overtook) = (active.id.number, active.overtook + 1);
    let evidence =
        json!({"by": by, "past_first_wave": active.past_first_wave(), "overtook": active.overtook});
    super::flight::end(
        planner,
        old,
        ReleasePhase::Superseded,
        format!("overtaken by {by}"),
        evidence,
    );
    (ReleasePhase::Progressing, overtook)
}

/// The waiting release begins.
pub(super) fn start(planner: &mut Planner, number: u64) {
    let before = planner
        .state
        .releases
        .iter()
        .filter(|release| release.id.number < number)
        .map(|release| &release.id)
        .max();
    let evidence = json!({"before": before, "revision": shown(planner.state.release(number).and_then(|own| own.revision.as_ref()))});
    planner.act(Action::StartRelease { release: number }, evidence);
}
