//! The client configuration. In: a YAML file as `groundswell-hub` writes it. Out: where the hub is, its CA, and the
//! person's certificate and key. It must not connect.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Why there is no configuration to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None was named.
    #[error(
        "no client configuration: name one with --config or GROUNDSWELL_CONFIG; the hub writes admin.yaml into its data folder"
    )]
    Missing,
    /// It cannot be read.
    #[error(
        "cannot read the client configuration {path}: {source}; `groundswell-hub person` makes one"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not one.
    #[error("{path} is not a client configuration: {message}; `groundswell-hub person` makes one")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
}

/// Where the hub is and who asks. The file also says who that is, for people who read it; the hub reads the certificate.
#[derive(Clone, Deserialize)]
pub struct Config {
    /// `https://HOST:PORT`.
    pub hub: String,
    /// PEM.
    pub ca: String,
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

/// Reads the file and applies `--hub`.
pub fn load(path: Option<&Path>, hub: Option<&str>) -> Result<Config, Error> {
    let path = path.ok_or(Error::Missing)?;
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let mut config: Config = serde_saphyr::from_str(&text).map_err(|error| Error::Parse {
        path: path.to_path_buf(),
        message: first_line(&error.to_string()),
    })?;
    if let Some(hub) = hub {
        config.hub = if hub.contains("://") {
            hub.to_owned()
        } else {
            format!("https://{hub}")
        };
    }
    Ok(config)
}

/// The rest of the message is an excerpt of the file, which holds a key.
fn first_line(message: &str) -> String {
    message
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches(':')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn hub_on_the_command_line_wins() {
        let file =
            write("hub: https://a:1\nca: x\ncertificate: x\nkey: x\nperson: ada\ngroups: [sre]\n");
        assert_eq!(load(Some(file.path()), None).unwrap().hub, "https://a:1");
        assert_eq!(
            load(Some(file.path()), Some("b:2")).unwrap().hub,
            "https://b:2"
        );
        assert_eq!(
            load(Some(file.path()), Some("https://c:3")).unwrap().hub,
            "https://c:3"
        );
    }

    #[test]
    fn a_bad_file_is_named_and_its_key_is_not_printed() {
        let file = write("hub: https://a:1\nkey: SECRET-KEY\nsurprise: 1\n");
        let message = load(Some(file.path()), None).err().unwrap().to_string();
        assert!(
            message.contains("is not a client configuration"),
            "{message}"
        );
        assert!(!message.contains("SECRET-KEY"), "{message}");
        assert!(load(None, None).is_err());
    }
}
