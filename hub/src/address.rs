//! Where the hub listens. In: the wanted address and the data folder. Out: a listener, and the address in files for others.
//! It must not speak TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

use crate::authority;

/// The file in the data folder with the hub's URL.
pub const ADDRESS_FILE: &str = "address";
/// Anyone may know where the hub is.
const MODE: u32 = 0o644;

/// Why the hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another --listen")]
    Listen {
        /// As wanted.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] authority::Error),
    /// No hub has run in this folder.
    #[error("{0} is missing: start `groundswell-hub serve` with this data folder once")]
    Unknown(PathBuf),
}

/// Listens. With port 0 it takes the port of the last run if that is free, because agents and people know it.
pub async fn listen(wanted: SocketAddr, dir: &Path) -> Result<(TcpListener, SocketAddr), Error> {
    if wanted.port() == 0
        && let Ok(last) = read(dir)
        && let Some(port) = last
            .rsplit(':')
            .next()
            .and_then(|port| port.parse::<u16>().ok())
        && let Ok(listener) = TcpListener::bind(SocketAddr::new(wanted.ip(), port)).await
    {
        return local(listener, wanted);
    }
    let listener = TcpListener::bind(wanted)
        .await
        .map_err(|source| Error::Listen {
            address: wanted,
            source,
        })?;
    local(listener, wanted)
}

fn local(listener: TcpListener, wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let address = listener.local_addr().map_err(|source| Error::Listen {
        address: wanted,
        source,
    })?;
    Ok((listener, address))
}

/// What people and agents write: an unspecified address is reached by the loopback one.
#[must_use]
pub fn url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("https://localhost:{}", address.port());
    }
    format!("https://{address}")
}

/// Writes the URL for others, whole or not at all.
pub fn publish(url: &str, dir: &Path, also: Option<&Path>) -> Result<(), Error> {
    let text = format!("{url}\n");
    authority::write(&dir.join(ADDRESS_FILE), &text, MODE)?;
    if let Some(also) = also {
        authority::write(also, &text, MODE)?;
    }
    Ok(())
}

/// The URL of the hub that runs, or ran last, in a data folder.
pub fn read(dir: &Path) -> Result<String, Error> {
    let path = dir.join(ADDRESS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|_| Error::Unknown(path))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_run_takes_the_same_port_and_a_third_beside_it_another() {
        let dir = tempfile::tempdir().unwrap();
        let wanted: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let (listener, first) = listen(wanted, dir.path()).await.unwrap();
        publish(&url(first), dir.path(), None).unwrap();
        drop(listener);
        let (_held, second) = listen(wanted, dir.path()).await.unwrap();
        assert_eq!(first, second);
        let (_other, third) = listen(wanted, dir.path()).await.unwrap();
        assert_ne!(first, third);
    }

    #[test]
    fn an_unspecified_address_is_reached_by_name() {
        assert_eq!(url("0.0.0.0:7".parse().unwrap()), "https://localhost:7");
        assert_eq!(url("127.0.0.1:7".parse().unwrap()), "https://127.0.0.1:7");
    }
}
