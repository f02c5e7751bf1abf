//! Which addresses may be asked.
//!
//! In: a URL, or a name and the addresses that it stands for. Out: those that may be connected to. It must not connect:
//! but what it lets pass is what is connected to, so that a name cannot stand for one address here and another later.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::names::Names;

/// What may be asked beyond public and private addresses. Link-local addresses, where clouds keep their credentials,
/// multicast and unspecified ones never may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The program's own machine: `127.0.0.0/8` and `::1`.
    pub loopback: bool,
    /// The places where Amazon gives out credentials; only the transport itself asks there.
    credentials: bool,
}

impl Default for Guard {
    /// Loopback may be asked.
    fn default() -> Self {
        Self::new(true)
    }
}

/// An address may not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind} and may not be asked: point the metric elsewhere{hint}")]
pub struct Forbidden {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub kind: &'static str,
    /// How it could be allowed, if it could.
    pub hint: &'static str,
}

/// Where Amazon gives out credentials: to machines, to containers, to pods.
const CREDENTIALS: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

impl Guard {
    /// One that lets loopback be asked, or not.
    #[must_use]
    pub fn new(loopback: bool) -> Self {
        Self {
            loopback,
            credentials: false,
        }
    }

    /// The same with the places of credentials, and loopback, where some of them are.
    pub(super) fn with_credentials(self) -> Self {
        Self {
            loopback: true,
            credentials: true,
        }
    }

    /// Whether the address may be asked.
    pub fn check(self, address: IpAddr) -> Result<(), Forbidden> {
        if self.credentials && CREDENTIALS.contains(&address) {
            return Ok(());
        }
        let forbidden = |kind, hint| {
            Err(Forbidden {
                address,
                kind,
                hint,
            })
        };
        match kind(address) {
            Kind::Loopback if !self.loopback => forbidden(
                "a loopback address",
                ", or allow it with --analysis-allow-loopback",
            ),
            Kind::Loopback | Kind::Other => Ok(()),
            Kind::LinkLocal => forbidden("a link-local address", ""),
            Kind::Metadata => forbidden("a cloud's metadata address", ""),
            Kind::Unspecified => forbidden("an unspecified address", ""),
            Kind::Multicast => forbidden("a multicast or broadcast address", ""),
        }
    }

    /// Whether the address that a URL names may be asked; a name is checked when it is resolved.
    pub fn check_url(self, url: &Url) -> Result<(), Forbidden> {
        literal(url).map_or(Ok(()), |address| self.check(address))
    }
}

enum Kind {
    Loopback,
    LinkLocal,
    Metadata,
    Unspecified,
    Multicast,
    Other,
}

/// Amazon's metadata, which has an address of its own in version 6, and the pods' credentials beside it.
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0);

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => match inner(address) {
            Some(inner) => kind_v4(inner),
            None => kind_v6(address),
        },
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    // All of 0.0.0.0/8 means "this host"; most systems connect it to themselves.
    if address.octets().first() == Some(&0) {
        Kind::Unspecified
    } else if address.is_loopback() {
        Kind::Loopback
    } else if address.is_link_local() {
        Kind::LinkLocal
    } else if address.is_multicast() || address.is_broadcast() {
        Kind::Multicast
    } else if address == Ipv4Addr::new(168, 63, 129, 16)
        || address == Ipv4Addr::new(100, 100, 100, 200)
    {
        // Azure's and Alibaba's, which are not link-local.
        Kind::Metadata
    } else {
        Kind::Other
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if address.is_unspecified() {
        Kind::Unspecified
    } else if address.is_loopback() {
        Kind::Loopback
    } else if address.is_unicast_link_local() {
        Kind::LinkLocal
    } else if address.is_multicast() {
        Kind::Multicast
    } else if address.segments().get(..4) == METADATA.segments().get(..4) {
        Kind::Metadata
    } else {
        Kind::Other
    }
}

/// The version 4 address inside one of version 6: mapped, compatible, translated (RFC 6052) or 6to4.
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let joined = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(joined(g, h)),
        // `::` and `::1` are addresses of version 6 themselves.
        [0, 0, 0, 0, 0, 0] if (g, h) != (0, 0) && (g, h) != (0, 1) => Some(joined(g, h)),
        [0x2002, high, low, _, _, _] => Some(joined(high, low)),
        _ => None,
    }
}

/// The address in a URL that names one. The URL's parser has already read decimal and other spellings.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// A name's addresses, or why there are none.
pub type Found = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;

/// Where names are looked up.
pub trait Lookup: std::fmt::Debug + Send + Sync {
    /// The addresses of a name; their ports do not matter.
    fn lookup(&self, name: &str) -> Found;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Lookup for System {
    fn lookup(&self, name: &str) -> Found {
        let name = name.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
    }
}

/// A resolver without the addresses that may not be asked.
#[derive(Debug)]
pub(super) struct Filtered {
    /// What may be asked.
    pub guard: Guard,
    /// Look-ups under way.
    pub names: Arc<Names>,
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, found) = (self.guard, self.names.find(name.as_str()));
        Box::pin(async move {
            let mut refused = None;
            let mut allowed = Vec::new();
            for one in found.await? {
                match guard.check(one.ip()) {
                    Ok(()) => allowed.push(one),
                    Err(error) => refused = Some(error),
                }
            }
            match refused.filter(|_| allowed.is_empty()) {
                Some(refused) => Err(refused.into()),
                None => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, strict: bool, open: bool) {
        let url = Url::parse(&format!("http://{host}/")).unwrap();
        assert!(literal(&url).is_some(), "{host} is a name");
        let found = Guard::new(false).check_url(&url).is_ok();
        assert_eq!(found, strict, "{host} without loopback");
        let found = Guard::new(true).check_url(&url).is_ok();
        assert_eq!(found, open, "{host} with loopback");
    }

    #[test]
    fn every_spelling_of_an_address() {
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[fe80::1]",
            "[febf::1]",
            "[::ffff:169.254.1.1]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "168.63.129.16",
            "100.100.100.200",
            "0.0.0.0",
            "0",
            "0.1.2.3",
            "[::]",
            "[::ffff:0.0.0.0]",
            "224.0.0.1",
            "255.255.255.255",
            "[ff02::1]",
        ] {
            check(host, false, false);
        }
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
        ] {
            check(host, false, true);
        }
        for host in [
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "[fd00::1]",
            "[2001:db8::1]",
        ] {
            check(host, true, true);
        }
    }
}
