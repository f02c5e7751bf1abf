//! The harness of the demo and of the end-to-end tests: real programs as typed child processes, witnesses as typed
//! records, proxies that make faults. In: the workspace's built programs and the sandbox. Out: a fleet that is torn
//! down when its values are dropped, on Ctrl-C, and when this process is killed. It decides nothing about releases and
//! reads no state of our own programs except what they print.

pub mod agent;
pub mod apply;
pub mod cli;
pub mod clock;
pub mod disk;
pub mod error;
pub mod eventually;
pub mod git;
mod guard;
pub mod hub;
pub mod kubeconfig;
pub mod plugin;
pub mod pooler;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod proxy;
pub mod records;
pub mod rundir;
pub mod sandbox;
pub mod traffic;
pub mod witness;

pub use agent::{Agent, AgentAccess, AgentOptions};
pub use cli::Cli;
pub use error::{Error, Result};
pub use eventually::eventually;
pub use git::GitRepo;
pub use hub::{Hub, HubOptions};
pub use plugin::Plugin;
pub use process::Process;
pub use prometheus::Prometheus;
pub use rundir::RunDir;
pub use sandbox::{Cluster, Sandbox};

/// Chooses the one TLS provider. Every test and every `main` that uses the harness calls it first; again is harmless.
pub fn init() {
    // An error says that a provider is chosen already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
