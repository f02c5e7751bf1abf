//! Windows of several documents beside each other. In: FleetRollouts, FleetWindows, clusters with their labels. Out: those
//! that are never open together, so that nothing could ever start. It must not count freezes: they end by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::rule::AHEAD;
use super::{FleetWindow, LOOK_FROM, Part, Windows};
use crate::document::FleetRollout;
use crate::name::{ClusterName, FleetRolloutName};
use crate::overlap::Labels;

/// Changes that are followed until all of them are open: enough for years of working days and weekends, or for a year of days
/// and nights.
const LOOKS_MAX: usize = 2_000;
/// What has not come by then comes too rarely to be meant. Where changes are so many that less was looked at, nothing is said.
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 366);

/// Documents that are never open together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Never {
    /// Of which nothing could ever start.
    pub fleet_rollout: FleetRolloutName,
    /// Whether its own windows are among them.
    pub own: bool,
    /// The FleetWindows among them, as few as there can be.
    pub fleet_windows: Vec<String>,
    /// Where; none: wherever it could be.
    pub cluster: Option<ClusterName>,
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.fleet_rollout;
        let own = self.own.then(|| format!("FleetRollout {name}"));
        let others = self.fleet_windows.iter();
        let others = others.map(|window| format!("FleetWindow {window}"));
        let all: Vec<String> = own.into_iter().chain(others).collect();
        write!(f, "{} are never open together, so ", all.join(" and "))?;
        match &self.cluster {
            Some(cluster) => write!(f, "nothing of {name} could ever start in {cluster}")?,
            None => write!(f, "nothing of {name} could ever start")?,
        }
        f.write_str(
            "; let their windows meet, or write freezes with from and to for a time that ends",
        )
    }
}

/// What each of these FleetRollouts meets, in the clusters that there are and in whatever cluster it may select.
#[must_use]
pub fn never_open(
    fleet_rollouts: &[&FleetRollout],
    windows: &[FleetWindow],
    clusters: &Labels,
) -> Vec<Never> {
    let closing = |window: &&FleetWindow| !window.calendar.windows.is_empty();
    let windows: Vec<&FleetWindow> = windows.iter().filter(closing).collect();
    let mut all = Vec::new();
    if windows.is_empty() {
        // Each document by itself was looked at when it was read.
        return all;
    }
    let alike = alike(&windows, clusters);
    for fleet_rollout in fleet_rollouts {
        let wide = &fleet_rollout.clusters;
        let everywhere = places(&windows, |window| window.clusters.covers(wide));
        let selected = alike.iter().filter(|(labels, _)| wide.selects(labels));
        let known = selected.map(|(_, (name, own))| (Some(*name), own));
        let mut looked: BTreeSet<&Vec<usize>> = BTreeSet::new();
        for (cluster, own) in std::iter::once((None, &everywhere)).chain(known) {
            if !looked.insert(own) {
                continue;
            }
            let own = own.iter().filter_map(|place| windows.get(*place).copied());
            let Some(mut never) = closed(fleet_rollout, own) else {
                continue;
            };
            never.cluster = cluster.cloned();
            let same = |other: &Never| {
                other.fleet_rollout == never.fleet_rollout
                    && other.own == never.own
                    && other.fleet_windows == never.fleet_windows
            };
            if !all.iter().any(same) {
                all.push(never);
            }
        }
    }
    all
}

/// One cluster of each kind of labels, and the FleetWindows that select it.
fn alike<'a>(
    windows: &[&FleetWindow],
    clusters: &'a Labels,
) -> BTreeMap<&'a BTreeMap<String, String>, (&'a ClusterName, Vec<usize>)> {
    let mut all = BTreeMap::new();
    for (name, labels) in clusters {
        all.entry(labels)
            .or_insert_with(|| (name, places(windows, |one| one.clusters.selects(labels))));
    }
    all
}

fn places(windows: &[&FleetWindow], is_one: impl Fn(&FleetWindow) -> bool) -> Vec<usize> {
    let own = windows.iter().enumerate().filter(|(_, one)| is_one(one));
    own.map(|(place, _)| place).collect()
}

/// The first two of them that are never open together, else all of them.
fn closed<'a>(
    fleet_rollout: &'a FleetRollout,
    windows: impl Iterator<Item = &'a FleetWindow>,
) -> Option<Never> {
    let part = |windows| Part {
        name: String::new(),
        windows,
        freezes: &[],
    };
    let own = (!fleet_rollout.calendar.windows.is_empty())
        .then(|| (None, part(fleet_rollout.calendar.windows.as_slice())));
    let others = windows.map(|one| (Some(&one.name), part(one.calendar.windows.as_slice())));
    let all: Vec<(Option<&String>, Part<'a>)> = own.into_iter().chain(others).collect();
    let may = |some: &[&(Option<&String>, Part<'a>)]| {
        let documents = some.iter().map(|(_, part)| part.clone()).collect();
        may_open(&Windows { documents })
    };
    let whole: Vec<_> = all.iter().collect();
    if whole.len() < 2 || may(&whole) {
        return None;
    }
    let mut found = whole.clone();
    for (place, one) in (1..).zip(&whole) {
        let rest = whole.get(place..).unwrap_or_default();
        if let Some(other) = rest.iter().find(|other| !may(&[one, other])) {
            found = vec![one, other];
            break;
        }
    }
    Some(Never {
        fleet_rollout: fleet_rollout.name.clone(),
        own: found.iter().any(|(name, _)| name.is_none()),
        fleet_windows: found.iter().filter_map(|(name, _)| name.cloned()).collect(),
        cluster: None,
    })
}

/// Whether there is a moment at which all of them are open, or that cannot be said.
fn may_open(windows: &Windows<'_>) -> bool {
    let after = |time| LOOK_FROM.checked_add(time).unwrap_or(Timestamp::MAX);
    let (horizon, year) = (after(AHEAD), after(YEAR));
    let mut at = LOOK_FROM;
    for _ in 0..LOOKS_MAX {
        match windows.blocked(at) {
            None => return true,
            Some((later, _)) if later >= horizon => return false,
            Some((later, _)) if later > at => at = later,
            Some(_) => return true,
        }
    }
    at < year
}
