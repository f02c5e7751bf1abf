//! Profiles of Amazon's shared files.
//!
//! In: the texts of `config` and `credentials`. Out: settings by profile and name. It must not read files.

use std::collections::BTreeMap;

use super::{Variables, variable};

/// Settings by profile; those in `credentials` win over those in `config`.
#[derive(Default)]
pub struct Profiles {
    settings: BTreeMap<String, BTreeMap<String, String>>,
}

impl Profiles {
    /// Reads both files. Lines that are no settings, and nested ones, are left out, as Amazon's tools do.
    #[must_use]
    pub fn parse(config: &str, credentials: &str) -> Self {
        let mut profiles = Self::default();
        profiles.add(config, true);
        profiles.add(credentials, false);
        profiles
    }

    fn add(&mut self, text: &str, prefixed: bool) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with(['#', ';']) {
                continue;
            }
            if let Some(title) = bare.strip_prefix('[') {
                let title = title.split(']').next().unwrap_or_default().trim();
                current = match (prefixed, title.split_once(char::is_whitespace)) {
                    (true, Some(("profile", name))) => Some(name.trim().to_owned()),
                    (true, None) if title == "default" => Some(title.to_owned()),
                    (true, _) => None,
                    (false, _) => Some(title.to_owned()),
                };
            } else if let (Some(profile), Some((key, value)), false) = (
                &current,
                bare.split_once('='),
                line.starts_with(char::is_whitespace),
            ) {
                let value = value.split(" #").next().unwrap_or_default();
                let value = value.split(" ;").next().unwrap_or_default();
                self.settings
                    .entry(profile.clone())
                    .or_default()
                    .insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }

    /// Whether there is such a profile.
    #[must_use]
    pub fn has(&self, profile: &str) -> bool {
        self.settings.contains_key(profile)
    }

    /// A setting that is set to something.
    #[must_use]
    pub fn get(&self, profile: &str, name: &str) -> Option<&str> {
        let found = self.settings.get(profile)?.get(name)?;
        Some(found.as_str()).filter(|value| !value.is_empty())
    }
}

/// Where `config` and `credentials` are.
#[must_use]
pub fn paths(variables: &Variables) -> (String, String) {
    let home = variable(variables, "HOME").unwrap_or_default();
    let path = |name, default: &str| {
        variable(variables, name).map_or_else(|| format!("{home}/.aws/{default}"), str::to_owned)
    };
    (
        path("AWS_CONFIG_FILE", "config"),
        path("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
    )
}
