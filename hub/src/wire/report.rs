//! What agents say. In: messages of the link. Out: the engine's view of a Rollout. It must not trust a message further than
//! its shape: lengths are bounded, and the cluster is the certificate's, never the message's.

use hub_engine::name::{Revision, RolloutName};
use hub_engine::observed::{Effect, Outcome, OutcomeResult, Rollout};
use hub_engine::release::Content;
use hub_engine::{Digest, Fence};
use hub_store::broken_glass::BrokenGlass;
use hub_store::report::{Body, Report};
use jiff::Timestamp;
use proto::v1;

use crate::wire::{Error, digest, fence, message, text};

/// Digests in one list; the agent keeps seven (gate.md G4).
const MAX_DIGESTS: usize = 32;
/// Images of one pod template.
const MAX_IMAGES: usize = 256;
/// Sentences of an agent's engine that are kept.
const MAX_REASONS: usize = 32;

/// Gates of one acknowledgement that could not be written and are told of: enough to see what is wrong with all of them.
const MAX_PROBLEMS: usize = 100;

/// Gates that an agent could not write, and why. Each is a row of the history.
pub fn problems(problems: Vec<v1::GateProblem>) -> Vec<(RolloutName, String)> {
    let problem = |one: v1::GateProblem| {
        let namespace = text("problem.namespace", one.namespace).ok()?;
        let name = text("problem.name", one.name).ok()?;
        Some((RolloutName { namespace, name }, message(&one.message)))
    };
    let told = problems.into_iter().take(MAX_PROBLEMS);
    told.filter_map(problem).collect()
}

/// Which Rollout a message is about, and the object's UID.
pub fn rollout_name(
    rollout: Option<v1::RolloutRef>,
    of: &'static str,
) -> Result<(RolloutName, String), Error> {
    let rollout = rollout.ok_or(Error::Missing {
        message: of,
        field: "rollout",
    })?;
    let namespace = text("rollout.namespace", rollout.namespace)?;
    let name = text("rollout.name", rollout.name)?;
    if namespace.is_empty() || name.is_empty() {
        return Err(Error::Missing {
            message: of,
            field: "rollout.name",
        });
    }
    Ok((
        RolloutName { namespace, name },
        text("rollout.uid", rollout.uid)?,
    ))
}

/// One report; none when it says something that this hub does not know.
pub fn report(report: v1::Report) -> Result<Option<Report>, Error> {
    use v1::report::Body as Wire;
    let (rollout, body) = match report.body {
        Some(Wire::State(state)) => {
            let (rollout, state) = rollout_state(state)?;
            (rollout, Body::State(state))
        }
        Some(Wire::Changed(changed)) => {
            let (rollout, _) = rollout_name(changed.rollout, "ContentChanged")?;
            let was = changed.was.map(content).transpose()?.flatten();
            let now = changed.now.map(content).transpose()?.flatten();
            let now = now.ok_or(Error::Missing {
                message: "ContentChanged",
                field: "now",
            })?;
            (rollout, Body::Changed { was, now })
        }
        Some(Wire::Effect(mut effected)) => {
            let (rollout, _) = rollout_name(effected.rollout.take(), "PermitEffect")?;
            let release = text("effect.release", effected.release.clone())?;
            (
                rollout,
                Body::Effect {
                    release,
                    effect: effect(effected)?,
                },
            )
        }
        Some(Wire::Outcome(mut ended)) => {
            let (rollout, uid) = rollout_name(ended.rollout.take(), "Outcome")?;
            let Some(outcome) = outcome(ended)? else {
                return Ok(None);
            };
            (rollout, Body::Outcome { uid, outcome })
        }
        Some(Wire::Verb(verb)) => {
            let (rollout, _) = rollout_name(verb.rollout, "LocalVerb")?;
            let body = Body::Verb {
                verb: text("verb", verb.verb)?,
                held: verb.held,
                message: message(&verb.message),
                release: text("verb.release", verb.release)?,
                id: text("verb.id", verb.id)?,
            };
            (rollout, body)
        }
        Some(Wire::BrokenGlass(glass)) => broken_glass(glass)?,
        Some(Wire::Removed(removed)) => (
            rollout_name(removed.rollout, "RolloutRemoved")?.0,
            Body::Removed,
        ),
        None => return Ok(None),
    };
    let at = report
        .at
        .as_ref()
        .and_then(proto::time::from_wire)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let traceparent = report
        .trace
        .map(|trace| text("trace", trace.traceparent))
        .transpose()?
        .unwrap_or_default();
    Ok(Some(Report {
        sequence: report.sequence,
        at,
        traceparent,
        rollout,
        body,
    }))
}

