//! What agents say to both stores. In: chance. Out: the same answers of both. It must not know what a plan is.

use hub_engine::ClusterName;
use hub_engine::observed::{Outcome, OutcomeResult, Rollout};
use hub_store::heard::{Acknowledged, Clock, Seen};
use hub_store::older::Committed;
use hub_store::report::{Batch, Body, Report, Stored};
use hub_store::session::{Begun, Hello, Opened};
use tests_sim::event::Ms;
use tests_sim::store;
use tests_sim::world::millis;

use super::{Both, FLEETS, ROLLOUTS, content, first_state, rollout};

/// A session's number is when it opened.
fn opened_at(opened: &Opened) -> Option<Ms> {
    match opened {
        Opened::Session(begun) => {
            let at = i64::try_from(begun.session).unwrap();
            Some(millis(jiff::Timestamp::from_millisecond(at).unwrap()))
        }
        Opened::DuplicateIdentity
        | Opened::UnknownCluster
        | Opened::Revoked
        | Opened::Unproven { .. } => None,
    }
}

impl Both {
    pub(super) async fn hello(&mut self, name: &'static str) -> String {
        let now = self.now().await;
        let wrong = self.random.percent(10);
        let put_back = self.random.percent(40);
        let unsaid = self.random.percent(60);
        let agent = self.agents.get_mut(name).unwrap();
        // Its API server was put back from a copy: it has less than it said, or only not the end of a permit.
        if unsaid && !wrong && agent.states.iter().any(|own| own.outcome.is_some()) {
            *self.seen.entry("unsaid").or_default() += 1;
            agent.states.iter_mut().for_each(|own| own.outcome = None);
        }
        let lower = agent.fence.version.saturating_sub(1);
        if put_back && !wrong && agent.session > 0 && lower < agent.fence.version {
            agent.fence.version = lower;
            *self.seen.entry("regressed").or_default() += 1;
        }
        let uid = if wrong {
            "other".to_owned()
        } else {
            format!("uid-{name}")
        };
        // Each of its Rollouts, or all but some.
        let states = agent.states.clone().into_iter().enumerate();
        let states = states.filter(|_| self.random.percent(85));
        let brought: Vec<_> = states.map(|(part, state)| (rollout(part), state)).collect();
        let hello = Hello {
            cluster: name.into(),
            kube_system_uid: uid.clone(),
            agent_version: "1".into(),
            fence: agent.fence,
            proven: true,
            set_hash: String::new(),
            rollouts: brought.clone(),
            fingerprint: format!("of {name}"),
            audit_head: String::new(),
            handed: None,
            hub: "test".into(),
        };
        let real = self.real.session_open(&hello).await.unwrap();
        let opened = opened_at(&real).unwrap_or(now);
        assert!(opened >= now, "{opened} is before {now}");
        let now = opened;
        let model = self
            .model
            .session_open(&name.into(), &uid, agent.fence, brought, None, now);
        match (real, model.unwrap()) {
            (Opened::DuplicateIdentity, store::Opened::Duplicate) => {}
            (
                Opened::Session(Begun {
                    session,
                    desired,
                    regressed,
                    ..
                }),
                store::Opened::Session(number, wanted, behind),
            ) => {
                assert_eq!((session, desired, regressed), (number, wanted, behind));
                (agent.session, agent.sequence) = (session, 0);
                agent.committed = Committed {
                    reported: 0,
                    stored: agent.fence,
                    sent: desired,
                };
            }
            (real, model) => panic!("{real:?} and {model:?}"),
        }
        format!("hello of {name} as {uid}")
    }

    /// What a session has seen committed: now and then more than there is, as after a restore from a copy.
    fn committed(&mut self, name: &'static str) -> Committed {
        let mut committed = self.agents[name].committed;
        match self.random.below(16) {
            0 => committed.reported += 1,
            1 => committed.stored.version += 1,
            _ => return committed,
        }
        *self.seen.entry("older").or_default() += 1;
        committed
    }

