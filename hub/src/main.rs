//! `groundswell-hub`: from arguments to a running hub, and to its end.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use hub::args::{Cli, Command, LogForm, Serve};
use hub::{descriptors, person, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A decision copies what it works on several times over, in small pieces: what the C library takes longest for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(options) => run(&options).await,
        Command::Person(options) => person::run(&options).map_err(|error| error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nothing can be done if stderr is gone.
            let _ = writeln!(std::io::stderr(), "groundswell-hub: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Serve) -> Result<(), String> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match options.log {
        LogForm::Text => log.init(),
        LogForm::Json => log.json().init(),
    }
    descriptors::raise();
    // Before anything is started, so that an early signal does not leave something running.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut running = tokio::select! {
        running = serve::start(options) => running.map_err(|error| error.to_string())?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    writeln!(std::io::stdout(), "listening on {}", running.url())
        .map_err(|error| error.to_string())?;
    tokio::select! {
        error = running.ended() => return Err(error.to_string()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await.map_err(|error| error.to_string())
}
