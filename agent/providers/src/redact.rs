//! Taking secrets out of texts.
//!
//! In: secret values, a text that may repeat them. Out: the text with `*****` in their places. It must not print a value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

/// What stands in the place of a secret.
pub const MASK: &str = "*****";
/// Values shorter than this are not searched for: one letter is in every text, and nobody's secret.
pub const SHORTEST: usize = 3;
/// Encoded forms shorter than this are not searched for: they would be found by chance.
const SHORTEST_ENCODED: usize = 6;
/// Where an address is taken apart: a message may name the host alone, when the value is the address, or stands in it.
const ENDS_OF_PARTS: [char; 6] = ['/', '?', '#', '@', ':', '\\'];

/// Secrets to take out of texts, in every form that servers and libraries repeat them in: as they are, within JSON (once and
/// twice), as the parts of an address, percent-encoded, as a form, in HTML, and in base64 (both alphabets, also as a part of something longer, as in
/// `user:password`). Letters' case is not looked at, because host names lose theirs.
#[derive(Clone, Default)]
pub struct Redactions {
    needles: Vec<SecretString>,
}

impl std::fmt::Debug for Redactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactions")
    }
}

impl Redactions {
    /// For these values; adds to what is there.
    pub fn add<'a>(&mut self, values: impl IntoIterator<Item = &'a SecretString>) {
        for value in values {
            let value = value.expose_secret();
            // A file's last line break is in the Secret, and seldom in what is sent.
            for form in [value, value.trim()] {
                self.add_forms(form);
            }
        }
        self.needles
            .sort_by(|a, b| a.expose_secret().cmp(b.expose_secret()));
        self.needles
            .dedup_by(|a, b| a.expose_secret() == b.expose_secret());
    }

    fn add_forms(&mut self, value: &str) {
        if value.len() < SHORTEST {
            return;
        }
        let json = inside_quotes(&serde_json::Value::from(value).to_string());
        let twice = inside_quotes(&serde_json::Value::from(json.as_str()).to_string());
        let percent = percent(value);
        let form = percent
            .replace("%20", "+")
            .replace('~', "%7E")
            .replace("%2A", "*");
        let html = value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        let debug = inside_quotes(&format!("{value:?}"));
        let forms = [value.to_owned(), json, twice, percent, form, html, debug];
        let parts = value
            .split(ENDS_OF_PARTS)
            .filter(|part| part.len() >= SHORTEST_ENCODED)
            .map(str::to_owned);
        let forms = forms.into_iter().chain(in_address(value)).chain(parts);
        let encoded = base64_forms(value);
        let all = forms.filter(|form| form.len() >= SHORTEST).chain(encoded);
        self.needles
            .extend(all.map(|form| SecretString::from(form.to_ascii_lowercase())));
    }

    /// Whether there is nothing to take out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// The text without them.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.needles.is_empty() {
            return text.to_owned();
        }
        // The case of ASCII letters does not move anything, so places in one are places in the other.
        let lower = text.to_ascii_lowercase();
        let mut found: Vec<(usize, usize)> = Vec::new();
        for needle in &self.needles {
            let needle = needle.expose_secret();
            let places = lower.match_indices(needle);
            found.extend(places.map(|(at, _)| (at, at.saturating_add(needle.len()))));
        }
        found.sort_unstable();
        let mut out = String::new();
        let (mut done, mut masked_to) = (0, None);
        for (from, to) in found {
            // Forms lie over each other; what touches is one place.
            if masked_to.is_some_and(|end| from < end) {
                let end = masked_to.unwrap_or(to).max(to);
                (done, masked_to) = (end, Some(end));
                continue;
            }
            out.push_str(text.get(done..from).unwrap_or_default());
            out.push_str(MASK);
            (done, masked_to) = (to, Some(to));
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// Bytes without them. What is not text stays, if there is nothing to take out.
    #[must_use]
    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        if self.needles.is_empty() {
            return bytes.to_vec();
        }
        self.redact(&String::from_utf8_lossy(bytes)).into_bytes()
    }
}

fn inside_quotes(text: &str) -> String {
    let inside = text.strip_prefix('"');
    let inside = inside.and_then(|text| text.strip_suffix('"'));
    inside.unwrap_or(text).to_owned()
}

/// Every byte but letters, digits and `-._~`.
fn percent(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// As the path and the query of an address, where fewer characters are encoded.
fn in_address(value: &str) -> Vec<String> {
    let Ok(mut address) = Url::parse("http://host/") else {
        return Vec::new();
    };
    address.set_path(value);
    address.set_query(Some(value));
    let path = address.path().trim_start_matches('/').to_owned();
    [Some(path), address.query().map(str::to_owned)]
        .into_iter()
        .flatten()
        .collect()
}

/// In base64 three bytes are four letters, so a value looks in three ways, by where it begins. Letters that it shares with
/// its neighbours are left off.
fn base64_forms(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for (before, shared) in [(0_usize, 0_usize), (1, 2), (2, 3)] {
        let mut bytes = vec![0_u8; before];
        bytes.extend_from_slice(value.as_bytes());
        let whole = bytes.len().saturating_mul(8) / 6;
        for text in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            let sure = text.get(shared..whole).unwrap_or_default();
            if sure.len() >= SHORTEST_ENCODED {
                forms.push(sure.to_owned());
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactions(values: &[&str]) -> Redactions {
        let mut made = Redactions::default();
        let values: Vec<SecretString> = values.iter().map(|value| (*value).into()).collect();
        made.add(&values);
        made
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "Tän\"k & g&o/9";
        let made = redactions(&[secret]);
        let standard = base64::engine::general_purpose::STANDARD;
        let json = serde_json::json!({ "a": secret }).to_string();
        let texts = [
            secret.to_owned(),
            secret.to_uppercase().replace('Ä', "ä"),
            json.clone(),
            serde_json::json!({ "inner": json }).to_string(),
            Url::parse_with_params("http://h/", [("x", secret)])
                .unwrap()
                .to_string(),
            Url::parse(&format!("http://h/a?{secret}"))
                .unwrap()
                .to_string(),
            format!("/p/{}", percent(secret)),
            format!("{secret:?}"),
        ];
        for text in texts {
            let clean = made.redact(&text);
            assert!(clean.contains(MASK), "{text}: {clean}");
            for part in ["g&o", "g%26o", "Tän", "T%C3"] {
                assert!(!clean.contains(part), "{text}: {clean}");
            }
        }
        for (before, after) in [("", ""), ("u:", ""), ("us:", "x"), ("usr:", "yz")] {
            let text = standard.encode(format!("{before}{secret}{after}"));
            assert!(made.redact(&text).contains(MASK), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let made = redactions(&["hunter2", "ab", ""]);
        assert_eq!(made.redact("abba has 2 hunters"), "abba has 2 hunters");
        assert_eq!(
            made.redact("hunter2hunter2, é hunter2"),
            "**********, é *****"
        );
        assert!(redactions(&["ab", "é"]).is_empty());
        assert_eq!(redactions(&[]).redact("x"), "x");
        assert_eq!(format!("{made:?}"), "Redactions");
    }

    #[test]
    fn one_secret_in_another_leaves_nothing() {
        let made = redactions(&["abcdef", "cde", "defghi"]);
        assert_eq!(made.redact("1abcdefghi2"), "1*****2");
        assert_eq!(made.redact("key\n"), "key\n");
        assert_eq!(redactions(&["token\n"]).redact("a token b"), "a ***** b");
    }
}
