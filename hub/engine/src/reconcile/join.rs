//! Targets before their permit (gate.md G24, G25, G27). In: what clusters hold. Out: bound content, and a state for whatever
//! has none. It must not grant anything.

use serde_json::json;

use super::hindrance;
use super::matching::{carries, past_carries};
use super::planner::Planner;
use crate::action::Action;
use crate::document::{LateJoin, Missing, Unchanged, Unreachable};
use crate::member::UNREACHABLE;
use crate::observed::{Cluster, Observed, Rollout};
use crate::place::{ByName, Near};
use crate::planted::{Bug, Planted};
use crate::release::{Content, Release, ReleasePhase, Target, TargetState, WavePhase};

/// What a target shows whose spec went back to what the cluster serves (gate.md G19).
pub(crate) const WITHDRAWN: &str = "Withdrawn: Git went back to what the cluster serves";

/// Where a target without permit should stand, and why.
pub(super) struct Standing {
    state: TargetState,
    message: String,
    evidence: serde_json::Value,
}

pub(super) fn standing(
    state: TargetState,
    message: impl Into<String>,
    evidence: serde_json::Value,
) -> Option<Standing> {
    Some(Standing {
        state,
        message: message.into(),
        evidence,
    })
}

/// Binds and judges every target of an open release that has no permit yet.
pub(super) fn bind(planner: &mut Planner, number: u64) {
    let Some(phase) = planner.state.release(number).map(|release| release.phase) else {
        return;
    };
    if phase != ReleasePhase::Waiting && phase != ReleasePhase::Progressing {
        return;
    }
    late_ones(planner, number);
    let Some(release) = planner.release(number) else {
        return;
    };
    let mut near = Near::default();
    for target in release
        .targets
        .iter()
        .filter(|target| target.state.before_permit())
    {
        let Some(cluster) = planner.near(&mut near, &target.cluster).cloned() else {
            continue;
        };
        if let Some(content) = held_content(&release, target, &cluster) {
            bind_one(planner, number, target, content);
            continue;
        }
        follow_delivery(planner, number, target, &cluster);
        if let Some(new) = judge(&planner.state, &release, target, &cluster, planner.bug) {
            planner.set_target(
                number,
                &target.cluster,
                new.state,
                new.message,
                new.evidence,
            );
        }
    }
}

pub(super) fn bind_one(planner: &mut Planner, number: u64, target: &Target, content: Content) {
    let evidence =
        json!({"held": content.digest, "revision": content.revision, "images": content.images});
    planner.act(
        Action::BindContent {
            release: number,
            cluster: target.cluster.clone(),
            content,
        },
        evidence.clone(),
    );
    planner.set_target(number, &target.cluster, TargetState::Held, "", evidence);
}

/// The steps or the analysis templates were edited while the content is held: what is permitted is what there is then
/// (gate.md G2). Images are those of the content, so no approval is touched.
pub(super) fn follow_delivery(
    planner: &mut Planner,
    number: u64,
    target: &Target,
    cluster: &Cluster,
) {
    let other = other_delivery(target, cluster);
    let Some(content) = other.filter(|_| !planner.bug.is(Planted::StepsNotFollowed)) else {
        return;
    };
    let was = target.content.as_ref().map(|content| &content.delivery);
    let evidence = json!({"was": was, "now": content.delivery, "digest": content.digest});
    let action = Action::BindDelivery {
        release: number,
        cluster: cluster.name.clone(),
        content,
    };
    planner.act(action, evidence);
}

/// The bound content with another delivery, if its agent reports one.
pub(super) fn other_delivery(target: &Target, cluster: &Cluster) -> Option<Content> {
    let content = target.content.as_ref()?;
    let delivery = cluster.rollout.as_ref()?.delivery_of(&content.digest)?;
    (*delivery != content.delivery).then(|| Content {
        delivery: delivery.clone(),
        ..content.clone()
    })
}

/// The release's content, held in this cluster and not bound yet.
pub(super) fn held_content(
    release: &Release,
    target: &Target,
    cluster: &Cluster,
) -> Option<Content> {
    let rollout = cluster.rollout.as_ref()?;
    let spec = rollout.spec.as_ref()?;
    let held = rollout.held.as_ref() == Some(&spec.digest)
        && rollout.served.as_ref() != Some(&spec.digest);
    (target.content.is_none() && held && carries(release, spec)).then(|| spec.clone())
}

