//! Where a provider is.
//!
//! In: an address as written. Out: the URL of an endpoint below it, or what is wrong with it. It must not resolve names.

use reqwest::Url;

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None is given.
    #[error("the metric has no {0} address: give it one, such as http://host:port")]
    Missing(&'static str),
    /// It is no address of a web server.
    #[error("{provider} address {address:?} is not usable: {reason}; write http://host:port")]
    Unusable {
        /// The provider.
        provider: &'static str,
        /// The address.
        address: String,
        /// What is wrong.
        reason: String,
    },
}

/// The address of a web server, as it is written; or what is wrong with it.
pub(crate) fn web(address: &str) -> Result<Url, String> {
    let url = Url::parse(address).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.host().is_some() {
        Ok(url)
    } else {
        Err("it is no http or https address".to_owned())
    }
}

/// The URL of an endpoint below an address; `path` is the endpoint's, segment by segment, escaped as needed.
pub(crate) fn endpoint(
    provider: &'static str,
    address: Option<&str>,
    path: &[&str],
) -> Result<Url, Error> {
    let address = address.map(str::trim).unwrap_or_default();
    if address.is_empty() {
        return Err(Error::Missing(provider));
    }
    let bad = |reason: &str| Error::Unusable {
        provider,
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    let mut url = web(address).map_err(|reason| bad(&reason))?;
    // What is written behind a question mark is no part of an address, and would end up in the query.
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| bad("it has no path"))?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn endpoints() {
        for (address, expected) in [
            ("http://a:1", Ok("http://a:1/api/x%20y")),
            (" https://a/base/ ", Ok("https://a/base/api/x%20y")),
            ("http://a?b=c#d", Ok("http://a/api/x%20y")),
            ("", Err("no graphite address")),
            ("a:1", Err("not usable")),
            ("ftp://a", Err("not usable")),
            ("http://", Err("not usable")),
            ("file:///etc/passwd", Err("not usable")),
        ] {
            let found = endpoint("graphite", Some(address), &["api", "x y"]);
            match (found, expected) {
                (Ok(url), Ok(text)) => assert_eq!(url.as_str(), text),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, expected) => panic!("{address}: {found:?}, not {expected:?}"),
            }
        }
        assert!(endpoint("graphite", None, &[]).is_err());
    }
}
