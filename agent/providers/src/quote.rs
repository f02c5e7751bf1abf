//! A server's own words in a message.
//! In: whatever it said. Out: one short line without control characters. It must not judge.

/// Longest part of a server's own words in a message.
const MAX_QUOTE: usize = 200;

/// The beginning, on one line.
#[must_use]
pub fn quote(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_QUOTE)
        .collect()
}

/// The beginning of a body, whatever it holds; of a page for people only what it is called.
#[must_use]
pub fn quote_bytes(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if is_page(&text) {
        return match title(&text) {
            Some(title) => format!("a page of HTML, {:?}", quote(title)),
            None => "a page of HTML".to_owned(),
        };
    }
    quote(&text)
}

/// How pages begin, in small letters.
const PAGE: [&str; 3] = ["<!doctype html", "<html", "<head"];
/// Where pages say what they are, in small letters.
const TITLES: [&str; 2] = ["title", "h1"];

fn is_page(text: &str) -> bool {
    let text = text.trim_start();
    let begins = |with: &&str| {
        let beginning = text.get(..with.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(with))
    };
    PAGE.iter().any(begins)
}

/// What a page calls itself.
fn title(text: &str) -> Option<&str> {
    // Small letters of ASCII are as long as large ones.
    let small = text.to_ascii_lowercase();
    let found = TITLES.iter().find_map(|tag| {
        let open = small.find(&format!("<{tag}"))?;
        let from = open + small.get(open..)?.find('>')? + 1;
        let to = from + small.get(from..)?.find('<')?;
        text.get(from..to).map(str::trim)
    });
    found.filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{MAX_QUOTE, quote_bytes};

    #[test]
    fn pages_are_named_and_not_quoted() {
        for (body, said) in [
            ("no", "no"),
            ("a\n b", "a  b"),
            (
                "<Error><Code>x</Code></Error>",
                "<Error><Code>x</Code></Error>",
            ),
            (
                "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502</h1>",
                "a page of HTML, \"502 Bad Gateway\"",
            ),
            (
                "<!DOCTYPE html>\n<H1 class=a> Gone </H1>",
                "a page of HTML, \"Gone\"",
            ),
            ("<html><title></title>", "a page of HTML"),
            ("<html><title>never closed", "a page of HTML"),
            ("<html>ñ<title", "a page of HTML"),
            ("<head", "a page of HTML"),
            ("<h", "<h"),
        ] {
            assert_eq!(quote_bytes(body.as_bytes()), said, "{body}");
        }
        let long = format!("<html><title>{}</title>", "x".repeat(10_000));
        assert!(quote_bytes(long.as_bytes()).len() < MAX_QUOTE + 30);
    }
}
