//! `groundswell-hub person`. In: a name and groups, by whoever can read the hub's keys. Out: a client configuration. It must
//! not need a running hub.

use crate::args::Person;
use crate::authority::Authority;
use crate::{address, authority, client_config};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Keys or the file.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// Where the hub is.
    #[error(transparent)]
    Address(#[from] address::Error),
}

/// Writes it.
pub fn run(options: &Person) -> Result<(), Error> {
    let url = address::read(&options.data_dir)?;
    let authority = Authority::open(&options.data_dir)?;
    client_config::write(
        &options.out,
        &authority,
        &url,
        &options.name,
        &options.groups,
    )?;
    Ok(())
}
