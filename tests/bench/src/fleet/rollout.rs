//! One Rollout in one simulated cluster. In: a new version, permits, time. Out: what its agent would report. It must not
//! know the hub: it is told sets and says reports.

use proto::v1::outcome::Result as Ended;
use proto::v1::report::Body;
use proto::v1::{
    Content, ContentChanged, Fence, Outcome, Permit, PermitEffect, RolloutRef, RolloutState,
};

/// Every Rollout of the benchmark is here.
pub const NAMESPACE: &str = "bench";
/// Steps that a canary shows.
const STEPS: u32 = 2;
/// Served versions that are kept, as the agent (gate.md G4).
const KEPT: usize = 2;

/// A Rollout: what Git wants, what is served, the permit that it has taken up.
#[derive(Debug, Clone)]
pub struct Rollout {
    name: String,
    uid: String,
    wanted: u64,
    served: u64,
    /// Versions that were served here, the newest last: what a rollback can go to.
    healthy: Vec<u64>,
    permit: Option<Permit>,
    outcome: Option<Outcome>,
}

/// A name for the content of a version; the same in every cluster.
pub fn digest(version: u64) -> String {
    format!("v1:{version:064x}")
}

fn content(version: u64) -> Content {
    Content {
        digest: digest(version),
        delivery_digest: format!("v1:{:064x}", u64::MAX),
        revision: format!("revision-{version}"),
        images: vec![format!("registry.example.com/bench:{version}")],
        generation: i64::try_from(version).unwrap_or(i64::MAX),
    }
}

fn newer(one: Option<&Fence>, other: Option<&Fence>) -> bool {
    let order = |fence: Option<&Fence>| fence.map(|fence| (fence.incarnation, fence.version));
    order(one) > order(other)
}

impl Rollout {
    /// It serves its first version.
    pub fn new(name: &str, cluster: &str) -> Self {
        Self {
            name: name.to_owned(),
            uid: format!("{cluster}-{name}"),
            wanted: 1,
            served: 1,
            healthy: vec![1],
            permit: None,
            outcome: None,
        }
    }

    fn at(&self) -> Option<RolloutRef> {
        Some(RolloutRef {
            namespace: NAMESPACE.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
        })
    }

    /// The version that a digest is of, if a permit may name it here.
    fn version(&self, of: &str) -> Option<u64> {
        let known = self.healthy.iter().copied().chain([self.wanted]);
        known.into_iter().find(|version| digest(*version) == of)
    }

    /// The version that a permit under way is for.
    pub fn moving_to(&self) -> Option<u64> {
        self.version(&self.under_way()?.digest)
    }