    pub(super) async fn ack(&mut self, name: &'static str) -> String {
        let now = self.now().await;
        let committed = self.committed(name);
        let agent = self.agents.get_mut(name).unwrap();
        let desired = self.model.desired_fence(&name.into()).unwrap();
        if self.random.percent(70) {
            agent.fence = desired;
        }
        let session = agent.session - u64::from(agent.session > 0 && self.random.percent(15));
        let (cluster, fence) = (ClusterName::from(name), agent.fence);
        let said = Acknowledged {
            cluster: cluster.clone(),
            session,
            committed,
            fence,
            set_hash: String::new(),
            problems: Vec::new(),
        };
        let real = self.real.sessions_acknowledged(&[said]).await.unwrap()[0];
        let said = (session, &committed);
        let model = self.model.session_ack(&cluster, said, fence, now).unwrap();
        assert_eq!(real.current().unwrap(), model);
        if model {
            agent.committed.stored = fence;
        }
        format!("ack of {name} at {fence} in {session} after {committed:?}")
    }

    pub(super) async fn beat(&mut self, name: &'static str) -> String {
        let committed = self.committed(name);
        self.seen_by(name, committed).await;
        format!("beat of {name} after {committed:?}")
    }

    pub(super) async fn seen_by(&mut self, name: &'static str, committed: Committed) {
        let now = self.now().await;
        let session = self.agents[name].session;
        let cluster = ClusterName::from(name);
        let said = Seen {
            cluster: cluster.clone(),
            session,
            committed,
            clock: Clock::default(),
        };
        let real = self.real.sessions_seen(&[said]).await.unwrap()[0].heard;
        let said = (session, &committed);
        let model = self.model.session_seen(&cluster, said, now).unwrap();
        assert_eq!(real.current().unwrap(), model);
    }

    /// A session has sent a set that is not there, in a session that is there or was opened since the copy: nothing is decided
    /// any more.
    pub(super) async fn lost(&mut self, name: &'static str, since: bool) {
        self.agents.get_mut(name).unwrap().session += u64::from(since);
        let mut committed = self.agents[name].committed;
        committed.sent = self.model.desired_fence(&name.into()).unwrap();
        committed.sent.version += 1;
        self.seen_by(name, committed).await;
        let why = self.real.held().await.unwrap();
        assert!(
            why.is_some_and(|why| why.starts_with(&format!("{name} was sent "))),
            "L5"
        );
        assert!(self.model.recovery.held);
    }

    pub(super) async fn close(&mut self, name: &'static str) -> String {
        let agent = &self.agents[name];
        let session = agent.session - u64::from(agent.session > 0 && self.random.percent(40));
        let cluster = ClusterName::from(name);
        self.real.session_close(&cluster, session).await.unwrap();
        self.model.session_close(&cluster, session).unwrap();
        format!("close of {name} in {session}")
    }

    async fn report(&mut self, name: &'static str, session: u64, reports: Vec<Report>) {
        let now = self.now().await;
        let cluster = ClusterName::from(name);
        let committed = self.committed(name);
        let batch = Batch {
            cluster: cluster.clone(),
            session,
            committed,
            reports: reports.clone(),
        };
        let real = self.real.reports_store(&[batch]).await.unwrap();
        let said = (session, &committed);
        let model = self
            .model
            .report_store(&cluster, said, &reports, now, true)
            .unwrap();
        let wanted = model.map_or(Stored::SessionOver, Stored::UpTo);
        let real: Vec<Stored> = real.iter().map(|one| one.stored).collect();
        assert_eq!(real, [wanted]);
        if let Some(reported) = model {
            self.agents.get_mut(name).unwrap().committed.reported = reported;
        }
    }

    fn next(&mut self, name: &'static str, part: usize, body: Body) -> Report {
        let agent = self.agents.get_mut(name).unwrap();
        agent.sequence += 1;
        Report {
            sequence: agent.sequence,
            at: jiff::Timestamp::default(),
            traceparent: String::new(),
            rollout: rollout(part),
            body,
        }
    }

    /// New content, held, and said.
    pub(super) async fn change(&mut self, name: &'static str) -> String {
        if self.random.percent(40) {
            self.version += 1;
        }
        let (version, part) = (self.version, self.random.below(ROLLOUTS.len()));
        let agent = self.agents.get_mut(name).unwrap();
        let own = &mut agent.states[part];
        let was = own.spec.clone();
        let generation = was.as_ref().map_or(1, |was| was.generation) + 1;
        let now = content(version, generation);
        own.held = Some(now.digest.clone());
        if !own.kept.contains(&now.digest) {
            own.kept.push(now.digest.clone());
        }
        own.spec = Some(now.clone());
        let (state, session) = (own.clone(), agent.session);
        let reports = vec![
            self.next(name, part, Body::State(state)),
            self.next(name, part, Body::Changed { was, now }),
        ];
        self.report(name, session, reports).await;
        format!("report of {name}/{part}: now {version}")
    }

