//! Windows and freezes, of a FleetRollout and of the kind FleetWindow. In: nodes. Out: values. It must not accept a window
//! that never opens.

use jiff::Timestamp;

use super::reader::{Fields, Node, Reader};
use super::tree::{Tree, Value};
use super::{Problem, read};
use crate::amount::Seconds;
use crate::window::{
    Calendar, Cron, DURATION_MAX, Effect, FleetWindow, Freeze, LOOK_FROM, OnWindowClose, Window,
    Zone, ever_open,
};

/// The kind of windows for a part of the fleet.
pub const WINDOW_KIND: &str = "FleetWindow";
/// Windows of one document: each is asked whenever a cluster waits.
const WINDOWS_MAX: usize = 50;

/// One FleetWindow out of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowDocument {
    /// The checked values.
    pub window: FleetWindow,
    /// This document's own YAML text, as written.
    pub text: String,
    /// Line of the file in which it starts, 1-based.
    pub line: u32,
    /// Sentences that the person should read.
    pub notes: Vec<String>,
}

impl WindowDocument {
    pub(super) fn new(window: FleetWindow, text: &str, line: u32) -> Self {
        let mut notes = Vec::new();
        let calendar = &window.calendar;
        if calendar.windows.is_empty() && calendar.freezes.is_empty() {
            notes.push("it names no window and no freeze, so it closes nothing".to_owned());
        } else if window.clusters == super::Selector::default() {
            notes.push("it names no clusters, so it holds in the whole fleet".to_owned());
        }
        Self {
            window,
            text: text.to_owned(),
            line,
            notes,
        }
    }
}

/// Whether a document says that it is a FleetWindow.
pub(super) fn is_one(tree: &Tree) -> bool {
    let Value::Map(map) = &tree.value else {
        return false;
    };
    map.iter()
        .any(|(key, _, value)| key == "kind" && value.value == Value::Text(WINDOW_KIND.to_owned()))
}

/// Two documents of one file by the same name.
pub(super) fn names(documents: &[WindowDocument], problems: &mut Vec<Problem>) {
    for (index, document) in documents.iter().enumerate() {
        let earlier = documents.get(..index).unwrap_or_default();
        let name = &document.window.name;
        if let Some(other) = earlier.iter().find(|other| &other.window.name == name) {
            problems.push(Problem {
                path: "metadata.name".to_owned(),
                line: document.line,
                message: format!(
                    "FleetWindow {name} is in this file already, from line {}; keep one",
                    other.line
                ),
            });
        }
    }
}

pub(super) fn root(reader: &mut Reader, node: &Node<'_>) -> Option<FleetWindow> {
    let mut fields = reader.fields(node)?;
    read::version(reader, &mut fields, "kind", WINDOW_KIND);
    let metadata = reader.need(&mut fields, "metadata", "write metadata: {name: holidays}");
    let spec = reader.need(&mut fields, "spec", "it says which windows hold where");
    reader.finish(fields);
    let name = metadata.and_then(|node| read::metadata_name(reader, &node));
    let mut fields = reader.fields(&spec?)?;
    let clusters = fields
        .take("clusters")
        .and_then(|node| read::selector(reader, &node))
        .unwrap_or_default();
    let calendar = calendar(reader, &mut fields);
    reader.finish(fields);
    Some(FleetWindow {
        name: name?,
        clusters,
        calendar,
    })
}

/// The four fields of a FleetRollout's spec.
pub(super) fn of_spec(reader: &mut Reader, fields: &mut Fields<'_>) -> Calendar {
    let mut calendar = calendar(reader, fields);
    if let Some(node) = fields.take("rollbackIgnoresWindows")
        && let Some(ignores) = reader.boolean(&node)
    {
        calendar.rollback_waits = !ignores;
    }
    if let Some(node) = fields.take("onWindowClose") {
        let choices = [
            ("Finish", OnWindowClose::Finish),
            ("HoldAtStep", OnWindowClose::HoldAtStep),
        ];
        calendar.on_close = reader.choice(&node, &choices).unwrap_or_default();
    }
    calendar
}

