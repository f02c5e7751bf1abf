//! TCP to the hub, directly or through an HTTP proxy.
//!
//! In: a host and port, a proxy. Out: a connection that reaches them. It must not speak to the hub: TLS is inside.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer of a proxy to CONNECT; the bytes after it are TLS and must not be read here.
const MAX_ANSWER: usize = 8 * 1024;
/// Port of a proxy whose address names none.
const PROXY_PORT: u16 = 3128;

/// An HTTP proxy that takes CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
}

/// An address that is no proxy's.
#[derive(Debug, thiserror::Error)]
#[error("the hub proxy {0:?} is not usable: write http://HOST:PORT")]
pub struct Error(String);

impl Proxy {
    /// The proxy for a hub: none when there is none, when the hub is on this machine, or when `no_proxy` names it.
    pub fn for_hub(
        address: Option<&str>,
        no_proxy: Option<&str>,
        hub: &str,
    ) -> Result<Option<Self>, Error> {
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(None);
        };
        if is_local(hub)
            || no_proxy.is_some_and(|list| list.split(',').any(|one| covers(one.trim(), hub)))
        {
            return Ok(None);
        }
        let bad = || Error(address.to_owned());
        let uri: http::Uri = address.parse().map_err(|_| bad())?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(bad());
        }
        let host = uri.host().ok_or_else(bad)?.to_owned();
        Ok(Some(Self {
            host,
            port: uri.port_u16().unwrap_or(PROXY_PORT),
        }))
    }
}

fn is_local(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Whether an entry of NO_PROXY names a host: itself, or a domain that it is in.
fn covers(entry: &str, host: &str) -> bool {
    let domain = entry.trim_start_matches('.');
    entry == "*" || !domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}")))
}

/// Connects.
pub async fn dial(host: &str, port: u16, proxy: Option<&Proxy>) -> io::Result<TcpStream> {
    let Some(proxy) = proxy else {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        return Ok(stream);
    };
    let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await?;
    stream.set_nodelay(true)?;
    let target = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    stream
        .write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())
        .await?;
    let answer = head(&mut stream).await?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') {
        Ok(stream)
    } else {
        let line = answer.lines().next().unwrap_or_default();
        Err(io::Error::other(format!(
            "the proxy {}:{} does not connect to {target}: {line}",
            proxy.host, proxy.port
        )))
    }
}

/// The answer up to its empty line, byte by byte so that nothing of what follows is taken.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_ANSWER {
            return Err(io::Error::other(
                "the proxy's answer to CONNECT is too long",
            ));
        }
        answer.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn proxy(address: &str, no_proxy: &str, hub: &str) -> Option<Proxy> {
        Proxy::for_hub(Some(address), Some(no_proxy), hub).unwrap()
    }

    #[test]
    fn which_hubs_go_through_a_proxy() {
        let expected = Proxy {
            host: "proxy".into(),
            port: 8080,
        };
        assert_eq!(
            proxy("http://proxy:8080", "", "hub.example.com"),
            Some(expected)
        );
        for (no_proxy, hub) in [
            ("", "127.0.0.1"),
            ("", "localhost"),
            ("", "[::1]"),
            ("a.com, hub.example.com", "hub.example.com"),
            (".example.com", "hub.example.com"),
            ("example.com", "hub.example.com"),
            ("*", "hub.example.com"),
        ] {
            assert_eq!(
                proxy("http://proxy:8080", no_proxy, hub),
                None,
                "{no_proxy} {hub}"
            );
        }
        assert!(proxy("http://proxy:8080", "ample.com", "hub.example.com").is_some());
        assert!(Proxy::for_hub(None, None, "hub").unwrap().is_none());
        assert!(Proxy::for_hub(Some("socks5://p:1"), None, "hub").is_err());
    }

    async fn answer(text: &'static str) -> (io::Result<TcpStream>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = head(&mut stream).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            asked
        });
        let proxy = Proxy {
            host: "127.0.0.1".into(),
            port,
        };
        let stream = dial("hub.example.com", 7443, Some(&proxy)).await;
        (stream, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_proxy_connects_or_says_why_not() {
        let (stream, asked) = answer("HTTP/1.1 200 Connection established\r\n\r\nTLS").await;
        assert!(
            asked.starts_with("CONNECT hub.example.com:7443 HTTP/1.1\r\n"),
            "{asked}"
        );
        let mut rest = String::new();
        stream.unwrap().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "TLS");
        let (stream, _) = answer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(stream.unwrap_err().to_string().contains("407"));
    }
}
