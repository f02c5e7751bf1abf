//! Tables and times for people. In: rows of text. Out: one text with aligned columns. It must not know what the rows mean,
//! except which words are good or bad news.

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;

use crate::args::Look;

const GOOD: [&str; 5] = ["Succeeded", "Passed", "Served", "created", "yes"];
const BAD: [&str; 7] = [
    "Failed",
    "RolledBack",
    "RolledBackPartially",
    "RollingBack",
    "Halted",
    "Unknown",
    "NO",
];
const WAITING: [&str; 8] = [
    "WaitingForApproval",
    "WaitingToPass",
    "WaitingForContent",
    "Held",
    "Pending",
    "Paused",
    "Baking",
    "Waiting",
];

/// Narrower tables would have a letter a line.
const NARROWEST: u16 = 40;

/// Letters in a line of the terminal that stdout is.
pub fn terminal() -> Option<u16> {
    Table::new().width()
}

/// One table without lines, columns two spaces apart, as wide as its content, but wrapped in a terminal.
pub fn table(look: Look, header: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = look.width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width.max(NARROWEST));
    }
    if look.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(cell));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text: String = table
        .lines()
        .map(|line| format!("{}\n", tight(&line).trim_end()))
        .collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// What ends a colour.
const END_OF_COLOUR: &str = "\u{1b}[39m";

/// A line whose colours end with the words and not with the columns.
fn tight(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut parts = line.split(END_OF_COLOUR).peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            text.push_str(part);
            break;
        }
        let words = part.trim_end_matches(' ');
        text.push_str(words);
        text.push_str(END_OF_COLOUR);
        text.extend(std::iter::repeat_n(' ', part.len() - words.len()));
    }
    text
}

fn cell(text: String) -> Cell {
    let colour = if GOOD.contains(&text.as_str()) {
        Some(Color::Green)
    } else if BAD.contains(&text.as_str()) {
        Some(Color::Red)
    } else if WAITING.contains(&text.as_str()) {
        Some(Color::Yellow)
    } else {
        None
    };
    let cell = Cell::new(text);
    match colour {
        Some(colour) => cell.fg(colour),
        None => cell,
    }
}

/// Whole seconds in UTC; `-` when there is no time.
pub fn time(time: Option<&prost_types::Timestamp>) -> String {
    let Some(time) = time.and_then(proto::time::from_wire) else {
        return "-".to_owned();
    };
    Timestamp::from_second(time.as_second())
        .map_or_else(|_| "-".to_owned(), |time| time.to_string())
}

/// `-` instead of nothing, so that columns can be cut by words.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}

/// The first letters of a digest, enough to tell two apart.
pub fn short(digest: &str) -> String {
    const KEPT: usize = 15;
    or_dash(&digest.chars().take(KEPT).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Output;

    const PLAIN: Look = Look {
        output: Output::Table,
        colour: false,
        width: None,
    };

    #[test]
    fn columns_are_aligned_and_plain() {
        let rows = vec![
            vec!["canary".to_owned(), "Passed".to_owned()],
            vec!["eu".to_owned(), "Failed".to_owned()],
        ];
        assert_eq!(
            table(PLAIN, &["WAVE", "STATE"], rows),
            "WAVE    STATE\ncanary  Passed\neu      Failed\n"
        );
    }

    #[test]
    fn colours_only_when_asked() {
        let rows = || vec![vec!["Failed".to_owned()]];
        assert!(!table(PLAIN, &["STATE"], rows()).contains('\u{1b}'));
        let coloured = table(
            Look {
                colour: true,
                ..PLAIN
            },
            &["STATE"],
            rows(),
        );
        assert!(coloured.contains('\u{1b}'));
    }

    #[test]
    fn colours_end_with_the_words() {
        let row = |one: &str, other: &str| vec![one.to_owned(), other.to_owned()];
        let rows = vec![row("Failed", "Passed"), row("WaitingForApproval", "x")];
        let look = Look {
            colour: true,
            ..PLAIN
        };
        let text = table(look, &["STATE", "OTHER"], rows);
        assert!(text.contains("Failed\u{1b}[39m   "), "{text:?}");
        assert!(!text.contains(" \u{1b}[39m"), "{text:?}");
    }

    #[test]
    fn lines_fit_a_terminal() {
        let rows = || vec![vec!["Failed".to_owned(), "because it is bad ".repeat(9)]];
        let narrow = Look {
            width: Some(50),
            ..PLAIN
        };
        let header = ["STATE", "BECAUSE"];
        let longest = |text: &str| text.lines().map(str::len).max().unwrap();
        let text = table(narrow, &header, rows());
        assert!(longest(&text) <= 50 && text.lines().count() > 3, "{text}");
        assert!(longest(&table(PLAIN, &header, rows())) > 150);
    }

    #[test]
    fn times_have_whole_seconds() {
        let wire = prost_types::Timestamp {
            seconds: 0,
            nanos: 5,
        };
        assert_eq!(time(Some(&wire)), "1970-01-01T00:00:00Z");
        assert_eq!(time(None), "-");
    }
}
