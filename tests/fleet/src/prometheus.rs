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

/// A question over loopback that takes longer is not answered.
const ANSWER: Duration = Duration::from_secs(5);

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

    /// The numbers that a query gives now, one for each series.
    pub fn query(&self, query: &str) -> Result<Vec<f64>> {
        let what = format!("query {query}");
        let path = format!("/api/v1/query?query={}", encoded(query));
        let (good, body) = get(&self.address, &path).map_err(|source| Error::Io {
            what: what.clone(),
            source,
        })?;
        let answer: serde_json::Value = serde_json::from_str(&body).map_err(Error::parse(&what))?;
        let series = answer
            .pointer("/data/result")
            .and_then(serde_json::Value::as_array);
        match series {
            Some(series) if good => series
                .iter()
                .map(|one| {
                    let number = one.pointer("/value/1").and_then(serde_json::Value::as_str);
                    number
                        .unwrap_or_default()
                        .parse()
                        .map_err(Error::parse(&what))
                })
                .collect(),
            Some(_) | None => Err(Error::Parse {
                what,
                message: body,
            }),
        }
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
fn get(address: &str, path: &str) -> std::io::Result<(bool, String)> {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.contains(" 200 "), body.to_owned()))
}

fn ready(address: &str) -> std::result::Result<(), String> {
    match get(address, "/-/ready") {
        Ok((true, _)) => Ok(()),
        Ok((false, body)) => Err(body),
        Err(error) => Err(error.to_string()),
    }
}

/// For a URL: everything but letters and digits.
fn encoded(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            url.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}
