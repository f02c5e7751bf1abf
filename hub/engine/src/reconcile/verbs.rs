//! Persons' words about releases. In: one request. Out: what it changes, or a sentence why it makes no sense now; both are
//! recorded. It must not open a release, nor grant a permit.

use serde_json::json;

use super::join::held_content;
use super::planner::Planner;
use crate::action::Action;
use crate::advance::obey::passed_over;
use crate::document::OnFailure;
use crate::member::{emptied, may_be_passed_over};
use crate::name::ClusterName;
use crate::observed::{Observed, Request};
use crate::release::{Release, ReleasePhase, Target, TargetState, Wave, WavePhase};
use crate::verb::{By, Scope, Verb};

/// Obeys or refuses one request.
pub(super) fn obey(planner: &mut Planner, request: &Request) {
    let by = By {
        person: request.person.clone(),
        reason: request.reason.clone(),
        at: planner.state.now,
    };
    match effect(&planner.state, request) {
        Ok((release, verb)) => take_effect(planner, request, release, verb, by),
        Err(why) => {
            let evidence =
                json!({"verb": request.verb, "release": request.release, "person": request.person});
            let action = Action::RefuseRequest {
                request: request.id,
                why,
            };
            planner.act(action, evidence);
        }
    }
}

/// The word with everything left open filled in, or why it makes no sense.
fn effect(state: &Observed, request: &Request) -> Result<(u64, Verb), String> {
    let name = &state.fleet_rollout.name;
    let number = request
        .release
        .ok_or_else(|| format!("say which release of {name} it is about"))?;
    let release = state.release(number).ok_or_else(|| {
        format!(
            "there is no release {}; see `groundswell get releases --fleetrollout {name}`",
            state.id(number)
        )
    })?;
    if !matches!(request.verb, Verb::Rollback) && release.phase.ended() {
        return Err(format!(
            "release {} has ended: {}; `groundswell rollback {0}` takes it back, `groundswell release start {name}` starts another one",
            release.id,
            release.phase.as_str()
        ));
    }
    let verb = match &request.verb {
        Verb::Start { .. } | Verb::Ungovern { .. } | Verb::Govern { .. } => {
            return Err("it is about no release".to_owned());
        }
        Verb::Pause => pause(release)?,
        Verb::Resume => resume(release)?,
        Verb::Abort { scope } => abort(release, *scope)?,
        Verb::Rollback => rollback(state, release)?,
        Verb::Retry { cluster } => retry(state, release, cluster)?,
        Verb::SkipTarget { cluster } => skip_target(release, cluster)?,
        Verb::SkipWave { wave } => skip_wave(release, wave)?,
        Verb::Promote { wave } => promote(release, wave.as_deref())?,
        Verb::Expedite => expedite(release)?,
    };
    Ok((number, verb))
}

fn pause(release: &Release) -> Result<Verb, String> {
    if let Some(by) = &release.word.paused {
        return Err(format!(
            "release {} is paused already, by {}: {}",
            release.id, by.person, by.reason
        ));
    }
    going(release)?;
    Ok(Verb::Pause)
}

fn resume(release: &Release) -> Result<Verb, String> {
    match release.word.paused {
        Some(_) => Ok(Verb::Resume),
        None => Err(format!("release {} is not paused", release.id)),
    }
}

fn abort(release: &Release, scope: Option<Scope>) -> Result<Verb, String> {
    if release.phase == ReleasePhase::RollingBack {
        return Err(format!(
            "release {} goes back already: {}",
            release.id, release.verdict
        ));
    }
    let by_policy = match release.plan.on_failure {
        OnFailure::Halt => Scope::Unfinished,
        OnFailure::Rollback { .. } => Scope::Touched,
    };
    let scope = Some(scope.unwrap_or(by_policy));
    Ok(Verb::Abort { scope })
}

