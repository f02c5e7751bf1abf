//! Between the wire and the API types.
//!
//! In: messages of the hub, records of the cluster. Out: the other form, or why a message cannot be kept. It must not
//! decide; a word it does not know is refused, never read as another one.

use agent_api::{
    ContentDigest, DeliveryDigest, Direction, Enforcement, Fence, FleetRolloutName, GateSpec,
    HubLoss, HubLossAction, OutcomeResult, Permit, Policy, ReleaseName, RollbackPhase, RolloutRef,
    StatusTime, Uid, Waiting,
};
use agent_engine::Reason;
use proto::{time, v1};
use serde_json::Value;

/// Field of a Gate's spec: the FleetRollout has no release yet.
pub const FIRST_DEPLOY_FREE: &str = "firstDeployFree";
/// Field of a Gate's spec: digests whose release has passed.
pub const PASSED: &str = "passed";
/// Field of a Gate's spec: nothing starts, what is on its way holds, and this is shown (G30).
pub const STOPPED: &str = "stopped";
/// Field of a Gate's spec: what happens to held content when governance has ended.
pub const UNGOVERN: &str = "ungovern";

/// A message that cannot be kept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A field is missing.
    #[error("{0} is missing; the hub may be newer than this agent: upgrade it")]
    Missing(&'static str),
    /// A word is not known.
    #[error("{field} is {found}, which this agent does not know: upgrade it")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
    },
    /// A number does not fit.
    #[error("{0} is out of range")]
    Range(&'static str),
}

/// A fence.
#[must_use]
pub fn fence(wire: Option<&v1::Fence>) -> Fence {
    wire.map_or_else(Fence::default, |wire| Fence {
        incarnation: wire.incarnation,
        version: wire.version,
    })
}

/// A fence for the wire.
#[must_use]
pub fn fence_to_wire(fence: Fence) -> v1::Fence {
    v1::Fence {
        incarnation: fence.incarnation,
        version: fence.version,
    }
}

/// Whether an entry ends governance, in words that this agent knows.
#[must_use]
pub fn ends_governance(entry: &v1::GateEntry) -> bool {
    match &entry.governance {
        Some(v1::gate_entry::Governance::Ungovern(wire)) => {
            wire.mode() != v1::ungovern::Mode::Unspecified
        }
        Some(v1::gate_entry::Governance::Governed(_)) | None => false,
    }
}

/// What a Gate's spec says for one entry of a set.
pub fn gate_spec(entry: &v1::GateEntry, set: Fence) -> Result<GateSpec, Error> {
    let spec = GateSpec {
        rollout: RolloutRef {
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            ..RolloutRef::default()
        },
        governed: true,
        incarnation: set.incarnation,
        version: entry.version,
        fleet_rollout: FleetRolloutName(entry.fleet_rollout.clone()),
        ..GateSpec::default()
    };
    match entry
        .governance
        .as_ref()
        .ok_or(Error::Missing("governance"))?
    {
        v1::gate_entry::Governance::Governed(wire) => governed(spec, wire),
        v1::gate_entry::Governance::Ungovern(wire) => ungoverned(spec, *wire),
    }
}

fn governed(mut spec: GateSpec, wire: &v1::Governed) -> Result<GateSpec, Error> {
    spec.policy = policy(wire.policy.as_ref().ok_or(Error::Missing("policy"))?)?;
    spec.waiting = wire.waiting.as_ref().map(waiting);
    spec.permit = wire.permit.as_ref().map(permit).transpose()?;
    spec.traceparent = wire
        .permit
        .as_ref()
        .and_then(|permit| permit.trace.as_ref())
        .map(|trace| trace.traceparent.clone());
    spec.barred = wire.barred.iter().cloned().map(ContentDigest).collect();
    if wire.first_deploy_free {
        spec.rest
            .insert(FIRST_DEPLOY_FREE.to_owned(), Value::Bool(true));
    }
    if !wire.passed.is_empty() {
        spec.rest
            .insert(PASSED.to_owned(), Value::from(wire.passed.clone()));
    }
    if !wire.stopped.is_empty() {
        spec.rest
            .insert(STOPPED.to_owned(), Value::from(wire.stopped.clone()));
    }
    Ok(spec)
}

