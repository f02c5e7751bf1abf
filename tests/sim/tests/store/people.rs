//! What people say to both stores. In: chance. Out: the same rows in both. It must not know which words make sense.

use hub_engine::member::LetGo;
use hub_engine::release::{Shown, Stage};
use hub_engine::verb::{By, Stop, Verb};
use hub_store::approval::NewApproval;
use hub_store::request::NewRequest;
use hub_store::stop::NewStop;
use tests_sim::store;
use tests_sim::world::stamp;

use super::{Both, FLEETS, name};

impl Both {
    /// A stop of one FleetRollout or of all, or the end of the one that there is.
    pub(super) async fn stop(&mut self) -> String {
        let of = [None, Some(0), Some(1), Some(2)][self.random.below(4)];
        let row = self.model.stops.get(&of);
        let lift = row.is_some_and(|row| row.stop.is_some());
        let new = NewStop {
            fleet_rollout: of.map(name),
            lift,
            person: "eve".into(),
            reason: "alarm".to_owned(),
            key: String::new(),
        };
        self.real.stop(&new).await.unwrap();
        let now = self.now().await;
        let by = By {
            person: "eve".into(),
            reason: "alarm".to_owned(),
            at: stamp(now),
        };
        let all = of.is_none();
        let stop = (!lift).then_some(Stop { all, by });
        self.model.stop(of, stop, now);
        format!("stop {of:?} {}", !lift)
    }

    /// A word about a release.
    pub(super) async fn word(&mut self) -> String {
        let fleet = self.random.below(FLEETS.len());
        let number = self.model.fleets[fleet].newest_number();
        let verbs = [
            Verb::Pause,
            Verb::Resume,
            Verb::Abort { scope: None },
            Verb::Rollback,
        ];
        let verb = verbs[self.random.below(verbs.len())].clone();
        let start = number == 0 || self.random.percent(40);
        let (verb, release) = if start {
            (Verb::default(), None)
        } else {
            (verb, Some(number))
        };
        self.asks(fleet, verb, release).await
    }

    /// A person of one group or another approves the wave that waits, or any.
    pub(super) async fn approve(&mut self) -> String {
        // The first one asks for approvals; of the others every word is refused.
        let other = self.random.below(FLEETS.len());
        let fleet = if self.random.percent(70) { 0 } else { other };
        let number = self.model.fleets[fleet].newest_number();
        let release = self.model.fleets[fleet].release(number).cloned();
        let Some(release) = release else {
            return "nothing".to_owned();
        };
        let person = self.random.pick(&["ada", "bob", "eve"]);
        let group = self.random.pick(&["sre", "sre", "sre", "dev"]);
        let wave = self.random.pick(
            &release
                .waves
                .iter()
                .map(|wave| wave.number)
                .collect::<Vec<_>>(),
        );
        let wave = self.random.percent(50).then_some(wave);
        let named = release.waves.iter().find(|one| Some(one.number) == wave);
        let shown = self.random.percent(80).then(|| {
            let of = named.or(release.waves.first());
            let mut shown = of.map(|wave| release.shown(wave)).unwrap_or(Shown {
                stage: Stage::Before,
                revision: None,
                images: Vec::new(),
            });
            match self.random.below(8) {
                0 => shown.stage = Stage::After,
                1 => shown.stage = Stage::Before,
                2 => shown.revision = None,
                3 => shown.images.clear(),
                _ => {}
            }
            shown
        });
        let new = NewApproval {
            release: release.id.clone(),
            wave: named.map(|one| one.name.clone()),
            plan_digest: release.plan_digest.clone(),
            person: person.into(),
            groups: vec![group.to_owned()],
            comment: String::new(),
            shown: shown.clone(),
        };
        let real = match self.real.approval_add(&new).await {
            Ok(_) => true,
            Err(hub_store::Error::Refused { .. } | hub_store::Error::NotFound { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        let at = self.now().await;
        let by = store::By {
            person,
            group,
            at,
            shown,
        };
        let model = self.model.approve(fleet, number, wave, by);
        assert_eq!(real, model, "{new:?}");
        format!(
            "approve {wave:?} of {} by {person} of {group}: {real}",
            release.id
        )
    }

    /// A word about who governs: in one cluster, or everywhere.
    pub(super) async fn governance(&mut self, cluster: &'static str) -> String {
        let fleet = self.random.below(FLEETS.len());
        let cluster = self.random.percent(80).then(|| cluster.into());
        let mode = self.random.pick(&[LetGo::KeepServing, LetGo::ReleaseHeld]);
        let verb = match self.random.percent(60) {
            true => Verb::Ungovern { cluster, mode },
            false => Verb::Govern { cluster },
        };
        format!("governance {}", self.asks(fleet, verb, None).await)
    }

    async fn asks(&mut self, fleet: usize, verb: Verb, release: Option<u64>) -> String {
        let new = NewRequest {
            fleet_rollout: name(fleet),
            release,
            verb: verb.clone(),
            person: "eve".into(),
            reason: "because".to_owned(),
            key: String::new(),
        };
        self.real.request_add(&new).await.unwrap();
        self.model.request(fleet, verb, release);
        format!("word {fleet} {:?}", new.verb)
    }
}
