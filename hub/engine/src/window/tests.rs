//! Windows by table, over the hours that are skipped and repeated (F52), and what closes them (F59).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Calendar, Cron, Effect, FleetWindow, Freeze, Standing, Window, Windows, ever_open, never_open,
};
use crate::amount::Seconds;
use crate::document::Selector;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(effect: Effect, cron: &str, duration: &str, zone: &str) -> Window {
    Window {
        effect,
        cron: cron.parse().unwrap(),
        duration: duration.parse().unwrap(),
        timezone: zone.parse().unwrap(),
    }
}

fn allow(cron: &str, duration: &str, zone: &str) -> Window {
    window(Effect::Allow, cron, duration, zone)
}

fn calendar(windows: Vec<Window>) -> Calendar {
    Calendar {
        windows,
        ..Calendar::default()
    }
}

/// Opens and closes in turn, from a moment on.
fn changes(window: &Window, from: &str, count: usize) -> Vec<String> {
    let mut at = at(from);
    (0..count)
        .map(|_| {
            at = window.next_change(at);
            let word = if window.covers(at) { "opens" } else { "closes" };
            format!("{word} {at}")
        })
        .collect()
}

#[test]
fn cron_fields() {
    let good = |text: &str, printed: &str| {
        assert_eq!(text.parse::<Cron>().unwrap().to_string(), printed);
    };
    good("0 9 * * 1-5", "0 9 * * 1-5");
    good(
        "  */5 0-23/2\t1,15 jan-Mar MON,7 ",
        "*/5 0-23/2 1,15 jan-Mar MON,7",
    );
    good("0 0 31 2 1", "0 0 31 2 1");
    for bad in [
        "",
        "0 9 * *",
        "0 9 * * 1-5 *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "1- * * * *",
        "-1 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "* * * monday *",
        "+1 * * * *",
        "0 0 31 2 *",
        "0 0 31 4,6,9,11 *",
        "@daily",
        "0 9 * * 1-5/",
    ] {
        assert!(bad.parse::<Cron>().is_err(), "{bad}");
    }
}

#[test]
fn starts_by_the_wall() {
    let next = |cron: &str, after: &str, expected: &str| {
        let cron: Cron = cron.parse().unwrap();
        let found = cron
            .next(after.parse().unwrap())
            .map(|next| next.to_string());
        assert_eq!(found.as_deref(), Some(expected), "{cron} after {after}");
    };
    next("0 9 * * 1-5", "2026-11-27T09:00:00", "2026-11-30T09:00:00");
    next("0 9 * * 1-5", "2026-11-27T08:59:59", "2026-11-27T09:00:00");
    next("30 22 29 2 *", "2026-01-01T00:00:00", "2028-02-29T22:30:00");
    next("0 0 29 2 *", "2096-03-01T00:00:00", "2104-02-29T00:00:00");
    // Either day counts when both are named.
    next("0 0 13 * 5", "2026-11-12T00:00:00", "2026-11-13T00:00:00");
    next("0 0 13 * 5", "2026-11-13T00:00:00", "2026-11-20T00:00:00");
    next("0 0 * * 7", "2026-11-26T00:00:00", "2026-11-29T00:00:00");
    let latest = |cron: &str, at: &str, expected: Option<&str>| {
        let cron: Cron = cron.parse().unwrap();
        let found = cron
            .latest(at.parse().unwrap(), 3)
            .map(|last| last.to_string());
        assert_eq!(found.as_deref(), expected, "{cron} at {at}");
    };
    latest(
        "0 9 * * *",
        "2026-11-27T09:00:00",
        Some("2026-11-27T09:00:00"),
    );
    latest(
        "0 9 * * *",
        "2026-11-27T08:59:59",
        Some("2026-11-26T09:00:00"),
    );
    latest(
        "*/20 9 * * *",
        "2026-11-27T09:59:00",
        Some("2026-11-27T09:40:00"),
    );
    latest("0 9 1 * *", "2026-11-27T09:00:00", None);
}