fn ungoverned(mut spec: GateSpec, wire: v1::Ungovern) -> Result<GateSpec, Error> {
    let mode = match wire.mode() {
        v1::ungovern::Mode::KeepServing => "KeepServing",
        v1::ungovern::Mode::ReleaseHeld => "ReleaseHeld",
        v1::ungovern::Mode::Unspecified => {
            return Err(Error::Unknown {
                field: "ungovern.mode",
                found: wire.mode.to_string(),
            });
        }
    };
    spec.governed = false;
    spec.rest.insert(UNGOVERN.to_owned(), Value::from(mode));
    Ok(spec)
}

fn policy(wire: &v1::Policy) -> Result<Policy, Error> {
    let action = match wire.on_hub_loss() {
        v1::policy::OnHubLoss::Finish => HubLossAction::Finish,
        v1::policy::OnHubLoss::Hold => HubLossAction::Hold,
        v1::policy::OnHubLoss::Abort => HubLossAction::Abort,
        v1::policy::OnHubLoss::Unspecified => {
            return Err(Error::Unknown {
                field: "policy.on_hub_loss",
                found: wire.on_hub_loss.to_string(),
            });
        }
    };
    let after = (action == HubLossAction::Abort).then(|| u64::from(wire.abort_after_seconds));
    Ok(Policy {
        on_hub_loss: HubLoss {
            action,
            after_seconds: after,
            ..HubLoss::default()
        },
        rollback_phase: match wire.rollback_phase.as_str() {
            "" | "Degraded" => RollbackPhase::Degraded,
            "Paused" => RollbackPhase::Paused,
            other => {
                return Err(Error::Unknown {
                    field: "policy.rollback_phase",
                    found: other.to_owned(),
                });
            }
        },
        enforcement: match wire.enforcement.as_str() {
            "Enforce" => Enforcement::Enforce,
            "Observe" => Enforcement::Observe,
            other => {
                return Err(Error::Unknown {
                    field: "policy.enforcement",
                    found: other.to_owned(),
                });
            }
        },
        ..Policy::default()
    })
}

fn waiting(wire: &v1::Waiting) -> Waiting {
    let mut waiting = Waiting {
        release: ReleaseName(wire.release.clone()),
        wave: wire.wave,
        waves: wire.waves,
        wave_name: wire.wave_name.clone(),
        reason: wire.message.clone(),
        ..Waiting::default()
    };
    if !wire.next.is_empty() {
        waiting
            .rest
            .insert("next".to_owned(), Value::from(wire.next.clone()));
    }
    waiting
}

/// A permit as it is kept.
pub fn permit(wire: &v1::Permit) -> Result<Permit, Error> {
    let direction = match wire.direction() {
        v1::permit::Direction::Forward => Direction::Forward,
        v1::permit::Direction::Rollback => Direction::Rollback,
        v1::permit::Direction::Unspecified => {
            return Err(Error::Unknown {
                field: "permit.direction",
                found: wire.direction.to_string(),
            });
        }
    };
    let start_by = match (wire.start_by.as_ref().and_then(time::from_wire), direction) {
        (Some(start_by), _) => Some(StatusTime::from(start_by)),
        // A rollback has no expiry (G23).
        (None, Direction::Rollback) => None,
        (None, Direction::Forward) => return Err(Error::Missing("permit.start_by")),
    };
    Ok(Permit {
        release: ReleaseName(wire.release.clone()),
        direction,
        fence: fence(Some(
            wire.fence.as_ref().ok_or(Error::Missing("permit.fence"))?,
        )),
        digest: ContentDigest(wire.digest.clone()),
        delivery_digest: DeliveryDigest(wire.delivery_digest.clone()),
        start_by,
        lease_seconds: u64::from(wire.lease_seconds),
        signature: wire.signature.clone(),
        max_step: wire
            .max_step
            .map(|step| i32::try_from(step).map_err(|_| Error::Range("permit.max_step")))
            .transpose()?,
        why: (!wire.why.is_empty()).then(|| wire.why.clone()),
        steps_backwards: wire.steps_backwards,
        cluster_uid: Uid(wire.cluster_uid.clone()),
        rollout_uid: Uid(wire.rollout_uid.clone()),
        traceparent: wire.trace.as_ref().map(|trace| trace.traceparent.clone()),
        ..Permit::default()
    })
}

