//! What people read of it. In: an outcome. Out: tables of costs and of goals. A goal that is missed is said and is no
//! failure: machines differ, and others run beside it.

use crate::table::{table, words};

use super::{Outcome, Staged};

/// MiB of the hub under ten thousand agents.
const MEMORY_BELOW: f64 = 1024.0;
/// Seconds until a decision is at its agent, 99 of 100.
const DECISION_BELOW: f64 = 1.0;
/// Seconds until an agent holds its set again after the hub was killed, 9 of 10.
const RESYNC_BELOW: f64 = 30.0;
/// Seconds beyond the ideal of one release.
const ONE_OVER: f64 = 2.0;
/// Seconds beyond the ideal of many at once, 9 of 10.
const MANY_OVER: f64 = 10.0;

/// One line of releases.
pub fn staged_line(staged: &Staged) -> String {
    format!(
        "{} releases over {} clusters: beyond the ideal of {:.0} s p50 {:.2} s, p90 {:.2} s, most {:.2} s; hub {:.2} cores, {:.0} MiB",
        staged.releases,
        staged.clusters,
        staged.ideal,
        staged.over.p50,
        staged.over.p90,
        staged.over.most,
        staged.cost.cores(),
        staged.cost.peak
    )
}

/// What the hub costs.
pub fn costs(outcome: &Outcome) -> String {
    let mut table = table(
        words([
            "PHASE",
            "WALL s",
            "HUB CPU s",
            "CORES",
            "DATABASE CPU s",
            "PEAK MiB",
        ]),
        1,
    );
    let connected = &outcome.connected;
    let mut phases = vec![
        (
            format!("{} agents, heartbeats only", connected.agents),
            connected.idle,
        ),
        (
            format!("one release over {}", connected.agents),
            connected.release,
        ),
    ];
    for staged in &outcome.staged {
        phases.push((
            format!("{} releases, {} clusters", staged.releases, staged.clusters),
            staged.cost,
        ));
    }
    for (name, cost) in phases {
        table.add_row(vec![
            name,
            format!("{:.1}", cost.wall),
            format!("{:.2}", cost.cpu),
            format!("{:.2}", cost.cores()),
            format!("{:.2}", cost.database_cpu),
            format!("{:.0}", cost.peak),
        ]);
    }
    table.to_string()
}

/// Beside what is wanted.
pub fn goals(outcome: &Outcome) -> String {
    let connected = &outcome.connected;
    let peak = connected.idle.peak.max(connected.release.peak);
    let mut rows = vec![
        ("memory of the hub, MiB".to_owned(), peak, MEMORY_BELOW),
        (
            "decision at its agent, p99 s".to_owned(),
            connected.decisions.p99,
            DECISION_BELOW,
        ),
        (
            "back after the hub was killed, p90 s".to_owned(),
            connected.resync.p90,
            RESYNC_BELOW,
        ),
    ];
    for staged in &outcome.staged {
        let (what, measured, goal) = if staged.releases == 1 {
            (
                "one release beyond its ideal, s".to_owned(),
                staged.over.most,
                ONE_OVER,
            )
        } else {
            (
                format!("{} at once beyond their ideal, p90 s", staged.releases),
                staged.over.p90,
                MANY_OVER,
            )
        };
        rows.push((what, measured, goal));
    }
    let mut table = table(words(["WHAT", "MEASURED", "GOAL", ""]), 1);
    for (what, measured, goal) in rows {
        let met = if measured <= goal { "ok" } else { "MISSED" };
        table.add_row(vec![
            what,
            format!("{measured:.2}"),
            format!("{goal:.0}"),
            met.to_owned(),
        ]);
    }
    table.to_string()
}