fn calendar(reader: &mut Reader, fields: &mut Fields<'_>) -> Calendar {
    let mut calendar = Calendar::default();
    let before = reader.problems.len();
    let windows = fields.take("windows");
    if let Some(node) = &windows {
        let listed = reader.list(node).unwrap_or_default();
        if listed.len() > WINDOWS_MAX {
            reader.at(
                node,
                format!("{} windows; {WINDOWS_MAX} are the most", listed.len()),
            );
        }
        for node in listed {
            calendar.windows.extend(window(reader, &node));
        }
    }
    if let Some(node) = fields.take("freezes") {
        for node in reader.list(&node).unwrap_or_default() {
            calendar.freezes.extend(freeze(reader, &node));
        }
    }
    if let Some(node) = windows
        && reader.problems.len() == before
        && !ever_open(&calendar, LOOK_FROM)
    {
        reader.at(
            &node,
            "they are never open: whenever one allows, another denies",
        );
    }
    calendar
}

fn window(reader: &mut Reader, node: &Node<'_>) -> Option<Window> {
    let mut fields = reader.fields(node)?;
    let allow = fields.take("allow");
    let deny = fields.take("deny");
    reader.finish(fields);
    let (effect, inner) = match (allow, deny) {
        (Some(inner), None) => (Effect::Allow, inner),
        (None, Some(inner)) => (Effect::Deny, inner),
        (None, None) | (Some(_), Some(_)) => {
            reader.at(node, "a window is one of allow and deny; write allow: {cron: …, duration: …, timezone: …}");
            return None;
        }
    };
    let mut fields = reader.fields(&inner)?;
    let cron = reader
        .need(
            &mut fields,
            "cron",
            "write when it starts, as in \"0 9 * * 1-5\"",
        )
        .and_then(|node| reader.written::<Cron>(&node));
    let duration = reader
        .need(&mut fields, "duration", "write how long it lasts, as in 8h")
        .and_then(|node| duration(reader, &node));
    let timezone = reader
        .need(
            &mut fields,
            "timezone",
            "write whose clock it goes by, as in Europe/Berlin or UTC",
        )
        .and_then(|node| reader.written::<Zone>(&node));
    reader.finish(fields);
    Some(Window {
        effect,
        cron: cron?,
        duration: duration?,
        timezone: timezone?,
    })
}

fn duration(reader: &mut Reader, node: &Node<'_>) -> Option<Seconds> {
    let duration: Seconds = reader.written(node)?;
    if duration.0 == 0 {
        reader.at(
            node,
            "a window of no length never opens; write a longer time",
        );
        return None;
    }
    if duration > DURATION_MAX {
        reader.at(node, format!("a window lasts {DURATION_MAX} at most; write a freeze with from and to for a longer time"));
        return None;
    }
    Some(duration)
}

fn freeze(reader: &mut Reader, node: &Node<'_>) -> Option<Freeze> {
    let mut fields = reader.fields(node)?;
    let mut moment = |reader: &mut Reader, name| {
        let node = reader.need(
            &mut fields,
            name,
            "write a moment, as in 2026-12-20T00:00:00Z",
        )?;
        let text = reader.text(&node)?;
        let moment = text.parse::<Timestamp>().ok();
        if moment.is_none() {
            reader.at(&node, format!("{text:?} is not a moment; write it with its offset, as in 2026-12-20T00:00:00+01:00"));
        }
        Some((moment?, node))
    };
    let from = moment(reader, "from");
    let to = moment(reader, "to");
    let reason = reader
        .need(&mut fields, "reason", "people will ask why nothing moves")
        .and_then(|node| {
            let text = reader.text(&node)?;
            if text.trim().is_empty() {
                reader.at(&node, "people will ask why nothing moves; write it");
                return None;
            }
            Some(text)
        });
    reader.finish(fields);
    let ((from, _), (to, node)) = (from?, to?);
    if to <= from {
        reader.at(
            &node,
            "it ends before it begins; write a later moment than from",
        );
        return None;
    }
    Some(Freeze {
        from,
        to,
        reason: reason?,
    })
}