/// A kept permit as it was signed.
pub fn permit_to_wire(permit: &Permit) -> Result<v1::Permit, Error> {
    let step = permit
        .max_step
        .map(|step| u32::try_from(step).map_err(|_| Error::Range("permit.max_step")));
    Ok(v1::Permit {
        release: permit.release.0.clone(),
        direction: match permit.direction {
            Direction::Forward => v1::permit::Direction::Forward.into(),
            Direction::Rollback => v1::permit::Direction::Rollback.into(),
        },
        fence: Some(fence_to_wire(permit.fence)),
        digest: permit.digest.0.clone(),
        delivery_digest: permit.delivery_digest.0.clone(),
        start_by: permit
            .start_by
            .map(|start_by| time::to_wire(start_by.timestamp())),
        max_step: step.transpose()?,
        lease_seconds: u32::try_from(permit.lease_seconds)
            .map_err(|_| Error::Range("permit.lease_seconds"))?,
        why: permit.why.clone().unwrap_or_default(),
        steps_backwards: permit.steps_backwards,
        cluster_uid: permit.cluster_uid.0.clone(),
        rollout_uid: permit.rollout_uid.0.clone(),
        signature: permit.signature.clone(),
        trace: None,
    })
}

/// How a permit ended, for the wire.
#[must_use]
pub fn outcome_result(result: OutcomeResult) -> v1::outcome::Result {
    match result {
        OutcomeResult::Failed => v1::outcome::Result::Failed,
        // What was under way before it was governed and came through is served; it has no release to count in.
        OutcomeResult::Served | OutcomeResult::Adopted => v1::outcome::Result::Served,
        OutcomeResult::Withdrawn => v1::outcome::Result::Withdrawn,
        OutcomeResult::NoRollbackTarget => v1::outcome::Result::NoRollbackTarget,
        OutcomeResult::Refused => v1::outcome::Result::Refused,
    }
}

