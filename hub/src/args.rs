//! The command line of `groundswell-hub`. In: arguments. Out: typed options. It must not read files or the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The fleet program of Groundswell.
#[derive(Debug, Parser)]
#[command(
    name = "groundswell-hub",
    version,
    about = "Takes versions through a fleet of Kubernetes clusters in waves"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `groundswell-hub` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the hub until it is told to stop.
    Serve(Serve),
    /// Write a client configuration for a person.
    Person(Person),
}

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Folder for keys, the address file and the embedded database.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// `embedded`, or the URL of a PostgreSQL database.
    #[arg(long, default_value = "embedded")]
    pub database: Database,
    /// Address to listen on. With port 0 the port of the last run is taken again if it is free.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Length of the lease that a permit carries and that the hub renews while it can commit.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..=3600))]
    pub lease_seconds: u32,
    /// How long the certificate of a cluster lives. Its agent gets the next one at two thirds; away for longer it has to join
    /// again.
    #[arg(long, default_value_t = 90 * 24 * 3600, value_parser = clap::value_parser!(u32).range(10..=315_360_000))]
    pub cluster_certificate_seconds: u32,
    /// Also write the address to this file once the hub answers.
    #[arg(long)]
    pub addr_file: Option<PathBuf>,
    /// Further names or addresses for the server's certificate.
    #[arg(long)]
    pub san: Vec<String>,
    /// Form of the log on stderr.
    #[arg(long, default_value = "text")]
    pub log: LogForm,
}

/// Options of `person`.
#[derive(Debug, Args)]
pub struct Person {
    /// The hub's data folder.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// The person's name, as it will stand in the history.
    pub name: String,
    /// A group that the person belongs to.
    #[arg(long = "group", required = true)]
    pub groups: Vec<String>,
    /// The file to write.
    #[arg(long)]
    pub out: PathBuf,
}

/// Where the state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A private PostgreSQL under the data folder.
    Embedded,
    /// A PostgreSQL that somebody else runs.
    Url(String),
}

impl std::str::FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Url(text.to_owned()));
        }
        Err("expected `embedded` or a URL that starts with postgres://".to_owned())
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_database_is_embedded_or_a_url() {
        assert_eq!("embedded".parse(), Ok(Database::Embedded));
        assert_eq!(
            "postgres://h/d".parse(),
            Ok(Database::Url("postgres://h/d".to_owned()))
        );
        assert!("h/d".parse::<Database>().is_err());
    }
}
