//! One controller of Rollouts at a time, by the Lease that other controllers of Rollouts use too.
//!
//! In: the Lease. Out: the moment from which this process leads; then it ends when it leads no more. It must not lead on
//! a guess: who could not renew in time stops, by its own monotonic clock, before another may begin.

use std::time::{Duration, Instant};

use agent_api::ObjectMeta;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::lead::Lead;

/// Which Lease, and the times of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// How long it is good for without renewal.
    pub length: Duration,
    /// Who has not renewed for so long stops: before the Lease's length.
    pub renew_within: Duration,
    /// Between tries.
    pub retry: Duration,
}

/// Why the Lease could not be had.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot {verb} Lease {lease}: {source}")]
    Api {
        verb: &'static str,
        lease: String,
        source: Box<kube::Error>,
    },
    #[error("Lease {lease} is held by {holder}")]
    Held { lease: String, holder: String },
}

/// What a look at the Lease leads to.
#[derive(Debug, PartialEq)]
enum Step {
    /// Nobody has it, it has run out, or it is ours: write this.
    Take(Box<LeaseSpec>),
    /// Somebody has it.
    Wait(String),
}

/// What was last seen of another holder, with our own clock: theirs may be wrong.
#[derive(Debug, Default)]
struct Watched {
    record: Option<LeaseSpec>,
    since: Option<Instant>,
}

/// The election.
pub struct Leader {
    api: Api<Lease>,
    election: Election,
    me: String,
    watched: Watched,
    lead: Lead,
}

impl Leader {
    /// A candidate.
    #[must_use]
    pub fn new(client: Client, election: Election, lead: Lead) -> Self {
        let me = format!("groundswell-agent_{:016x}", rand::random::<u64>());
        Self {
            api: Api::namespaced(client, &election.namespace),
            election,
            me,
            watched: Watched::default(),
            lead,
        }
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        loop {
            let began = Instant::now();
            match self.try_once().await {
                Ok(()) => {
                    self.lead.renewed(began);
                    return tracing::info!(me = self.me, "leading");
                }
                Err(error @ Error::Held { .. }) => tracing::info!("waiting to lead: {error}"),
                Err(error @ Error::Api { .. }) => tracing::warn!("waiting to lead: {error}"),
            }
            tokio::time::sleep(self.election.retry).await;
        }
    }

    /// Renews for as long as it can; returns when this process leads no more.
    pub async fn keep(mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < self.election.renew_within {
            tokio::time::sleep(self.election.retry).await;
            let began = Instant::now();
            let left = self.election.renew_within.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.try_once()).await {
                Ok(Ok(())) => {
                    renewed = began;
                    self.lead.renewed(began);
                }
                Ok(Err(error @ Error::Held { .. })) => {
                    tracing::error!("leading no more: {error}");
                    return;
                }
                Ok(Err(error @ Error::Api { .. })) => {
                    tracing::warn!("the lead is not renewed: {error}")
                }
                Err(_) => {}
            }
        }
        let lease = &self.election.lease;
        tracing::error!("leading no more: Lease {lease} could not be renewed");
    }

    async fn try_once(&mut self) -> Result<(), Error> {
        let lease = self.election.lease.clone();
        let failed = |verb| {
            let lease = lease.clone();
            move |source| Error::Api {
                verb,
                lease,
                source: Box::new(source),
            }
        };
        let found = self.api.get_opt(&lease).await.map_err(failed("read"))?;
        let before = found.as_ref().and_then(|lease| lease.spec.clone());
        match step(
            &self.me,
            self.election.length,
            before,
            &mut self.watched,
            Instant::now(),
            Timestamp::now(),
        ) {
            Step::Wait(holder) => Err(Error::Held { lease, holder }),
            Step::Take(spec) => {
                let parameters = PostParams::default();
                let mut object = found.clone().unwrap_or_else(|| named(&lease));
                object.spec = Some(*spec);
                // Bound to the version that was read: of two candidates one is told that it changed.
                let written = match found {
                    None => self.api.create(&parameters, &object).await,
                    Some(_) => self.api.replace(&lease, &parameters, &object).await,
                };
                written.map(|_| ()).map_err(failed("write"))
            }
        }
    }
}

fn named(name: &str) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: None,
    }
}

fn step(
    me: &str,
    own_length: Duration,
    before: Option<LeaseSpec>,
    watched: &mut Watched,
    mono: Instant,
    now: Timestamp,
) -> Step {
    let old = before.clone().unwrap_or_default();
    let holder = old
        .holder_identity
        .clone()
        .filter(|holder| !holder.is_empty());
    let ours = holder.as_deref() == Some(me);
    if let Some(holder) = holder.filter(|holder| holder != me) {
        if watched.record != before {
            watched.record = before;
            watched.since = Some(mono);
        }
        let length = old
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(own_length, Duration::from_secs);
        let silent = watched.since.map_or(Duration::ZERO, |since| {
            mono.saturating_duration_since(since)
        });
        if silent < length {
            return Step::Wait(holder);
        }
    }
    let changes = old.lease_transitions.unwrap_or(0);
    Step::Take(Box::new(LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(own_length.as_secs()).ok(),
        acquire_time: old
            .acquire_time
            .clone()
            .filter(|_| ours)
            .or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if ours {
            changes
        } else {
            changes.saturating_add(1)
        }),
        ..old
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(15);

    fn held_by(holder: &str, renewed: i64) -> Option<LeaseSpec> {
        Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        })
    }

    #[test]
    fn a_lease_is_taken_when_free_ours_or_silent() {
        let (mono, now) = (Instant::now(), Timestamp::from_second(1_000).unwrap());
        let mut watched = Watched::default();
        let taken = |step: Step| matches!(step, Step::Take(_));
        assert!(taken(step("a", LENGTH, None, &mut watched, mono, now)));
        assert!(taken(step(
            "a",
            LENGTH,
            held_by("", 0),
            &mut watched,
            mono,
            now
        )));
        assert!(taken(step(
            "a",
            LENGTH,
            held_by("a", 0),
            &mut watched,
            mono,
            now
        )));
        // A renewal time long ago by their clock says nothing; only silence by ours does.
        assert_eq!(
            step("a", LENGTH, held_by("b", 0), &mut watched, mono, now),
            Step::Wait("b".into())
        );
        let later = mono + Duration::from_secs(14);
        assert_eq!(
            step("a", LENGTH, held_by("b", 0), &mut watched, later, now),
            Step::Wait("b".into())
        );
        assert_eq!(
            step("a", LENGTH, held_by("b", 1), &mut watched, later, now),
            Step::Wait("b".into())
        );
        let still_later = later + Duration::from_secs(15);
        match step("a", LENGTH, held_by("b", 1), &mut watched, still_later, now) {
            Step::Take(spec) => assert_eq!(spec.lease_transitions, Some(4)),
            Step::Wait(holder) => panic!("{holder}"),
        }
    }
}