fn rollback(state: &Observed, release: &Release) -> Result<Verb, String> {
    let id = &release.id;
    let unfinished = release
        .word
        .back
        .as_ref()
        .is_some_and(|back| back.scope == Scope::Unfinished);
    match release.phase {
        ReleasePhase::RollingBack if !unfinished => {
            return Err(format!(
                "release {id} goes back already: {}",
                release.verdict
            ));
        }
        ReleasePhase::RolledBack => {
            return Err(format!(
                "release {id} is back already; its content comes again by `groundswell release start {} --reason TEXT`, wave by wave",
                id.fleet_rollout
            ));
        }
        ReleasePhase::RolledBackPartially if !unfinished => {
            return Err(format!(
                "release {id} is back wherever it can be ({}); what is out of contact goes back by itself",
                release.verdict
            ));
        }
        ReleasePhase::Waiting
        | ReleasePhase::Progressing
        | ReleasePhase::Halted
        | ReleasePhase::RollingBack
        | ReleasePhase::Succeeded
        | ReleasePhase::Failed
        | ReleasePhase::RolledBackPartially
        | ReleasePhase::Superseded
        | ReleasePhase::Withdrawn
        | ReleasePhase::Aborted => {}
    }
    if let Some(other) = state.active().filter(|other| other.id != *id) {
        return Err(format!(
            "release {} is {}; `groundswell release abort {0}` or `groundswell rollback {0}` comes first",
            other.id,
            other.phase.as_str()
        ));
    }
    let later = state.past.iter().filter(|past| {
        past.number > id.number && past.touched && past.phase != ReleasePhase::RolledBack
    });
    if let Some(number) = later.map(|past| past.number).max() {
        let later = state.id(number);
        return Err(format!(
            "release {later} came after {id} and is {} in clusters; `groundswell rollback {later}` comes first",
            state
                .past
                .iter()
                .find(|past| past.number == number)
                .map_or("", |past| past.phase.as_str())
        ));
    }
    if release.phase.ended() && !release.targets.iter().any(|target| target.touched()) {
        return Err(format!(
            "release {id} started in no cluster: there is nothing to take back"
        ));
    }
    // One that is on its way goes back by the same word as an abort.
    Ok(if release.phase.ended() {
        Verb::Rollback
    } else {
        Verb::Abort {
            scope: Some(Scope::Touched),
        }
    })
}

fn target<'a>(release: &'a Release, cluster: &ClusterName) -> Result<&'a Target, String> {
    release.target(cluster).ok_or_else(|| {
        format!(
            "{cluster} is no target of release {0}; `groundswell release show {0}` lists them",
            release.id
        )
    })
}

fn going(release: &Release) -> Result<(), String> {
    let (id, phase) = (&release.id, release.phase);
    if matches!(phase, ReleasePhase::Waiting | ReleasePhase::Progressing) {
        return Ok(());
    }
    let phase = phase.as_str();
    Err(format!(
        "release {id} is {phase}; nothing of it starts any more"
    ))
}

fn retry(state: &Observed, release: &Release, cluster: &ClusterName) -> Result<Verb, String> {
    let target = target(release, cluster)?;
    let refuse = |why: &str| Err(format!("{cluster} in release {} {why}", release.id));
    if target.state != TargetState::Failed {
        return refuse(&format!(
            "is {}; only what has failed is retried",
            target.state.as_str()
        ));
    }
    if !matches!(
        release.phase,
        ReleasePhase::Progressing | ReleasePhase::Halted
    ) {
        let phase = release.phase.as_str();
        return refuse(&format!("belongs to a release that is {phase}"));
    }
    let wave = release.wave(target.wave);
    if wave.is_some_and(|wave| wave.phase.behind()) {
        return refuse(&format!(
            "belongs to a wave that is over; `groundswell release start {} --reason TEXT` starts it again, wave by wave",
            release.id.fleet_rollout
        ));
    }
    let connected = state
        .cluster(cluster)
        .filter(|cluster| cluster.connected && !cluster.regressed);
    let Some((own, rollout)) = connected.and_then(|own| Some((own, own.rollout.as_ref()?))) else {
        return refuse("is out of contact; retry it when its agent is heard again");
    };
    let Some(content) = target
        .content
        .clone()
        .or_else(|| held_content(release, target, own))
    else {
        return refuse("does not hold the release's content: there is nothing to retry");
    };
    let there = rollout.kept.contains(&content.digest)
        || rollout.spec.as_ref().map(|spec| &spec.digest) == Some(&content.digest);
    if rollout.removed || !there {
        return refuse("has neither kept its content nor does Git want it any more");
    }
    Ok(Verb::Retry {
        cluster: cluster.clone(),
    })
}

fn skip_target(release: &Release, cluster: &ClusterName) -> Result<Verb, String> {
    going(release)?;
    let target = target(release, cluster)?;
    if !target.state.before_permit() {
        return Err(format!(
            "{cluster} in release {} is {}; only what has not started is skipped",
            release.id,
            target.state.as_str()
        ));
    }
    Ok(Verb::SkipTarget {
        cluster: cluster.clone(),
    })
}

fn wave<'a>(release: &'a Release, name: &str) -> Result<&'a Wave, String> {
    release
        .waves
        .iter()
        .find(|wave| wave.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = release
                .waves
                .iter()
                .map(|wave| wave.name.as_str())
                .collect();
            format!(
                "there is no wave {name} in release {}; it has {}",
                release.id,
                names.join(", ")
            )
        })
}

fn skip_wave(release: &Release, name: &str) -> Result<Verb, String> {
    going(release)?;
    let wave = wave(release, name)?;
    let over = match wave.phase {
        WavePhase::Pending | WavePhase::WaitingForApproval | WavePhase::Running => false,
        // Its only success was taken away, so nothing else ends it.
        WavePhase::Baking | WavePhase::WaitingToPass => !emptied(release, wave.number),
        WavePhase::Passed | WavePhase::Failed | WavePhase::Skipped => true,
    };
    if over {
        return Err(format!(
            "wave {name} of release {} is {} already",
            release.id,
            wave.phase.as_str()
        ));
    }
    let flying = release
        .targets_of(wave.number)
        .find(|target| !may_be_passed_over(release, target));
    if let Some(target) = flying {
        return Err(format!(
            "{} in wave {name} of release {} is {}; skip its other clusters one by one, or abort the release",
            target.cluster,
            release.id,
            target.state.as_str()
        ));
    }
    Ok(Verb::SkipWave {
        wave: name.to_owned(),
    })
}