/// A reason for the wire: its word, its sentence.
#[must_use]
pub fn reason(reason: &Reason) -> v1::Reason {
    let debug = format!("{reason:?}");
    let code = debug.split([' ', '{', '(']).next().unwrap_or_default();
    v1::Reason {
        code: code.to_owned(),
        message: reason.to_string(),
        next: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_permit() -> v1::Permit {
        v1::Permit {
            release: "checkout#2".into(),
            direction: v1::permit::Direction::Rollback.into(),
            fence: Some(v1::Fence {
                incarnation: 1,
                version: 7,
            }),
            digest: "v1:a".into(),
            delivery_digest: "v1:b".into(),
            start_by: Some(prost_types::Timestamp {
                seconds: 1_000,
                nanos: 0,
            }),
            max_step: Some(3),
            lease_seconds: 30,
            why: "errors".into(),
            steps_backwards: true,
            cluster_uid: "c".into(),
            rollout_uid: "r".into(),
            signature: "s".into(),
            trace: None,
        }
    }

    fn entry(governance: v1::gate_entry::Governance) -> v1::GateEntry {
        v1::GateEntry {
            namespace: "shop".into(),
            name: "checkout".into(),
            fleet_rollout: "checkout".into(),
            version: 7,
            governance: Some(governance),
        }
    }

    fn wire_policy() -> v1::Policy {
        v1::Policy {
            on_hub_loss: v1::policy::OnHubLoss::Abort.into(),
            abort_after_seconds: 60,
            rollback_phase: "Paused".into(),
            enforcement: "Enforce".into(),
        }
    }

    #[test]
    fn a_permit_keeps_the_bytes_that_were_signed() {
        for permit_on_wire in [
            wire_permit(),
            v1::Permit {
                start_by: None,
                ..wire_permit()
            },
            v1::Permit {
                max_step: None,
                why: String::new(),
                ..wire_permit()
            },
        ] {
            let kept = permit(&permit_on_wire).unwrap();
            let text = serde_json::to_string(&kept).unwrap();
            let read: Permit = serde_json::from_str(&text).unwrap();
            let back = permit_to_wire(&read).unwrap();
            assert_eq!(
                proto::permit::signing_bytes(&back),
                proto::permit::signing_bytes(&permit_on_wire)
            );
        }
    }

    #[test]
    fn an_entry_becomes_a_spec() {
        let set = Fence {
            incarnation: 1,
            version: 9,
        };
        let governed = v1::Governed {
            policy: Some(wire_policy()),
            permit: Some(wire_permit()),
            barred: vec!["v1:z".into()],
            first_deploy_free: true,
            passed: vec!["v1:p".into()],
            stopped: "stopped by ann: alarm".into(),
            waiting: Some(v1::Waiting {
                release: "checkout#2".into(),
                wave: 2,
                waves: 3,
                ..v1::Waiting::default()
            }),
        };
        let spec = gate_spec(&entry(v1::gate_entry::Governance::Governed(governed)), set).unwrap();
        assert!(spec.governed);
        assert_eq!((spec.incarnation, spec.version), (1, 7));
        assert_eq!(spec.policy.on_hub_loss.after_seconds, Some(60));
        assert_eq!(spec.rest.get(FIRST_DEPLOY_FREE), Some(&Value::Bool(true)));
        assert_eq!(spec.waiting.unwrap().wave, 2);
        let stopped = Value::from("stopped by ann: alarm");
        assert_eq!(spec.rest.get(STOPPED), Some(&stopped));
    }

    #[test]
    fn unknown_words_are_refused() {
        let set = Fence::default();
        let governed = |policy| {
            let governed = v1::Governed {
                policy,
                ..v1::Governed::default()
            };
            gate_spec(&entry(v1::gate_entry::Governance::Governed(governed)), set)
        };
        assert!(governed(None).is_err());
        assert!(
            governed(Some(v1::Policy {
                enforcement: "Enforced".into(),
                ..wire_policy()
            }))
            .is_err()
        );
        assert!(
            governed(Some(v1::Policy {
                on_hub_loss: 9,
                ..wire_policy()
            }))
            .is_err()
        );
        assert!(
            governed(Some(v1::Policy {
                rollback_phase: "Healthy".into(),
                ..wire_policy()
            }))
            .is_err()
        );
        assert!(governed(Some(wire_policy())).is_ok());
        assert!(
            permit(&v1::Permit {
                direction: 0,
                ..wire_permit()
            })
            .is_err()
        );
        assert!(
            permit(&v1::Permit {
                direction: 3,
                ..wire_permit()
            })
            .is_err()
        );
        let forward = v1::permit::Direction::Forward.into();
        assert_eq!(
            permit(&v1::Permit {
                direction: forward,
                start_by: None,
                ..wire_permit()
            }),
            Err(Error::Missing("permit.start_by"))
        );
        assert!(gate_spec(&v1::GateEntry::default(), set).is_err());
        let ungovern = entry(v1::gate_entry::Governance::Ungovern(v1::Ungovern {
            mode: 0,
        }));
        assert!(gate_spec(&ungovern, set).is_err());
    }
}