#[test]
fn f52_a_window_over_a_skipped_hour() {
    // Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
    let night = allow("0 1 * * *", "4h", "Europe/Berlin");
    assert_eq!(
        changes(&night, "2026-03-28T12:00:00Z", 4),
        [
            "opens 2026-03-29T00:00:00Z",
            "closes 2026-03-29T03:00:00Z",
            "opens 2026-03-29T23:00:00Z",
            "closes 2026-03-30T03:00:00Z",
        ],
        "an hour shorter, and its end is 05:00 on the wall"
    );
    let within = allow("0 2 * * *", "1h", "Europe/Berlin");
    assert_eq!(
        changes(&within, "2026-03-28T12:00:00Z", 2),
        ["opens 2026-03-30T00:00:00Z", "closes 2026-03-30T01:00:00Z"],
        "no wall shows 02:30 that day"
    );
    let from_within = allow("30 2 * * *", "1h", "Europe/Berlin");
    assert_eq!(
        changes(&from_within, "2026-03-28T12:00:00Z", 2),
        ["opens 2026-03-29T01:00:00Z", "closes 2026-03-29T01:30:00Z"],
        "from the jump until 03:30 on the wall"
    );
}

#[test]
fn f52_a_window_over_a_repeated_hour() {
    // Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
    let night = allow("0 1 * * *", "4h", "Europe/Berlin");
    assert_eq!(
        changes(&night, "2026-10-24T12:00:00Z", 2),
        ["opens 2026-10-24T23:00:00Z", "closes 2026-10-25T04:00:00Z"],
        "an hour longer"
    );
    let within = allow("15 2 * * *", "30m", "Europe/Berlin");
    assert_eq!(
        changes(&within, "2026-10-24T12:00:00Z", 4),
        [
            "opens 2026-10-25T00:15:00Z",
            "closes 2026-10-25T00:45:00Z",
            "opens 2026-10-25T01:15:00Z",
            "closes 2026-10-25T01:45:00Z",
        ],
        "both times"
    );
}

#[test]
fn windows_that_meet_are_one() {
    let all_day = allow("0 * * * *", "1h", "UTC");
    let end = all_day.next_change(at("2026-01-01T00:30:00Z"));
    assert!(end > at("2026-07-01T00:00:00Z"), "{end}");
    let overlapping = allow("0,30 9 * * *", "1h", "UTC");
    assert_eq!(
        changes(&overlapping, "2026-01-01T00:00:00Z", 2),
        ["opens 2026-01-01T09:00:00Z", "closes 2026-01-01T10:30:00Z"]
    );
}

fn shown(standing: &Standing) -> String {
    match standing {
        Standing::Open { until: None } => "open".to_owned(),
        Standing::Open { until: Some(until) } => format!("open until {until}"),
        Standing::Closed { until, why } => format!("closed until {until}: {why}"),
    }
}

#[test]
fn f59_deny_and_freezes_win_and_say_until_when() {
    let mut own = calendar(vec![
        allow("0 9 * * 1-5", "8h", "UTC"),
        window(Effect::Deny, "0 12 * * *", "1h", "UTC"),
    ]);
    own.freezes.push(Freeze {
        from: at("2026-11-26T10:00:00Z"),
        to: at("2026-11-27T11:30:00Z"),
        reason: "a sale".to_owned(),
    });
    let windows = Windows::alone("FleetRollout checkout", &own);
    let check = |now: &str, expected: &str| {
        assert_eq!(shown(&windows.at(at(now))), expected, "at {now}");
    };
    // Thursday.
    check("2026-11-26T09:00:00Z", "open until 2026-11-26T10:00:00Z");
    check(
        "2026-11-26T10:00:00Z",
        "closed until 2026-11-27T11:30:00Z: FleetRollout checkout freezes it: a sale",
    );
    check("2026-11-27T11:30:00Z", "open until 2026-11-27T12:00:00Z");
    check(
        "2026-11-27T12:00:00Z",
        "closed until 2026-11-27T13:00:00Z: FleetRollout checkout denies \"0 12 * * *\" for 1h in UTC",
    );
    check(
        "2026-11-27T17:00:00Z",
        "closed until 2026-11-30T09:00:00Z: FleetRollout checkout allows \"0 9 * * 1-5\" for 8h in UTC next",
    );
}