/// A person in the cluster did without the fleet's word.
fn broken_glass(glass: v1::BrokenGlass) -> Result<(RolloutName, Body), Error> {
    let (rollout, _) = rollout_name(glass.rollout, "BrokenGlass")?;
    let id = text("brokenGlass.id", glass.id)?;
    if id.is_empty() {
        return Err(Error::Missing {
            message: "BrokenGlass",
            field: "id",
        });
    }
    let body = Body::BrokenGlass(BrokenGlass {
        id,
        digest: Digest(text("brokenGlass.digest", glass.digest)?),
        by: message(&glass.by),
        reason: message(&glass.reason),
        release: text("brokenGlass.release", glass.release)?,
        at: glass.at.as_ref().and_then(proto::time::from_wire),
        needed: glass.needed,
    });
    Ok((rollout, body))
}

/// Everything an agent says of one Rollout.
pub fn rollout_state(state: v1::RolloutState) -> Result<(RolloutName, Rollout), Error> {
    let (name, uid) = rollout_name(state.rollout, "RolloutState")?;
    let rollout = Rollout {
        uid,
        spec: state.spec.map(content).transpose()?.flatten(),
        served: digest("servedDigest", state.served_digest)?,
        served_delivery: digest("servedDeliveryDigest", state.served_delivery_digest)?,
        held: digest("heldDigest", state.held_digest)?,
        kept: digests("kept", state.kept)?,
        healthy: digests("healthy", state.healthy)?,
        kept_deliveries: state
            .kept_deliveries
            .into_iter()
            .take(MAX_DIGESTS)
            .map(|(digest, delivery)| {
                let field = "keptDeliveries";
                Ok((Digest(text(field, digest)?), Digest(text(field, delivery)?)))
            })
            .collect::<Result<_, Error>>()?,
        phase: text("phase", state.phase)?,
        message: message(&state.message),
        step: state.step,
        steps: state.steps,
        outcome: state.outcome.map(outcome).transpose()?.flatten(),
        outcome_of_former: false,
        permit_fence: state.permit_fence.as_ref().map(|one| fence(Some(one))),
        effect: state.effect.map(effect).transpose()?,
        reasons: state
            .reasons
            .iter()
            .take(MAX_REASONS)
            .map(|reason| message(&reason.message))
            .collect(),
        lease_live: state.lease_live,
        undecodable_gate: state.undecodable_gate,
        removed: false,
    };
    Ok((name, rollout))
}

/// Content; none without a digest, which is how an agent says that it could not tell.
pub fn content(content: v1::Content) -> Result<Option<Content>, Error> {
    let Some(own) = digest("content.digest", content.digest)? else {
        return Ok(None);
    };
    let revision = text("content.revision", content.revision)?;
    let mut images = content
        .images
        .into_iter()
        .take(MAX_IMAGES)
        .map(|image| text("content.images", image))
        .collect::<Result<Vec<_>, _>>()?;
    images.sort();
    images.dedup();
    Ok(Some(Content {
        digest: own,
        delivery: Digest(text("content.deliveryDigest", content.delivery_digest)?),
        revision: if revision.is_empty() {
            None
        } else {
            Some(Revision(revision))
        },
        images,
        generation: content.generation,
    }))
}

/// A permit's end; none when its result is not one of ours: a newer agent's word is never taken for another (S14).
pub fn outcome(outcome: v1::Outcome) -> Result<Option<Outcome>, Error> {
    let result = match outcome.result() {
        v1::outcome::Result::Unspecified => return Ok(None),
        v1::outcome::Result::Served => OutcomeResult::Served,
        v1::outcome::Result::Failed => OutcomeResult::Failed,
        v1::outcome::Result::Withdrawn => OutcomeResult::Withdrawn,
        v1::outcome::Result::NoRollbackTarget => OutcomeResult::NoRollbackTarget,
        v1::outcome::Result::Refused => OutcomeResult::Refused,
    };
    Ok(Some(Outcome {
        fence: fence(outcome.fence.as_ref()),
        release: text("outcome.release", outcome.release)?,
        digest: Digest(text("outcome.digest", outcome.digest)?),
        result,
        message: message(&outcome.message),
        generation: outcome.generation,
    }))
}

/// A permit taking effect.
pub fn effect(effect: v1::PermitEffect) -> Result<Effect, Error> {
    let fence: Fence = fence(effect.fence.as_ref());
    Ok(Effect {
        fence,
        digest: Digest(text("effect.digest", effect.digest)?),
        generation: effect.generation,
    })
}

fn digests(field: &'static str, values: Vec<String>) -> Result<Vec<Digest>, Error> {
    values
        .into_iter()
        .take(MAX_DIGESTS)
        .map(|value| text(field, value).map(Digest))
        .collect()
}