    /// The version that is served.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Whether a permit is being carried out.
    fn under_way(&self) -> Option<&Permit> {
        let permit = self.permit.as_ref()?;
        let ended = self
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.fence.as_ref());
        newer(permit.fence.as_ref(), ended).then_some(permit)
    }

    fn effect(&self) -> Option<PermitEffect> {
        let permit = self.permit.as_ref()?;
        Some(PermitEffect {
            rollout: self.at(),
            fence: permit.fence,
            release: permit.release.clone(),
            digest: permit.digest.clone(),
            generation: i64::try_from(self.wanted).unwrap_or(i64::MAX),
            at: None,
        })
    }

    /// Everything that its agent knows of it.
    pub fn state(&self) -> RolloutState {
        let held = self.wanted != self.served;
        let moving = self.under_way().is_some();
        let healthy: Vec<String> = self.healthy.iter().copied().map(digest).collect();
        let mut kept = healthy.clone();
        if held {
            kept.push(digest(self.wanted));
        }
        let phase = match (moving, held) {
            (true, _) => "Progressing",
            (false, true) => "Paused",
            (false, false) => "Healthy",
        };
        RolloutState {
            rollout: self.at(),
            spec: Some(content(self.wanted)),
            served_digest: digest(self.served),
            served_delivery_digest: content(self.served).delivery_digest,
            held_digest: if held && !moving {
                digest(self.wanted)
            } else {
                String::new()
            },
            healthy,
            kept,
            phase: phase.to_owned(),
            step: if moving { 1 } else { STEPS },
            steps: STEPS,
            outcome: self.outcome.clone(),
            permit_fence: self.permit.as_ref().and_then(|permit| permit.fence),
            effect: self.effect(),
            lease_live: moving,
            ..RolloutState::default()
        }
    }

    /// Git wants another version; nothing if it did already.
    pub fn want(&mut self, version: u64) -> Vec<Body> {
        if version <= self.wanted {
            return Vec::new();
        }
        let was = content(self.wanted);
        self.wanted = version;
        let changed = ContentChanged {
            rollout: self.at(),
            was: Some(was),
            now: Some(content(version)),
        };
        vec![Body::Changed(changed), Body::State(self.state())]
    }

    /// A permit of a set; nothing if it is not news or for content that is not here.
    pub fn permit(&mut self, permit: &Permit) -> Vec<Body> {
        let held = self
            .permit
            .as_ref()
            .and_then(|permit| permit.fence.as_ref());
        if !newer(permit.fence.as_ref(), held) || self.version(&permit.digest).is_none() {
            return Vec::new();
        }
        self.permit = Some(permit.clone());
        let effect = self.effect().map(Body::Effect);
        effect
            .into_iter()
            .chain([Body::State(self.state())])
            .collect()
    }

    /// The permitted version is served by everything; nothing if no permit is under way.
    pub fn serve(&mut self) -> Vec<Body> {
        let Some(version) = self.moving_to() else {
            return Vec::new();
        };
        self.served = version;
        self.healthy.retain(|known| *known != version);
        self.healthy.push(version);
        if self.healthy.len() > KEPT {
            self.healthy.remove(0);
        }
        self.end(Ended::Served, "")
    }

    /// The permitted version came to nothing; what was served is. Nothing if no permit is under way.
    pub fn fail(&mut self) -> Vec<Body> {
        self.end(Ended::Failed, "the canary was aborted: its analysis failed")
    }

    /// How the newest permit ended.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    fn end(&mut self, result: Ended, message: &str) -> Vec<Body> {
        let Some(permit) = self.under_way().cloned() else {
            return Vec::new();
        };
        let outcome = Outcome {
            rollout: self.at(),
            fence: permit.fence,
            release: permit.release,
            digest: permit.digest,
            result: result.into(),
            message: message.to_owned(),
            generation: i64::try_from(self.wanted).unwrap_or(i64::MAX),
            at: None,
        };
        self.outcome = Some(outcome.clone());
        vec![Body::Outcome(outcome), Body::State(self.state())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(version: u64, of: u64) -> Permit {
        Permit {
            release: "a#1".into(),
            digest: digest(of),
            fence: Some(Fence {
                incarnation: 1,
                version,
            }),
            ..Permit::default()
        }
    }

    #[test]
    fn it_moves_only_by_a_permit_for_what_is_wanted() {
        let mut rollout = Rollout::new("app", "c1");
        assert!(rollout.want(1).is_empty(), "it serves that");
        assert!(rollout.serve().is_empty(), "nobody has permitted anything");
        assert_eq!(rollout.want(2).len(), 2);
        assert_eq!(rollout.state().held_digest, digest(2));
        assert!(rollout.permit(&permit(5, 3)).is_empty(), "other content");
        assert_eq!(rollout.permit(&permit(5, 2)).len(), 2);
        assert!(rollout.permit(&permit(5, 2)).is_empty(), "the same again");
        assert_eq!(rollout.state().phase, "Progressing");
        assert_eq!(rollout.serve().len(), 2);
        assert!(rollout.serve().is_empty(), "once");
        let state = rollout.state();
        assert_eq!(
            (state.served_digest, state.held_digest),
            (digest(2), String::new())
        );
        assert_eq!(
            state.outcome.map(|outcome| outcome.result),
            Some(Ended::Served.into())
        );
    }
    #[test]
    fn it_fails_and_goes_back_only_to_what_it_served() {
        let mut rollout = Rollout::new("app", "c1");
        rollout.want(2);
        rollout.permit(&permit(5, 2));
        assert_eq!(rollout.fail().len(), 2);
        assert_eq!(rollout.served(), 1);
        assert!(rollout.fail().is_empty(), "once");
        rollout.permit(&permit(6, 2));
        rollout.serve();
        assert!(rollout.permit(&permit(7, 9)).is_empty(), "never here");
        assert_eq!(rollout.permit(&permit(8, 1)).len(), 2, "a rollback");
        rollout.serve();
        assert_eq!(rollout.served(), 1);
        assert_eq!(rollout.state().held_digest, digest(2), "Git wants it still");
    }
}