#[test]
fn every_document_has_to_agree() {
    let fleet_rollout = crate::parse(
        "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {name: a}\nspec:\n  rollout: \
         {namespace: a, name: a}\n  enforcement: Enforce\n  waves: [{name: all}]\n  windows:\n  - allow: {cron: \
         \"0 9 * * *\", duration: 8h, timezone: UTC}\n",
    )
    .unwrap()
    .remove(0)
    .fleet_rollout;
    let europe = FleetWindow {
        name: "europe".to_owned(),
        clusters: Selector {
            match_labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
            match_expressions: Vec::new(),
        },
        calendar: calendar(vec![allow("0 16 * * *", "3h", "UTC")]),
    };
    let fleet = [europe];
    let now = at("2026-11-26T10:00:00Z");
    let of = |region: &str| {
        let labels = BTreeMap::from([("region".to_owned(), region.to_owned())]);
        shown(&Windows::of(&fleet_rollout, &fleet, &labels).at(now))
    };
    assert_eq!(of("us"), "open until 2026-11-26T17:00:00Z");
    assert_eq!(
        of("eu"),
        "closed until 2026-11-26T16:00:00Z: FleetWindow europe allows \"0 16 * * *\" for 3h in UTC next"
    );
}

#[test]
fn what_never_opens_is_known() {
    let from = at("2024-01-01T00:00:00Z");
    let never = |windows: Vec<Window>| !ever_open(&calendar(windows), from);
    let day = || window(Effect::Deny, "0 0 * * *", "24h", "UTC");
    assert!(never(vec![day()]), "denied always");
    assert!(never(vec![
        allow("0 9 * * *", "1h", "UTC"),
        window(Effect::Deny, "0 8 * * *", "3h", "UTC")
    ]));
    assert!(!never(vec![
        allow("0 9 * * *", "4h", "UTC"),
        window(Effect::Deny, "0 8 * * *", "3h", "UTC")
    ]));
    assert!(
        !never(vec![allow("0 0 29 2 *", "1h", "UTC")]),
        "on leap days"
    );
    assert!(
        !never(vec![window(Effect::Deny, "0 0 * * 1-5", "24h", "UTC")]),
        "at weekends"
    );
}

/// What is answered in closed form is what trying every minute finds.
#[test]
fn the_next_change_is_the_first_minute_that_differs() {
    let windows = [
        allow("15,45 */3 * * *", "40m", "Europe/Berlin"),
        allow("30 1-2 * * *", "20m", "America/New_York"),
        allow("0 23 * * 6", "5h", "Australia/Lord_Howe"),
        allow("30 2 * * *", "1d", "Europe/Berlin"),
    ];
    let starts = [
        "2026-03-07T20:00:00Z",
        "2026-03-28T20:00:00Z",
        "2026-10-24T20:00:00Z",
        "2026-10-31T20:00:00Z",
    ];
    for window in &windows {
        for start in starts {
            let start = at(start);
            let minute = |count: u32| Seconds(60 * count).after(start);
            let first = (1..3 * 24 * 60)
                .find(|count| window.covers(minute(*count)) != window.covers(start));
            let Some(first) = first else { continue };
            assert_eq!(
                window.next_change(start),
                minute(first),
                "{window} from {start}"
            );
        }
    }
}

const DAYS: &str = "0 9 * * 1-5";
const WEEKEND: &str = "0 0 * * 6,0";

/// `checkout` over region eu with these windows, beside FleetWindows of these regions; an empty region: the whole fleet.
fn together(own: &[(&str, &str)], others: &[(&str, &str, &str)], regions: &[&str]) -> Vec<String> {
    let text = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {name: checkout}\nspec:\n  \
                rollout: {namespace: shop, name: checkout}\n  clusters: {matchLabels: {region: eu}}\n  waves: [{name: all}]\n";
    let mut checkout = crate::parse(text).unwrap().remove(0).fleet_rollout;
    let region = |region: &str| BTreeMap::from([("region".to_owned(), region.to_owned())]);
    let windows = own
        .iter()
        .map(|(cron, duration)| allow(cron, duration, "UTC"));
    checkout.calendar = calendar(windows.collect());
    let windows: Vec<FleetWindow> = others
        .iter()
        .zip(["a", "b", "c"])
        .map(|((of, cron, duration), name)| {
            let mut clusters = Selector::default();
            if !of.is_empty() {
                clusters.match_labels = region(of);
            }
            FleetWindow {
                name: name.to_owned(),
                clusters,
                calendar: calendar(vec![allow(cron, duration, "UTC")]),
            }
        })
        .collect();
    let clusters = regions.iter().map(|of| {
        let mut labels = region(of);
        labels.insert("sold".to_owned(), "yes".to_owned());
        (format!("{of}-1").into(), labels)
    });
    let never = never_open(&[&checkout], &windows, &clusters.collect());
    let text = never.iter().map(ToString::to_string);
    let short = text.map(|text| text.split_once(';').unwrap().0.to_owned());
    short.collect()
}

