//! What is declared when a life begins: clusters with labels, and FleetRollouts over them. In: random numbers. Out: documents as
//! `apply` takes them beside each other (gate.md G12). It must not decide what happens later.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_engine::ClusterName;
use hub_engine::amount::Seconds;
use hub_engine::document::{
    Enforcement, Expression, FleetRollout, OnHubLoss, Operator, RollbackPhase, Selector,
};
use hub_engine::name::RolloutName;
use hub_engine::observed::Cluster;
use hub_engine::overlap::{Labels, problems, rivals};
use hub_engine::window::{Calendar, Effect};
use tests_golden::agent_fixture;
use tests_golden::hub_random::{LABEL, Random, fleet_rollout, window};

use super::{Config, empty};
use crate::planted::{Bugs, Planted};
use crate::world::late;
use crate::world::observe::one_observes;

/// In so many lives of a hundred the last cluster joins when others are under way.
const LATE: usize = 40;
/// So many clusters there are in most lives, and up to so many in so many of a hundred.
const FEW: usize = 3;
const MANY: usize = 20;
const LARGE: usize = 4;
/// So many of a hundred FleetRollouts begin something in every second minute only.
const WINDOWED: usize = 15;
/// What is opened, how often that is and for how long, in seconds.
pub(crate) type Opening = (&'static str, i64, u32);
/// The window of these.
const USUAL: Opening = ("*/2 * * * *", 120, 60);
/// The one of lives in which permits come late: it closes soon after whatever is permitted in it.
const BRIEF: Opening = ("* * * * *", 60, 20);
/// How long an approval counts, where it does not count for good: as long as a person needs for the next word, or longer.
const EXPIRES: [Seconds; 2] = [Seconds(40), Seconds(120)];
/// How long a wave bakes that a person hastens.
const HASTENED: [Seconds; 2] = [Seconds(2), Seconds(60)];
/// In so many lives of a hundred there is one FleetRollout, in so many there are two; else three.
const ONE: usize = 30;
const TWO: usize = 45;
/// So many of a hundred FleetRollouts beside the first select some clusters only, and each of these so often.
const CHOOSY: usize = 60;
const CHOSEN: usize = 70;
/// In so many lives of a hundred another FleetRollout names the first one's Rollout, in the cluster that joins later.
const RIVAL: usize = 50;
/// Names of FleetRollouts beside the first, and of their Rollouts.
const NAMES: [&str; 2] = ["search", "basket"];
/// The one that names the first one's Rollout.
const RIVAL_NAME: &str = "rival";
/// So many of a hundred FleetRollouts come after another one of their life.
const COMES_AFTER: usize = 50;

/// What there is.
pub(super) struct Declared {
    /// Every document that was not refused.
    pub(super) documents: Vec<FleetRollout>,
    /// Those that were, and should not have been taken.
    pub(super) refused: Vec<FleetRollout>,
    /// Clusters that have joined.
    pub(super) clusters: Vec<Cluster>,
    /// The last one, where it joins later.
    pub(super) joiner: Option<Cluster>,
    /// Of every cluster.
    pub(super) names: Vec<ClusterName>,
    pub(super) labels: Labels,
    /// Names that the documents name, each once.
    pub(super) rollouts: Vec<RolloutName>,
    /// When those that have windows begin something.
    pub(super) opening: Opening,
}

impl Declared {
    /// The first FleetRollout and the clusters come from the life's own numbers, all others from numbers beside them.
    pub(super) fn new(config: Config, bugs: Bugs, random: &mut Random) -> Self {
        let opening = opening(config);
        let first = quick(fleet_rollout(random), random);
        let waves = first.waves.len() + 1;
        let count = config.agents.unwrap_or_else(|| size(random));
        let mut clusters: Vec<Cluster> = (0..count)
            .map(|at| {
                let wave = random.below(waves).to_string();
                let cluster = empty(&format!("c{at}").into());
                let labels = Arc::new([(LABEL.to_owned(), wave)].into());
                Cluster { labels, ..cluster }
            })
            .collect();
        let late = random.aside(7).percent(LATE);
        let mut aside = random.aside(11);
        let others = config.fleets.map_or_else(
            || match aside.below(100) {
                chance if chance < ONE => 0,
                chance if chance < ONE + TWO => 1,
                _ => 2,
            },
            |count| count.clamp(1, NAMES.len() + 1) - 1,
        );
        let mut wanted = vec![first];
        for name in &NAMES[..others] {
            wanted.push(another(name, name, &mut aside, &mut clusters));
        }
        if late && others > 0 && aside.percent(RIVAL) {
            if let Some(last) = clusters.last_mut() {
                Arc::make_mut(&mut last.labels).insert(RIVAL_NAME.to_owned(), "yes".to_owned());
            }
            rivalled(&mut wanted, &mut aside);
        }
        in_order(&mut wanted, &mut random.aside(41));
        opened(&mut wanted, opening);
        one_observes(&mut wanted, config);
        if others > 0 {
            // It selects what the first one does: nobody can have both.
            let double = wanted.first().cloned().map(|first| FleetRollout {
                name: "double".into(),
                ..first
            });
            wanted.extend(double);
        }
        let names = clusters.iter().map(|own| own.name.clone()).collect();
        let all = clusters
            .iter()
            .map(|own| (own.name.clone(), own.labels.as_ref().clone()));
        let labels: Labels = all.collect();
        let joiner = if late { clusters.pop() } else { None };
        let mut known = labels.clone();
        if let Some(joiner) = &joiner {
            known.remove(&joiner.name);
        }
        let (documents, refused) = applied(wanted, &known, bugs);
        let mut rollouts: Vec<RolloutName> = Vec::new();
        for document in &documents {
            if !rollouts.contains(&document.rollout) {
                rollouts.push(document.rollout.clone());
            }
        }
        Self {
            documents,
            refused,
            clusters,
            joiner,
            names,
            labels,
            rollouts,
            opening,
        }
    }
}

/// The windows of a life.
fn opening(config: Config) -> Opening {
    if late::come_late(config) {
        BRIEF
    } else {
        USUAL
    }
}

/// Whoever has windows has these; where they are brief everyone has.
fn opened(wanted: &mut [FleetRollout], opening: Opening) {
    let (cron, _, seconds) = opening;
    for document in wanted {
        if opening == BRIEF || !document.calendar.windows.is_empty() {
            document.calendar.windows = vec![window(Effect::Allow, cron, seconds)];
        }
    }
}

/// One more names the first one's Rollout.
fn rivalled(wanted: &mut Vec<FleetRollout>, aside: &mut Random) {
    let mut rival = another(RIVAL_NAME, agent_fixture::NAME, aside, &mut []);
    rival.clusters = only(RIVAL_NAME);
    // Every cluster has that label, but nothing says that the two have to meet.
    if let Some(first) = wanted.first_mut() {
        first.clusters = having(LABEL);
    }
    wanted.push(rival);
}

/// Mostly few; what makes them many is drawn aside.
fn size(random: &mut Random) -> usize {
    let few = FEW + random.below(FEW);
    let mut aside = random.aside(19);
    if aside.percent(LARGE) {
        FEW + aside.below(MANY - FEW + 1)
    } else {
        few
    }
}

/// Some come after others: all after earlier ones or all after later ones, so that there is no circle.
fn in_order(wanted: &mut [FleetRollout], random: &mut Random) {
    let names: Vec<_> = wanted.iter().map(|one| one.name.clone()).collect();
    let backwards = random.percent(50);
    let turned = |at: usize| if backwards { names.len() - 1 - at } else { at };
    for at in 1..names.len() {
        let other = turned(random.below(at));
        if random.percent(COMES_AFTER) {
            wanted[turned(at)].after.push(names[other].clone());
        }
    }
}

/// Each beside those before it.
fn applied(
    wanted: Vec<FleetRollout>,
    known: &Labels,
    bugs: Bugs,
) -> (Vec<FleetRollout>, Vec<FleetRollout>) {
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for document in wanted {
        let sound = problems(&document, &taken, known).is_empty()
            && rivals(&document, &taken, known).is_empty()
            || bugs.has(Planted::DoubleTaken);
        let into = if sound { &mut taken } else { &mut refused };
        into.push(document);
    }
    (taken, refused)
}

/// One beside the first: over all clusters or over some, which get a label.
fn another(
    name: &str,
    rollout: &str,
    random: &mut Random,
    clusters: &mut [Cluster],
) -> FleetRollout {
    let mut document = quick(fleet_rollout(random), random);
    document.name = name.into();
    document.rollout.name = rollout.to_owned();
    if random.percent(CHOOSY) {
        document.clusters = only(name);
    }
    for cluster in clusters {
        let chosen = if random.percent(CHOSEN) { "yes" } else { "no" };
        Arc::make_mut(&mut cluster.labels).insert(name.to_owned(), chosen.to_owned());
    }
    document
}

fn only(label: &str) -> Selector {
    Selector {
        match_labels: BTreeMap::from([(label.to_owned(), "yes".to_owned())]),
        match_expressions: Vec::new(),
    }
}

fn having(label: &str) -> Selector {
    let exists = Expression {
        key: label.to_owned(),
        operator: Operator::Exists,
        values: Vec::new(),
    };
    Selector {
        match_labels: BTreeMap::new(),
        match_expressions: vec![exists],
    }
}

/// The policies of the random document with times that fit into a life.
fn quick(mut document: FleetRollout, random: &mut Random) -> FleetRollout {
    document.rollout = RolloutName {
        namespace: "shop".into(),
        name: agent_fixture::NAME.into(),
    };
    let mut aside = random.aside(23);
    for wave in &mut document.waves {
        wave.bake = random.pick(&[Seconds(0), Seconds(5), Seconds(20)]);
        for spec in wave.approval.iter_mut().chain(&mut wave.approval_after) {
            let short = aside.pick(&EXPIRES);
            spec.expires = spec.expires.map(|_| short);
        }
    }
    // A life is minutes long, and what it comes after is a part of its world.
    let windowed = aside.percent(WINDOWED);
    let (cron, _, seconds) = USUAL;
    document.calendar = Calendar {
        on_close: document.calendar.on_close,
        rollback_waits: windowed && document.calendar.rollback_waits,
        windows: windowed
            .then(|| window(Effect::Allow, cron, seconds))
            .into_iter()
            .collect(),
        ..Calendar::default()
    };
    document.rollback_phase = random
        .aside(211)
        .pick(&[RollbackPhase::Degraded, RollbackPhase::Paused]);
    // A life has no time to wait for what is hastened.
    if let Some(policy) = &mut document.expedite {
        policy.bake = random.aside(201).pick(&HASTENED);
    }
    // What only observes permits nothing: few lives have that.
    document.enforcement = Enforcement::Enforce;
    document.progress_deadline = random.pick(&[Seconds(90), Seconds(240)]);
    document.membership.unreachable_after = random.pick(&[Seconds(25), Seconds(60)]);
    document.on_hub_loss = random.pick(&[
        OnHubLoss::Finish,
        OnHubLoss::Hold,
        OnHubLoss::Abort { after: Seconds(10) },
    ]);
    document
}
