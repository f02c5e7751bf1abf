//! `groundswell-agent`: wiring only. In: the command line. Out: an exit code. Everything else is in the library.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use agent::args::{Args, LogForm};
use clap::Parser as _;

/// Every object that a pass looks at is decoded for it and dropped after it: small pieces by the million, of which the C
/// library keeps far more than are in use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads of the runtime: the agent waits far more than it computes.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    log(&args);
    agent::descriptors::raise();
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::error!("a TLS provider was installed before ring; report this as a bug");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(agent::program::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn log(args: &Args) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(agent::log_filter::filter(&args.loglevel))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log {
        LogForm::Json => subscriber.json().init(),
        LogForm::Text => subscriber.init(),
    }
}