#[test]
fn what_is_never_open_together_is_named() {
    let everywhere = "FleetRollout checkout and FleetWindow a are never open together, so nothing of checkout could ever start";
    let weekend = ("", WEEKEND, "1d");
    assert_eq!(together(&[(DAYS, "8h")], &[weekend], &[]), [everywhere]);
    assert_eq!(
        together(&[(DAYS, "8h")], &[weekend], &["eu", "us"]),
        [everywhere]
    );
    let nights = ("eu", "0 20 * * *", "8h");
    assert_eq!(together(&[(DAYS, "8h")], &[nights], &[]), [everywhere]);
    assert_eq!(
        together(&[], &[weekend, ("eu", DAYS, "8h")], &[]),
        [
            "FleetWindow a and FleetWindow b are never open together, so nothing of checkout could ever start"
        ]
    );
    // It holds elsewhere.
    assert_eq!(
        together(&[(DAYS, "8h")], &[("us", WEEKEND, "1d")], &["eu", "us"]),
        [""; 0]
    );
    // Each two of them meet, all three do not.
    let three = [("", "0 8 * * *", "4h"), ("", "0 10 * * *", "10h")];
    assert_eq!(
        together(&[("0 7 * * *", "2h"), ("0 15 * * *", "2h")], &three, &[]),
        [
            "FleetRollout checkout and FleetWindow a and FleetWindow b are never open together, so nothing of checkout could ever start"
        ]
    );
}

#[test]
fn what_meets_once_a_year_or_cannot_be_said_is_taken() {
    let taken = |own: &[(&str, &str)], others: &[(&str, &str, &str)]| {
        assert_eq!(
            together(own, others, &["eu"]),
            [""; 0],
            "{own:?} {others:?}"
        );
    };
    taken(&[], &[]);
    taken(&[(DAYS, "8h")], &[]);
    taken(&[(DAYS, "8h")], &[("", "0 16 * * *", "4h")]);
    taken(
        &[("0 9 * * *", "1h"), ("0 14 25 12 *", "1h")],
        &[("", "0 14 * * *", "1h")],
    );
    taken(&[(DAYS, "8h")], &[("", "0 0 29 2 *", "1d")]);
    taken(&[("0 * * * *", "10m")], &[("", "30 * * * *", "10m")]);
}

/// A freeze ends by itself: it may close for whatever time, also all of the time that windows leave.
#[test]
fn a_freeze_contradicts_nothing() {
    let text = "apiVersion: fleet.groundswell.dev/v1alpha1\nkind: FleetRollout\nmetadata: {name: checkout}\nspec:\n  \
                rollout: {namespace: shop, name: checkout}\n  waves: [{name: all}]\n";
    let mut checkout = crate::parse(text).unwrap().remove(0).fleet_rollout;
    checkout.calendar = calendar(vec![allow(DAYS, "8h", "UTC")]);
    let freeze = Freeze {
        from: at("2020-01-01T00:00:00Z"),
        to: at("2999-01-01T00:00:00Z"),
        reason: "a sale".to_owned(),
    };
    let mut window = FleetWindow {
        name: "sale".to_owned(),
        clusters: Selector::default(),
        calendar: calendar(Vec::new()),
    };
    window.calendar.freezes = vec![freeze];
    assert_eq!(
        never_open(&[&checkout], &[window.clone()], &BTreeMap::new()),
        []
    );
    window.calendar.windows = vec![allow("0 16 * * *", "4h", "UTC")];
    assert_eq!(never_open(&[&checkout], &[window], &BTreeMap::new()), []);
}
