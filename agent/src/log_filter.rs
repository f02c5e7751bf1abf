//! What is logged.
//!
//! In: a level, or the directives of RUST_LOG. Out: a filter. It must not let a library print requests of metric providers:
//! their addresses and bodies may hold Secrets.

use tracing_subscriber::EnvFilter;

/// Libraries that requests go through; below this they print addresses, headers and bodies.
const CAPPED: [&str; 5] = [
    "reqwest=info",
    "hyper=info",
    "hyper_util=info",
    "h2=info",
    "rustls=info",
];

/// The filter of RUST_LOG, or of a level where it says nothing that can be read.
#[must_use]
pub fn filter(level: &str) -> EnvFilter {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let capped = CAPPED.iter().filter_map(|one| one.parse().ok());
    capped.fold(filter, EnvFilter::add_directive)
}
