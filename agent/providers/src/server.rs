//! Whom a metric asks.
//!
//! In: a metric. Out: a name for the server behind it, so that one that hangs is kept apart from the others. It must not
//! resolve or connect.

use agent_api::Metric;
use reqwest::Url;

use crate::question::Environment;

/// The server that a metric asks: scheme, host and port where the metric says them; else its provider, which has one server
/// for all.
#[must_use]
pub fn server(metric: &Metric, environment: &Environment) -> String {
    let provider = &metric.provider;
    let address = if let Some(prometheus) = &provider.prometheus {
        let own = prometheus.address.as_ref().filter(|own| !own.is_empty());
        own.or(environment.prometheus_address.as_ref())
    } else if let Some(web) = &provider.web {
        web.url.as_ref()
    } else if let Some(graphite) = &provider.graphite {
        graphite.address.as_ref()
    } else if let Some(wavefront) = &provider.wavefront {
        wavefront.address.as_ref()
    } else if let Some(skywalking) = &provider.skywalking {
        skywalking.address.as_ref()
    } else if let Some(kayenta) = &provider.kayenta {
        kayenta.address.as_ref()
    } else {
        None
    };
    let origin = address.and_then(|address| {
        let url = Url::parse(address).ok()?;
        let host = url.host_str()?;
        Some(format!(
            "{host}:{}",
            url.port_or_known_default().unwrap_or(0)
        ))
    });
    let name = || {
        provider
            .given()
            .first()
            .map_or("", |given| *given)
            .to_owned()
    };
    origin.unwrap_or_else(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_its_host_and_port() {
        let environment = Environment {
            prometheus_address: Some("http://default:9090/p".to_owned()),
            ..Environment::default()
        };
        for (provider, expected) in [
            (json!({"prometheus": {"query": "up"}}), "default:9090"),
            (
                json!({"prometheus": {"address": "https://Other/x"}}),
                "other:443",
            ),
            (json!({"web": {"url": "http://u:p@h/a?b"}}), "h:80"),
            (json!({"web": {"url": "no address"}}), "web"),
            (json!({"datadog": {"query": "q"}}), "datadog"),
            (json!({}), ""),
        ] {
            let metric = serde_json::from_value(json!({"name": "m", "provider": provider}));
            assert_eq!(server(&metric.unwrap(), &environment), expected);
        }
    }
}
