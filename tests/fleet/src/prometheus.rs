//! A real Prometheus that scrapes every pod of the fleet. In: the clusters' lists of targets. Out: its address, for the
//! analyses. It keeps what it knows in the run's folder and listens on loopback alone.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::eventually::eventually;
use crate::hub::free_address;
use crate::process::Process;
use crate::rundir::RunDir;
use crate::sandbox::Cluster;

/// It reads its (empty) storage first.
const READY: Duration = Duration::from_secs(30);

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: String,
}

impl Prometheus {
    /// Starts it and waits until it answers.
    pub async fn start(run: &RunDir, clusters: &[Cluster]) -> Result<Self> {
        let folder = run.folder("prometheus")?;
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, configuration(clusters)).map_err(Error::io("write", &config))?;
        let address = free_address()?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn");
        let mut process = Process::spawn(run, "prometheus", command)?;
        eventually("Prometheus is ready", READY, async || {
            process.must_run().map_err(|error| error.to_string())?;
            ready(&address)
        })
        .await?;
        Ok(Self { process, address })
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn configuration(clusters: &[Cluster]) -> String {
    let mut text = String::from(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 10s}\n\
         scrape_configs:\n\
         - job_name: pods\n  \
           file_sd_configs:\n  \
           - refresh_interval: 1s\n    \
             files:\n",
    );
    for cluster in clusters {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    - {}", cluster.targets().display());
    }
    text
}

/// One short question over loopback: not worth a client.
fn ready(address: &str) -> std::result::Result<(), String> {
    let mut answer = String::new();
    let mut ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer).map(|_| ())
    };
    ask().map_err(|error| error.to_string())?;
    if answer.contains(" 200 ") {
        Ok(())
    } else {
        Err(answer)
    }
}