    /// Old numbers, an old session, or a removal.
    pub(super) async fn again(&mut self, name: &'static str) -> String {
        let part = self.random.below(ROLLOUTS.len());
        let agent = &self.agents[name];
        let (session, state) = (agent.session, agent.states[part].clone());
        let old = session - u64::from(session > 0 && self.random.percent(40));
        let body = if self.random.percent(15) {
            Body::Removed
        } else {
            Body::State(Rollout {
                message: format!("said again {}", self.random.below(3)),
                ..state
            })
        };
        let mut report = self.next(name, part, body);
        report.sequence = report.sequence.saturating_sub(2).max(1);
        self.report(name, old, vec![report]).await;
        format!("again {name}/{part} in {old}")
    }

    /// A Rollout is deleted and made again, another object of the same name: the end of the former one's permit stays known.
    pub(super) async fn made_again(&mut self, name: &'static str) -> String {
        let part = self.random.below(ROLLOUTS.len());
        let first = content(self.version, 1);
        self.made += 1;
        let uid = format!("u-{}-{}", ROLLOUTS[part], self.made);
        // Its agent says so at once, or with whatever it says next.
        let (removed, told) = (self.random.percent(50), self.random.percent(60));
        let (gate, untold) = (self.random.percent(60), self.random.percent(40));
        let agent = self.agents.get_mut(name).unwrap();
        let own = &mut agent.states[part];
        // What the former one's end was is sent late.
        let late = own.outcome.clone().map(|outcome| Body::Outcome {
            uid: own.uid.clone(),
            outcome,
        });
        let late = late.filter(|_| self.random.percent(40));
        // Its Gate, which is by name, has it still, or was deleted, too.
        let mut outcome = own.outcome.take().filter(|_| gate);
        if let Some(outcome) = outcome.as_mut().filter(|_| untold) {
            outcome.fence.version += 1;
        }
        *own = Rollout {
            uid,
            outcome,
            served: None,
            healthy: Vec::new(),
            held: Some(first.digest.clone()),
            kept: vec![first.digest.clone()],
            spec: Some(first),
            ..first_state(ROLLOUTS[part])
        };
        let (state, session) = (own.clone(), agent.session);
        let mut reports = Vec::new();
        if removed {
            reports.push(self.next(name, part, Body::Removed));
        }
        if told {
            reports.push(self.next(name, part, Body::State(state)));
        }
        let is_late = late.is_some();
        reports.extend(late.map(|late| self.next(name, part, late)));
        self.report(name, session, reports).await;
        format!("made again {name}/{part}: removed {removed}, told {told}, late {is_late}")
    }

    /// Its permit comes to its end.
    pub(super) async fn work(&mut self, name: &'static str) -> String {
        let cluster = ClusterName::from(name);
        let fleet = self.random.below(FLEETS.len());
        let part = FLEETS[fleet].1;
        let permit = self.model.fleets[fleet]
            .cluster(&cluster)
            .and_then(|own| own.gate.clone());
        let Some(permit) = permit.and_then(|gate| gate.permit.clone()) else {
            return "nothing".to_owned();
        };
        let failed = self.random.percent(25);
        let agent = self.agents.get_mut(name).unwrap();
        let own = &mut agent.states[part];
        if !failed {
            own.served = Some(permit.digest.clone());
            own.healthy.push(permit.digest.clone());
            own.held = None;
        }
        let outcome = Outcome {
            fence: permit.fence,
            release: permit.release.to_string(),
            digest: permit.digest,
            result: if failed {
                OutcomeResult::Failed
            } else {
                OutcomeResult::Served
            },
            message: String::new(),
            generation: 1,
        };
        own.outcome = Some(outcome.clone());
        let (state, session) = (own.clone(), agent.session);
        let uid = state.uid.clone();
        let reports = vec![
            self.next(name, part, Body::Outcome { uid, outcome }),
            self.next(name, part, Body::State(state)),
        ];
        self.report(name, session, reports).await;
        format!("report of {name}/{part}: it has ended, failed {failed}")
    }
}