/// Clusters that came after the plan was fixed take part in the last wave, as long as that is not over.
fn late_ones(planner: &mut Planner, number: u64) {
    let release = planner.state.release(number);
    let Some((release, last)) = release.and_then(|own| Some((own, own.waves.last()?))) else {
        return;
    };
    let open = matches!(
        last.phase,
        WavePhase::Pending | WavePhase::WaitingForApproval | WavePhase::Running
    );
    let waits = release.plan.membership.late_join == LateJoin::NextRelease;
    if !open || waits || release.phase != ReleasePhase::Progressing {
        return;
    }
    let mut acts = Vec::new();
    let mut targets = ByName::of(&release.targets);
    for cluster in &planner.state.clusters {
        let stranger = cluster.selected && targets.target(&cluster.name).is_none();
        if !stranger || planner.state.conflicts.contains_key(&cluster.name) {
            continue;
        }
        let holds = cluster.rollout.as_ref().and_then(|rollout| {
            let spec = rollout.spec.as_ref()?;
            (rollout.held.as_ref() == Some(&spec.digest) && carries(release, spec))
                .then_some(spec.digest.clone())
        });
        if let Some(digest) = holds {
            let action = Action::JoinTarget {
                release: release.id.number,
                cluster: cluster.name.clone(),
                wave: last.number,
            };
            acts.push((action, json!({"held": digest, "lateJoin": "CatchUp"})));
        }
    }
    for (action, evidence) in acts {
        planner.act(action, evidence);
    }
}

fn judge(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: &Cluster,
    bug: Bug,
) -> Option<Standing> {
    if release.phase == ReleasePhase::Waiting {
        return None;
    }
    let wave = release.wave(target.wave)?;
    let turn = matches!(wave.phase, WavePhase::Running);
    let membership = release.plan.membership;
    if let Some(rollout) = &cluster.rollout {
        if rollout.removed {
            return removed(membership.missing);
        }
        if let Some(content) = &target.content {
            return judge_bound(state, release, (target, content), cluster, turn, bug);
        }
        if let Some(spec) = &rollout.spec
            && carries(release, spec)
            && rollout.served.as_ref() == Some(&spec.digest)
        {
            return standing(
                TargetState::Skipped,
                "serves this content already",
                json!({"served": spec.digest}),
            );
        }
    }
    if !turn {
        return None;
    }
    let anew = cluster.restored.max(cluster.replaced);
    let anew = anew.max(state.listening_since);
    let deadline = wave.started_at.map(|started| {
        let since = anew.map_or(started, |anew| anew.max(started));
        release.plan.progress_deadline.after(since)
    });
    if let Some(gone) = unreachable(state, release, target, cluster) {
        return Some(gone);
    }
    if deadline.is_some_and(|deadline| state.now >= deadline) {
        let evidence = json!({"deadline": deadline, "now": state.now});
        if cluster.rollout.is_none() {
            return standing(TargetState::Removed, "the Rollout is not there", evidence);
        }
        let message = format!(
            "did not report the release's content within {}",
            release.plan.progress_deadline
        );
        return standing(TargetState::Failed, message, evidence);
    }
    let Some(rollout) = &cluster.rollout else {
        if membership.missing == Missing::Skip && cluster.connected {
            return removed(Missing::Skip);
        }
        return standing(TargetState::WaitingForContent, "", json!({"rollout": null}));
    };
    without_content(state, release, cluster, rollout)
}

/// Its content is bound.
fn judge_bound(
    state: &Observed,
    release: &Release,
    (target, content): (&Target, &Content),
    cluster: &Cluster,
    turn: bool,
    bug: Bug,
) -> Option<Standing> {
    let rollout = cluster.rollout.as_ref()?;
    let recovering = recovering(state, release, rollout, content, cluster);
    let bars = turn && !bug.is(Planted::BarIgnored);
    let waits = || {
        unreachable(state, release, target, cluster)
            .or_else(|| hindrance::of(state, release, target, cluster, recovering, bug))
    };
    bound(rollout, content)
        .filter(|_| !recovering)
        .or_else(|| barred(state, release, content, bars))
        .or_else(|| turn.then(waits).flatten())
}

