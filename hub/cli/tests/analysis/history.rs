//! A real Prometheus with a made history. In: values by time. Out: its address. It ends with the test.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Tries, when another process takes the free port first.
const TRIES: usize = 5;

/// A running Prometheus.
pub struct Prometheus {
    process: Child,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// With `latency{service="web"}` and `latency{service="api"}` at these times, in seconds.
    pub fn with(values: &[(i64, f64)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("# TYPE latency gauge\n");
        for service in ["web", "api"] {
            for (time, value) in values {
                writeln!(text, "latency{{service=\"{service}\"}} {value} {time}").unwrap();
            }
        }
        text.push_str("# EOF\n");
        let metrics = folder.path().join("history.txt");
        std::fs::write(&metrics, text).unwrap();
        let data = folder.path().join("data");
        let filled = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&metrics, &data])
            .output()
            .expect("promtool is installed");
        assert!(filled.status.success(), "{filled:?}");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "global: {scrape_interval: 1h}\n").unwrap();
        for _ in 0..TRIES {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            drop(listener);
            let mut process = start(&config, &data, &address);
            if is_ready(&mut process) {
                return Self {
                    process,
                    url: format!("http://{address}"),
                    _folder: folder,
                };
            }
        }
        panic!("Prometheus did not start");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(config: &Path, data: &Path, address: &str) -> Child {
    Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("prometheus is installed")
}

/// Reads what it says until it serves; false when it ended instead.
fn is_ready(process: &mut Child) -> bool {
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().contains("ready to receive web requests"));
    // It would stand still if nobody read on.
    std::thread::spawn(move || lines.for_each(drop));
    ready
}
