//! The controller's command line. In: one text, as a person gives it. Out: a command, with the kubeconfig and free ports in
//! their places. It is split at spaces; there is no shell.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tests_fleet::{Error, Result};

/// Stands for the path of the kubeconfig.
pub const KUBECONFIG: &str = "{kubeconfig}";
/// Stands for a port that nobody listens on, each time another one.
pub const PORT: &str = "{port}";

/// The command of a text.
pub fn command(text: &str, kubeconfig: &Path) -> Result<Command> {
    if !text.contains(KUBECONFIG) {
        return Err(Error::Check(format!(
            "the controller's command {text:?} has no {KUBECONFIG}: write it where the path belongs"
        )));
    }
    let path = kubeconfig.display().to_string();
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let mut word = word.replace(KUBECONFIG, &path);
        while word.contains(PORT) {
            word = word.replacen(PORT, &free_port()?.to_string(), 1);
        }
        words.push(word);
    }
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(words);
    Ok(command)
}

fn free_port() -> Result<u16> {
    let failed = |source| Error::Io {
        what: "find a free port".into(),
        source,
    };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    Ok(listener.local_addr().map_err(failed)?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let text = "a/controller --kubeconfig={kubeconfig} --a {port}  --b :{port}";
        let command = command(text, Path::new("k c")).expect("a command");
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        assert_eq!(command.get_program(), "a/controller");
        assert_eq!(args[0], "--kubeconfig=k c", "a path is one word");
        let port = |text: &str| text.trim_start_matches(':').parse::<u16>().expect("a port");
        assert_ne!(port(&args[2]), port(&args[4]));
        assert!(super::command("a/controller", Path::new("k")).is_err());
    }
}
