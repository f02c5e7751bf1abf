//! Random numbers and random FleetRollouts for the hub's properties. In: a seed. Out: always the same ones. It must not ask
//! anything but its seed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a model for tests: a panic in it is a failed test"
)]

use std::collections::BTreeMap;

use hub_engine::FleetRollout;
use hub_engine::amount::{Amount, Seconds};
use hub_engine::document::{
    ApprovalSpec, Enforcement, Expedite, ExpediteWindows, LateJoin, Left, Membership, Missing,
    OnFailure, OnHubLoss, Relabelled, Replaced, Restored, RollbackPhase, RollbackSteps, Selector,
    Supersede, Unchanged, Unreachable, WaveSpec,
};
use hub_engine::name::RolloutName;
use hub_engine::window::{Calendar, Effect, Freeze, OnWindowClose, Window, Zone};

/// SplitMix64: small, seedable, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(self.number() % end).unwrap_or(0)
    }

    /// A stream of its own, so that what is drawn from it moves nothing else.
    #[must_use]
    pub fn aside(&self, salt: u64) -> Self {
        let mut own = Self(self.0 ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self(own.number())
    }

    /// True so often in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The label by which waves select clusters here.
pub const LABEL: &str = "wave";

/// A FleetRollout whose waves select the label's values `0`, `1` …; the last one may take the rest.
pub fn fleet_rollout(random: &mut Random) -> FleetRollout {
    let observes = random.aside(1).percent(4);
    let steps = random.aside(6).pick(&[
        RollbackSteps::Skip,
        RollbackSteps::Skip,
        RollbackSteps::Backwards,
    ]);
    let count = 1 + random.below(3);
    let waves = (0..count)
        .map(|index| wave(random, index, index + 1 == count))
        .collect();
    FleetRollout {
        name: "checkout".into(),
        rollout: RolloutName {
            namespace: "shop".into(),
            name: "checkout".into(),
        },
        enforcement: if observes {
            Enforcement::Observe
        } else {
            Enforcement::Enforce
        },
        clusters: Selector::default(),
        waves,
        on_failure: random.pick(&[
            OnFailure::Halt,
            OnFailure::Rollback {
                max_concurrent: Amount::Percent(100),
                steps,
            },
            OnFailure::Rollback {
                max_concurrent: Amount::Count(1),
                steps,
            },
        ]),
        progress_deadline: random.pick(&[Seconds(1_800), Seconds(7_200)]),
        membership: Membership {
            missing: random.pick(&[Missing::Fail, Missing::Skip]),
            unchanged: random.pick(&[Unchanged::Wait, Unchanged::Wait, Unchanged::Skip]),
            unreachable_after: random.pick(&[Seconds(300), Seconds(900)]),
            unreachable: random.pick(&[
                Unreachable::CountAsFailed,
                Unreachable::Wait,
                Unreachable::Skip,
            ]),
            late_join: random.pick(&[LateJoin::CatchUp, LateJoin::CatchUp, LateJoin::NextRelease]),
            left: random.pick(&[Left::Skip, Left::Fail]),
            relabelled: random.pick(&[Relabelled::Keep, Relabelled::Skip, Relabelled::Fail]),
            replaced: random.pick(&[Replaced::Restart, Replaced::Skip, Replaced::Fail]),
            restored: random.pick(&[Restored::Wait, Restored::Fail]),
        },
        on_hub_loss: OnHubLoss::Finish,
        rollback_phase: RollbackPhase::Degraded,
        supersede: random.pick(&[Supersede::Finish, Supersede::Replace]),
        after: if random.percent(20) {
            vec!["payments".into()]
        } else {
            Vec::new()
        },
        max_failed: random
            .percent(25)
            .then(|| random.pick(&[Amount::Count(0), Amount::Count(1), Amount::Percent(50)])),
        calendar: calendar(random),
        expedite: random.percent(50).then_some(Expedite {
            bake: Seconds(60),
            windows: random
                .aside(2)
                .pick(&[ExpediteWindows::Wait, ExpediteWindows::Pass]),
        }),
    }
}

/// Sometimes windows that come every few hours, so that a story meets them.
fn calendar(random: &mut Random) -> Calendar {
    let mut calendar = Calendar {
        on_close: random
            .aside(3)
            .pick(&[OnWindowClose::Finish, OnWindowClose::HoldAtStep]),
        rollback_waits: random.percent(30),
        ..Calendar::default()
    };
    if random.percent(30) {
        calendar
            .windows
            .push(window(Effect::Allow, "10 * * * *", 1_500));
    }
    if random.percent(20) {
        calendar
            .windows
            .push(window(Effect::Deny, "40 */2 * * *", 1_800));
    }
    if random.percent(10) {
        let freeze = Freeze {
            from: moment("2026-01-01T02:00:00Z"),
            to: moment("2026-01-01T04:30:00Z"),
            reason: "a sale".to_owned(),
        };
        calendar.freezes.push(freeze);
    }
    calendar
}

/// A window by the clock of one zone.
#[must_use]
pub fn window(effect: Effect, cron: &str, seconds: u32) -> Window {
    Window {
        effect,
        cron: cron.parse().expect("cron"),
        duration: Seconds(seconds),
        timezone: Zone::utc(),
    }
}

fn moment(text: &str) -> jiff::Timestamp {
    text.parse().expect("a moment")
}

/// One that expires needs two persons, so that the first word can grow old.
fn approval(required: u32, expires: bool) -> ApprovalSpec {
    ApprovalSpec {
        required: if expires { 2 } else { required },
        groups: vec!["sre".to_owned()],
        exclude_author: true,
        expires: expires.then_some(Seconds(600)),
    }
}

fn wave(random: &mut Random, index: usize, last: bool) -> WaveSpec {
    let labels = BTreeMap::from([(LABEL.to_owned(), index.to_string())]);
    let selector = Selector {
        match_labels: labels,
        match_expressions: Vec::new(),
    };
    let rest = last && random.percent(50);
    let required = if random.percent(80) { 1 } else { 2 };
    WaveSpec {
        name: format!("wave-{index}"),
        clusters: (!rest).then_some(selector),
        names: Vec::new(),
        take: (!rest && random.percent(10)).then_some(Amount::Percent(50)),
        max_concurrent: random.pick(&[
            Amount::Count(1),
            Amount::Count(2),
            Amount::Percent(50),
            Amount::Percent(100),
        ]),
        bake: random.pick(&[Seconds(0), Seconds(60), Seconds(1_800)]),
        approval: random
            .percent(30)
            .then(|| approval(required, random.percent(60))),
        approval_after: random.percent(15).then(|| approval(1, false)),
        max_failed: random.pick(&[
            Amount::Count(0),
            Amount::Count(0),
            Amount::Count(1),
            Amount::Percent(50),
        ]),
    }
}