/// Out of a backup, and Git's content is not there again yet: what its spec says is of the day of the backup, and no word of
/// Git's.
fn recovering(
    state: &Observed,
    release: &Release,
    rollout: &Rollout,
    content: &Content,
    cluster: &Cluster,
) -> bool {
    let again = rollout.spec.as_ref().map(|spec| &spec.digest) == Some(&content.digest);
    let deadline = release.plan.progress_deadline;
    let lately = |at: jiff::Timestamp| at > release.opened_at && state.now < deadline.after(at);
    !again && cluster.restored.is_some_and(lately)
}

fn removed(missing: Missing) -> Option<Standing> {
    standing(
        TargetState::Removed,
        "the Rollout is not there",
        json!({"missing": missing}),
    )
}

/// Its turn has come and it holds something else, or nothing.
fn without_content(
    state: &Observed,
    release: &Release,
    cluster: &Cluster,
    rollout: &Rollout,
) -> Option<Standing> {
    let held = rollout.held.as_ref();
    if held.is_none() && cluster.connected && release.plan.membership.unchanged == Unchanged::Skip {
        let evidence =
            json!({"unchanged": "Skip", "spec": rollout.spec.as_ref().map(|spec| &spec.digest)});
        return standing(
            TargetState::Skipped,
            "unchanged: it did not report the release's content",
            evidence,
        );
    }
    let spec = rollout
        .spec
        .as_ref()
        .filter(|spec| held == Some(&spec.digest));
    let older = spec.and_then(|spec| {
        let earlier = state
            .past
            .iter()
            .filter(|past| past.number < release.id.number);
        earlier
            .filter(|past| past_carries(past, spec))
            .map(|past| past.number)
            .max()
    });
    match older {
        Some(number) => {
            let message = format!("holds content of {}", state.id(number));
            standing(
                TargetState::Behind,
                message,
                json!({"held": held, "release": number}),
            )
        }
        None => standing(TargetState::WaitingForContent, "", json!({"held": held})),
    }
}

/// Its content is bound: taken back from Git, or lost.
fn bound(rollout: &Rollout, content: &Content) -> Option<Standing> {
    let spec = rollout.spec.as_ref()?;
    if spec.digest == content.digest {
        let served = rollout.served.as_ref() == Some(&spec.digest) && rollout.held.is_none();
        let evidence = json!({"served": spec.digest});
        return served
            .then(|| {
                standing(
                    TargetState::Skipped,
                    "serves this content already",
                    evidence,
                )
            })
            .flatten();
    }
    if rollout.served.as_ref() == Some(&spec.digest) {
        return standing(
            TargetState::Skipped,
            WITHDRAWN,
            json!({"spec": spec.digest, "bound": content.digest}),
        );
    }
    if rollout.kept.contains(&content.digest) {
        return None;
    }
    let evidence = json!({"spec": spec.digest, "bound": content.digest, "kept": rollout.kept});
    standing(
        TargetState::Skipped,
        "its content was replaced before its turn and is not kept",
        evidence,
    )
}

fn barred(state: &Observed, release: &Release, content: &Content, turn: bool) -> Option<Standing> {
    let failed_in = state.barred.get(&content.digest).filter(|_| turn)?;
    let message = if *failed_in == release.id {
        "its content failed in another cluster of this release".to_owned()
    } else {
        format!("its content failed in release {failed_in}")
    };
    standing(
        TargetState::Failed,
        message,
        json!({"digest": content.digest, "failed_in": failed_in}),
    )
}

/// Silent for too long when its turn has come.
fn unreachable(
    state: &Observed,
    release: &Release,
    target: &Target,
    cluster: &Cluster,
) -> Option<Standing> {
    let membership = release.plan.membership;
    let state_after = match membership.unreachable {
        Unreachable::CountAsFailed => TargetState::Failed,
        Unreachable::Skip => TargetState::Skipped,
        Unreachable::Wait => return None,
    };
    if cluster.connected {
        return None;
    }
    let started = release.wave(target.wave)?.started_at?;
    let last = cluster.last_seen.unwrap_or(started);
    let since = super::silent_since(state, last.max(started));
    let until = membership.unreachable_after.after(since);
    let message = format!("{UNREACHABLE} {}", membership.unreachable_after);
    let evidence = json!({"last_seen": cluster.last_seen, "since": since, "now": state.now});
    (state.now >= until)
        .then(|| standing(state_after, message, evidence))
        .flatten()
}