fn promote(release: &Release, name: Option<&str>) -> Result<Verb, String> {
    let baking = |wave: &Wave| wave.phase == WavePhase::Baking && !wave.promoted;
    let found = match name {
        Some(name) => wave(release, name)?,
        None => release
            .waves
            .iter()
            .find(|wave| baking(wave) || wave.phase == WavePhase::WaitingToPass)
            .ok_or_else(|| format!("no wave of release {} bakes now", release.id))?,
    };
    if found.phase == WavePhase::WaitingToPass {
        return Err(format!(
            "the bake of wave {} of release {} is over, and persons have to agree that it passes, which a promotion does not \
             replace; `groundswell approve {1} --wave {0} --comment TEXT`",
            found.name, release.id
        ));
    }
    if release.phase != ReleasePhase::Progressing || !baking(found) {
        return Err(format!(
            "wave {} of release {} is {}, and does not bake",
            found.name,
            release.id,
            found.phase.as_str()
        ));
    }
    Ok(Verb::Promote {
        wave: Some(found.name.clone()),
    })
}

fn expedite(release: &Release) -> Result<Verb, String> {
    going(release)?;
    let id = &release.id;
    if release.plan.expedite.is_none() {
        return Err(format!(
            "the plan of release {id} has no expedite, which says what may be shortened; it was fixed when the release opened"
        ));
    }
    if release.expedited() {
        return Err(format!("release {id} is expedited already"));
    }
    Ok(Verb::Expedite)
}

fn take_effect(planner: &mut Planner, request: &Request, number: u64, verb: Verb, by: By) {
    let Some(release) = planner.release(number) else {
        return;
    };
    let evidence =
        json!({"verb": verb, "phase": release.phase, "targets": super::flight::standing(&release)});
    match &verb {
        Verb::Retry { cluster } => lift(planner, request, &release, cluster),
        Verb::SkipTarget { cluster } => pass_over(planner, &release, cluster, &by),
        Verb::SkipWave { wave } => {
            let Some(own) = release.waves.iter().find(|own| own.name == *wave) else {
                return;
            };
            for target in release.targets_of(own.number) {
                if target.state.before_permit() {
                    pass_over(planner, &release, &target.cluster, &by);
                }
            }
        }
        // It has started nowhere, so there is nothing to go back.
        Verb::Abort { .. } if release.phase == ReleasePhase::Waiting => {
            let verdict = format!("aborted by {} while it waited: {}", by.person, by.reason);
            let evidence = json!({"by": by});
            super::flight::end(planner, number, ReleasePhase::Aborted, verdict, evidence);
        }
        Verb::Start { .. }
        | Verb::Pause
        | Verb::Resume
        | Verb::Abort { .. }
        | Verb::Rollback
        | Verb::Promote { .. }
        | Verb::Expedite
        | Verb::Ungovern { .. }
        | Verb::Govern { .. } => {}
    }
    let action = Action::Obey {
        request: request.id,
        release: number,
        verb,
        by,
    };
    planner.act(action, evidence);
}

/// A person's reason lifts the bar on what failed (gate.md G17), and its target is held again.
fn lift(planner: &mut Planner, request: &Request, release: &Release, cluster: &ClusterName) {
    let Some(target) = release.target(cluster) else {
        return;
    };
    let came = planner
        .shared(cluster)
        .and_then(|own| held_content(release, target, &own));
    let Some(content) = target.content.clone().or_else(|| came.clone()) else {
        return;
    };
    let evidence =
        json!({"person": request.person, "reason": request.reason, "digest": content.digest});
    if planner.state.barred.contains_key(&content.digest) {
        let action = Action::Unbar {
            request: request.id,
            digest: content.digest.clone(),
        };
        planner.act(action, evidence.clone());
    }
    let message = format!("retried by {}: {}", request.person, request.reason);
    let number = release.id.number;
    // It failed because it had not reported it in time, and holds it now.
    if let Some(content) = came {
        let action = Action::BindContent {
            release: number,
            cluster: cluster.clone(),
            content,
        };
        planner.act(action, evidence.clone());
    }
    planner.set_target(number, cluster, TargetState::Held, message, evidence);
}

fn pass_over(planner: &mut Planner, release: &Release, cluster: &ClusterName, by: &By) {
    let evidence = json!({"by": by});
    planner.set_target(
        release.id.number,
        cluster,
        TargetState::Skipped,
        passed_over(by),
        evidence,
    );
}
