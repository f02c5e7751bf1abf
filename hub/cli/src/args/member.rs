//! What a person says about members of the fleet, as arguments. In: the command line. Out: typed options. It must not ask the
//! hub what it makes of them.

use clap::{Args, ValueEnum};

use super::word::Why;

/// Options of `cluster relabel`.
#[derive(Debug, Args)]
pub struct Relabel {
    /// The cluster's name.
    pub name: String,
    /// key=value sets a label, key- takes one away.
    #[arg(required = true, num_args = 1.., value_parser = parse_change, value_name = "KEY=VALUE|KEY-")]
    pub changes: Vec<LabelChange>,
    /// Why; it goes into the history.
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// It has this value.
    Set(String, String),
    /// It goes.
    Unset(String),
}

fn parse_change(text: &str) -> Result<LabelChange, String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => {
            Ok(LabelChange::Set(key.to_owned(), value.to_owned()))
        }
        (None, Some(key)) if !key.is_empty() => Ok(LabelChange::Unset(key.to_owned())),
        (_, _) => Err("expected key=value, or key- to take it away".to_owned()),
    }
}

/// Options of `cluster rename`.
#[derive(Debug, Args)]
pub struct Rename {
    /// The cluster's name.
    pub name: String,
    /// Its new name.
    pub to: String,
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
}

/// Options of `cluster rebind`.
#[derive(Debug, Args)]
pub struct Rebind {
    /// The cluster's name.
    pub name: String,
    /// UID of the namespace kube-system of the cluster that takes its place.
    #[arg(long)]
    pub uid: String,
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
}

/// Options of `cluster remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The cluster's name.
    pub name: String,
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
}

/// Options of `ungovern`.
#[derive(Debug, Args)]
pub struct Ungovern {
    /// The FleetRollout.
    pub fleet_rollout: String,
    /// Only in this cluster; without it, in every one.
    #[arg(long)]
    pub cluster: Option<String>,
    /// What is held stays held until Git says something else.
    #[arg(
        long,
        required_unless_present = "release_held",
        conflicts_with = "release_held"
    )]
    pub keep_serving: bool,
    /// What is held starts.
    #[arg(long)]
    pub release_held: bool,
    /// Why, and a name for this request.
    #[command(flatten)]
    pub why: Why,
}

/// Options of `govern`.
#[derive(Debug, Args)]
pub struct Govern {
    /// The FleetRollout.
    pub fleet_rollout: String,
    /// Only in this cluster; without it, in every one.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Why, and a name for this request.
    #[command(flatten)]
    pub why: Why,
}

/// Options of `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    /// What kind of document.
    pub kind: Deletable,
    /// Its name.
    pub name: String,
    /// Why; it goes into the history.
    #[arg(long)]
    pub reason: String,
}

/// Kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deletable {
    /// One that governs nothing any more.
    Fleetrollout,
    /// From then on it closes nothing.
    Fleetwindow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_or_taken_away() {
        let set = |key: &str, value: &str| LabelChange::Set(key.to_owned(), value.to_owned());
        for (text, wanted) in [
            ("ring=0", Ok(set("ring", "0"))),
            ("ring=", Ok(set("ring", ""))),
            ("ring=a-", Ok(set("ring", "a-"))),
            ("ring-", Ok(LabelChange::Unset("ring".to_owned()))),
            ("ring", Err(())),
            ("-", Err(())),
            ("=0", Err(())),
        ] {
            assert_eq!(parse_change(text).map_err(|_| ()), wanted, "{text}");
        }
    }
}
